"""The blocking read of a process: one XREAD for all feeds that it follows, and for news of their leaders."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, Final

from gateway.feeds.store.port import Follower, StoreDownError
from gateway.feeds.store.redis_link import RedisLink
from gateway.feeds.store.rules import Entry, EntryKind

_BLOCK: Final = 2.0
"""Seconds of a blocking read; a connection that is silent for longer is dead."""
_READ_ENTRIES: Final = 256
"""Maximum entries of each feed in one read."""
_UNBLOCK_SECONDS: Final = 0.005


class _Following:
    """A feed that is followed, and how far it has been read."""

    __slots__ = ("epoch", "follower", "number")

    def __init__(self, epoch: bytes, number: int, follower: Follower) -> None:
        self.epoch, self.number, self.follower = epoch, number, follower

    @property
    def id(self) -> bytes:
        return b"%d-%d" % (int(self.epoch, 16), self.number)


class RedisReads:
    """Passes entries to followers as they come."""

    def __init__(
        self,
        stream_of: Callable[[bytes], bytes],
        news: bytes,
        unblock: Callable[[int], Awaitable[object]],
    ) -> None:
        """Starts with no feed.

        Args:
            stream_of: returns the stream of a feed.
            news: the stream with the names of feeds whose leader has left, or whose epoch is new.
            unblock: ends the blocking read of a connection with this id.
        """
        self._stream_of = stream_of
        self._news, self._news_id = news, b"0-0"
        self._unblock = unblock
        self._link: RedisLink | None = None
        self._followed: dict[bytes, _Following] = {}
        self._begins_again = False
        """Whether the blocking read has to begin again, with other feeds."""
        self._unblocking: asyncio.Task[None] | None = None

    @property
    def count(self) -> int:
        """Feeds that are followed."""
        return len(self._followed)

    def follow(
        self, key: bytes, epoch: bytes, number: int, follower: Follower
    ) -> Callable[[], None]:
        """Passes entries after a number to a follower; returns what ends this."""
        following = _Following(epoch, number, follower)
        self._followed[key] = following
        self._begins_again = True
        if self._unblocking is None:
            self._unblocking = asyncio.create_task(self._begin_again())

        def end() -> None:
            if self._followed.get(key) is following:
                del self._followed[key]

        return end

    def close(self) -> None:
        """Ends what runs."""
        if self._unblocking is not None:
            self._unblocking.cancel()

    async def run(self, link: RedisLink) -> None:
        """Reads by a connection until it breaks.

        Raises:
            StoreDownError: it has.
        """
        (newest,) = await link.send(("XREVRANGE", self._news, "+", "-", "COUNT", 1))
        if isinstance(newest, Exception):
            raise StoreDownError(str(newest))
        self._news_id = newest[0][0] if newest else b"0-0"
        self._link = link
        try:
            while True:
                await self._read(link)
        finally:
            self._link = None

    async def _read(self, link: RedisLink) -> None:
        self._begins_again = False
        streams = {self._stream_of(key): key for key in self._followed}
        ids = {self._news: self._news_id}
        ids |= {stream: self._followed[key].id for stream, key in streams.items()}
        read = ("XREAD", "COUNT", _READ_ENTRIES, "BLOCK", int(_BLOCK * 1000), "STREAMS")
        (found,) = await link.send((*read, *ids, *ids.values()), wait=_BLOCK)
        if isinstance(found, Exception):
            raise StoreDownError(str(found))
        for stream, entries in found or ():
            if stream == self._news:
                self._tell_news(entries)
            else:
                self._tell(streams[stream], entries)

    def _tell_news(self, entries: Sequence[Any]) -> None:
        self._news_id = entries[-1][0]
        for key in {fields[1] for _, fields in entries}:
            if (following := self._followed.get(key)) is not None:
                following.follower.on_news()

    def _tell(self, key: bytes, entries: Sequence[Any]) -> None:
        """Passes entries to their follower, in parts of one epoch."""
        following = self._followed.get(key)
        if following is None:
            return
        last = following.epoch, following.number
        part: list[Entry] = []
        for each in entries:
            decimal, _, _ = each[0].partition(b"-")
            epoch = b"%016x" % int(decimal)
            entry = read_entry(*each)
            if (epoch, entry.number) <= last:
                continue  # read before the feed was followed again
            if part and epoch != following.epoch:
                following.follower.on_entries(following.epoch, part)
                part = []
            following.epoch, following.number = epoch, entry.number
            part.append(entry)
        if part and self._followed.get(key) is following:
            following.follower.on_entries(following.epoch, part)

    async def _begin_again(self) -> None:
        """Ends the blocking read, which has been sent without the newest feed, and may not have arrived."""
        try:
            while self._begins_again and self._link is not None:
                with suppress(StoreDownError):
                    await self._unblock(self._link.id)
                await asyncio.sleep(_UNBLOCK_SECONDS)
        finally:
            self._unblocking = None


def read_entry(entry_id: bytes, fields: Sequence[bytes]) -> Entry:
    """Reads an entry of a stream: `k`, kind, `d`, data, `t`, time, `i`, initial metadata."""
    number = int(entry_id.partition(b"-")[2])
    return Entry(number, EntryKind(fields[1]), fields[3], fields[7])
