"""Runs an exchange without a task for as long as it waits for nothing but its call.

`serve` is a coroutine, and most unary requests wait only once in it: for the outcome of their call. A task,
a future and the turns of the event loop that they take would cost such a request a third of its time. So an
`InlineRun` steps the coroutine itself, at once when the request has come and again when the outcome is
there. An exchange that has to wait for anything else asks for a task first (`in_task`), and goes on in it.

Where there is a task already, as under ASGI, an exchange has no such run.
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from typing import Any, Final

from gateway.upstream.port import Outcome, PendingOutcome, Response


class TaskOutcome(PendingOutcome):
    """The outcome that an exchange in a task waits for."""

    __slots__ = ("_future",)

    def __init__(self) -> None:
        super().__init__()
        self._future: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def set(self, outcome: Outcome) -> None:
        """See `PendingOutcome`."""
        if not self._future.done():
            self.outcome = outcome
            self._future.set_result(None)

    def __await__(self) -> Generator[Any, Any, Response]:
        """See `PendingOutcome`."""
        try:
            yield from self._future.__await__()
        except BaseException:
            self.leave()
            raise
        return self.take()


class _NeedsTask:
    def __await__(self) -> Generator[Any, Any, None]:
        yield self


_NEEDS_TASK: Final = _NeedsTask()
_OVER: Final = object()
_next: Final = next
_NO_STEPS: Final[Generator[Any, Any, None]] = (None for _ in range(0))


class _Rest:
    """What is left of a coroutine that was stepped before; a started coroutine cannot be awaited itself."""

    __slots__ = ("_steps",)

    def __init__(self, steps: Generator[Any, Any, None]) -> None:
        self._steps = steps

    def __await__(self) -> Generator[Any, Any, None]:
        return self._steps


class InlineRun(PendingOutcome):
    """Steps the coroutine of one exchange; it is itself the outcome of the one call that needs no task.

    Attributes:
        over: whether the coroutine has returned.
    """

    __slots__ = ("_steps", "_task", "_waits", "over")

    _waits: bool
    """Whether the coroutine waits for the outcome without a task."""

    def start_run(self, steps: Generator[Any, Any, None]) -> None:
        """Runs a coroutine until it waits; called first, with what the coroutine's `__await__` returns."""
        self._steps = steps
        self._task: asyncio.Task[None] | None = None
        self.outcome = self.cancel_call = None
        self.over = False
        self._step()

    def interrupt(self, error: Exception) -> None:
        """Raises an error where the exchange waits; in its task, cancels that in the next turn."""
        if self._task is not None:
            self.cancel()
        elif not self.over:
            self._step(error)

    def cancel(self, msg: object = None) -> None:
        """Cancels the exchange as a task is cancelled, in the next turn of the loop.

        Not earlier, for a task that has not begun would end without the rest of the exchange.
        """
        del msg
        asyncio.get_running_loop().call_soon(self._cancel)

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()
        elif not self.over:
            self._step(asyncio.CancelledError())

    def _step(self, error: BaseException | None = None) -> None:
        """Runs the coroutine until it waits, or returns."""
        self._waits = False
        try:
            # next() makes no StopIteration of the end, which would cost more than the step
            awaited = _next(self._steps, _OVER) if error is None else self._steps.throw(error)
        except (StopIteration, asyncio.CancelledError):
            self._end()
            return
        if awaited is _OVER:
            self._end()
        elif awaited is _NEEDS_TASK:
            self._task = asyncio.get_running_loop().create_task(self._rest())
        else:
            self._waits = True

    async def _rest(self) -> None:
        try:
            await _Rest(self._steps)
        finally:
            self._end()

    def _end(self) -> None:
        """Lets go of what has held the exchange, whose run this is: nothing would take such a ring apart."""
        self.over = True
        self._task = None
        self._steps = _NO_STEPS

    def set(self, outcome: Outcome) -> None:
        """See `PendingOutcome`."""
        if self.over:  # an error that nobody takes would keep its traceback, and all that is in it
            return
        self.outcome = outcome
        if self._waits:
            self._step()

    async def in_task(self) -> None:
        """Returns in a task; behind it the exchange may wait for anything."""
        if self._task is None:
            await _NEEDS_TASK
