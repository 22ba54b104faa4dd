"""Three edges and one Redis: readers roam while leaders are killed and halted, and Redis dies.

The sizes are those of `make test`; `make shared` raises them by the variables below.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import grpc
import httpx
import pytest
from grpc import aio

from tests.contracts import feeds_descriptor_set
from tests.feeds.stage import Request, news
from tests.redis_server import RedisServer, needs_redis
from tests.whole import processes
from tests.whole.event_stream import Event, EventSource
from tests.whole.processes import Running

pytestmark = [needs_redis, pytest.mark.timeout(3600)]

READERS = int(os.environ.get("SHARED_READERS", "12"))
FEEDS = int(os.environ.get("SHARED_FEEDS", "2"))
KILLS = int(os.environ.get("SHARED_KILLS", "1"))
PAUSES = int(os.environ.get("SHARED_PAUSES", "1"))
RESTARTS = int(os.environ.get("SHARED_RESTARTS", "2"))
ROLLS = int(os.environ.get("SHARED_ROLLS", "0"))
LEASE = float(os.environ.get("SHARED_LEASE", "2"))
TICK = 0.1
EDGES = 3
BREAKS = KILLS + PAUSES + RESTARTS + ROLLS * EDGES
SOON = 120.0
PATHS = {"DropOldest": "drop-oldest", "SharedIds": "shared-ids"}


class NewsServer:
    """A gRPC server that sends numbers: with ids after any of them, without ids from now on."""

    def __init__(self) -> None:
        self.now = 0
        self.calls: Counter[tuple[str, str]] = Counter()
        self.open: Counter[tuple[str, str]] = Counter()
        self.peers: dict[tuple[str, str], str] = {}
        self._ticked = asyncio.Condition()

    async def tick(self) -> None:
        """Sends numbers, for ever."""
        while True:
            await asyncio.sleep(TICK)
            self.now += 1
            async with self._ticked:
                self._ticked.notify_all()

    def stream(self, method: str) -> Any:
        """Returns the handler of a method."""

        async def answer(request: bytes, context: Any) -> AsyncIterator[bytes]:
            asked = Request.FromString(request)
            feed = method, asked.topic
            self.calls[feed] += 1
            self.open[feed] += 1
            self.peers[feed] = context.peer()
            number = int(asked.after_id.removeprefix("id") or 0) if asked.after_id else self.now
            try:
                while True:
                    while number < self.now:
                        number += 1
                        yield news(number)
                    async with self._ticked:
                        await self._ticked.wait()
            finally:
                self.open[feed] -= 1

        return grpc.unary_stream_rpc_method_handler(answer)


@asynccontextmanager
async def news_server() -> AsyncIterator[tuple[NewsServer, str]]:
    """Runs the server around the block, which is given its address."""
    news_of = NewsServer()
    server = aio.server()
    handlers = {method: news_of.stream(method) for method in PATHS}
    handler = grpc.method_handlers_generic_handler("feeds.v1.Feeds", handlers)
    server.add_generic_rpc_handlers((handler,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    ticking = asyncio.create_task(news_of.tick())
    try:
        yield news_of, f"127.0.0.1:{port}"
    finally:
        ticking.cancel()
        await server.stop(0)


class Balancer:
    """Sends each request to any edge, as a balancer does that knows no sessions."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self.clients: dict[int, httpx.AsyncClient] = {}

    def stream(self, method: str, path: str, headers: dict[str, str]) -> Any:
        """Opens a stream."""
        client = self._random.choice([*self.clients.values()])
        return client.stream(method, path, headers=headers)


class Roaming:
    """A reader, and what it was told wrongly."""

    def __init__(self, balancer: Balancer, method: str, topic: str) -> None:
        self.method = method
        self.source = EventSource(balancer, f"/{PATHS[method]}/{topic}", retry=0.05)  # type: ignore[arg-type]
        self.last: int | None = None
        self.gaps = self.events = 0
        self.problems: list[str] = []
        self._told = self._interrupted = False

    async def run(self) -> None:
        """Reads for ever."""
        while True:
            self._interrupted = False
            async with aclosing(self.source.events()) as events:
                async for event in events:
                    self._take(event)
                    if self._interrupted:
                        break

    def interrupt(self) -> None:
        """Disconnects after the next event, and comes back."""
        self._interrupted = True

    def _take(self, event: Event) -> None:
        self.events += 1
        if event.kind == "gap":
            self.gaps += 1
            self._told = True
            if self.method == "SharedIds":
                self.problems.append(f"{event} where the server gives ids, after {self.last}")
        elif event.kind == "message":
            number = int(event.data["number"])
            if self.last is not None and number != self.last + 1 and not self._told:
                self.problems.append(f"{number} after {self.last}")
            self.last, self._told = number, False


class Stage:
    """All of it."""

    def __init__(
        self, server: NewsServer, upstream: str, redis: RedisServer, contract: Path
    ) -> None:
        self.random = Random(7)
        self.server, self.redis = server, redis
        self._upstream, self._contract = upstream, contract
        self.balancer = Balancer(self.random)
        self.edges: dict[int, tuple[Running, AsyncExitStack]] = {}
        self.readers: list[Roaming] = []

    async def start_edge(self, number: int, port: int = 0, **settings: str) -> None:
        """Starts an edge, on the port that it had if it is one again."""
        stack = AsyncExitStack()
        edge = await stack.enter_async_context(
            processes.edge(
                self._upstream,
                descriptor_set=self._contract,
                port=port,
                feed_store=self.redis.url,
                feed_lease_seconds=str(LEASE),
                store_timeout_seconds="5",
                log_level="error",
                **settings,
            )
        )
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
        client = httpx.AsyncClient(base_url=edge.http, timeout=SOON, limits=limits, verify=False)
        self.balancer.clients[number] = await stack.enter_async_context(client)
        self.edges[number] = edge, stack

    def leader(self) -> int:
        """Returns the edge that makes the call of a feed."""
        while True:
            feed = self.random.choice([feed for feed, n in self.server.open.items() if n])
            port = int(self.server.peers[feed].rpartition(":")[2])
            for number, (edge, _) in self.edges.items():
                if _has_socket(edge.process.pid, port):
                    return number

    async def settled(self) -> None:
        """Waits until every reader is where the server is."""
        now = self.server.now + 1
        async with asyncio.timeout(SOON):
            while any((reader.last or 0) < now for reader in self.readers):
                await asyncio.sleep(TICK)

    async def one_call_each(self) -> None:
        """Waits until each feed has one call."""
        try:
            async with asyncio.timeout(SOON):
                while set(self.server.open.values()) != {1}:
                    await asyncio.sleep(TICK)
        except TimeoutError:
            raise AssertionError(f"calls: {self.server.open}") from None


def _has_socket(pid: int, port: int) -> bool:
    """Whether a process has a socket with this local port."""
    inodes = set()
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if int(fields[1].rpartition(":")[2], 16) == port:
            inodes.add(f"socket:[{fields[9]}]")
    try:
        found = {os.readlink(each) for each in Path(f"/proc/{pid}/fd").iterdir()}
    except OSError:
        return False
    return bool(found & inodes)


@asynccontextmanager
async def staged(tmp_path: Path, *, edges: int = EDGES, **settings: str) -> AsyncIterator[Stage]:
    """Runs Redis, server, edges and readers around the block."""
    contract = tmp_path / "feeds.binpb"
    contract.write_bytes(feeds_descriptor_set())
    redis = RedisServer(tmp_path / "redis", appendonly=True, options=["--appendfsync", "always"])
    async with AsyncExitStack() as stack:
        stack.enter_context(redis)
        server, upstream = await stack.enter_async_context(news_server())
        stage = Stage(server, upstream, redis, contract)
        for number in range(edges):
            await stage.start_edge(number, 0, **settings)
        tasks = []
        for number in range(READERS):
            method = [*PATHS][number % 2]
            reader = Roaming(stage.balancer, method, f"topic{number // 2 % max(1, FEEDS // 2)}")
            stage.readers.append(reader)
            tasks.append(asyncio.create_task(reader.run()))
        try:
            yield stage
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            for _, within in stage.edges.values():
                await within.aclose()


async def test_readers_are_told_of_every_loss(tmp_path: Path) -> None:
    """One call a feed; with ids of the server's nothing is lost, repeated or told; without, all is told."""
    async with staged(tmp_path) as stage:
        await stage.settled()
        assert set(stage.server.calls.values()) == {1}
        assert not any(reader.gaps for reader in stage.readers)
        for _ in range(KILLS):
            await _kill_leader(stage)
        for _ in range(PAUSES):
            await _pause_leader(stage)
        for number in range(RESTARTS):
            await _restart_redis(stage, data=number % 2 == 0)
        for _ in range(ROLLS):
            await _replace_edges(stage)
        await stage.one_call_each()

        problems = [problem for reader in stage.readers for problem in reader.problems]
        print(
            f"{len(stage.readers)} readers of {len(stage.server.calls)} feeds,"
            f" {sum(r.events for r in stage.readers)} events,"
            f" {sum(stage.server.calls.values())} calls, {len(problems)} problems; gaps:"
            f" {Counter((r.method, r.gaps) for r in stage.readers)}"
        )
        assert problems == []
        assert max(reader.gaps for reader in stage.readers) <= BREAKS


async def test_workers_share_their_feeds(tmp_path: Path) -> None:
    """One call a feed, whichever worker a reader is led to, and comes back to."""
    async with staged(tmp_path, edges=1, workers="2") as stage:
        await stage.settled()
        for reader in stage.readers:
            reader.interrupt()
        async with asyncio.timeout(SOON):
            while any(reader.source.connections < 2 for reader in stage.readers):
                await asyncio.sleep(TICK)
        await stage.settled()

        assert set(stage.server.calls.values()) == {1}
        assert [(reader.gaps, reader.problems) for reader in stage.readers] == [
            (0, []) for _ in stage.readers
        ]
        assert all(reader.source.connections == 2 for reader in stage.readers)


async def _kill_leader(stage: Stage) -> None:
    await stage.one_call_each()
    number = stage.leader()
    edge, within = stage.edges[number]
    port = edge.port
    del stage.balancer.clients[number]
    await edge.kill()
    await within.aclose()
    await stage.settled()
    await stage.start_edge(number, port)


async def _replace_edges(stage: Stage) -> None:
    """One after the other, as a deployment does."""
    for number, (edge, within) in [*stage.edges.items()]:
        del stage.balancer.clients[number]
        await within.aclose()
        await stage.start_edge(number, edge.port)
        await stage.settled()


async def _pause_leader(stage: Stage) -> None:
    """Longer than its lease; its own readers wait meanwhile."""
    await stage.one_call_each()
    number = stage.leader()
    edge, _ = stage.edges[number]
    calls = sum(stage.server.calls.values())
    os.kill(edge.process.pid, signal.SIGSTOP)
    try:
        async with asyncio.timeout(SOON):
            while sum(stage.server.calls.values()) == calls:
                await asyncio.sleep(TICK)
        await asyncio.sleep(5 * TICK)
    finally:
        os.kill(edge.process.pid, signal.SIGCONT)
    await stage.settled()
    await stage.one_call_each()


async def _restart_redis(stage: Stage, *, data: bool) -> None:
    stage.redis.kill()
    if not data:
        for file in (stage.redis.folder / "appendonlydir").iterdir():
            file.unlink()
    await asyncio.sleep(3 * TICK)
    await asyncio.to_thread(stage.redis.start)
    await stage.settled()
