"""A block that ends when the client leaves, or when the edge shuts down."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from enum import Enum
from types import TracebackType
from typing import Self

from gateway.exchange.ports import ClientGone
from gateway.transcoding.status import UNAUTHENTICATED, UNAVAILABLE, StatusError


class Interruption(Enum):
    """Why a block was ended early."""

    CLIENT_GONE = "the client has left"
    SHUTDOWN = "the server is shutting down"
    EXPIRED = "the credentials have expired"
    REVOKED = "the credentials have been revoked"


class Attendance:
    """A block that ends at once when the client leaves, or when the edge shuts down.

    It works as `asyncio.timeout` does: the task is cancelled, and the block raises ClientGone, or a
    StatusError with UNAVAILABLE or, where credentials have expired, UNAUTHENTICATED. Source of the pattern:
    `asyncio.timeouts`.
    """

    __slots__ = (
        *("_attendances", "_cancelling", "_expiry", "_gone", "_over", "_patience", "_reason"),
        *("_seconds", "_watch", "interruption", "task", "wire"),
    )

    def __init__(
        self,
        gone: Callable[[], Awaitable[None]] | None,
        attendances: set[Attendance] | None = None,
        *,
        patience: float = 0,
        seconds: float | None = None,
        wire: str = "",
    ) -> None:
        """Makes the block.

        Args:
            gone: returns when the client has left; what it raises, the block raises. None: the door calls
                `left`, so that no second task is needed.
            attendances: the blocks that a shutdown interrupts; None for a block that ends soon by itself.
            patience: seconds before the client is watched. A block that ends sooner needs no second task.
            seconds: after which the client's credentials expire; None: never.
            wire: how the messages of a stream are framed; empty for a unary request.
        """
        self._gone = gone
        self._patience = patience
        self._attendances = attendances
        self._seconds = seconds
        self.wire = wire
        self._watch: asyncio.TimerHandle | asyncio.Task[None] | None = None
        self._over = False
        self._expiry: asyncio.TimerHandle | None = None
        self.interruption: Interruption | None = None
        self._reason: Exception | None = None

    def __enter__(self) -> Self:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a client is watched by a task")
        self.task = task
        self._cancelling = task.cancelling()
        if self._gone is not None:
            self._begin_watching(self._gone, self._patience)
        if self._seconds is not None:
            loop = asyncio.get_running_loop()
            self._expiry = loop.call_later(self._seconds, self.interrupt, Interruption.EXPIRED)
        if self._attendances is not None:
            self._attendances.add(self)
        return self

    def _begin_watching(self, gone: Callable[[], Awaitable[None]], patience: float = 0) -> None:
        if patience:
            loop = asyncio.get_running_loop()
            self._watch = loop.call_later(patience, self._begin_watching, gone)
        else:
            self._watch = asyncio.ensure_future(self._watching(gone))

    async def _watching(self, gone: Callable[[], Awaitable[None]]) -> None:
        try:
            await gone()
        except Exception as error:
            self._reason = error
        self.interrupt(Interruption.CLIENT_GONE)

    def interrupt(self, interruption: Interruption) -> None:
        """Ends the block; only the first interruption counts."""
        if self.interruption is None:
            self.interruption = interruption
            self.task.cancel()

    def left(self) -> None:
        """Ends the block, if it has not ended: the client has left."""
        if not self._over:
            self.interrupt(Interruption.CLIENT_GONE)

    def revoke(self) -> None:
        """Ends the block, if it has not ended: the client's credentials hold no longer."""
        if self._attendances is not None and self in self._attendances:
            self.interrupt(Interruption.REVOKED)

    def end(self) -> None:
        """Stops watching the client; the block goes on."""
        if self._watch is not None:
            self._watch.cancel()

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        if self._attendances is not None:
            self._attendances.discard(self)
        self._over = True
        self.end()
        if self._expiry is not None:
            self._expiry.cancel()
        if self.interruption is None or self.task.uncancel() > self._cancelling:
            return
        if error_type is None or issubclass(error_type, asyncio.CancelledError):
            if self.interruption is Interruption.CLIENT_GONE:
                raise self._reason or ClientGone
            closing = self.interruption is Interruption.SHUTDOWN
            raise StatusError.of(
                UNAVAILABLE if closing else UNAUTHENTICATED, self.interruption.value
            )
