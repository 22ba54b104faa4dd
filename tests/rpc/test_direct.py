"""Unary calls whose message has come are answered directly: without a task, and as on the long way."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from google.rpc.status_pb2 import Status
from grpc import aio

from gateway.app import create_app
from gateway.doors.http1.direct import DirectDoor
from gateway.doors.http2 import connection as http2_connection
from gateway.doors.http2.heads import Heads
from gateway.doors.http2.request_head import edge_headers
from gateway.exchange.edge import Edge as ServedEdge
from gateway.exchange.request import identify, parse_head
from gateway.settings import Settings
from gateway.transcoding.status import NOT_FOUND
from tests.doors.http2.client import Client, Stream, connected
from tests.doors.http2.conftest import Edge
from tests.echo_server import Everything, FailRequest
from tests.interpreted import needs_source
from tests.rpc.wire_client import framed, post, web_trailers

_UNARY = b"/echo.v1.Echo/Unary"
_PSEUDO = (
    (b":method", b"POST"),
    (b":scheme", b"http"),
    (b":path", _UNARY),
    (b":authority", b"localhost:8080"),
)
_GRPC = ((b"content-type", b"application/grpc"), (b"te", b"trailers"))
_CONNECT = ((b"content-type", b"application/proto"), (b"connect-protocol-version", b"1"))
_PLAIN: tuple[tuple[tuple[bytes, bytes], ...], ...] = (
    _GRPC,
    _CONNECT,
    ((b"content-type", b"application/grpc-web+proto"), (b"x-grpc-web", b"1")),
    ((b"content-type", b"application/json"), (b"connect-protocol-version", b"1")),
    (*_GRPC, (b"grpc-timeout", b"500m"), (b"x-server-timeout", b"0.25")),
    (*_CONNECT, (b"connect-timeout-ms", b"1500")),
    (*_GRPC, (b"x-request-id", b"mine"), (b"x-one", b"1"), (b"x-one", b"2")),
    (*_GRPC, (b"x-bytes-bin", b"AAE,Ag"), (b"authorization", b"Bearer t"), (b"grpc-previous", b"")),
    (*_GRPC, (b"cookie", b"a=1"), (b"cookie", b"b=2"), (b"last-event-id", b"7")),
    (*_GRPC, (b"traceparent", b"00-" + b"a" * 32 + b"-" + b"b" * 16 + b"-01")),
    (*_GRPC, (b"content-length", b"5"), (b"user-agent", b"x"), (b"origin", b"http://a.example")),
    (*_GRPC, (b"x-server-key", b"withheld?"), (b"server", b"not sent on")),
)
_UNUSUAL: tuple[tuple[tuple[bytes, bytes], ...], ...] = (
    (*_GRPC, (b"grpc-timeout", b"soon")),
    (*_GRPC, (b"expect", b"100-continue")),
    (*_GRPC, (b"grpc-metadata-x", b"1")),
    (*_GRPC, (b"x-latin", b"\xe4")),
    (*_GRPC, (b"x-request-id", b"two words")),
    ((b"content-type", b"application/grpc+json"),),
    ((b"content-type", b"text/plain"), (b"connect-protocol-version", b"1")),
)


@pytest.fixture
def served(descriptor_set: Path) -> ServedEdge:
    """An edge that is not served."""
    edge: ServedEdge = create_app(Settings(descriptor_set=descriptor_set)).state.edge
    return edge


@pytest.mark.parametrize("fields", _PLAIN)
def test_plain_heads(served: ServedEdge, fields: tuple[tuple[bytes, bytes], ...]) -> None:
    """They say what they say on the long way, also when they come again."""
    heads = Heads(served.metadata, served.served)
    for _ in range(2):
        plain = heads.read((*_PSEUDO, *fields), 100)

        assert plain is not None
        head, error = parse_head(edge_headers((*_PSEUDO, *fields)), served.metadata, is_rpc=True)
        request_id, metadata = identify(head, served.metadata)
        made = () if plain.request_id else metadata[-1:]  # the id that the edge makes
        assert error is None
        assert plain.request_id in (request_id, "")
        assert sorted((*plain.metadata, *made), key=repr) == sorted(metadata, key=repr)
        assert plain.timeout == head.timeout
        assert plain.request.rpc is not None


_REST: tuple[tuple[tuple[bytes, bytes], ...], ...] = (
    ((b"accept", b"application/json"), (b"content-type", b"application/json")),
    ((b"accept", b"*/*"), (b"authorization", b"Bearer t"), (b"traceparent", b"00-a-b-01")),
    ((b"authorization", b"Bearer t"), (b"user-agent", b"x"), (b"x-request-id", b"mine")),
    ((b"origin", b"http://a.example"), (b"cookie", b"a=1"), (b"content-length", b"2")),
    ((b"accept", b"*/*"), (b"grpc-timeout", b"1S"), (b"x-unknown", b"1")),
)


_OTHERS = {
    b"authorization": b"Bearer u",
    b"traceparent": b"00-c-d-01",
    b"x-request-id": b"yours",
    b"x-one": b"3",
    b"x-bytes-bin": b"AQ",
    b"grpc-timeout": b"7S",
    b"x-server-timeout": b"0.5",
    b"connect-timeout-ms": b"800",
    b"cookie": b"c=3",
    b"content-length": b"9",
}
"""Another value of each field that is read of each head."""


@pytest.mark.parametrize("fields", [*_PLAIN, *_REST[:-1]])
@pytest.mark.parametrize("query", [b"", b"?a=1"])
def test_heads_that_are_alike(
    served: ServedEdge, fields: tuple[tuple[bytes, bytes], ...], query: bytes
) -> None:
    """By the pattern of one, the other says what all of its fields say; a pattern has no credentials."""
    heads = Heads(served.metadata, served.served)
    path = _rest_path(served, heads) + query if fields in _REST else _UNARY
    head = (*_with_path(path), *fields)
    plain = heads.read(head, 100)
    assert plain is not None
    pattern = plain.pattern
    assert pattern is not None
    assert "Bearer" not in repr((pattern.kept, pattern.metadata, pattern.own))

    for name, value in head:
        other = tuple((each, _OTHERS.get(name, b"x") if each == name else v) for each, v in head)
        read = heads.read_like(pattern, other)
        assert (
            read == heads.read(other, 100)
            if name in _OTHERS
            else read in (None, heads.read(other, 100))
        )
        assert heads.read_like(pattern, (*head, (name, value))) is None
    assert heads.read_like(pattern, head) == plain


@pytest.mark.parametrize(
    ("name", "value"),
    [(b"authorization", b"\xe4"), (b"x-request-id", b"two words"), (b":path", b"/other?a=1")],
)
def test_heads_that_are_alike_but_unusual(served: ServedEdge, name: bytes, value: bytes) -> None:
    """They are read whole: what is wrong with them is said there."""
    heads = Heads(served.metadata, served.served)
    fields = ((b"authorization", b"Bearer t"), (b"x-request-id", b"mine"))
    head = (*_with_path(_rest_path(served, heads) + b"?a=1"), *fields)
    plain = heads.read(head, 100)

    assert plain is not None
    assert plain.pattern is not None
    other = tuple((each, value if each == name else v) for each, v in head)
    assert heads.read_like(plain.pattern, other) is None


def _rest_path(served: ServedEdge, heads: Heads) -> bytes:
    """Returns a path whose method is unary."""
    return next(
        path.encode()
        for method, path in served.served.router.literal_paths
        if method == "POST" and heads.read(_with_path(path.encode()), 100) is not None
    )


def _with_path(path: bytes) -> tuple[tuple[bytes, bytes], ...]:
    return tuple((name, path if name == b":path" else value) for name, value in _PSEUDO)


@pytest.mark.parametrize("fields", _UNUSUAL)
def test_unusual_heads(served: ServedEdge, fields: tuple[tuple[bytes, bytes], ...]) -> None:
    """They are left to the long way, which says what is wrong."""
    assert Heads(served.metadata, served.served).read((*_PSEUDO, *fields), 100) is None


@pytest.mark.parametrize(
    "line",
    [
        *(
            b"x-a: \x00",
            b"x-a: b\rc",
            b" folded: 1",
            b"x-a",
            b"x a: 1",
            b"transfer-encoding: chunked",
        ),
        *(b"connection: close", b"host: other", b"content-length: 7", b"connect-timeout-ms: soon"),
    ],
)
def test_unusual_heads_of_http_1(served: ServedEdge, line: bytes) -> None:
    """The same over HTTP/1.1: nothing is read that the parser would not read so."""
    door = DirectDoor(served)

    def asked(*lines: bytes) -> bool:
        head = (
            b"POST %b HTTP/1.1" % _UNARY,
            b"host: a",
            b"content-type: application/proto",
            *lines,
        )
        return door.read(b"\r\n".join((*head, b"content-length: 2", b"", b"ab"))) is not None

    assert asked()
    assert not asked(line)
    assert asked(b"x-a: 1")


@pytest.fixture
def only_direct(monkeypatch: pytest.MonkeyPatch) -> None:
    """Has every request over HTTP/2 fail that is not answered directly."""
    needs_source(http2_connection.__name__)
    monkeypatch.setattr(http2_connection, "Http2Stream", None)


@pytest.mark.usefixtures("only_direct")
async def test_grpc_by_grpcio(edge: Edge) -> None:
    """Deadline, metadata both ways, statuses with details and metadata."""
    failing = FailRequest(code=NOT_FOUND, message="no", details=True).SerializeToString()
    message = Everything(string_field="a").SerializeToString()
    async with edge() as port, aio.insecure_channel(f"127.0.0.1:{port}") as opened:
        channel: Any = opened
        call = channel.unary_unary("/echo.v1.Echo/Unary")(
            message, timeout=20, metadata=(("x-a", "1"), ("x-b-bin", b"\x00"))
        )
        answer = await call
        initial, trailing = await call.initial_metadata(), await call.trailing_metadata()
        with pytest.raises(aio.AioRpcError) as caught:
            await channel.unary_unary("/echo.v1.Echo/Fail")(failing)
        with pytest.raises(aio.AioRpcError) as late:
            await channel.unary_unary("/echo.v1.Echo/Hang")(b"", timeout=0.2)

    assert answer == message
    assert (initial["x-a"], initial["x-b-bin"], trailing["cost"]) == ("1", b"\x00", "3")
    assert Status.FromString(caught.value.trailing_metadata()["grpc-status-details-bin"]).details
    assert late.value.code().name == "DEADLINE_EXCEEDED"


async def _ask(client: Client, method: str, body: bytes, content_type: str) -> Stream:
    """Sends head and message together, and waits for the end of the response."""
    number = client.h2.get_next_available_stream_id()
    stream = client.streams[number] = Stream(number)
    fields = [(":method", "POST"), (":scheme", "http"), (":path", f"/echo.v1.Echo/{method}")]
    fields += [(":authority", "edge.test"), ("content-type", content_type), ("x-a", "1")]
    client.h2.send_headers(number, fields)
    client.h2.send_data(number, body, end_stream=True)
    client.flush()
    return await client.end_of(stream)


@pytest.mark.usefixtures("only_direct")
async def test_every_wire(edge: Edge) -> None:
    """Heads, messages and ends, of which gRPC's alone is in trailers."""
    message = Everything(string_field="a").SerializeToString()
    async with edge() as port, connected(port) as client:
        grpc = await _ask(client, "Unary", framed(message), "application/grpc")
        connect = await _ask(client, "Unary", message, "application/proto")
        web = await _ask(client, "Unary", framed(message), "application/grpc-web+proto")
        refused = await _ask(client, "Unary", b"abc", "application/grpc")

    assert (bytes(grpc.body), dict(grpc.headers)["x-a"]) == (framed(message), "1")
    assert grpc.trailers == [("grpc-status", "0"), ("cost", "3")]
    assert (bytes(connect.body), dict(connect.headers)["trailer-cost"]) == (message, "3")
    messages, end = web_trailers(bytes(web.body))
    assert (messages, end["grpc-status"], end["cost"]) == ([message], "0", "3")
    assert (dict(refused.headers)["grpc-status"], bytes(refused.body)) == ("3", b"")


async def test_no_task_is_made(edge: Edge, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither over HTTP/1.1 nor over HTTP/2."""
    message = Everything(string_field="a").SerializeToString()
    async with edge() as port, connected(port) as client:
        await _ask(client, "Unary", message, "application/proto")  # connects the upstream
        made: list[str] = []
        create = asyncio.get_running_loop().create_task

        def noted(coroutine: Any, **more: Any) -> Any:
            made.append(coroutine.__qualname__)
            return create(coroutine, **more)

        monkeypatch.setattr(asyncio.get_running_loop(), "create_task", noted)
        await _ask(client, "Unary", framed(message), "application/grpc")
        answer = await post(port, "Unary", message, "application/proto")

    assert answer.content == message
    assert not [name for name in made if "InlineRun" in name]


async def test_a_response_beyond_the_window(edge: Edge) -> None:
    """It waits for the client, with its trailers behind it."""
    message = Everything(string_field="x" * 200_000).SerializeToString()
    async with edge() as port, aio.insecure_channel(f"127.0.0.1:{port}") as opened:
        channel: Any = opened
        call = channel.unary_unary("/echo.v1.Echo/Unary")(message, timeout=20)

        assert await call == message
        assert (await call.trailing_metadata())["cost"] == "3"


async def test_log_lines(edge: Edge, capfd: pytest.CaptureFixture[str]) -> None:
    """They say wire and version, of unary calls too."""
    message = Everything(string_field="a").SerializeToString()
    async with edge(access_log="json") as port, connected(port) as client:
        await _ask(client, "Unary", framed(message), "application/grpc")
        await post(port, "Unary", message, "application/proto")
        await post(port, "Unary", framed(message), "application/grpc-web-text", http2=True)

    lines = [json.loads(line) for line in capfd.readouterr().out.splitlines() if "rpc" in line]
    assert [(line["wire"], line["http_version"]) for line in lines] == [
        *(("grpc", "2"), ("connect", "1.1"), ("grpc-web-text", "2")),
    ]
    assert [line["messages_in"] for line in lines] == [1, 1, 0]
