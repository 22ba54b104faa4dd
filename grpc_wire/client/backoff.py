"""Backoff between attempts to connect to one address.

An attempt may take until the next one is due, and at least `min_connect_timeout`. Delays grow by 1.6, with a
jitter of 20 %, so that clients do not reconnect all at once.

Source: gRPC's connection-backoff.md.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

_MULTIPLIER = 1.6
_JITTER = 0.2


def longer(delay: float, maximum: float) -> float:
    """Returns the delay after this one, in seconds."""
    return min(delay * _MULTIPLIER, maximum)


def jittered(delay: float) -> float:
    """Returns a delay with jitter, in seconds."""
    return delay * random.uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311 - jitter, not security


@dataclass(frozen=True, slots=True)
class BackoffTimes:
    """Delays, in seconds."""

    initial: float = 1.0
    max: float = 120.0
    min_connect_timeout: float = 20.0


class Backoff:
    """When attempts at one address are due. Times are in seconds of the loop.

    A connection that ends before the next attempt would have been due counts as a failed attempt: otherwise a
    server that accepts and closes would be asked without end.
    """

    def __init__(self, times: BackoffTimes) -> None:
        self._times = times
        self._current = 0.0
        self._due = 0.0

    def delay(self, now: float) -> float:
        """Returns the seconds until the next attempt is due."""
        return max(0.0, self._due - now)

    def start_attempt(self, now: float) -> float:
        """Starts an attempt; returns how long it may take, in seconds."""
        times = self._times
        if not self._current:
            self._current = wait = times.initial
        else:
            self._current = longer(self._current, times.max)
            wait = jittered(self._current)
        self._due = now + wait
        return max(wait, times.min_connect_timeout)

    def connection_ended(self, now: float) -> None:
        """A connection that was established has ended; resets the backoff if it lasted long enough."""
        if now >= self._due:
            self._current = 0.0
