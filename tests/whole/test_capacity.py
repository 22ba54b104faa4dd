"""More streams than a server allows on one connection: all are served, and unary calls beside them.

Each caller has credentials of its own, so no two streams share a call. The server of the demo allows 1,000
streams on a connection.
"""

from __future__ import annotations

import asyncio
import re
import resource
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from itertools import count

import pytest

from tests.whole import processes

STREAMS = 2_000
UNARY = 300
SLOWEST = 5.0
"""Longest allowed unary call in seconds, on a busy machine; docs/explanation/performance.md has real ones."""
MESSAGE = b'{"fromCurrency":"USD","toCurrency":"EUR","amount":100}'
_numbers = count()


@pytest.fixture(autouse=True)
def many_files() -> Iterator[None]:
    """Lets this process have as many sockets as the system allows."""
    least, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (least, most))


class Client(asyncio.Protocol):
    """A connection, and all that has come on it."""

    def __init__(self, request: bytes) -> None:
        self._request = request
        self.seen = b""
        self.came = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Asks."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        """Keeps it."""
        self.seen += data
        self.came.set()

    def connection_lost(self, _error: Exception | None) -> None:
        """Wakes who waits in vain."""
        self.came.set()

    async def until(self, mark: bytes) -> bytes:
        """Waits until something has come; returns what came before it, and it."""
        while mark not in self.seen:
            assert not self.transport.is_closing(), self.seen
            self.came.clear()
            await self.came.wait()
        before, _, self.seen = self.seen.partition(mark)
        return before + mark


def head(line: str, *more: str) -> bytes:
    """Returns the head of a request with credentials that no other has."""
    credentials = f"Authorization: Bearer {next(_numbers):032x}"
    return "\r\n".join((f"{line} HTTP/1.1", "Host: x", credentials, *more, "", "")).encode()


def events() -> bytes:
    """Asks for an event stream."""
    return head("GET /rates/USD?target_currencies=EUR", "Accept: text/event-stream")


def upload() -> bytes:
    """Begins an upload, and sends nothing of it."""
    return head(
        "POST /convert:batch",
        "Content-Type: application/x-ndjson",
        "Transfer-Encoding: chunked",
    )


def websocket() -> bytes:
    """Asks for a WebSocket."""
    return head(
        "GET /convert:live",
        *("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13"),
        *("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Protocol: grpc-json.v1"),
    )


def frame(text: bytes) -> bytes:
    """Returns a text frame as clients send it, masked with nothing (RFC 6455, 5.2)."""
    assert len(text) < 126
    return bytes((0x81, 0x80 | len(text), 0, 0, 0, 0)) + text


@asynccontextmanager
async def clients(port: int, requests: list[bytes]) -> AsyncIterator[list[Client]]:
    """Opens connections, each with its request."""
    loop = asyncio.get_running_loop()
    opened: list[Client] = []
    try:
        for request in requests:
            _, client = await loop.create_connection(
                lambda request=request: Client(request),  # type: ignore[misc] # mypy/10893
                "127.0.0.1",
                port,
            )
            opened.append(client)
        yield opened
    finally:
        for client in opened:
            client.transport.abort()


async def convert(port: int) -> float:
    """Makes a unary call on a connection of its own; returns how long it took."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    request = head("POST /convert", f"Content-Length: {len(MESSAGE)}") + MESSAGE
    async with clients(port, [request]) as (client,):
        answer = await client.until(b"convertedAmount")
    assert answer.startswith(b"HTTP/1.1 200 "), answer
    return loop.time() - began


async def converting(port: int, times: int) -> list[float]:
    """Makes unary calls, a few at a time; returns how long each took, the quickest first."""
    taken: list[float] = []
    for _ in range(times // 10):
        taken += await asyncio.gather(*(convert(port) for _ in range(10)))
    return sorted(taken)


@pytest.mark.long
@pytest.mark.timeout(120)
async def test_two_thousand_streams_with_unary_calls_beside_them() -> None:
    """Each stream of each kind is served while all are open, and no unary call waits for one of them."""
    wanted = {events: STREAMS // 3, websocket: STREAMS // 3, upload: STREAMS - STREAMS // 3 * 2}
    requests = [ask() for ask, times in wanted.items() for _ in range(times)]
    first, second = wanted[events], wanted[events] + wanted[websocket]
    async with (
        processes.core() as core,
        processes.edge(core.address) as edge,
        clients(edge.port, requests) as opened,
    ):
        readers, talkers, uploads = opened[:first], opened[first:second], opened[second:]
        await converting(edge.port, UNARY // 10)  # while the streams open
        await asyncio.gather(*(reader.until(b"data:") for reader in readers))
        await asyncio.gather(*(talker.until(b"101 ") for talker in talkers))
        beside = await converting(edge.port, UNARY)
        for talker in talkers:
            talker.transport.write(frame(MESSAGE))
        for client in uploads:
            client.transport.write(b"%x\r\n%b\n\r\n0\r\n\r\n" % (len(MESSAGE) + 1, MESSAGE))
        await asyncio.gather(*(talker.until(b"convertedAmount") for talker in talkers))
        await asyncio.gather(*(client.until(b'"count":1') for client in uploads))

    print(f"p99 of unary calls beside them: {beside[UNARY * 99 // 100] * 1000:.0f} ms")
    assert beside[-1] < SLOWEST


@pytest.mark.parametrize("transport", ["wire", "grpcio"])
async def test_beyond_all_connections_each_wire_says_so(transport: str) -> None:
    """503 with Retry-After, or the close code of RESOURCE_EXHAUSTED; unary calls still are answered."""
    async with (
        processes.core() as core,
        processes.edge(
            core.address,
            transport=transport,
            upstream_max_connections="2",
            upstream_streams_per_connection="10",
        ) as edge,
    ):
        async with clients(edge.port, [events() for _ in range(18)]) as opened:
            await asyncio.gather(*(reader.until(b"data:") for reader in opened))
            async with clients(edge.port, [events(), upload(), websocket()]) as more:
                for refused in more[:2]:
                    answer = await refused.until(b'"code":8')
                    assert answer.startswith(b"HTTP/1.1 503 ")
                    assert re.search(rb"\r\nretry-after: \d+\r\n", answer, re.IGNORECASE)
                await more[2].until((4008).to_bytes(2, "big") + b"all streams")
            assert (await converting(edge.port, 40))[-1] < SLOWEST
        served = b""
        while b"data:" not in served:  # those who have left are seen to have left soon
            async with clients(edge.port, [events()]) as (again,):
                served = await again.until(b"\r\n\r\n") + await again.until(b"}")
