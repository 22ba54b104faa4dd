"""Streams of a client that are given up now and reset later, so that its server counts no early reset.

`Connection` decides which (`Limits.early_resets`); they take room for streams until then. Here they are reset
when they are due.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from grpc_wire.http2.connection import Connection
from grpc_wire.transport.writer import Writer

_PAUSE: Final = 0.05
"""Minimum seconds between two searches for streams that are due."""


class LateResets:
    """The late resets of one connection.

    Attributes:
        count: streams that were to be reset when `update` last looked.
    """

    __slots__ = ("_changed", "_connection", "_loop", "_timer", "_writer", "count")

    def __init__(
        self,
        connection: Connection,
        writer: Writer,
        loop: asyncio.AbstractEventLoop,
        changed: Callable[[], object],
    ) -> None:
        """Starts without streams; `changed` is called when there is more or less room for streams."""
        self.count = 0
        self._connection = connection
        self._writer = writer
        self._loop = loop
        self._changed = changed
        self._timer: asyncio.TimerHandle | None = None

    def update(self) -> None:
        """Looks whether there are more or fewer such streams; the first starts the timer."""
        if self._connection.lingering == self.count:
            return
        self.count = self._connection.lingering
        if self.count and self._timer is None and not self._writer.shut:
            self._reset_due()
        self._changed()

    def stop(self) -> None:
        """Resets no more streams: the connection has ended."""
        if self._timer is not None:
            self._timer.cancel()

    def _reset_due(self) -> None:
        due = self._connection.reset_lingering()
        self._writer.touch()
        self._timer = None
        if due is not None and not self._writer.shut:
            self._timer = self._loop.call_later(max(due, _PAUSE), self._reset_due)
        self.update()
