"""Several processes that share feeds in one Redis; here each is a `Feeds` with its own connections."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from gateway.feeds.feeds import Feeds
from gateway.feeds.sharing import Sharing
from gateway.feeds.store.redis_store import RedisFeedStore
from gateway.feeds.stored_feed import StoredFeed
from gateway.feeds.subscription import Subscription
from gateway.testing import ScriptedCall, ScriptedUpstream
from tests.feeds.stage import LIMITS, METHODS, Line, Reader, Stage
from tests.redis_server import RedisServer

LEASE = 8.0
"""Long enough for a machine that is busy; tests that wait for its end have a shorter one."""


def kept_redis(folder: Path) -> RedisServer:
    """Returns a server whose data outlive it."""
    return RedisServer(folder / "redis", appendonly=True, options=["--appendfsync", "always"])


def client_of(port: int) -> Callable[[], Any]:
    """Returns what connects to a server, as `gateway.store` does."""
    options: dict[str, Any] = {
        "port": port,
        "protocol": 2,
        "retry": Retry(NoBackoff(), 0),
        "socket_timeout": None,
        "socket_connect_timeout": 5,
    }
    return lambda: Redis(**options)


class Gate:
    """The way of one process to Redis, which can be shut: connections end, and no others are made."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.Task[None]] = set()
        self.port = 0

    async def open(self) -> None:
        """Lets connections through, by the port that it had if there was one."""
        self._server = await asyncio.start_server(self._pass, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def shut(self) -> None:
        """Ends all."""
        assert self._server is not None
        self._server.close()
        for task in tuple(self._open):
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self._target)
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(_pass_on(reader, back))
                both.create_task(_pass_on(there, writer))
        except* OSError:
            pass
        finally:
            self._open.discard(task)
            writer.transport.abort()
            back.transport.abort()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
    writer.transport.abort()


def name_of(*parts: bytes | str) -> bytes:
    """Returns the name of a feed."""
    encoded = (each if isinstance(each, bytes) else each.encode() for each in parts)
    return sha256(b"\0".join(encoded)).hexdigest().encode()


class Replica(Stage):
    """One process."""

    store: RedisFeedStore
    sharing: Sharing

    def feed(self) -> StoredFeed:
        """Returns its only feed."""
        (feed,) = self.feeds._entries
        assert isinstance(feed, StoredFeed)
        return feed

    @property
    def leads(self) -> bool:
        """Whether it leads its feed."""
        return any(isinstance(each, StoredFeed) and each.is_leading for each in self.feeds._entries)

    @property
    def open_lines(self) -> list[Line]:
        """Its calls that go on."""
        return [line for line in self.lines if not line.call.ended.is_set()]

    async def enter(self, method: str, **request: Any) -> Reader:
        """Opens a stream."""
        reader = Reader(self.feeds.open(self.request(method, **request)))
        self.readers.append(reader)
        await reader.join()
        reader.source.mark_started()
        return reader


async def until(condition: Callable[[], object], seconds: float = 30) -> None:
    """Waits for what nobody announces."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)


@asynccontextmanager
async def replica(server: RedisServer | Gate, *, lease: float = LEASE) -> AsyncIterator[Replica]:
    """Runs one process around the block."""
    upstream = ScriptedUpstream({})
    store = RedisFeedStore(client_of(server.port), b"test", timeout=10.0)
    sharing = Sharing(store, name_of, lease=lease, keep=60, max_bytes=1 << 20)
    made = Replica(upstream, Feeds(upstream, LIMITS, sharing))
    made.store, made.sharing = store, sharing

    def script(call: ScriptedCall) -> AsyncIterator[bytes]:
        line = Line(call)
        made.lines.append(line)
        return line.answers()

    upstream.scripts.update({method.path: script for method in METHODS.values()})
    async with made.feeds:
        try:
            yield made
        finally:
            for reader in made.readers:
                await reader.leave()


@asynccontextmanager
async def replicas(
    count: int, server: RedisServer, *, lease: float = LEASE
) -> AsyncIterator[list[Replica]]:
    """Runs some processes around the block."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(replica(server, lease=lease)) for _ in range(count)]


def leader_of(every: list[Replica]) -> Replica:
    """Returns the process that leads."""
    (leader,) = (each for each in every if each.leads)
    return leader


def subscription(reader: Reader) -> Subscription:
    """Returns the source of a reader."""
    assert isinstance(reader.source, Subscription)
    return reader.source
