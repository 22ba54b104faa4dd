"""The application under ASGI servers that are not ours: the same answers, and what those do otherwise.

docs/reference/python-api.md, "Other servers", says the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from tests.contracts import echo_descriptor_set
from tests.doors.other_servers import OTHER_SERVERS, OtherServer, under
from tests.doors.served_table import OTHERS, OURS, DoorOfTable, Seen, ask_all, edge
from tests.echo_server import echo_server
from tests.parity.client import ask
from tests.parity.edges import WholeEchoServer
from tests.parity.requests import cases

_TABLE = [case for case in cases() if case.server in ("echo", "fragile")]
_WITHOUT_LONG_TARGETS = "gunicorn, its ASGI workers"
"""It refuses request lines of more than 4,094 bytes (`--limit-request-line`)."""
_WITHOUT_REFUSALS = "gunicorn, its ASGI workers"
"""It does not have the extension `websocket.http.response`."""
_CUTS_EARLY_ANSWERS = "hypercorn"
"""Its chunks may lack the last one, where the answer did not wait for the end of a long body."""
_EARLY = {"web/too-large", "web-text/too-large"}
_LONG_TARGETS = {"limit/long-query", "limit/many-parameters"}
_SHAKE = {
    "upgrade": "websocket",
    "connection": "Upgrade",
    "sec-websocket-version": "13",
    "sec-websocket-key": "AAAAAAAAAAAAAAAAAAAAAA==",
}
_REFUSALS = [
    ("/v1/none", {}, 404, b"is bound to this path"),
    ("/v1/bidi", {"origin": "https://evil.test"}, 403, b"is not allowed"),
    ("/v1/bidi", {"sec-websocket-protocol": "chat"}, 400, b"grpc-json.v1"),
]
_MALFORMED = [
    b"nonsense\r\n\r\n",
    b"GET /v1/echo HTTP/1.1\r\nhost : a\r\n\r\n",
]


@dataclass(frozen=True)
class Tried:
    """A server, where it listens, and where our own does, over the same upstream."""

    server: OtherServer
    port: int
    ours: int


@pytest.fixture(scope="module")
def descriptor_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tests' own contract."""
    path = tmp_path_factory.mktemp("other") / "echo.binpb"
    path.write_bytes(echo_descriptor_set())
    return path


@pytest.fixture(scope="module", params=OTHER_SERVERS, ids=lambda server: server.name)
async def tried(request: pytest.FixtureRequest, descriptor_set: Path) -> AsyncIterator[Tried]:
    """Both servers."""
    server: OtherServer = request.param
    if not server.installed:
        pytest.skip(f"{server.package} is not installed")
    async with (
        echo_server(WholeEchoServer) as echo,
        edge(OURS, descriptor_set, echo.address) as ours,
        under(server, descriptor_set, echo.address) as port,
    ):
        yield Tried(server, port, ours)


async def test_the_answers_are_the_same(tried: Tried) -> None:
    """Of all requests of the table, those apart that are longer than the server takes."""
    ours: dict[str, Seen] = await ask_all(_TABLE, {"echo": tried.ours})
    others = await ask_all(_TABLE, {"echo": tried.port})

    different = {name: (ours[name], others[name]) for name in ours if ours[name] != others[name]}
    if tried.server.name == _WITHOUT_LONG_TARGETS:
        refused = {different.pop(name)[1].status for name in _LONG_TARGETS}
        assert refused == {414}
    if tried.server.name == _CUTS_EARLY_ANSWERS:
        for name in _EARLY & different.keys():
            whole, cut = different.pop(name)
            assert (cut.status, cut.body) == (whole.status, whole.body)
    assert different == {}


async def test_a_websocket_talks_and_ends_alike(tried: Tried) -> None:
    """A message is answered, and the close code is 1000 or that of the status."""
    said = await _talk(tried.ours)

    assert said == [('{"stringField":"x"}', "1000"), ("4003",)]
    assert await _talk(tried.port) == said


@pytest.mark.parametrize(
    "door", [door for door in OTHERS if door.middleware], ids=lambda door: door.name
)
async def test_middleware_changes_no_websocket(descriptor_set: Path, door: DoorOfTable) -> None:
    """Neither how one talks and ends, nor how a handshake is refused."""
    async with (
        echo_server(WholeEchoServer) as echo,
        edge(OURS, descriptor_set, echo.address) as ours,
        edge(door, descriptor_set, echo.address) as other,
    ):
        assert await _talk(other) == await _talk(ours)
        for path, headers, status, _ in _REFUSALS:
            seen = [await ask(port, "GET", path, _SHAKE | headers, None) for port in (ours, other)]
            assert [answer.status for answer in seen] == [status] * 2
            assert seen[0].body == seen[1].body


async def _talk(port: int) -> list[tuple[str | bytes, ...]]:
    """Returns the answers and the close code of two WebSockets, one of which sends no JSON."""
    said: list[tuple[str | bytes, ...]] = []
    for first in ('{"stringField":"x"}', "nonsense"):
        async with connect(
            f"ws://127.0.0.1:{port}/v1/bidi",
            subprotocols=[Subprotocol("grpc-json.v1")],
            proxy=None,
        ) as socket:
            await socket.send(first)
            answers: list[str | bytes] = []
            try:
                answers.append(await asyncio.wait_for(socket.recv(), 10))
                await socket.send("")
                answers.append(await asyncio.wait_for(socket.recv(), 10))
            except ConnectionClosed:
                said.append((*answers, str(socket.close_code)))
    return said


@pytest.mark.parametrize(("path", "headers", "status", "text"), _REFUSALS)
async def test_a_refused_handshake_has_a_status(
    tried: Tried, path: str, headers: dict[str, str], status: int, text: bytes
) -> None:
    """HTTP status and body are those of an error; without the extension the answer is an empty 403."""
    ours = await ask(tried.ours, "GET", path, _SHAKE | headers, None)
    other = await ask(tried.port, "GET", path, _SHAKE | headers, None)

    assert (ours.status, ours.headers["content-type"]) == (status, "application/json")
    assert text in ours.body
    if tried.server.name == _WITHOUT_REFUSALS:
        assert (other.status, other.body) == (403, b"")
    else:
        assert (other.status, other.body) == (ours.status, ours.body)


@pytest.mark.parametrize("data", _MALFORMED)
async def test_what_is_no_http_is_refused_by_each_server_itself(tried: Tried, data: bytes) -> None:
    """All say 400; a Status says so only under our own server, for others do not ask the application."""
    assert b'{"code":3' in await _raw(tried.ours, data)
    assert b'{"code":3' not in await _raw(tried.port, data)


async def _raw(port: int, data: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    answer = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    assert answer.startswith(b"HTTP/1.1 400 ")
    return answer
