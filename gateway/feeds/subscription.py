"""One reader of a feed: an offset into its log, and the policy for a slow consumer."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from gateway.contract.stream_policy import SlowConsumer
from gateway.feeds.counts import FeedCounts
from gateway.feeds.event_log import LogEntry
from gateway.feeds.source import Encode, Gap, Item, TryWrite
from gateway.transcoding.metadata import Metadata
from gateway.transcoding.status import RESOURCE_EXHAUSTED, StatusError

if TYPE_CHECKING:
    from gateway.feeds.feed import Feed

_BATCH_BYTES: Final = 64 * 1024
"""Bytes of messages in one batch, up to one message more."""
_BATCH_ITEMS: Final = 256
"""Maximum items in one batch; a gap may come on top."""


class Subscription:
    """A `Source` that reads a feed. It holds offsets, not messages, so a slow reader costs no memory."""

    def __init__(self, feed: Feed, *, gap: Gap | None = None, resumable: bool = True) -> None:
        """Starts at the end of the log.

        Args:
            feed: the feed to read.
            gap: reported before the first message.
            resumable: whether the reader gets event ids, so that it can resume.
        """
        self.feed = feed
        self._counts: FeedCounts = feed.counts
        self.resumable = resumable
        self.started = False
        """Whether the response has started."""
        self.failure: StatusError | None = None
        """Ends this reader, even if the feed continues; None: not ended."""
        self._waiter: asyncio.Future[None] | None = None
        self._try_write: TryWrite | None = None
        self._gap = gap
        self._conflates = False
        """Whether it reads the newest message of each key, until it has caught up."""
        self._call_start = feed.log.call_start
        """Start of the newest call that the reader knows of."""
        self.offset = self._missed_from = feed.log.end
        """Next offset to read, and the offset from which unread messages count as missed."""

    def start_with_last(self, count: int) -> None:
        """Starts with the last `count` messages."""
        self.offset = self.feed.log.offset_of_last(count)

    def start_with_last_of_each_key(self) -> None:
        """Starts with the newest message of each key; with a gap before them if some were dropped."""
        self.offset, self._conflates = 0, True
        if not self.feed.log.has_every_key:
            self._gap = self._gap or Gap()

    def resume_at(self, offset: int) -> None:
        """Resumes at an offset, or at the oldest one in the log; never ends with RESOURCE_EXHAUSTED."""
        self.offset = self._missed_from = offset
        self._call_start = offset - 1
        if offset < self.feed.log.start:
            self._conflates = self._policy is SlowConsumer.CONFLATE
            if not self._conflates:
                self._skip_to_start()

    @property
    def _policy(self) -> SlowConsumer:
        return self.feed.policy.slow_consumer

    def __aiter__(self) -> Subscription:
        return self

    async def __anext__(self) -> Sequence[Item]:
        while True:
            if self.failure is not None:
                raise self.failure.with_traceback(None)
            if items := self._read():
                return items
            if not self.feed.is_open():
                return self._end()
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter

    def _end(self) -> Sequence[Item]:
        """Returns a gap that no message followed, once; then raises StopAsyncIteration."""
        gap, self._gap = self._gap, None
        if gap is None:
            raise StopAsyncIteration
        self._counts.gaps += 1
        return [gap]

    def wake(self) -> None:
        """Wakes a waiting reader, unless its direct writer wrote everything that is new."""
        if self._waiter is not None and not self._waiter.done() and not self._write_directly():
            self._waiter.set_result(None)

    def set_direct_writer(self, try_write: TryWrite) -> None:
        """Passes messages in order to `try_write` while the iteration waits.

        Waking a task costs several times as much as writing the message.
        """
        self._try_write = try_write

    def _write_directly(self) -> bool:
        """Writes what is new; returns whether nothing is left to report. Refused items stay unread."""
        log, before = self.feed.log, (self.offset, self._call_start, self._counts.gaps)
        if (
            self._try_write is None
            or self.failure is not None
            or self._gap is not None
            or self._conflates
            or self.offset < log.start
        ):
            return False
        items = self._read_in_order()
        try:
            written = not items or self._try_write(items)
        except Exception:
            written = False  # the iteration meets it again and reports it
        if not written:
            self.offset, self._call_start, self._counts.gaps = before
            return False
        return self.offset == log.end and self.feed.failure is None and self.feed.is_open()

    def mark_started(self) -> None:
        """Records that the response has started: the reader now waits while a shared call is retried."""
        self.started = True

    def shared_encoder(self, encode: Encode) -> Encode:
        """Returns that of the first reader with this form, who may have come by an earlier contract."""
        return self.feed.encoders.setdefault(getattr(encode, "form", encode), encode)

    async def initial_metadata(self) -> Metadata:
        """Returns the initial metadata of the feed's call."""
        return self.feed.initial_metadata

    async def trailing_metadata(self) -> Metadata:
        """Returns the trailing metadata of the feed's call."""
        return self.feed.trailing_metadata

    def _read(self) -> list[Item]:
        if not self._conflates and self.offset < self.feed.log.start:
            self._apply_slow_consumer()
        items = self._read_newest_of_each_key() if self._conflates else self._read_in_order()
        if items and self._gap is not None:
            if isinstance(first := items[0], Gap):
                items[0] = first.merge(self._gap)
            else:
                items.insert(0, self._gap)
                self._counts.gaps += 1
            self._gap = None
        return items

    def _apply_slow_consumer(self) -> None:
        log = self.feed.log
        if self._policy is SlowConsumer.DISCONNECT:
            raise StatusError.of(
                RESOURCE_EXHAUSTED,
                f"read too slowly: {log.end - self.offset} messages behind the newest",
            )
        self._conflates = self._policy is SlowConsumer.CONFLATE
        if not self._conflates:
            self._skip_to_start()

    def _skip_to_start(self) -> None:
        """Advances to the oldest message in the log."""
        log = self.feed.log
        gap = self._advance(log.start, log.at(log.start).call_start)
        if gap is not None:
            self._gap = gap.merge(self._gap)

    def _read_in_order(self) -> list[Item]:
        log = self.feed.log
        items: list[Item] = []
        size = 0
        while self.offset < log.end and size < _BATCH_BYTES and len(items) < _BATCH_ITEMS:
            entry = log.at(self.offset)
            if entry.call_start > self._call_start:
                items.append(Gap(restarted=True, id=log.id_at(self.offset)))
                self._counts.gaps += 1
                self._call_start = entry.call_start
            items.append(entry)
            size += len(entry.message)
            self.offset += 1
        return items

    def _read_newest_of_each_key(self) -> list[Item]:
        log = self.feed.log
        newest = log.newest_of_each_key(self.offset)
        batch = _first_batch(newest)
        end = batch[-1].offset + 1 if len(batch) < len(newest) else log.end
        gap = self._advance(end, log.call_start, batch)
        self._conflates = end < log.end
        self._counts.gaps += gap is not None
        return [gap, *batch] if gap is not None else [*batch]

    def _advance(self, offset: int, call_start: int, read: Sequence[LogEntry] = ()) -> Gap | None:
        """Advances to an offset; returns the gap for the messages before it that are not in `read`."""
        counted = sum(entry.offset >= self._missed_from for entry in read)
        missed = max(0, offset - max(self.offset, self._missed_from)) - counted
        restarted = call_start > self._call_start
        self._counts.dropped[self._policy] += missed
        gap = Gap(missed, restarted, id=self.feed.log.id_at(self.offset))
        self.offset, self._call_start = offset, max(call_start, self._call_start)
        return gap if missed or restarted else None


def _first_batch(entries: Sequence[LogEntry]) -> Sequence[LogEntry]:
    """Returns the entries of one batch."""
    size = 0
    for number, entry in enumerate(entries[:_BATCH_ITEMS], 1):
        size += len(entry.message)
        if size >= _BATCH_BYTES:
            return entries[:number]
    return entries[:_BATCH_ITEMS]
