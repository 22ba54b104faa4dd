"""The simulated market."""

from datetime import UTC, datetime
from decimal import Decimal
from itertools import pairwise, permutations

from hypothesis import given
from hypothesis import strategies as st

from grpc_core.finance.rates import Snapshot
from grpc_core.finance.ticker import LARGEST_DEVIATION, LARGEST_STEP, deviation, simulated

START = datetime(2026, 11, 20, 13, 15, tzinfo=UTC)
REFERENCE = Snapshot(
    START,
    {"USD": Decimal("1.1172"), "JPY": Decimal("175.68"), "IDR": Decimal("20275.17")},
    frozenset({"DEM"}),
)
BOUND = Decimal("0.002")
SEEDS, TICKS = st.integers(), st.integers(0, 2**40)


@given(SEEDS, TICKS)
def test_every_pair_stays_near_its_reference(seed: int, tick: int) -> None:
    """No rate, crossed or not, is ever further than 0.2 % from the reference rate."""
    snapshot = simulated(REFERENCE, seed=seed, tick=tick, instant=START)

    for base, target in permutations(snapshot.per_euro, 2):
        reference = REFERENCE.rate(base, target)
        assert abs(snapshot.rate(base, target) / reference - 1) <= BOUND


@given(SEEDS, TICKS)
def test_a_currency_moves_by_small_steps(seed: int, first: int) -> None:
    """By at most 25 parts per million from a tick to the next, and never beyond 999 of them."""
    deviations = [deviation(seed, "USD", first + after) for after in range(400)]

    assert max(map(abs, deviations)) <= LARGEST_DEVIATION
    assert max(abs(after - before) for before, after in pairwise(deviations)) <= LARGEST_STEP
    assert len(set(deviations)) > 20


def test_a_tick_has_its_rates_for_ever() -> None:
    """These are deviations that were told once; cores of other versions tell the same."""
    ticks = (0, 1, 159, 160, 1_800_000_000)

    assert [deviation(0, "USD", tick) for tick in ticks] == [129, 119, -412, -407, -121]
    assert deviation(0, "USD", 7) != deviation(1, "USD", 7) != deviation(1, "JPY", 7)


def test_a_tick_is_a_snapshot_of_its_own() -> None:
    """It has the time that it is given, and the euro and the retired currencies of the reference."""
    second = START.replace(second=1)

    snapshot = simulated(REFERENCE, seed=1, tick=5, instant=second)

    assert snapshot.instant == second
    assert snapshot.per_euro["EUR"] == 1
    assert snapshot.retired == REFERENCE.retired
    assert snapshot == simulated(REFERENCE, seed=1, tick=5, instant=second)
    assert snapshot.per_euro != simulated(REFERENCE, seed=1, tick=6, instant=second).per_euro
