"""A credit against floods."""

from __future__ import annotations

from collections.abc import Callable


class Budget:
    """A credit that a peer spends by what costs work, earns by what is useful, and gets anew each period."""

    def __init__(self, credit: int, period: float, clock: Callable[[], float]) -> None:
        """Makes a credit for so many; `period` in seconds of the clock."""
        self._credit = self._left = credit
        self._period = period
        self._clock = clock
        self._until = clock() + period

    def spend(self) -> bool:
        """Takes one; returns whether there was one."""
        if self._left <= 0:
            now = self._clock()
            if now < self._until:
                return False
            self._until = now + self._period
            self._left = self._credit
        self._left -= 1
        return True

    def earn(self, number: int = 1) -> None:
        """Gives some back; there is never more than at the begin."""
        if self._left < self._credit:
            self._left = min(self._left + number, self._credit)
