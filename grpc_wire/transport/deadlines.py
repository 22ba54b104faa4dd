"""The deadlines of many calls, on one timer of the loop: most calls end long before theirs.

A deadline that has become nobody's stays where it is until there are more of those than of others; it holds
nothing meanwhile.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from heapq import heapify, heappop, heappush
from itertools import count
from typing import Any, Final, TypeAlias

_EARLY: Final = 0.0005
"""Seconds: uvloop rounds to milliseconds."""
_SPARE: Final = 64

Deadline: TypeAlias = list[Any]
"""When it is over, a number that none other has, and what is to be called then; None if nothing is."""


class Deadlines:
    """What is to be called when, unless it is dropped before."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._heap: list[Deadline] = []
        self._dropped = 0
        self._numbers = count()
        self._next = math.inf
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        """How many are known, those among them that were dropped."""
        return len(self._heap)

    def add(self, when: float, call: Callable[[], None]) -> Deadline:
        """Calls back at that time of the loop, unless what this returns is dropped."""
        deadline = [when, next(self._numbers), call]
        heappush(self._heap, deadline)
        if when < self._next:
            self._arm(when)
        return deadline

    def drop(self, deadline: Deadline) -> None:
        """Calls nobody back; nor if that has been done."""
        if deadline[2] is None:
            return
        deadline[2] = None
        self._dropped += 1
        if self._dropped > _SPARE and self._dropped * 2 > len(self._heap):
            self._heap = [each for each in self._heap if each[2] is not None]
            heapify(self._heap)
            self._dropped = 0

    def stop(self) -> None:
        """Calls nobody back any more of those that are known."""
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
        self._timer = self._loop.call_at(when, self._look)

    def _look(self) -> None:
        """Calls whoever is due; then the timer is for whoever is next."""
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
