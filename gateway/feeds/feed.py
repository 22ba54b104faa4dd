"""One upstream call that outlives its readers, and the log that they read."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Hashable, Iterator
from contextlib import AbstractAsyncContextManager
from typing import Final, TypeAlias

from gateway.contract.stream_policy import SlowConsumer, StreamPolicy
from gateway.feeds.backoff import MAX_RETRY_DELAY, Backoff
from gateway.feeds.counts import FeedCounts
from gateway.feeds.event_log import EventLog
from gateway.feeds.source import Encode
from gateway.feeds.subscription import Subscription
from gateway.transcoding.metadata import Metadata
from gateway.transcoding.status import INTERNAL, UNAVAILABLE, StatusError
from gateway.upstream.port import Call

log = logging.getLogger(__name__)

_BATCH_SECONDS: Final = 0.001
"""Batching delay of a shared feed: one write of two messages costs about as much as one of one."""

_TURN_BYTES: Final = 4 * 1024 * 1024
"""Bytes of messages that all readers together write in one turn of the event loop."""
_READER_BYTES: Final = 16 * 1024
"""Cost of waking a reader, in bytes, counted against `_TURN_BYTES`: at most 256 readers in a turn, which take
about 5 ms, so that a unary call beside 10,000 readers waits for a few of their turns and not for all."""

OpenCall: TypeAlias = Callable[[bytes], AbstractAsyncContextManager[Call]]
"""Opens the call, behind the message with this id; empty: as the request says."""


class Feed:
    """Reads a call into a log, and wakes the waiting readers.

    A shared call that fails with UNAVAILABLE is retried as long as it has a reader whose response has started
    or that resumes; other readers get the error. The delay is the backoff, or the server's own if that is
    longer; beyond `MAX_RETRY_DELAY` the call is not retried.
    """

    def __init__(
        self,
        open_call: OpenCall,
        policy: StreamPolicy,
        log: EventLog,
        *,
        fair_share: Callable[[], int],
        counts: FeedCounts | None = None,
        resumes: bool = False,
        start_after: bytes = b"",
    ) -> None:
        """Creates a feed; `run` reads it.

        Args:
            open_call: opens the call, once per attempt.
            policy: the stream options of the method.
            log: buffers its messages.
            fair_share: returns the bytes that the log may have now; limits unread messages under
                backpressure.
            counts: counts what its readers miss; None: nobody reads that.
            resumes: whether a call can go on behind a message with an id.
            start_after: the id behind which the first call begins; empty: as the request says.
        """
        self._open_call = open_call
        self.counts = counts or FeedCounts()
        self._fair_share = fair_share
        self.resumes = resumes
        """Whether a call can go on behind a message with an id."""
        self.policy = policy
        self.log = log
        log.start_id = start_after
        self.readers: set[Subscription] = set()
        self.encoders: dict[Hashable, Encode] = {}
        """Form of JSON -> what makes it for all readers, so that it is cached for all."""
        self.initial_metadata: Metadata = ()
        self.trailing_metadata: Metadata = ()
        self.ended = False
        self.failure: StatusError | None = None
        """Status with which the feed ended; None: OK, or not ended."""
        self._outage: StatusError | None = None
        """Status for which the call is being retried; None: a call is open."""
        self._last_reader_offset = 0
        self._bytes_at_wake = 0
        """`log.bytes_appended` when the readers were last woken."""
        self._batch_timer: asyncio.TimerHandle | None = None
        self._reader_advanced = asyncio.Event()
        """Set when a reader has read or left, so that backpressure may end."""
        self._backoff = Backoff()

    @property
    def is_wanted(self) -> bool:
        """Whether another process reads the feed through this one."""
        return False

    def begins_behind(self, last_event_id: str) -> bool:
        """Whether the first message of the feed is the next one for a reader of this event."""
        log = self.log
        return (
            bool(log.start_id) and not log.bytes_appended and log.start_id == last_event_id.encode()
        )

    def join(self, reader: Subscription) -> None:
        """Adds a reader. A feed that is not shared has one reader: earlier ones end with UNAVAILABLE."""
        if not self.policy.shared:
            for other in tuple(self.readers):
                self.leave(other)
                other.failure = StatusError.of(UNAVAILABLE, "the stream is read elsewhere")
                other.wake()
        self.readers.add(reader)
        self.log.caches_json = len(self.readers) > 1
        if self._outage is not None and not reader.started:
            reader.failure = self._outage

    def leave(self, reader: Subscription) -> bool:
        """Removes a reader; returns whether it was there."""
        if reader not in self.readers:
            return False
        self.readers.remove(reader)
        self.log.caches_json = len(self.readers) > 1
        self._last_reader_offset = reader.offset
        self._reader_advanced.set()
        return True

    def is_open(self) -> bool:
        """Whether more messages may follow; False: the feed ended with OK. Called by a reader at the end.

        Raises:
            StatusError: the feed ended with another status.
        """
        self._reader_advanced.set()
        if self.failure is not None:
            raise self.failure.with_traceback(None)
        return not self.ended

    async def run(self) -> None:
        """Reads the call to its end, with retries."""
        try:
            self.end(await self._read_calls())
        except Exception:
            log.exception("reading a stream for its readers")
            self.end(StatusError.of(INTERNAL, "internal error"))

    def end(self, failure: StatusError | None) -> None:
        """Ends the feed with a status, None is OK. Later calls are ignored."""
        if not self.ended:
            self.ended = True
            self.failure = failure
            self._wake()

    def abort(self, failure: StatusError) -> None:
        """Ends the feed and its readers at once; unread messages are dropped."""
        for reader in self.readers:
            reader.failure = failure
        self.end(failure)
        self.log.clear()

    def shrink(self, max_bytes: int) -> None:
        """Shrinks the log to `max_bytes`; the newest message stays, with backpressure all unread ones too."""
        self.log.shrink(max_bytes, self._first_unread() if self._has_backpressure else None)

    async def _read_calls(self) -> StatusError | None:
        while True:
            failure = await self._read_call()
            if failure is None or not self._begin_retry(failure):
                return failure
            await asyncio.sleep(self._backoff.next(failure.retry_seconds or 0.0))

    async def _read_call(self) -> StatusError | None:
        self._outage = None
        try:
            async with self._open_call(self._resume_after()) as call:
                failure = await self._read_messages(call)
                self.trailing_metadata = await call.trailing_metadata()
        except StatusError as error:
            return error
        return failure

    async def _read_messages(self, call: Call) -> StatusError | None:
        try:
            first = await anext(call, None)
            self.initial_metadata = await call.initial_metadata()
            if first is not None:
                self._backoff.reset()
                await self._append(first)
                async for message in call:
                    await self._append(message)
        except StatusError as error:
            return error
        return None

    async def _append(self, message: bytes) -> None:
        if self._has_backpressure:
            while not self.ended and not self._can_append(len(message)):
                self._reader_advanced.clear()
                await self._reader_advanced.wait()
        if self.ended:  # closed meanwhile: nobody reads this message
            return
        self.log.append(message)
        if not self.policy.shared:
            self._wake()
        elif self._batch_timer is None:
            self._wake_soon()

    def _wake_soon(self) -> None:
        """Wakes all readers, after the batching delay."""
        if self._batch_timer is None:
            loop = asyncio.get_running_loop()
            self._batch_timer = loop.call_later(_BATCH_SECONDS, self._wake)

    def _resume_after(self) -> bytes:
        """Returns the id behind which the next call goes on; empty: it begins again."""
        return self.log.last_id if self.resumes else b""

    def _mark_restart(self) -> None:
        """Marks that messages between two calls may be missing, unless the next one goes on."""
        if self.log.end and not self._resume_after():
            self.log.mark_restart()

    @property
    def _has_backpressure(self) -> bool:
        return self.policy.slow_consumer is SlowConsumer.BLOCK

    def _first_unread(self) -> int:
        return min((reader.offset for reader in self.readers), default=self._last_reader_offset)

    def _can_append(self, size: int) -> bool:
        return self.log.can_append(self._first_unread(), size, self._fair_share())

    def _begin_retry(self, failure: StatusError) -> bool:
        """Returns whether the call is retried; ends readers whose response has not started with `failure`."""
        if failure.code != UNAVAILABLE or not self.policy.shared:
            return False
        if (failure.retry_seconds or 0.0) > MAX_RETRY_DELAY:
            return False  # the readers get the error, which says when to reconnect
        waiting = [reader for reader in self.readers if reader.started]
        if not waiting and not self.is_wanted:
            return False
        self._outage = failure
        for reader in self.readers.difference(waiting):
            reader.failure = failure
        self._wake()
        self._mark_restart()
        return True

    def _wake(self) -> None:
        """Wakes all readers, in batches that write at most `_TURN_BYTES` in one turn of the event loop."""
        self._batch_timer = None
        new, self._bytes_at_wake = (
            self.log.bytes_appended - self._bytes_at_wake,
            self.log.bytes_appended,
        )
        batch = max(1, _TURN_BYTES // (new + _READER_BYTES))
        self._wake_batch(iter(tuple(self.readers)), batch)

    def _wake_batch(self, readers: Iterator[Subscription], batch: int) -> None:
        for count, reader in enumerate(readers, 1):
            reader.wake()
            if count == batch:
                asyncio.get_running_loop().call_soon(self._wake_batch, readers, batch)
                return
