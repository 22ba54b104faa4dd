"""One call upstream that lives apart from its readers, and the log that they read."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from typing import Final, TypeAlias

from gateway.contract.stream_policy import SlowConsumer, StreamPolicy
from gateway.feeds.backoff import LONGEST_WAIT, Backoff
from gateway.feeds.event_log import EventLog
from gateway.feeds.subscription import Subscription
from gateway.transcoding.metadata import Metadata
from gateway.transcoding.status import INTERNAL, UNAVAILABLE, StatusError
from gateway.upstream.port import Call

log = logging.getLogger(__name__)

_GATHER_SECONDS: Final = 0.001
"""So long many readers wait for more when there is something: a write for two costs what one for one does."""

_TURN_BYTES: Final = 4 * 1024 * 1024
"""Bytes of messages that all readers together are given in one turn of the loop."""
_READER_BYTES: Final = 1024
"""What a reader counts beside what it is given."""

OpenCall: TypeAlias = Callable[[], AbstractAsyncContextManager[Call]]


class Feed:
    """Reads a call into a log, and wakes whoever waits for more.

    A call that fails with UNAVAILABLE is made anew, if it is shared, and as long as somebody reads it to
    whom the failure could not be told by an HTTP status any more, or who has come back; after what its
    server says at least, unless that is longer than `LONGEST_WAIT`.
    """

    def __init__(
        self,
        open_call: OpenCall,
        policy: StreamPolicy,
        log: EventLog,
        *,
        share: Callable[[], int],
    ) -> None:
        """Makes a feed that is read with `run`.

        Args:
            open_call: opens its call, each time anew.
            policy: what the contract says of it.
            log: where its messages go.
            share: returns the bytes that it may keep of what is unread, where it holds its server back.
        """
        self._open_call = open_call
        self._share = share
        self.policy = policy
        self.log = log
        self.readers: set[Subscription] = set()
        self.initial_metadata: Metadata = ()
        self.trailing_metadata: Metadata = ()
        self.ended = False
        self.failure: StatusError | None = None
        """What it has ended with; None is OK."""
        self._down: StatusError | None = None
        """Why the call is to be made anew; None while there is one."""
        self._left_at = 0
        self._woken_at = 0
        """How much had been written to the log when the readers were last woken."""
        self._gathering: asyncio.TimerHandle | None = None
        self._room = asyncio.Event()
        self._backoff = Backoff()

    def join(self, reader: Subscription) -> None:
        """Lets a reader in; of a call that is not shared it is the only one, and the others have to go."""
        if not self.policy.shared:
            for other in tuple(self.readers):
                self.leave(other)
                other.failure = StatusError.of(UNAVAILABLE, "the stream is read elsewhere")
                other.wake()
        self.readers.add(reader)
        self.log.keeps_json = len(self.readers) > 1
        if self._down is not None and not reader.begun:
            reader.failure = self._down

    def leave(self, reader: Subscription) -> bool:
        """Lets a reader go; returns whether it had not gone yet."""
        if reader not in self.readers:
            return False
        self.readers.remove(reader)
        self.log.keeps_json = len(self.readers) > 1
        self._left_at = reader.place
        self._room.set()
        return True

    def goes_on(self) -> bool:
        """Whether there may be more for a reader that has read all; False is the clean end.

        Raises:
            StatusError: the end of another kind.
        """
        self._room.set()
        if self.failure is not None:
            raise self.failure.with_traceback(None)
        return not self.ended

    async def run(self) -> None:
        """Reads the call to its end, and once more from its start where that helps."""
        try:
            self.end(await self._read_calls())
        except Exception:
            log.exception("reading a stream for its readers")
            self.end(StatusError.of(INTERNAL, "internal error"))

    def end(self, failure: StatusError | None) -> None:
        """Says what it ends with; the first word counts."""
        if not self.ended:
            self.ended = True
            self.failure = failure
            self._wake()

    def abort(self, failure: StatusError) -> None:
        """Ends it for all readers at once: what they have not read is not kept for them."""
        for reader in self.readers:
            reader.failure = failure
        self.end(failure)
        self.log.clear()

    def shrink(self, max_bytes: int) -> None:
        """Keeps no more than so many bytes; but the newest message and, where it holds back, all unread."""
        self.log.shrink(max_bytes, self._first_unread() if self._holds_back else None)

    async def _read_calls(self) -> StatusError | None:
        while True:
            failure = await self._read_call()
            if failure is None or not self._waits_out(failure):
                return failure
            await asyncio.sleep(self._backoff.next(failure.retry_seconds or 0.0))

    async def _read_call(self) -> StatusError | None:
        self._down = None
        try:
            async with self._open_call() as call:
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
        if self._holds_back:
            while not self.ended and not self._has_room(len(message)):
                self._room.clear()
                await self._room.wait()
        if self.ended:  # it was closed: what has come already is nobody's
            return
        self.log.append(message)
        if not self.policy.shared:
            self._wake()
        elif self._gathering is None:
            loop = asyncio.get_running_loop()
            self._gathering = loop.call_later(_GATHER_SECONDS, self._wake)

    @property
    def _holds_back(self) -> bool:
        return self.policy.slow_consumer is SlowConsumer.BLOCK

    def _first_unread(self) -> int:
        return min((reader.place for reader in self.readers), default=self._left_at)

    def _has_room(self, size: int) -> bool:
        """Whether a message may be unread too: half of what is kept is for a reader that comes back."""
        return self.log.has_room(self._first_unread(), size, self._share())

    def _waits_out(self, failure: StatusError) -> bool:
        """Tells a failure to the readers that can hear it; returns whether others are left to wait."""
        if failure.code != UNAVAILABLE or not self.policy.shared:
            return False
        if (failure.retry_seconds or 0.0) > LONGEST_WAIT:
            return False  # its readers end with the failure, which says when to reconnect
        waiting = [reader for reader in self.readers if reader.begun]
        if not waiting:
            return False
        self._down = failure
        for reader in self.readers.difference(waiting):
            reader.failure = failure
        self._wake()
        if self.log.end:
            self.log.mark_restart()
        return True

    def _wake(self) -> None:
        """Wakes all readers, as many in one turn of the loop as have `_TURN_BYTES` to write together."""
        self._gathering = None
        new, self._woken_at = self.log.written - self._woken_at, self.log.written
        at_once = max(1, _TURN_BYTES // (new + _READER_BYTES))
        self._wake_some(iter(tuple(self.readers)), at_once)

    def _wake_some(self, readers: Iterator[Subscription], at_once: int) -> None:
        for count, reader in enumerate(readers, 1):
            reader.wake()
            if count == at_once:
                asyncio.get_running_loop().call_soon(self._wake_some, readers, at_once)
                return
