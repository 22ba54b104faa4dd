"""Requests that ask for another protocol (RFC 9110, 7.8): only a WebSocket handshake is given one."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI

from gateway.app import create_app
from gateway.settings import Settings
from tests.contracts import echo_descriptor_set
from tests.echo_server import echo_server
from tests.parity.edges import WholeEchoServer
from tests.whole.http1 import Connection, Response, connection
from tests.whole.serving import serving

_HIDDEN = b"GET /v1/names/HIDDEN HTTP/1.1\r\nHost: x\r\n\r\n"
_NEXT = b"GET /v1/names/next HTTP/1.1\r\nHost: x\r\n\r\n"
_UPGRADES = {
    "curl": "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQ",
    "java": "Connection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAEAAEAA\r\nUpgrade: h2c",
    "unknown": "Connection: Upgrade\r\nUpgrade: foo",
    "with a version": "Connection: upgrade\r\nUpgrade: TLS/1.0, HTTP/1.1",
    "websocket": "Connection: Upgrade\r\nUpgrade: websocket",
    "websocket before another": "Connection: Upgrade\r\nUpgrade: websocket, foo",
    "websocket behind another": "Connection: keep-alive, Upgrade\r\nUpgrade: foo, websocket",
    "on several lines": "Connection: upgrade\r\nUpgrade: foo\r\nConnection: keep-alive\r\nUpgrade: bar",
    "in odd case": "cONNECTION: uPGRADE\r\nuPGRADE: H2C",
    "a whole handshake": "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
}
_LINES = b'{"stringField":"a"}\n{"stringField":"b"}\n'
_ARRAY = b'[{"stringField":"a"},{"stringField":"b"}]'
_SEQUENCE = b'\x1e{"stringField":"a"}\n\x1e{"stringField":"b"}\n'
_WIRES = {
    "unary": ("/v1/echo", "application/json", "application/json", b'{"stringField":"a"}'),
    "upload of lines": ("/v1/upload", "application/x-ndjson", "application/json", _LINES),
    "upload of an array": ("/v1/upload", "application/json", "application/json", _ARRAY),
    "events": ("/v1/stream", "application/json", "text/event-stream", b'{"int32Field":2}'),
    "lines": ("/v1/stream", "application/json", "application/x-ndjson", b'{"int32Field":2}'),
    "array": ("/v1/bidi", "application/json", "application/json", _ARRAY),
    "sequence": ("/v1/bidi", "application/json-seq", "application/json-seq", _SEQUENCE),
    "raw": ("/v1/raw", "text/plain", "*/*", _HIDDEN),
    "raw upload": ("/v1/raw:upload", "text/plain", "*/*", _HIDDEN),
    "nowhere": ("/nowhere", "text/plain", "*/*", _HIDDEN),
}
_CHANCE = re.compile(rb"^(id|retry): .*\n", re.MULTILINE)


class PassesOn:
    """Middleware of a user's, with which every request is ASGI."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Passes on."""
        await self._app(scope, receive, send)


@asynccontextmanager
async def _edge(folder: Path, *middleware: Any, **options: Any) -> AsyncIterator[int]:
    path = folder / "echo.binpb"
    path.write_bytes(echo_descriptor_set())
    async with echo_server(WholeEchoServer) as echo:
        settings = Settings(
            descriptor_set=path, log_level="error", upstream=echo.address, **options
        )
        app: FastAPI = create_app(settings)
        for each in middleware:
            app.add_middleware(each)
        async with serving(app, settings) as port:
            yield port


@pytest.fixture(scope="module", params=[(), (PassesOn,)], ids=["direct", "asgi"])
async def port(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[int]:
    """Where an edge serves, with and without middleware; it sends no pings of its own."""
    folder = tmp_path_factory.mktemp("edge")
    async with _edge(folder, *request.param, websocket_ping_seconds=3600) as serves:
        yield serves


def _request(
    target: str,
    body: bytes,
    framing: str,
    *headers: str,
    method: str = "POST",
    version: str = "1.1",
) -> tuple[bytes, bytes]:
    """Returns head and body of a request as they travel."""
    if framing == "length":
        headers += (f"Content-Length: {len(body)}",)
    elif framing != "none":
        headers += ("Transfer-Encoding: chunked",)
        middle = len(body) // 2
        body = b"".join(b"%x\r\n%b\r\n" % (len(p), p) for p in (body[:middle], body[middle:]))
        body += b"0\r\nAuthorization: of nobody\r\n\r\n" if framing == "trailers" else b"0\r\n\r\n"
    lines = (f"{method} {target} HTTP/{version}", "Host: x", *headers, "", "")
    return "\r\n".join(lines).encode(), body


def _seen(response: Response) -> tuple[int, str, bytes]:
    body = _CHANCE.sub(b"", response.body)
    return response.status, response.headers.get("content-type", ""), body


async def _ask(port: int, *pieces: bytes, count: int = 1) -> list[tuple[int, str, bytes]]:
    """Sends one request in pieces, and one that ends the connection; returns all the responses."""
    async with connection(port) as caller:
        await caller.send(*pieces)
        first = await caller.responses(count)
        await caller.send(_NEXT.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        last = await caller.rest()
    assert [_seen(response)[::2] for response in last] == [(200, b'"next"')]
    return [_seen(response) for response in first]


@pytest.mark.parametrize("framing", ["length", "chunked", "trailers"])
@pytest.mark.parametrize("wire", _WIRES)
async def test_an_upgrade_that_is_not_ours_is_ignored(port: int, wire: str, framing: str) -> None:
    """The answer is that of a request without it, on every wire and however its body comes."""
    path, sent, wanted, content = _WIRES[wire]
    headers = (f"Content-Type: {sent}", f"Accept: {wanted}", "X-Request-ID: 1")
    plain = await _ask(port, b"".join(_request(path, content, framing, *headers)))
    different = {}
    for name, upgrade in _UPGRADES.items():
        head, body = _request(path, content, framing, upgrade, *headers)
        for pieces in ((head + body,), (head, body), (head[:20], head[20:] + body[:3], body[3:])):
            answer = await _ask(port, *pieces)
            if answer != plain:
                different[name, len(pieces)] = answer

    assert different == {}
    assert plain[0][0] == (404 if wire == "nowhere" else 200)
    if wire in ("unary", "raw"):
        assert plain[0][2] == content


async def test_a_body_that_comes_byte_by_byte_is_whole(port: int) -> None:
    """Wherever a head with an upgrade is cut, and its body too."""
    head, body = _request("/v1/raw", _HIDDEN, "trailers", _UPGRADES["curl"])
    data = head + body

    assert await _ask(port, *(data[n : n + 1] for n in range(len(data)))) == [
        (200, "application/octet-stream", _HIDDEN)
    ]


async def test_every_pipelined_upgrade_is_ignored(port: int) -> None:
    """Each of several requests in one piece is answered with its own body, in order."""
    data, bodies = b"", []
    for number, (framing, upgrade) in enumerate(
        [("length", "curl"), ("chunked", "unknown"), ("trailers", "websocket"), ("length", "java")]
    ):
        bodies.append(b"%d %b" % (number, _HIDDEN))
        data += b"".join(_request("/v1/raw", bodies[-1], framing, _UPGRADES[upgrade]))
        bodies.append(b"%d" % number)
        data += b"".join(_request("/v1/raw", bodies[-1], "length"))

    answers = await _ask(port, data, count=len(bodies))

    assert [body for _, _, body in answers] == bodies


async def test_an_upgrade_in_http_1_0_is_ignored(port: int) -> None:
    """Of a WebSocket handshake too (RFC 9110, 7.8: "MUST ignore"); the connection ends behind it."""
    for method, target, wanted in (
        ("POST", "/v1/raw", (200, _HIDDEN)),
        ("GET", "/v1/names/one", (200, b'"one"')),
    ):
        framing, content = ("length", _HIDDEN) if method == "POST" else ("none", b"")
        for upgrade in ("curl", "a whole handshake"):
            headers = (_UPGRADES[upgrade],)
            pieces = _request(target, content, framing, *headers, method=method, version="1.0")
            async with connection(port) as caller:
                await caller.send(*pieces, _HIDDEN)
                assert [_seen(response)[::2] for response in await caller.rest()] == [wanted]


async def test_a_close_beside_an_upgrade_closes(port: int) -> None:
    """What comes behind the last request of a connection is not read."""
    upgrade = "Connection: close, Upgrade\r\nUpgrade: h2c"
    async with connection(port) as caller:
        await caller.send(b"".join(_request("/v1/raw", b"a", "length", upgrade)) + _HIDDEN)
        responses = await caller.rest()

    assert [_seen(response)[::2] for response in responses] == [(200, b"a")]
    assert responses[0].headers["connection"] == "close"


@pytest.mark.parametrize("wire", ["unary", "upload of lines", "lines", "nowhere"])
@pytest.mark.parametrize("together", [True, False])
async def test_a_close_in_the_trailers_leaves_nobody_waiting(
    port: int, wire: str, together: bool
) -> None:
    """The request is answered; one behind it is too, or finds the connection closed."""
    path, sent, wanted, content = _WIRES[wire]
    headers = (f"Content-Type: {sent}", f"Accept: {wanted}")
    head, body = _request(path, content, "chunked", *headers)
    request = head + body.removesuffix(b"\r\n") + b"Connection: close\r\n\r\n"
    last = _NEXT.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    async with connection(port) as caller:
        await caller.send(*([request + last] if together else [request, last]))
        responses = await caller.rest()

    assert [response.status for response in responses][:1] == [404 if wire == "nowhere" else 200]
    assert [response.body for response in responses][1:] in ([], [b'"next"'])


async def test_a_client_that_waits_for_100_is_told_to_go_on(port: int) -> None:
    """Of `Expect` and `Upgrade` in one request only the first is heeded."""
    head, body = _request("/v1/raw", _HIDDEN, "length", "Expect: 100-continue", _UPGRADES["curl"])
    async with connection(port) as caller:
        await caller.send(head)
        while not caller.informational:
            await caller.read()
        await caller.send(body, _NEXT)
        responses = await caller.responses(2)

    assert caller.informational == [100]
    assert [_seen(response)[::2] for response in responses] == [(200, _HIDDEN), (200, b'"next"')]


@pytest.mark.parametrize("coding", ["gzip", "chunked, gzip", "foo"])
async def test_a_body_without_an_end_is_refused(port: int, coding: str) -> None:
    """With an upgrade as without: its length cannot be known (RFC 9112, 6.3)."""
    coded = f"Transfer-Encoding: {coding}"
    for headers in ((coded,), (_UPGRADES["unknown"], coded), (_UPGRADES["websocket"], coded)):
        head, _ = _request("/v1/raw", b"", "none", *headers)
        async with connection(port) as caller:
            await caller.send(head + _HIDDEN)
            assert [response.status for response in await caller.rest()] == [400]


# CONNECT.


@pytest.mark.parametrize("target", ["x:443", "/v1/raw", "http://x/v1/raw"])
@pytest.mark.parametrize("headers", [(), ("Content-Length: 40",), (_UPGRADES["unknown"],)])
async def test_a_tunnel_is_refused(port: int, target: str, headers: tuple[str, ...]) -> None:
    """What follows a CONNECT is not HTTP (RFC 9110, 9.3.6), so the connection ends with it."""
    head, _ = _request(target, b"", "none", *headers, method="CONNECT")
    for pieces in ((head + _HIDDEN,), (head, _HIDDEN)):
        async with connection(port) as caller:
            await caller.send(*pieces)
            assert [response.status for response in await caller.rest()] == [400]


async def test_a_tunnel_behind_a_request_ends_the_connection(port: int) -> None:
    """The request before it is answered first."""
    head, _ = _request("x:443", b"", "none", method="CONNECT")
    async with connection(port) as caller:
        await caller.send(b"".join(_request("/v1/raw", b"a", "length")) + head + _HIDDEN)
        responses = await caller.rest()

    assert _seen(responses[0])[::2] == (200, b"a")
    assert [response.status for response in responses] == [200, 400]


# WebSocket handshakes.

_SHAKING = (
    "Sec-WebSocket-Version: 13",
    f"Sec-WebSocket-Key: {base64.b64encode(bytes(16)).decode()}",
)


def _frame(text: bytes, opcode: int = 1) -> bytes:
    """Returns a frame of a client, whose mask is zeros."""
    return bytes((0x80 | opcode, 0x80 | len(text), 0, 0, 0, 0)) + text


async def _says(caller: Connection) -> tuple[int, bytes]:
    """Reads one short frame of the server's."""
    opcode, size = await caller.exactly(2)
    return opcode & 15, await caller.exactly(size)


@pytest.mark.parametrize(
    "upgrade",
    [
        "Connection: Upgrade\r\nUpgrade: websocket",
        "Connection: keep-alive, Upgrade\r\nUpgrade: websocket",
        "Connection: Upgrade\r\nConnection: keep-alive\r\nUpgrade: WebSocket",
        "Connection: uPGRADE\r\nUpgrade: foo, websocket",
        "Connection: Upgrade\r\nUpgrade: websocket, foo",
        "Connection: Upgrade\r\nUpgrade: foo\r\nUpgrade: websocket",
        "Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 0",
    ],
)
async def test_a_handshake_is_taken(port: int, upgrade: str) -> None:
    """In every spelling that HTTP has for it; also of a request that is not a connection's first."""
    head, _ = _request("/v1/bidi", b"", "none", upgrade, *_SHAKING, method="GET")
    async with connection(port) as caller:
        await caller.send(_NEXT)
        await caller.responses(1)
        await caller.send(head)
        assert (await caller.head()).startswith(b"HTTP/1.1 101 ")
        await caller.send(_frame(b'{"stringField":"a"}'), _frame(b""))
        assert await _says(caller) == (1, b'{"stringField":"a"}')
        assert await _says(caller) == (8, b"\x03\xe8")


@pytest.mark.parametrize("together", [True, False])
async def test_frames_that_come_early_wait_for_the_handshake(port: int, together: bool) -> None:
    """A ping too, which else were answered before the handshake is."""
    head, _ = _request("/v1/bidi", b"", "none", _UPGRADES["websocket"], *_SHAKING, method="GET")
    early = _frame(b"hello", opcode=9) + _frame(b'{"stringField":"a"}') + _frame(b"")
    async with connection(port) as caller:
        if together:
            await caller.send(head + early)
        else:
            caller.write(head)
            caller.write(early)
        assert (await caller.head()).startswith(b"HTTP/1.1 101 ")
        assert await _says(caller) == (10, b"hello")
        assert await _says(caller) == (1, b'{"stringField":"a"}')
        assert await _says(caller) == (8, b"\x03\xe8")


@pytest.mark.parametrize("path", ["/v1/bidi", "/v1/names/one", "/nowhere"])
@pytest.mark.parametrize("framing", ["length", "chunked", "trailers"])
async def test_a_handshake_with_a_body_is_none(port: int, framing: str, path: str) -> None:
    """It is answered as the GET that it is besides, and its body is nobody's request."""
    upgrade = _UPGRADES["a whole handshake"]
    plain = _request(path, _HIDDEN, framing, method="GET")
    wanted = await _ask(port, *plain)
    head, body = _request(path, _HIDDEN, framing, upgrade, method="GET")

    assert await _ask(port, head + body) == wanted
    assert await _ask(port, head, body) == wanted


async def test_a_handshake_that_does_not_wait_is_none(port: int) -> None:
    """Behind a request that is not answered yet no other protocol can begin."""
    first = b"".join(_request("/v1/upload", _LINES, "chunked"))
    head, _ = _request("/v1/names/two", b"", "none", _UPGRADES["a whole handshake"], method="GET")

    answers = await _ask(port, first + head, count=2)

    assert [(status, body) for status, _, body in answers] == [
        (200, b'{"count":2,"strings":["a","b"]}'),
        (200, b'"two"'),
    ]


@pytest.mark.parametrize("path", ["/nowhere", "/v1/echo"])
async def test_what_follows_a_refused_handshake_is_not_run(port: int, path: str) -> None:
    """The connection ends with the refusal."""
    head, _ = _request(path, b"", "none", _UPGRADES["a whole handshake"], method="GET")
    async with connection(port) as caller:
        await caller.send(head + _HIDDEN)
        responses = await caller.rest()

    assert [response.status for response in responses] == [404]
    assert json.loads(responses[0].body)["code"] == 5


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ((f"Cookie: {'x' * 9000}",), 101),
        ((f"Cookie: {'x' * 70_000}",), 431),
        (("X: y",) * 130, 431),
        (("Sec-WebSocket-Key: short",), 400),
        (("Sec-WebSocket-Version: 12",), 400),
    ],
)
async def test_a_handshake_is_answered(port: int, headers: tuple[str, ...], status: int) -> None:
    """Within the limits of any head it is taken; beyond them, and where it is none, it is refused."""
    shaking = [line for line in _SHAKING if line.partition(":")[0] not in headers[0]]
    lines = (_UPGRADES["websocket"], *shaking, *headers)
    head, _ = _request("/v1/bidi", b"", "none", *lines, method="GET")
    async with connection(port) as caller:
        await caller.send(head)
        answer = await caller.head()
        assert answer.startswith(b"HTTP/1.1 %d " % status)
        if status != 101:
            assert b"content-type: application/json\r\n" in answer
            assert b"connection: close\r\n" in answer


async def test_a_handshake_with_a_long_target_is_answered(port: int) -> None:
    """A query of 9,000 bytes is within the limits of any head."""
    lines = (_UPGRADES["websocket"], *_SHAKING)
    target = f"/v1/bidi?string_field={'x' * 9000}"
    head, _ = _request(target, b"", "none", *lines, method="GET")
    async with connection(port) as caller:
        await caller.send(head)
        assert (await caller.head()).startswith(b"HTTP/1.1 101 ")


async def test_more_early_frames_than_are_read_wait(port: int) -> None:
    """What goes beyond the limit waits in the socket, and then arrives whole and in order."""
    head, _ = _request("/v1/bidi", b"", "none", _UPGRADES["websocket"], *_SHAKING, method="GET")
    messages = [b'{"stringField":"%d"}' % number for number in range(4_000)]
    frames = b"".join(_frame(message) for message in messages) + _frame(b"")
    async with connection(port) as caller:
        caller.write(head + frames)
        assert (await caller.head()).startswith(b"HTTP/1.1 101 ")
        for message in messages:
            assert await _says(caller) == (1, message)
        assert await _says(caller) == (8, b"\x03\xe8")
