"""Three edges with one Redis behind nginx are replaced, one after the other, under 500 readers.

nginx has the configuration of docs/operations/run-in-production.md. The server gives the ids.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from random import Random

import httpx
import pytest

from tests.contracts import feeds_descriptor_set
from tests.operations.production import examples
from tests.redis_server import RedisServer, needs_redis
from tests.whole import processes
from tests.whole.conftest import free_ports
from tests.whole.news_server import NewsServer, news_server
from tests.whole.nginx import nginx_path, running_nginx
from tests.whole.test_capacity import many_files  # noqa: F401 - a fixture

pytestmark = [
    pytest.mark.long,
    pytest.mark.timeout(300),
    pytest.mark.usefixtures("many_files"),
    needs_redis,
    pytest.mark.skipif(nginx_path() is None, reason="no nginx here"),
]

READERS = int(os.environ.get("ROLLING_READERS", "500"))
FEEDS = 20
EDGES = 3
TICK = 0.5
"""Seconds between two events of a feed, which keeps 64: a reader that is slower by 32 s misses some."""
SOON = 120.0
RETRY = 0.1
"""Seconds after which a reader comes back, up to twice as many."""
LOOK = 0.05


class Reader(asyncio.Protocol):
    """Reads `/shared-ids/TOPIC` for ever, by one connection after the other, and resumes by its last id.

    It asks in HTTP/1.0, so that nginx sends the events without framing around them. With hundreds of readers
    in one process, each must be cheap.
    """

    def __init__(self, port: int, topic: str, random: Random) -> None:
        self.last: int | None = None
        self.connections = 0
        self.problems: list[str] = []
        self._port, self._topic, self._random = port, topic, random
        self._last_id = self._rest = ""
        self._transport: asyncio.Transport | None = None
        self._is_closed = False
        self._connecting: asyncio.Task[object] | None = None

    def connect(self) -> None:
        """Opens the next connection."""
        if not self._is_closed:
            loop = asyncio.get_running_loop()
            opening = loop.create_connection(lambda: self, "127.0.0.1", self._port)
            self._connecting = loop.create_task(opening)
            # who is refused is not told of it, and another test is not to be
            self._connecting.add_done_callback(lambda done: done.cancelled() or done.exception())

    def close(self) -> None:
        """Reads no more."""
        self._is_closed = True
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Asks for what follows the last event."""
        assert isinstance(transport, asyncio.Transport)
        self._transport, self._rest = transport, ""
        self.connections += 1
        resumed = f"Last-Event-ID: {self._last_id}\r\n" if self._last_id else ""
        head = f"GET /shared-ids/{self._topic} HTTP/1.0\r\nHost: x\r\nAccept: text/event-stream"
        transport.write(f"{head}\r\n{resumed}\r\n".encode())

    def data_received(self, data: bytes) -> None:
        """Takes the head and the events that are complete."""
        *parts, self._rest = (self._rest + data.decode().replace("\r", "")).split("\n\n")
        for part in parts:
            if part.startswith("HTTP/"):
                if " 200 " not in part.partition("\n")[0]:
                    self.problems.append(part)
            else:
                self._take(
                    dict(line.split(": ", 1) for line in part.split("\n") if line[:1] != ":")
                )

    def connection_lost(self, _error: Exception | None) -> None:
        """Comes back soon."""
        delay = RETRY * self._random.uniform(1, 2)
        asyncio.get_running_loop().call_later(delay, self.connect)

    def _take(self, event: dict[str, str]) -> None:
        self._last_id = event.get("id", self._last_id)
        kind = event.get("event", "message")
        if "data" not in event or kind == "error":
            return  # the edge is shutting down
        if kind != "message":
            self.problems.append(f"{event} after {self.last}")
            return
        number = int(json.loads(event["data"])["number"])
        if self.last is not None and number != self.last + 1:
            self.problems.append(f"{number} after {self.last}")
        self.last = number


async def settled(server: NewsServer, readers: list[Reader]) -> None:
    """Waits until every reader is where the server is."""
    now = server.now + 1
    async with asyncio.timeout(SOON):
        while any((reader.last or 0) < now for reader in readers):
            await asyncio.sleep(LOOK)


class Edges:
    """Edges at fixed ports, which are replaced as a deployment does."""

    def __init__(self, stack: AsyncExitStack, upstream: str, store: str, contract: Path) -> None:
        self.ports = free_ports(EDGES)
        self._stack, self._upstream, self._store, self._contract = stack, upstream, store, contract
        self._running: dict[int, processes.Running] = {}

    async def start(self, port: int) -> None:
        """Starts one, and waits until it is ready."""
        self._running[port] = await self._stack.enter_async_context(
            processes.edge(
                self._upstream,
                descriptor_set=self._contract,
                port=port,
                feed_store=self._store,
                drain_delay_seconds="0.5",
                log_level="error",
            )
        )
        async with httpx.AsyncClient(timeout=SOON) as client, asyncio.timeout(SOON):
            while not (await client.get(f"http://127.0.0.1:{port}/readyz")).is_success:
                await asyncio.sleep(LOOK)

    async def replace(self, port: int) -> None:
        """Stops one by SIGTERM, and starts another in its place."""
        process = self._running[port].process
        process.terminate()
        assert await asyncio.wait_for(process.wait(), SOON) == 0
        await self.start(port)


def configuration(edges: Edges, port: int) -> str:
    """Returns the page's configuration with the test's addresses."""
    (text,) = examples("nginx")
    server = "    server 10.0.0.11:8080 max_fails=0;\n"
    assert server in text
    all_servers = "".join(server.replace("10.0.0.11:8080", f"127.0.0.1:{n}") for n in edges.ports)
    text = text.replace(server, all_servers).replace(server.replace("11", "12", 1), "")
    assert "10.0.0" not in text
    return text.replace("listen 80;", f"listen 127.0.0.1:{port};")


@asynccontextmanager
async def reading(port: int) -> AsyncIterator[list[Reader]]:
    """Has readers of all feeds, who come to nginx, within the block."""
    random = Random(5)
    readers = [Reader(port, f"topic{number % FEEDS}", random) for number in range(READERS)]
    try:
        for reader in readers:
            reader.connect()
            await asyncio.sleep(0)
        yield readers
    finally:
        for reader in readers:
            reader.close()


async def test_readers_go_on_while_all_edges_are_replaced(tmp_path: Path) -> None:
    """Each reader moves to another edge and goes on behind its last event: none lost, repeated or told."""
    contract = tmp_path / "feeds.binpb"
    contract.write_bytes(feeds_descriptor_set())
    (port,) = free_ports(1)
    async with AsyncExitStack() as stack:
        redis = stack.enter_context(RedisServer(tmp_path / "redis"))
        server, upstream = await stack.enter_async_context(news_server(["SharedIds"], TICK))
        edges = Edges(stack, f"127.0.0.1:{upstream}", redis.url, contract)
        for each in edges.ports:
            await edges.start(each)
        await stack.enter_async_context(running_nginx(tmp_path, port, configuration(edges, port)))
        readers = await stack.enter_async_context(reading(port))
        await settled(server, readers)
        assert set(server.calls.values()) == {1}
        for each in edges.ports:
            await edges.replace(each)
            await settled(server, readers)
        assert len(server.one_call_each() or ()) == FEEDS

        moves = Counter(reader.connections - 1 for reader in readers)
        print(f"moves of {READERS} readers: {dict(moves)}, {server.calls.total()} calls")
        assert [problem for reader in readers for problem in reader.problems] == []
        assert moves[0] == 0
