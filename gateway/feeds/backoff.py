"""Delays between retries.

Source: gRPC's "Connection Backoff Protocol": the delay grows by 1.6, with a jitter of 20 %.
"""

from __future__ import annotations

from random import SystemRandom
from typing import Final

_FIRST: Final = 0.1
_GROWTH: Final = 1.6
_MAX: Final = 5.0
_JITTER: Final = 0.2
_RANDOM: Final = SystemRandom()
MAX_RETRY_DELAY: Final = 60.0
"""Seconds. If a server asks for a longer delay, its readers get the error instead of waiting."""


class Backoff:
    """Exponential backoff from 0.1 to 5 seconds, with jitter."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Restarts at the shortest delay."""
        self._seconds = _FIRST

    def next(self, least: float = 0.0) -> float:
        """Returns the next delay in seconds: at least the server's own (`least`), plus jitter."""
        seconds = self._seconds
        self._seconds = min(seconds * _GROWTH, _MAX)
        delay = seconds * _RANDOM.uniform(1 - _JITTER, 1 + _JITTER)
        return max(delay, least * _RANDOM.uniform(1, 1 + _JITTER))
