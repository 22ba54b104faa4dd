"""Feeds in Redis or Valkey: one connection for commands, one for a blocking read of all feeds.

Commands of one turn of the event loop go out together. All feeds of a process are read by one XREAD, however
many readers they have.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from hashlib import sha1
from time import monotonic
from typing import Any, Final, Self, TypeAlias

from gateway.feeds.store import redis_scripts
from gateway.feeds.store.port import Follower, StoreDownError
from gateway.feeds.store.redis_link import Command, RedisLink
from gateway.feeds.store.redis_reads import RedisReads, read_entry
from gateway.feeds.store.rules import (
    FIRST_EPOCH,
    NOTHING,
    Answer,
    Appended,
    Ask,
    Entry,
    EntryKind,
    Kept,
    Lease,
    NewEntry,
    Receipt,
    Trim,
)
from grpc_wire.client.backoff import jittered, longer

log = logging.getLogger(__name__)

_FIRST_DELAY: Final = 0.1
_MAX_DELAY: Final = 1.0
"""Seconds: an attempt is cheap, and who finds a store that is back within a lease does not go on alone."""
_CLOSE_SECONDS: Final = 0.5
_STEADY_SECONDS: Final = 5.0
"""Time that a connection has to work for its end to be a first one."""
_Word: TypeAlias = bytes | str | int
_SCRIPTS: Final = (
    redis_scripts.LEAD,
    redis_scripts.APPEND,
    redis_scripts.LEAVE,
    redis_scripts.LOAD,
)
_LEAD, _APPEND, _LEAVE, _LOAD = (
    sha1(script.encode(), usedforsecurity=False).hexdigest() for script in _SCRIPTS
)


class RedisFeedStore:
    """A `FeedStore`; an async context manager that connects, again and again."""

    def __init__(
        self,
        connect: Callable[[], Any],
        prefix: bytes,
        *,
        timeout: float = 1.0,
    ) -> None:
        """Takes where the store is; nothing is sent before the block.

        Args:
            connect: returns a client of `redis.asyncio`.
            prefix: what every key begins with. In a cluster it has a hash tag, so that all feeds are in one
                slot, and one read has them all.
            timeout: seconds that an answer may take.
        """
        self._connect = connect
        self._prefix = prefix + b":"
        self._news = self._prefix + b"news"
        self._timeout = timeout
        self._link: RedisLink | None = None
        self._queue: list[tuple[Command, asyncio.Future[Any]]] = []
        self._queued = asyncio.Event()
        self._up = asyncio.Event()
        self._down_since = monotonic()
        self._is_closing = False
        self._reads = RedisReads(
            lambda key: b"%b%b:s" % (self._prefix, key),
            self._news,
            lambda link_id: self._call("CLIENT", "UNBLOCK", link_id),
        )
        self._tasks: list[asyncio.Task[None]] = []
        self.commands = 0
        """Commands that were sent, besides reads."""
        self.problem = "the edge has not asked the store yet"

    @property
    def _run(self) -> bytes:
        """The run of the server that the next command goes to; empty: there is no connection."""
        return b"" if self._link is None else self._link.run

    @property
    def is_up(self) -> bool:
        """Whether the store answers."""
        return self._up.is_set()

    @property
    def down_seconds(self) -> float:
        """For how long the store has not answered; 0.0: it does."""
        return 0.0 if self._up.is_set() else monotonic() - self._down_since

    async def wait_until_up(self) -> None:
        """Returns when the store answers."""
        await self._up.wait()

    async def __aenter__(self) -> Self:
        """Begins to connect."""
        self._tasks = [
            asyncio.create_task(self._again_and_again(self._send_commands), name="feed store"),
            asyncio.create_task(self._again_and_again(self._reads.run), name="feed store reads"),
        ]
        with suppress(TimeoutError):
            async with asyncio.timeout(self._timeout):
                await self._up.wait()
        return self

    async def __aexit__(self, *_error: object) -> None:
        """Closes the connections."""
        self._is_closing = True
        self._reads.close()
        left = set(self._tasks)
        while left:
            for task in left:
                task.cancel()
            # the package's `wait_for` may lose a cancellation that comes as its result does (Python 3.11)
            _, left = await asyncio.wait(left, timeout=_CLOSE_SECONDS)

    async def lead(self, key: bytes, ask: Ask) -> Answer:
        """Asks to lead a feed."""
        names: list[_Word] = [*self._keys(key, b"mskz"), self._news]
        said: list[_Word] = [ask.holder, self._run, ask.epoch, ask.number, ask.new_epoch]
        said += [int(ask.new_epoch, 16), ask.lease, int(ask.fresh), int(ask.anew), ask.keep, key]
        leads, fence, epoch, number, wait = await self._call("EVALSHA", _LEAD, 5, *names, *said)
        return Answer(bool(leads), fence, epoch, number, wait)

    async def append(
        self,
        key: bytes,
        lease: Lease,
        after: int,
        new: Sequence[NewEntry],
        trim: Trim,
    ) -> Receipt:
        """Appends entries, and renews the lease."""
        said: list[_Word] = [lease.holder, self._run, lease.fence, lease.epoch, lease.lease, after]
        said += [trim.entries, trim.bytes, trim.milliseconds]
        for each in new:
            said += [each.kind.value, each.key, each.data, each.initial]
        names: list[_Word] = [*self._keys(key, b"mskz")]
        outcome, number, wanted = await self._call("EVALSHA", _APPEND, 4, *names, *said)
        return Receipt(Appended(outcome), number, bool(wanted))

    async def leave(self, key: bytes, holder: bytes, fence: int) -> bool:
        """Gives the feed back."""
        keys: list[_Word] = [*self._keys(key, b"m"), self._news]
        return bool(await self._call("EVALSHA", _LEAVE, 2, *keys, holder, fence, key))

    async def newest(self, key: bytes) -> tuple[bytes, int]:
        """Returns epoch and number of the newest entry of a feed; of none before this run of the server."""
        names = "run", "epoch", "n"
        run, epoch, number = await self._call("HMGET", *self._keys(key, b"m"), *names)
        return (epoch, int(number)) if run is not None and run == self._run else (FIRST_EPOCH, 0)

    async def load(self, key: bytes) -> Kept:
        """Returns all that is kept of a feed."""
        found = await self._call("EVALSHA", _LOAD, 3, *self._keys(key, b"msk"))
        if not found:
            return NOTHING
        epoch, number, initial, every_key, entries, newest = found
        return Kept(
            epoch,
            number,
            initial,
            bool(every_key),
            tuple(read_entry(*each) for each in entries),
            tuple(sorted(map(_newest, newest[1::2]))),
        )

    def follow(
        self, key: bytes, epoch: bytes, number: int, follower: Follower
    ) -> Callable[[], None]:
        """Passes entries after a number to a follower as they come; returns what ends this."""
        return self._reads.follow(key, epoch, number, follower)

    def _keys(self, key: bytes, kinds: bytes) -> Iterable[bytes]:
        return (b"%b%b:%c" % (self._prefix, key, kind) for kind in kinds)

    async def _call(self, *command: _Word) -> Any:
        if self._link is None:
            raise StoreDownError(self.problem)
        done = asyncio.get_running_loop().create_future()
        self._queue.append((command, done))
        self._queued.set()
        return await done

    async def _again_and_again(self, work: Callable[[RedisLink], Awaitable[None]]) -> None:
        """Connects and works until the connection breaks, then connects again."""
        delay = _FIRST_DELAY
        client = self._connect()
        try:
            while True:
                try:
                    link = await RedisLink.open(client, self._news, self._timeout)
                    since = monotonic()
                    try:
                        await work(link)
                    finally:
                        await link.close()
                        if monotonic() - since >= _STEADY_SECONDS:
                            delay = _FIRST_DELAY
                except StoreDownError as error:
                    self.problem = str(error)
                except Exception:
                    log.exception("speaking to the feed store")
                await asyncio.sleep(jittered(delay))
                delay = longer(delay, _MAX_DELAY)
                await client.aclose()
                client = self._connect()
        finally:
            await client.aclose()

    async def _send_commands(self, link: RedisLink) -> None:
        for answer in await link.send(*(("SCRIPT", "LOAD", script) for script in _SCRIPTS)):
            if isinstance(answer, Exception):
                raise StoreDownError(str(answer))
        self._link = link
        self._change(is_up=True)
        sent: list[tuple[Command, asyncio.Future[Any]]] = []
        try:
            while True:
                await self._queued.wait()
                self._queued.clear()
                sent, self._queue = self._queue, []
                self.commands += len(sent)
                answers = await link.send(*(command for command, _ in sent))
                for (_, done), answer in zip(sent, answers, strict=True):
                    _set(done, answer)
                failed = [each for each in answers if isinstance(each, Exception)]
                sent = []
                if failed:
                    raise StoreDownError(str(failed[0]))  # a replica, no memory, no right
        finally:
            self._link = None
            left, self._queue = [*sent, *self._queue], []
            self._change(is_up=False)
            for _, done in left:
                _set(done, StoreDownError("the connection has broken"))

    def _change(self, *, is_up: bool) -> None:
        if is_up is self._up.is_set():
            return
        if is_up:
            self.problem = ""
            self._up.set()
            log.info("the feed store answers")
        else:
            self._up.clear()
            self._down_since = monotonic()
            if not self._is_closing:
                log.warning("the feed store does not answer: %s", self.problem or "it has gone")


def _set(done: asyncio.Future[Any], answer: Any) -> None:
    if done.done():
        return
    if isinstance(answer, StoreDownError):
        done.set_exception(answer)
    elif isinstance(answer, Exception):
        done.set_exception(StoreDownError(str(answer)))
    else:
        done.set_result(answer)


def _newest(value: bytes) -> Entry:
    number, _, data = value.partition(b":")
    return Entry(int(number), EntryKind.MESSAGE, data)
