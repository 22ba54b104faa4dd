"""How a call ends, and who waits for what of it.

The end is told once, and it is the first that was known: the status that came over the wire, unless the
caller or the deadline was before it. That something could not be written is never the end.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Any, Final

from grpc_wire.call.codes import CANCELLED, DEADLINE_EXCEEDED, OK, RESOURCE_EXHAUSTED, UNAVAILABLE
from grpc_wire.call.status import Status
from grpc_wire.http2.errors import ErrorCode
from grpc_wire.transport.deadlines import Deadline

_CANCELLED_HERE: Final = "Locally cancelled by application!"


class ClientEnd:
    """The end of one call.

    Attributes:
        status: how it ended; None until then.
        ended: what is called then, with this.
        cancelled_here: whether this side gave it up.
        deadline: on the loop's clock; None if there is none.
        due: that deadline, where somebody watches it.
    """

    __slots__ = (
        "_ending",
        "_reading",
        "_writing",
        "cancelled_here",
        "deadline",
        "due",
        "ended",
        "loop",
        "status",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, timeout: float | None) -> None:
        self.loop = loop
        self.status: Status | None = None
        self.ended: list[Callable[[Any], object]] = []
        self.cancelled_here = False
        self.deadline: float | None = None
        if timeout is not None and timeout < math.inf:
            self.deadline = loop.time() + max(timeout, 0.0)
        elif timeout is not None and math.isnan(timeout):
            raise ValueError("the timeout is not a number")
        self.due: Deadline | None = None
        self._reading: list[asyncio.Future[None]] = []
        self._writing: list[asyncio.Future[None]] = []
        self._ending: list[asyncio.Future[None]] = []

    def cancel(self, details: str = _CANCELLED_HERE) -> bool:
        """Gives the call up; returns whether there was something to give up."""
        if self.status is not None:
            return False
        self.cancelled_here = True
        self.end(Status(CANCELLED, details), ErrorCode.CANCEL)
        return True

    def expired(self) -> None:
        """Ends: it is past its deadline."""
        self.end(Status(DEADLINE_EXCEEDED, "Deadline Exceeded"), ErrorCode.CANCEL)

    def unavailable(self, reason: str) -> None:
        """Ends: there is no connection."""
        self.end(Status(UNAVAILABLE, reason))

    def too_large(self, size: int, limit: int) -> None:
        """Ends soon: its headers are larger than the server has announced that it takes.

        Not at once, for many such calls may wait, and the end of each lets the next begin.
        """
        reason = f"CLIENT: Sent metadata larger than the server takes ({size} vs. {limit})"
        self.loop.call_soon(self.end, Status(RESOURCE_EXHAUSTED, reason))

    def fail(self, status: Status) -> None:
        """Ends for what is wrong on this side, even if the peer had found nothing wrong."""
        if self.status is not None and self.status.code == OK:
            self.status = status
        self.end(status, ErrorCode.CANCEL)

    def end(self, status: Status, code: ErrorCode = ErrorCode.NO_ERROR) -> None:
        """Ends, if it has not; what is left of the stream is given up."""
        if self.status is not None:
            return
        self.status = status
        self._leave(code)
        if self._ending or self._reading or self._writing:
            for futures in (self._ending, self._reading, self._writing):
                wake(futures)
        ended, self.ended = self.ended, []
        for callback in ended:
            try:
                callback(self)
            except (Exception, asyncio.CancelledError) as error:
                told = {"message": "a callback of a call has failed", "exception": error}
                self.loop.call_exception_handler(told)

    async def over(self) -> Status:
        """Waits for the end."""
        while self.status is None:
            await self._until(self._ending)
        return self.status

    def time_left(self) -> float | None:
        """Returns the seconds to the deadline; None if there is none."""
        return None if self.deadline is None else max(self.deadline - self.loop.time(), 0.0)

    def over_soon(self) -> asyncio.Future[None]:
        """Returns what is done when the call has ended: for one who waits for nothing else."""
        future = self.loop.create_future()
        self._ending.append(future)
        return future

    def _leave(self, code: ErrorCode) -> None:
        """Gives up what is left of the stream, or of the wait for one."""
        raise NotImplementedError

    async def _until(self, futures: list[asyncio.Future[None]]) -> None:
        future = self.loop.create_future()
        futures.append(future)
        try:
            await future
        finally:
            if future in futures:
                futures.remove(future)


def wake(futures: list[asyncio.Future[None]]) -> None:
    """Lets all go on who wait."""
    for future in futures:
        if not future.done():
            future.set_result(None)
    futures.clear()
