"""A credit against floods."""

from __future__ import annotations

from collections.abc import Callable


class Budget:
    """A credit that a peer spends by what costs work, earns by what is useful, and gets anew each period.

    Attributes:
        spent: how much of it is; 0 as long as there is nothing to earn.
    """

    def __init__(self, credit: int, period: float, clock: Callable[[], float]) -> None:
        """Makes a credit for so many; `period` in seconds of the clock."""
        self.spent = 0
        self._credit = credit
        self._period = period
        self._clock = clock
        self._until = clock() + period

    def spend(self, number: int = 1) -> bool:
        """Takes some; returns whether there was so much."""
        if self.spent + number > self._credit:
            now = self._clock()
            if now < self._until:
                return False
            self._until = now + self._period
            self.spent = 0
        self.spent += number
        return True

    def earn(self, number: int = 1) -> None:
        """Gives some back; there is never more than at the begin."""
        if self.spent:
            self.spent = max(self.spent - number, 0)
