"""Core and edge in this process, each as it is served, and what they hold at any time."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from gateway.app import create_app
from gateway.exchange.edge import Edge
from gateway.listening import listen
from gateway.server import Server
from gateway.settings import Settings
from grpc_core.finance import reference
from grpc_core.finance.rates import Snapshot
from grpc_core.finance.ticker import simulated
from grpc_core.rate_feed import RateFeed, ticking
from grpc_core.server import CoreServer
from grpc_core.settings import Settings as CoreSettings

DESCRIPTOR_SET = Path(__file__).parents[2] / "protos/descriptor_set.binpb"


@dataclass
class System:
    """Both, and how they were before the first client came."""

    port: int
    edge: Edge
    rates: RateFeed
    tasks: Counter[str] = field(default_factory=Counter)
    files: int = 0

    def remember(self) -> None:
        """Takes what there is now for what belongs to nobody."""
        self.tasks = _tasks()
        self.files = _files()

    def left(self) -> dict[str, object]:
        """Returns what is there beyond that."""
        found = {
            "tasks": dict(_tasks() - self.tasks),
            "watchers": self.rates.watchers,
            "attendances": len(self.edge.attendances),
            "feeds": self.edge.feeds.count,
            "files": max(0, _files() - self.files),
        }
        return {name: value for name, value in found.items() if value}

    def resident(self) -> int:
        """Returns the bytes of memory that this process has."""
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")


def _tasks() -> Counter[str]:
    """Returns how many tasks there are of each kind; grpc's server makes those anew that accept calls."""
    names = (getattr(task.get_coro(), "__qualname__", "?") for task in asyncio.all_tasks())
    return Counter(names)


def _files() -> int:
    return len(os.listdir("/proc/self/fd"))


@asynccontextmanager
async def running_system() -> AsyncIterator[System]:
    """Runs core and edge until the block is left."""
    rates = reference.load()
    feed = RateFeed(rates)
    core = CoreServer(CoreSettings(port=0), feed)

    def at(tick: int, instant: datetime) -> Snapshot:
        return simulated(rates, seed=1, tick=tick, instant=instant)

    async with ticking(feed, at, 0.02):
        await core.start()
        try:
            async with _serving(core.address) as (edge, port):
                system = System(port, edge, feed)
                await _one_request(port)
                system.remember()
                yield system
        finally:
            await core.stop(None)


@asynccontextmanager
async def _serving(upstream: str) -> AsyncIterator[tuple[Edge, int]]:
    settings = Settings(
        descriptor_set=DESCRIPTOR_SET, upstream=upstream, port=0, log_level="error",
        heartbeat_seconds=0.5, drain_seconds=1,
    )  # fmt: skip
    app = create_app(settings)
    listening = listen(settings)
    server = Server(app, settings)
    serving = asyncio.create_task(server.serve(sockets=listening))
    while not server.started:
        await asyncio.sleep(0.01)
    try:
        yield app.state.edge, listening[0].getsockname()[1]
    finally:
        server.should_exit = True
        await serving


async def _one_request(port: int) -> None:
    """Lets everything be made that the first request makes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /hello/World HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    await reader.read()
    writer.close()
    await writer.wait_closed()
