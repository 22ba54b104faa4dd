"""One reader of a feed: a place in its log, and what becomes of it when it is not kept any more."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

from gateway.contract.stream_policy import SlowConsumer
from gateway.feeds.source import Event, Gap, Item
from gateway.transcoding.metadata import Metadata
from gateway.transcoding.status import RESOURCE_EXHAUSTED, StatusError

if TYPE_CHECKING:
    from gateway.feeds.feed import Feed

_AT_A_TIME: Final = 64 * 1024
"""Bytes of messages after which a reader is given no more at once; it may be slow."""


class Subscription:
    """A `Source` that reads a feed; what has been read is not held."""

    def __init__(self, feed: Feed, *, gap: Gap | None = None) -> None:
        """Begins behind all that there is; `gap` goes before what comes first."""
        self.feed = feed
        self.begun = False
        """Whether its answer has begun."""
        self.failure: StatusError | None = None
        """Why it reads no further, though the feed may go on."""
        self._waiter: asyncio.Future[None] | None = None
        self._gap = gap
        self._first: list[Item] = []
        """What goes before the log, in reverse."""
        self._since = feed.log.since
        """Where the newest call began of which it knows."""
        self.place = feed.log.end
        """The place in the log from which it reads on."""

    def start_with(self, events: Iterable[Event]) -> None:
        """Gives it some older messages first."""
        self._first += reversed([*events])

    def resume_at(self, place: int) -> None:
        """Goes back to a place, or as near to it as the log is kept."""
        self.place = place
        self._since = place - 1
        if place < self.feed.log.start:
            self._skip()

    def __aiter__(self) -> Subscription:
        return self

    async def __anext__(self) -> Sequence[Item]:
        while True:
            if self.failure is not None:
                raise self.failure.with_traceback(None)
            if items := self._take():
                return items
            if not self.feed.goes_on():
                raise StopAsyncIteration
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter

    def wake(self) -> None:
        """Lets it look again, if it waits."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def begin(self) -> None:
        """Says that a failure that may pass is to be waited out."""
        self.begun = True

    async def initial_metadata(self) -> Metadata:
        """Returns what the server said before its first message."""
        return self.feed.initial_metadata

    async def trailing_metadata(self) -> Metadata:
        """Returns what the server said after its last message."""
        return self.feed.trailing_metadata

    def _take(self) -> list[Item]:
        items: list[Item] = []
        size = 0
        while size < _AT_A_TIME and (item := self._next()) is not None:
            items.append(item)
            size += len(item.message) if isinstance(item, Event) else 0
        if items and self._gap is not None:
            items.insert(0, self._gap)
            self._gap = None
        return items

    def _next(self) -> Item | None:
        log = self.feed.log
        if not self._first and self.place < log.start:
            self._lag()
        if self._first:
            return self._first.pop()
        if self.place == log.end:
            return None
        entry = log.at(self.place)
        self.place += 1
        if entry.since > self._since:
            self._since = entry.since
            self._first.append(entry.event)
            return Gap(restarted=True, id=log.id_at(entry.place))
        return entry.event

    def _lag(self) -> None:
        if self.feed.policy.slow_consumer is SlowConsumer.DISCONNECT:
            behind = self.feed.log.end - self.place
            raise StatusError.of(
                RESOURCE_EXHAUSTED, f"read too slowly: {behind} messages behind the newest"
            )
        self._skip()

    def _skip(self) -> None:
        """Goes on where the log is kept, or at its end with the newest message of each key."""
        log = self.feed.log
        conflate = self.feed.policy.slow_consumer is SlowConsumer.CONFLATE
        events = log.newest_of_each_key(self.place) if conflate else []
        place, since = (log.end, log.since) if conflate else (log.start, log.at(log.start).since)
        missed = place - self.place - len(events)
        gap = Gap(missed, restarted=since > self._since, id=log.id_at(self.place))
        self._first = [*reversed(events), gap]
        self.place, self._since = place, since
