"""Delays between retries of a shared call: those of gRPC's connection backoff, or the server's own."""

from __future__ import annotations

from random import SystemRandom
from typing import Final

from grpc_wire.client.backoff import jittered, longer

_FIRST: Final = 0.1
_MAX: Final = 5.0
_LATER: Final = 1.2
"""Factor of the longest delay that jitter makes of a server's own."""
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
        delay = jittered(self._seconds)
        self._seconds = longer(self._seconds, _MAX)
        return max(delay, least * _RANDOM.uniform(1, _LATER))
