"""Deadlines of many calls on one timer of the event loop.

Most calls end long before their deadline. A dropped entry stays in the heap until dropped entries outnumber
live ones; it holds no reference.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from heapq import heapify, heappop, heappush
from typing import Any, Final, TypeAlias

_EARLY: Final = 0.0005
"""Seconds by which a deadline may run early: uvloop rounds to milliseconds."""
_MIN_DROPPED: Final = 64
_push: Final = heappush
"""Compiled code finds it without a look into the module."""

Deadline: TypeAlias = list[Any]
"""Loop time, a unique number, and the callback; None once it has run or was dropped."""


class Deadlines:
    """Callbacks with a time each, unless dropped before."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._heap: list[Deadline] = []
        self._dropped = 0
        self._number = 0
        self._next = math.inf
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        """How many entries the heap has, dropped ones included."""
        return len(self._heap)

    def add(self, when: float, call: Callable[[], None]) -> Deadline:
        """Schedules a callback for a time of the loop; `drop` with the returned entry cancels it."""
        self._number += 1
        deadline = [when, self._number, call]
        _push(self._heap, deadline)
        if when < self._next:
            self._arm(when)
        return deadline

    def drop(self, deadline: Deadline) -> None:
        """Cancels an entry; nothing happens if it has run."""
        if deadline[2] is None:
            return
        deadline[2] = None
        self._dropped += 1
        if self._dropped > _MIN_DROPPED and self._dropped * 2 > len(self._heap):
            self._heap = [each for each in self._heap if each[2] is not None]
            heapify(self._heap)
            self._dropped = 0

    def stop(self) -> None:
        """Cancels all entries."""
        for deadline in self._heap:
            deadline[2] = None
        self._heap.clear()
        self._dropped = 0
        self._next = math.inf
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._next = when
        self._timer = self._loop.call_at(when, self._run_due)

    def _run_due(self) -> None:
        """Runs the callbacks that are due, then arms the timer for the next."""
        self._timer, self._next = None, math.inf
        due = self._loop.time() + _EARLY
        try:
            while self._heap and (self._heap[0][2] is None or self._heap[0][0] <= due):
                deadline = heappop(self._heap)
                call, deadline[2] = deadline[2], None
                if call is None:
                    self._dropped -= 1
                else:
                    call()
        finally:
            if self._heap:
                self._arm(self._heap[0][0])
