"""The simulated market."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import permutations
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from grpc_core.finance.rates import Snapshot
from grpc_core.finance.ticker import RandomWalk

START = datetime(2026, 11, 20, 13, 15, tzinfo=UTC)
REFERENCE = Snapshot(
    START,
    {"USD": Decimal("1.1172"), "JPY": Decimal("175.68"), "IDR": Decimal("20275.17")},
    frozenset({"DEM"}),
)
BOUND = Decimal("0.002")


class Steepest(Random):
    """Draws the largest numbers for one currency and the smallest for all others."""

    def __init__(self, favourite: int) -> None:
        super().__init__()
        self._favourite = favourite
        self._turn = -1

    def randint(self, a: int, b: int) -> int:
        """Returns `b` for the favourite, else `a`."""
        self._turn = (self._turn + 1) % 3
        return b if self._turn == self._favourite else a


def assert_within_bound(snapshot: Snapshot) -> None:
    """Asserts that no pair is off its reference rate by more than the bound."""
    for base, target in permutations(snapshot.per_euro, 2):
        reference = REFERENCE.rate(base, target)
        assert abs(snapshot.rate(base, target) / reference - 1) <= BOUND


@given(st.integers(), st.integers(1, 300))
def test_every_pair_stays_near_its_reference(seed: int, steps: int) -> None:
    """No rate, crossed or not, is ever further than 0.2 % from the reference rate."""
    walk = RandomWalk(REFERENCE, Random(seed))
    for _ in range(steps):
        snapshot = walk.step(START)

    assert_within_bound(snapshot)


@given(st.integers(0, 2))
def test_the_worst_luck_stays_within_the_bound(favourite: int) -> None:
    """Two currencies that drift apart for ever stop at the bound."""
    walk = RandomWalk(REFERENCE, Steepest(favourite))
    for _ in range(100):
        snapshot = walk.step(START)

    assert_within_bound(snapshot)


@given(st.integers())
def test_a_seed_decides_everything(seed: int) -> None:
    """The same seed walks the same way."""
    one, other = RandomWalk(REFERENCE, Random(seed)), RandomWalk(REFERENCE, Random(seed))

    assert [one.step(START) for _ in range(9)] == [other.step(START) for _ in range(9)]


def test_a_step_is_a_snapshot_of_its_own() -> None:
    """A step moves the rates, takes the time it is given, and leaves the step before alone."""
    walk = RandomWalk(REFERENCE, Random(1))
    first = walk.step(START)
    before = dict(first.per_euro)

    second = walk.step(START + timedelta(seconds=1))

    assert before == first.per_euro
    assert before != second.per_euro
    assert START + timedelta(seconds=1) == second.instant
    assert Decimal(1) == second.per_euro["EUR"]
    assert REFERENCE.retired == second.retired
