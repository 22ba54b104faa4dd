"""Rates that move: a simulated market around the reference rates.

Rule: the same seed gives the same rates; the walk neither waits nor asks what time it is.
"""

from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from random import Random

from grpc_core.finance.rates import EURO, Snapshot

LARGEST_DEVIATION = 999
"""Parts per million that a currency may be off its reference rate, up or down.

Two currencies that are off by this in opposite directions are 0.2 % off against each other.
"""

LARGEST_STEP = 25
"""Parts per million that a currency may move in one step, up or down."""


class RandomWalk:
    """Walks every currency at random around its reference rate, never further than 0.2 %.

    The bound holds for each pair of currencies, not only for their rates against the euro.

    Attributes:
        steps: How many steps it has taken.
    """

    def __init__(self, reference: Snapshot, random: Random) -> None:
        self._reference = reference
        self._random = random
        self.steps = 0
        self._deviations = {code: 0 for code in reference.per_euro if code != EURO}

    def step(self, now: datetime) -> Snapshot:
        """Moves all currencies by one step, and returns their rates as those of `now`."""
        self.skip()
        return replace(self._reference, instant=now, per_euro=self._per_euro())

    def skip(self) -> None:
        """Moves all currencies by one step of which nobody asks the rates."""
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
