"""How late the event loop is: the delay of a timer behind its time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

_INTERVAL: Final = 0.1
"""Seconds between two measurements; each takes about 5 µs."""


class LoopDelay:
    """Measures from `start` to `stop`."""

    def __init__(self, observe: Callable[[float], None]) -> None:
        """Takes what is told how many seconds late each timer was."""
        self._observe = observe
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
        self._observe(max(0.0, now - due))
        due = now + _INTERVAL
        self._timer = loop.call_at(due, self._measure, loop, due)
