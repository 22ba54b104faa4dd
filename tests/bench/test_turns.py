"""The client that takes turns: it finds the end of every answer, and says what went wrong."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import StreamEnded

from bench import load
from bench.turns import (
    DIGITS,
    HttpConnection,
    Turns,
    WebSocketConnection,
    browser_request,
    connect,
    http_request,
    websocket_request,
)
from bench.turns_http2 import Http2Connection, Http2Streams

_WHOLE = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody"
_CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nbody\r\n9\r\n more of it\r\n0\r\n\r\n"
_EMPTY = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"


class _Server(asyncio.Protocol):
    """Answers each request, byte by byte or at once."""

    def __init__(self, answer: bytes, *, cut: bool) -> None:
        self._answer = answer
        self._cut = cut

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        del data
        if not self._cut:
            self._transport.write(self._answer)
            return
        loop = asyncio.get_running_loop()
        for at, byte in enumerate(self._answer):
            loop.call_later(at * 0.0001, self._transport.write, bytes([byte]))


@asynccontextmanager
async def _serving(answer: bytes, *, cut: bool = False) -> AsyncIterator[int]:
    server = await asyncio.get_running_loop().create_server(
        lambda: _Server(answer, cut=cut), "127.0.0.1", 0
    )
    async with server:
        yield server.sockets[0].getsockname()[1]


@pytest.mark.parametrize("answer", [_WHOLE, _CHUNKED, _EMPTY], ids=["whole", "chunked", "empty"])
@pytest.mark.parametrize("cut", [False, True], ids=["at once", "by bytes"])
async def test_an_answer_ends_where_it_ends(answer: bytes, cut: bool) -> None:
    """However it is framed and cut, each answer is one turn, and the next request follows it."""
    turns = Turns()
    async with _serving(answer, cut=cut) as port:
        (connection,) = await connect(
            HttpConnection, turns, port=port, request=http_request("GET", "/"), count=1
        )
        connection.ask()
        await turns.answers(3)
        await turns.rest()
        connection.transport.abort()

    assert turns.failure is None


async def test_a_traced_request_is_like_no_other() -> None:
    """Whatever connection it comes over; so nothing that is kept of one helps with the next."""
    seen = Turns()
    request = http_request("POST", "/", b"{}", traced=True)
    written: list[bytes] = []

    class Transport(asyncio.Transport):
        def write(self, data: object) -> None:
            assert isinstance(data, bytes)
            written.append(data)

    for connection in [HttpConnection(seen, request), HttpConnection(seen, request)]:
        connection.connection_made(Transport())
        connection.ask()
        connection.data_received(_WHOLE)

    traces = [re.search(rb"traceparent: 00-([0-9a-f]{32})-[0-9a-f]{16}-01\r\n", w) for w in written]
    assert len({trace[1] for trace in traces if trace}) == len(written) == 4
    assert all(request.endswith(b"\r\n\r\n{}") for request in written)


async def test_a_browsers_request_is_like_no_other() -> None:
    """Trace, query and body differ from turn to turn, a percent stays one, and the length is right."""
    seen = Turns()
    body = b'{"amount":1.%b}' % DIGITS
    request = browser_request("POST", f"/a%2Fb?amount=1.{DIGITS.decode()}", "t", body)
    written: list[bytes] = []

    class Transport(asyncio.Transport):
        def write(self, data: object) -> None:
            assert isinstance(data, bytes)
            written.append(data)

    connection = HttpConnection(seen, request)
    connection.connection_made(Transport())
    connection.ask()
    connection.data_received(_WHOLE)

    heads, bodies = zip(*(each.split(b"\r\n\r\n") for each in written), strict=True)
    assert bodies == (b'{"amount":1.0000000001}', b'{"amount":1.0000000002}')
    assert heads[0].startswith(b"POST /a%2Fb?amount=1.0000000001 HTTP/1.1\r\n")
    assert all(b"\r\ncontent-length: %d" % len(bodies[0]) in head for head in heads)
    assert len({re.search(rb"traceparent: \S+", head)[0] for head in heads}) == 2  # type: ignore[index] # each has one


async def test_another_status_is_a_failure() -> None:
    """A burst of errors is never taken for a fast server."""
    async with _serving(b"HTTP/1.1 503 Sorry\r\ncontent-length: 0\r\n\r\n") as port:
        with pytest.raises(Exception, match="503 Sorry"):
            await load.turns("http", port, "R0VU", 1, 0.01, {}, "", "")


async def test_a_burst_tells_what_was_seen() -> None:
    """Answers, how long they took, and what everybody's CPU for each of them was."""
    async with _serving(_WHOLE) as port:
        figures = await load.turns("http", port, "R0VU", 4, 0.05, {"edge": os.getpid()}, "", "")

    assert figures["per_second"] > 0
    assert 0 < figures["p50_ms"] <= figures["p99_ms"]
    assert figures["edge_us"] > 0
    assert figures["client_us"] > 0
    assert figures["edge_mb"] > 1


async def test_a_web_socket_takes_turns_by_frames() -> None:
    """The handshake comes first; two frames in one read are two turns, a ping is none."""
    seen = Turns()
    connection = WebSocketConnection(seen, websocket_request("/", "p", b"{}"))
    written: list[bytes] = []

    class Transport(asyncio.Transport):
        def write(self, data: object) -> None:
            assert isinstance(data, bytes)
            written.append(data)

    connection.connection_made(Transport())
    assert written[0].startswith(b"GET / HTTP/1.1\r\n")
    assert written[0].endswith(b"\r\n\r\n")

    connection.data_received(b"HTTP/1.1 101 Switching Protocols\r\n")
    assert not connection.ready.done()
    connection.data_received(b"\r\n")
    assert connection.ready.done()
    connection.ask()
    assert written[1][:2] == bytes((0x81, 0x82))
    connection.data_received(b"\x89\x00\x81\x02{}\x81\x02{")
    assert len(written) == 3
    connection.data_received(b"}")

    assert len(seen.latencies) == 2
    assert seen.failure is None


def test_a_share_of_numbers() -> None:
    """A percentile is one of the numbers; of none it is 0."""
    numbers = [float(number) for number in range(1, 101)]

    assert (load.share(numbers, 0.5), load.share(numbers, 0.99)) == (50, 99)
    assert load.share([], 0.5) == 0


class _Http2Server(asyncio.Protocol):
    """Answers the requests of HTTP/2 that wait, the last first, when there are enough."""

    connections = 0

    def __init__(self, together: int) -> None:
        self._together = together
        self._waiting: list[int] = []
        self._h2 = H2Connection(H2Configuration(client_side=False))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        type(self).connections += 1
        self._transport = transport
        self._h2.initiate_connection()
        transport.write(self._h2.data_to_send())

    def data_received(self, data: bytes) -> None:
        for event in self._h2.receive_data(data):
            if isinstance(event, StreamEnded):
                self._waiting.append(event.stream_id)
        while len(self._waiting) >= self._together:
            stream = self._waiting.pop()
            self._h2.send_headers(stream, ((":status", "200"),))
            self._h2.send_data(stream, b"body", end_stream=True)
        self._transport.write(self._h2.data_to_send())


@pytest.mark.parametrize(("kind", "opened"), [(Http2Connection, 4), (Http2Streams, 1)])
async def test_turns_over_http2(kind: type[Http2Connection], opened: int) -> None:
    """On a connection for each, or all on one, in whatever order they are answered."""
    _Http2Server.connections = 0
    server = await asyncio.get_running_loop().create_server(
        lambda: _Http2Server(4 // opened), "127.0.0.1", 0
    )
    async with server:
        turns, port = Turns(), server.sockets[0].getsockname()[1]
        async with load.taking(kind, port, http_request("POST", "/", b"{}"), 4, turns):
            await turns.answers(20)

    assert _Http2Server.connections == opened
    assert turns.failure is None
