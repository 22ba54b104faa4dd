"""Simulated rates: a random walk around the reference rates.

Rule: the same seed gives the same rates; the walk neither waits nor reads a clock.
"""

from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from random import Random

from grpc_core.finance.rates import EURO, Snapshot

LARGEST_DEVIATION = 999
"""Maximum deviation of a currency from its reference rate in parts per million, up or down.

Two currencies with opposite deviations are up to 0.2 % off against each other.
"""

LARGEST_STEP = 25
"""Maximum move of a currency per step in parts per million, up or down."""


class RandomWalk:
    """Moves every currency at random around its reference rate, by at most 0.2 %.

    The limit holds for each pair of currencies, not only for rates against the euro.

    Attributes:
        steps: Number of steps so far.
    """

    def __init__(self, reference: Snapshot, random: Random) -> None:
        self._reference = reference
        self._random = random
        self.steps = 0
        self._deviations = {code: 0 for code in reference.per_euro if code != EURO}

    def step(self, now: datetime) -> Snapshot:
        """Moves all currencies by one step, and returns their rates with `now` as the instant."""
        self.skip()
        return replace(self._reference, instant=now, per_euro=self._per_euro())

    def skip(self) -> None:
        """Moves all currencies by one step, without computing rates."""
        self.steps += 1
        for code, deviation in self._deviations.items():
            moved = deviation + self._random.randint(-LARGEST_STEP, LARGEST_STEP)
            self._deviations[code] = max(-LARGEST_DEVIATION, min(moved, LARGEST_DEVIATION))

    def _per_euro(self) -> dict[str, Decimal]:
        reference = self._reference.per_euro
        return {
            code: reference[code] * Decimal(1_000_000 + deviation).scaleb(-6)
            for code, deviation in self._deviations.items()
        }
