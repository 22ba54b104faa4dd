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


class Backoff:
    """Waits that grow from 0.1 to 5 seconds, and are not the same for all who wait."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Begins with the shortest wait again."""
        self._seconds = _FIRST

    def next(self) -> float:
        """Returns the seconds to wait now."""
        seconds = self._seconds
        self._seconds = min(seconds * _GROWTH, _LONGEST)
        return seconds * _RANDOM.uniform(1 - _JITTER, 1 + _JITTER)
