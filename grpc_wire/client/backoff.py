"""When to try to connect again.

Source: gRPC's connection-backoff.md. An attempt has until the next one is due, though not less than a
certain time; the next is due ever later, with some jitter, lest all clients come at once.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

_MULTIPLIER = 1.6
_JITTER = 0.2


@dataclass(frozen=True, slots=True)
class BackoffTimes:
    """How long to wait, in seconds."""

    initial: float = 1.0
    max: float = 120.0
    min_connect_timeout: float = 20.0


class Backoff:
    """When the attempts at one address are due.

    A connection that ends before the next attempt would have been due counts as one that failed: or a server
    that accepts and closes would be asked without end.
    """

    def __init__(self, times: BackoffTimes) -> None:
        self._times = times
        self._current = 0.0
        self._due = 0.0

    def wait(self, now: float) -> float:
        """Returns how long it is until the next attempt is due."""
        return max(0.0, self._due - now)

    def begin(self, now: float) -> float:
        """Begins an attempt; returns how long it may take."""
        times = self._times
        if not self._current:
            self._current = wait = times.initial
        else:
            self._current = min(self._current * _MULTIPLIER, times.max)
            wait = self._current * random.uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311 - no secret
        self._due = now + wait
        return max(wait, times.min_connect_timeout)

    def lost(self, now: float) -> None:
        """Says that a connection has ended that had been made."""
        if now >= self._due:
            self._current = 0.0
