"""Timer of the resets that a client defers, so that its server counts no early reset.

`Connection` decides which are deferred (`Limits.early_resets`); until then their streams count as open.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from grpc_wire.http2.connection import Connection
from grpc_wire.transport.writer import Writer

_PAUSE: Final = 0.05
"""Minimum seconds between two searches for resets that are due."""


class DeferredResets:
    """The deferred resets of one connection.

    Attributes:
        count: how many there were at the last `update`.
    """

    __slots__ = ("_changed", "_connection", "_loop", "_timer", "_writer", "count")

    def __init__(
        self,
        connection: Connection,
        writer: Writer,
        loop: asyncio.AbstractEventLoop,
        changed: Callable[[], object],
    ) -> None:
        """Starts without any; `changed` is called when the room for streams has changed."""
        self.count = 0
        self._connection = connection
        self._writer = writer
        self._loop = loop
        self._changed = changed
        self._timer: asyncio.TimerHandle | None = None

    def update(self) -> None:
        """Checks whether there are more or fewer; the first starts the timer."""
        if self._connection.deferred_resets == self.count:
            return
        self.count = self._connection.deferred_resets
        if self.count and self._timer is None and not self._writer.closed:
            self._reset_due()
        self._changed()

    def stop(self) -> None:
        """Stops the timer: the connection has ended."""
        if self._timer is not None:
            self._timer.cancel()

    def _reset_due(self) -> None:
        due = self._connection.send_due_resets()
        self._writer.schedule_flush()
        self._timer = None
        if due is not None and not self._writer.closed:
            self._timer = self._loop.call_later(max(due, _PAUSE), self._reset_due)
        self.update()
