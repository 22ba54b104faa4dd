"""How long to wait before the next try.

Source: gRPC's "Connection Backoff Protocol": growth by 1.6, with a jitter of 20 %.
"""

from __future__ import annotations

from random import SystemRandom
from typing import Final

_FIRST: Final = 0.1
_GROWTH: Final = 1.6
_LONGEST: Final = 5.0
_JITTER: Final = 0.2
_RANDOM: Final = SystemRandom()
LONGEST_WAIT: Final = 60.0
"""Seconds; where a server asks for more patience, readers are told so, instead of being left to wait."""


class Backoff:
    """Waits that grow from 0.1 to 5 seconds, and are not the same for all who wait."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Begins with the shortest wait again."""
        self._seconds = _FIRST

    def next(self, least: float = 0.0) -> float:
        """Returns the seconds to wait now: as many as the server asks for (`least`) and a jitter, or more."""
        seconds = self._seconds
        self._seconds = min(seconds * _GROWTH, _LONGEST)
        wait = seconds * _RANDOM.uniform(1 - _JITTER, 1 + _JITTER)
        return max(wait, least * _RANDOM.uniform(1, 1 + _JITTER))
