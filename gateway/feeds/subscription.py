"""One reader of a feed: a place in its log, and what becomes of it when it is not kept any more."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from gateway.contract.stream_policy import SlowConsumer
from gateway.feeds.event_log import KeptEvent
from gateway.feeds.source import Gap, Item, Take
from gateway.transcoding.metadata import Metadata
from gateway.transcoding.status import RESOURCE_EXHAUSTED, StatusError

if TYPE_CHECKING:
    from gateway.feeds.feed import Feed

_MOST_BYTES: Final = 64 * 1024
_MOST_ITEMS: Final = 256
"""So many bytes of messages, and so many messages, a reader is given at once; it may be slow."""


class Subscription:
    """A `Source` that reads a feed. It holds places and no messages, so that a slow one costs nothing."""

    def __init__(self, feed: Feed, *, gap: Gap | None = None, resumable: bool = True) -> None:
        """Begins behind all that there is.

        Args:
            feed: what is read.
            gap: goes before what comes first.
            resumable: whether it is given ids, so that it can come back.
        """
        self.feed = feed
        self.resumable = resumable
        self.begun = False
        """Whether its answer has begun."""
        self.failure: StatusError | None = None
        """Why it reads no further, though the feed may go on."""
        self._waiter: asyncio.Future[None] | None = None
        self._offer: Take | None = None
        self._gap = gap
        self._conflates = False
        """Whether it reads the newest message of each key, until it has caught up."""
        self._since = feed.log.since
        """Where the newest call began of which it knows."""
        self.place = self._owed = feed.log.end
        """The place in the log from which it reads on, and that from which it is told what it misses."""

    def start_with_last(self, count: int) -> None:
        """Gives it some older messages first."""
        self.place = self.feed.log.last(count)

    def start_with_last_of_each_key(self) -> None:
        """Gives it the newest message of each key first, and a gap if not all of them are kept."""
        self.place, self._conflates = 0, True
        if not self.feed.log.has_each_key:
            self._gap = self._gap or Gap()

    def resume_at(self, place: int) -> None:
        """Goes back to a place, or as near to it as the log is kept, whatever becomes of slow readers."""
        self.place = self._owed = place
        self._since = place - 1
        if place < self.feed.log.start:
            self._conflates = self._policy is SlowConsumer.CONFLATE
            if not self._conflates:
                self._skip()

    @property
    def _policy(self) -> SlowConsumer:
        return self.feed.policy.slow_consumer

    def __aiter__(self) -> Subscription:
        return self

    async def __anext__(self) -> Sequence[Item]:
        while True:
            if self.failure is not None:
                raise self.failure.with_traceback(None)
            if items := self._take():
                return items
            if not self.feed.goes_on():
                return self._end()
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter

    def _end(self) -> Sequence[Item]:
        """Tells of the gap, if there was no message before which it could be told."""
        gap, self._gap = self._gap, None
        if gap is None:
            raise StopAsyncIteration
        return [gap]

    def wake(self) -> None:
        """Lets it look again, if it waits, and if there is more to see than was taken at once."""
        if self._waiter is not None and not self._waiter.done() and not self._taken_at_once():
            self._waiter.set_result(None)

    def offer_to(self, take: Take) -> None:
        """Offers what is read in order to `take`, while whoever iterates waits.

        To wake a task costs several times what it costs to write the message that it is woken for.
        """
        self._offer = take

    def _taken_at_once(self) -> bool:
        """Returns whether all was taken that is to be told; what was refused stays unread."""
        log, before = self.feed.log, (self.place, self._since)
        if (
            self._offer is None
            or self.failure is not None
            or self._gap is not None
            or self._conflates
            or self.place < log.start
        ):
            return False
        items = self._in_order()
        try:
            taken = not items or self._offer(items)
        except Exception:
            taken = False  # whoever iterates meets it again, and is the one to tell
        if not taken:
            self.place, self._since = before
            return False
        return self.place == log.end and self.feed.failure is None and self.feed.goes_on()

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
        if not self._conflates and self.place < self.feed.log.start:
            self._lag()
        items = self._newest_of_each_key() if self._conflates else self._in_order()
        if items and self._gap is not None:
            items.insert(0, self._gap)
            self._gap = None
        return items

    def _lag(self) -> None:
        log = self.feed.log
        if self._policy is SlowConsumer.DISCONNECT:
            raise StatusError.of(
                RESOURCE_EXHAUSTED,
                f"read too slowly: {log.end - self.place} messages behind the newest",
            )
        self._conflates = self._policy is SlowConsumer.CONFLATE
        if not self._conflates:
            self._skip()

    def _skip(self) -> None:
        """Goes to the oldest message that is kept."""
        log = self.feed.log
        gap = self._move(log.start, log.at(log.start).since)
        if gap is not None:
            self._gap = gap.after(self._gap)

    def _in_order(self) -> list[Item]:
        log = self.feed.log
        items: list[Item] = []
        size = 0
        while self.place < log.end and size < _MOST_BYTES and len(items) < _MOST_ITEMS:
            event = log.at(self.place)
            if event.since > self._since:
                items.append(Gap(restarted=True, id=log.id_at(self.place)))
                self._since = event.since
            items.append(event)
            size += len(event.message)
            self.place += 1
        return items

    def _newest_of_each_key(self) -> list[Item]:
        log = self.feed.log
        newest = log.newest_of_each_key(self.place)
        taken = _first_of(newest)
        end = taken[-1].place + 1 if len(taken) < len(newest) else log.end
        gap = self._move(end, log.since, taken)
        self._conflates = end < log.end
        return [gap, *taken] if gap is not None else [*taken]

    def _move(self, place: int, since: int, taken: Sequence[KeptEvent] = ()) -> Gap | None:
        """Goes to a place; returns what it misses of what lies before, but for what it has taken."""
        owed = sum(event.place >= self._owed for event in taken)
        missed = max(0, place - max(self.place, self._owed)) - owed
        restarted = since > self._since
        gap = Gap(missed, restarted, id=self.feed.log.id_at(self.place))
        self.place, self._since = place, max(since, self._since)
        return gap if missed or restarted else None


def _first_of(events: Sequence[KeptEvent]) -> Sequence[KeptEvent]:
    """Returns as many events as are given at once."""
    size = 0
    for number, event in enumerate(events[:_MOST_ITEMS], 1):
        size += len(event.message)
        if size >= _MOST_BYTES:
            return events[:number]
    return events[:_MOST_ITEMS]
