"""How late the event loop is: the delay of a timer behind its time. The edge and the core have each a copy."""

from __future__ import annotations

import asyncio
from typing import Final

from gateway.operations.exposition import Histogram

_INTERVAL: Final = 0.1
"""Seconds between two measurements; each takes about 5 µs."""


class LoopDelay:
    """Measures while its block is open.

    Attributes:
        seconds: how late the timers were.
    """

    def __init__(self) -> None:
        self.seconds = Histogram()
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Starts to measure the running loop."""
        loop = asyncio.get_running_loop()
        due = loop.time() + _INTERVAL
        self._timer = loop.call_at(due, self._measure, loop, due)

    def stop(self) -> None:
        """Measures no more."""
        if self._timer is not None:
            self._timer.cancel()

    def _measure(self, loop: asyncio.AbstractEventLoop, due: float) -> None:
        now = loop.time()
        self.seconds.observe(max(0.0, now - due))
        due = now + _INTERVAL
        self._timer = loop.call_at(due, self._measure, loop, due)
