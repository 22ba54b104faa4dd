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
        self._sequence = feed.log.sequence
        self.place = feed.log.end
        """The place in the log from which it reads on."""

    def start_with(self, events: Iterable[Event]) -> None:
        """Gives it some older messages first."""
        self._first.extend(events)

    def resume_after(self, sequence: int) -> None:
        """Goes back to a message, and on from there; or as near to it as the log is kept."""
        self._sequence = sequence
        self.place = self.feed.log.after(sequence)
        if self.feed.log.missed_before(self.place, sequence):
            self._skip(conflate=self.feed.policy.slow_consumer is SlowConsumer.CONFLATE)

    def __aiter__(self) -> Subscription:
        return self

    async def __anext__(self) -> Sequence[Item]:
        while True:
            if self.failure is not None:
                raise self.failure
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
            return self._first.pop(0)
        if self.place == log.end:
            return None
        entry = log.at(self.place)
        self.place += 1
        self._sequence = entry.sequence
        return entry.event or Gap(restarted=True)

    def _lag(self) -> None:
        policy = self.feed.policy.slow_consumer
        if policy is SlowConsumer.DISCONNECT:
            behind = self.feed.log.sequence - self._sequence
            raise StatusError.of(
                RESOURCE_EXHAUSTED, f"read too slowly: {behind} messages behind the newest"
            )
        self._skip(conflate=policy is SlowConsumer.CONFLATE)

    def _skip(self, *, conflate: bool) -> None:
        """Goes on where the log is kept, or at its end with the newest message of each key."""
        log = self.feed.log
        events = log.newest_of_each_key(self._sequence) if conflate else []
        place = log.end if conflate else log.start
        missed = log.missed_before(place, self._sequence) - len(events)
        restarted = log.restarted_between(self.place, place)
        if missed or restarted:
            self._first.append(Gap(missed, restarted))
        self._first.extend(events)
        self._sequence += missed + len(events)
        self.place = place
