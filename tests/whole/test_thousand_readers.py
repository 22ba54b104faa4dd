"""A thousand readers of one stream: one call in the core, and nobody waits for the slowest."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import count

import pytest

from grpc_core.finance import reference
from grpc_core.finance.rates import Snapshot
from grpc_core.finance.ticker import simulated
from grpc_core.rate_feed import RateFeed
from grpc_core.server import CoreServer
from grpc_core.settings import Settings
from tests.whole import processes

READERS = 1000
SECONDS = 4
"""How long the memory is watched; half a minute of it is in `make bench`."""
REQUEST = (
    b"GET /rates/USD HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\nConnection: close\r\n\r\n"
)
FAIR = 4.0
"""Seconds within which a lively reader has the newest state, on a machine that is busy with all of them."""


class Reader(asyncio.Protocol):
    """Counts what it reads, and keeps its last bytes; or does not read at all."""

    def __init__(self, *, stalled: bool) -> None:
        self._stalled = stalled
        self.read = 0
        self.tail = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Asks."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(REQUEST)
        if self._stalled:
            transport.pause_reading()

    def data_received(self, data: bytes) -> None:
        """Counts."""
        self.read += len(data)
        self.tail = (self.tail + data)[-8192:]


@asynccontextmanager
async def readers(port: int, count: int, *, stalled: bool = False) -> AsyncIterator[list[Reader]]:
    """Opens connections that all ask the same."""
    loop = asyncio.get_running_loop()
    opened: list[Reader] = []
    try:
        for _ in range(count):
            _, reader = await loop.create_connection(
                lambda: Reader(stalled=stalled), "127.0.0.1", port
            )
            opened.append(reader)
        yield opened
    finally:
        for reader in opened:
            reader.transport.abort()


@asynccontextmanager
async def core() -> AsyncIterator[tuple[str, RateFeed, Callable[[], None]]]:
    """Runs a core in this loop, whose rates move when the test says so."""
    rates: Snapshot = reference.load()
    feed = RateFeed(rates)
    server = CoreServer(Settings(port=0), feed)
    ticks = count()

    def move() -> None:
        feed.publish(simulated(rates, seed=1, tick=next(ticks), instant=rates.instant))

    await server.start()
    try:
        yield server.address, feed, move
    finally:
        await server.stop(None)


def newest(feed: RateFeed) -> bytes:
    """Returns what the last of the current rates looks like."""
    return b'"ZAR","rate":%b}' % repr(float(feed.current.rate("USD", "ZAR"))).encode()


async def until(reached: Reader, mark: bytes) -> None:
    """Waits until a reader has read a mark."""
    while mark not in reached.tail:
        await asyncio.sleep(0.01)


@pytest.mark.timeout(180)
async def test_a_thousand_readers_are_one_call() -> None:
    """The core sees one call; every reader has the newest state of each rate, those that come late too."""
    async with core() as (address, feed, move), processes.edge(address) as edge:
        async with readers(edge.port, READERS // 2) as early:
            await asyncio.gather(*(until(reader, b'"ZAR"') for reader in early))
            move()
            async with readers(edge.port, READERS // 2) as late:
                everybody = early + late
                await asyncio.gather(*(until(reader, b'"ZAR"') for reader in late))
                assert feed.watchers == 1

                move()
                newest = b'"ZAR","rate":%b}' % repr(float(feed.current.rate("USD", "ZAR"))).encode()
                await asyncio.gather(*(until(reader, newest) for reader in everybody))
                assert feed.watchers == 1
        async with asyncio.timeout(30):
            while feed.watchers:  # the call ends some time after the last reader has left
                await asyncio.sleep(0.05)


@pytest.mark.timeout(180)
async def test_one_that_stalls_delays_nobody_and_costs_nothing_that_grows() -> None:
    """With one reader that takes nothing, the others have the newest at once, and memory stays flat."""
    loop = asyncio.get_running_loop()
    slowest = 0.0
    sizes: list[int] = []
    async with (
        core() as (address, feed, move),
        processes.edge(address) as edge,
        readers(edge.port, 1, stalled=True),
        readers(edge.port, 100) as lively,
    ):
        ends = loop.time() + SECONDS
        while loop.time() < ends:
            for _ in range(20):
                move()
                await asyncio.sleep(0)
            published = loop.time()
            await asyncio.gather(*(until(reader, newest(feed)) for reader in lively))
            slowest = max(slowest, loop.time() - published)
            sizes.append(edge.resident())

    half = sizes[len(sizes) // 2]
    print(f"slowest {slowest * 1000:.0f} ms, memory {sizes[0]:,} to {half:,} to {sizes[-1]:,}")
    assert slowest < FAIR
    assert sizes[-1] < half + 4_000_000
