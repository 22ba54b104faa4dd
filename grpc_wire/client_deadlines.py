"""The deadlines of many calls, by one timer: one for each call costs more than to look at all, now and then.

It is set for the earliest deadline that was told, and then for the earliest of the calls that are left.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Set as AbstractSet
from typing import Final, Protocol

_RESOLUTION: Final = 0.001
"""Seconds by which a timer may be early."""
_PAUSE: Final = 0.005
"""Seconds between two looks: so late a call may end among others that end."""


class Expiring(Protocol):
    """A call; its deadline is on the loop's clock, and None if it has none."""

    deadline: float | None

    def expired(self) -> None:
        """Ends: it is past its deadline."""


class Deadlines:
    """Ends calls that are past their deadlines.

    Attributes:
        next: when it will look; `watch` must be told of what is earlier, and of nothing else.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, calls: AbstractSet[Expiring]) -> None:
        """Takes the calls: those that are there whenever it looks."""
        self.next = math.inf
        self._loop = loop
        self._calls = calls
        self._timer: asyncio.TimerHandle | None = None

    def watch(self, deadline: float) -> None:
        """Looks at this time, and not at another."""
        self.stop()
        self.next = deadline
        self._timer = self._loop.call_at(deadline, self._look)

    def stop(self) -> None:
        """Looks no more."""
        self.next = math.inf
        if self._timer is not None:
            self._timer.cancel()

    def _look(self) -> None:
        self.next = later = math.inf
        now = self._loop.time()
        for call in self._calls:
            if call.deadline is None:
                continue
            if call.deadline <= now + _RESOLUTION:
                self._loop.call_soon(call.expired)  # one that fails is to hold up no other
            else:
                later = min(later, call.deadline)
        if later < math.inf:
            self.watch(max(later, now + _PAUSE))
