"""One call upstream that lives apart from its readers, and the log that they read."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Final, TypeAlias

from gateway.contract.stream_policy import SlowConsumer, StreamPolicy
from gateway.feeds.backoff import Backoff
from gateway.feeds.event_log import EventLog
from gateway.feeds.subscription import Subscription
from gateway.transcoding.metadata import Metadata
from gateway.transcoding.status import INTERNAL, UNAVAILABLE, StatusError
from gateway.upstream.port import Call

log = logging.getLogger(__name__)

_GATHER_SECONDS: Final = 0.001
"""So long many readers wait for more when there is something: a write for two costs what one for one does."""

OpenCall: TypeAlias = Callable[[], AbstractAsyncContextManager[Call]]


class Feed:
    """Reads a call into a log, and wakes whoever waits for more.

    A call that fails with UNAVAILABLE is made anew, if it is shared, and as long as somebody reads it to
    whom the failure could not be told by an HTTP status any more.
    """

    def __init__(self, open_call: OpenCall, policy: StreamPolicy, log: EventLog) -> None:
        self._open_call = open_call
        self.policy = policy
        self.log = log
        self.readers: set[Subscription] = set()
        self.initial_metadata: Metadata = ()
        self.trailing_metadata: Metadata = ()
        self.ended = False
        self.failure: StatusError | None = None
        """What it has ended with; None is OK."""
        self._left_at = 0
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

    def leave(self, reader: Subscription) -> None:
        """Lets a reader go, if it has not gone yet."""
        if reader in self.readers:
            self.readers.remove(reader)
            self._left_at = reader.place
            self._room.set()

    def goes_on(self) -> bool:
        """Whether there may be more for a reader that has read all; False is the clean end.

        Raises:
            StatusError: the end of another kind.
        """
        self._room.set()
        if self.failure is not None:
            raise self.failure
        return not self.ended

    async def run(self) -> None:
        """Reads the call to its end, and once more from its start where that helps."""
        try:
            self.failure = await self._read_calls()
        except asyncio.CancelledError:
            self.failure = StatusError.of(UNAVAILABLE, "the stream was closed")
            raise
        except Exception:
            log.exception("reading a stream for its readers")
            self.failure = StatusError.of(INTERNAL, "internal error")
        finally:
            self.ended = True
            self._wake()

    async def _read_calls(self) -> StatusError | None:
        while True:
            failure = await self._read_call()
            if failure is None or not self._waits_out(failure):
                return failure
            await asyncio.sleep(self._backoff.next())

    async def _read_call(self) -> StatusError | None:
        try:
            async with self._open_call() as call:
                await self._read_messages(call)
        except StatusError as error:
            return error
        return None

    async def _read_messages(self, call: Call) -> None:
        first = await anext(call, None)
        if first is not None:
            self.initial_metadata = await call.initial_metadata()
            self._backoff.reset()
            if self.log.sequence:
                self.log.mark_restart()
            await self._append(first)
            async for message in call:
                await self._append(message)
        self.trailing_metadata = await call.trailing_metadata()

    async def _append(self, message: bytes) -> None:
        if self.policy.slow_consumer is SlowConsumer.BLOCK:
            while self._is_full():
                self._room.clear()
                await self._room.wait()
        self.log.append(message)
        if not self.policy.shared:
            self._wake()
        elif self._gathering is None:
            loop = asyncio.get_running_loop()
            self._gathering = loop.call_later(_GATHER_SECONDS, self._wake)

    def _is_full(self) -> bool:
        """Whether half of what is kept is unread; the other half is for a reader that comes back."""
        place = min((reader.place for reader in self.readers), default=self._left_at)
        return self.log.unread_fills_half(place)

    def _waits_out(self, failure: StatusError) -> bool:
        """Tells a failure to the readers that can hear it; returns whether others are left to wait."""
        if failure.code != UNAVAILABLE or not self.policy.shared:
            return False
        waiting = [reader for reader in self.readers if reader.begun]
        if not waiting:
            return False
        for reader in self.readers.difference(waiting):
            reader.failure = failure
        self._wake()
        return True

    def _wake(self) -> None:
        self._gathering = None
        for reader in self.readers:
            reader.wake()
