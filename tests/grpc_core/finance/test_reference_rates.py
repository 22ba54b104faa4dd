"""Which reference rates are taken, and which are served."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import permutations

import pytest

from grpc_core.finance.errors import RatesUnavailableError
from grpc_core.finance.eurofxref import DayRates, InvalidRatesError
from grpc_core.finance.reference_rates import ReferenceRates
from grpc_core.finance.target_days import in_force_from, quoted_at

THURSDAY, FRIDAY, MONDAY = date(2026, 11, 26), date(2026, 11, 27), date(2026, 11, 30)
PUBLISHED, IN_FORCE = datetime(2026, 11, 30, 15, tzinfo=UTC), datetime(2026, 11, 30, 16, tzinfo=UTC)
TICK = timedelta(seconds=1)


def of(day: date, dollar: str = "1.25", **others: str) -> DayRates:
    """Returns the rates of a day."""
    found = {"USD": dollar, "JPY": "160", **others}
    return DayRates(day, {code: Decimal(rate) for code, rate in found.items()})


def reference_rates() -> ReferenceRates:
    """Returns some that know nothing yet."""
    known = frozenset({"DEM", "USD", "JPY"})
    return ReferenceRates(max_age=timedelta(days=6), max_jump=Decimal("0.5"), known=known)


def test_nothing_is_served_before_there_is_anything() -> None:
    """No bundled rates stand in for live ones."""
    rates = reference_rates()

    assert rates.is_behind(PUBLISHED)
    with pytest.raises(RatesUnavailableError, match="there are no reference rates yet"):
        rates.at(PUBLISHED)


def test_a_new_day_is_in_force_at_five() -> None:
    """Whoever has fetched it before serves the old day until then, and the new one from then on."""
    rates = reference_rates()
    rates.accept([of(FRIDAY)], PUBLISHED - TICK)
    assert rates.accept([of(MONDAY, "1.3")], PUBLISHED)

    before, after = rates.at(IN_FORCE - TICK), rates.at(IN_FORCE)
    assert (before.instant, before.per_euro["USD"]) == (quoted_at(FRIDAY), Decimal("1.25"))
    assert (after.instant, after.per_euro["USD"]) == (quoted_at(MONDAY), Decimal("1.3"))
    assert after.retired == {"DEM"}
    assert not rates.is_behind(IN_FORCE)


def test_cores_that_fetched_at_different_moments_agree() -> None:
    """Early, late, all at once, or after a restart in between: at no instant do two have other rates."""
    days = [of(THURSDAY, "1.2"), of(FRIDAY, "1.25"), of(MONDAY, "1.3")]
    early, whole, restarted = (reference_rates() for _ in range(3))
    for day in days:
        early.accept([day], PUBLISHED)
    whole.accept(days[::-1], IN_FORCE - TICK)
    restarted.accept(early.days, IN_FORCE - TICK)

    for instant in (PUBLISHED, IN_FORCE - TICK, IN_FORCE, IN_FORCE + TICK):
        for one, other in permutations((early, whole, restarted), 2):
            assert one.at(instant) == other.at(instant)


def test_one_that_has_not_fetched_yet_says_so() -> None:
    """From the moment the rates are due; it serves the last good ones."""
    rates = reference_rates()
    rates.accept([of(FRIDAY)], PUBLISHED)

    assert not rates.is_behind(IN_FORCE - TICK)
    assert rates.is_behind(IN_FORCE)
    assert rates.at(IN_FORCE).instant == quoted_at(FRIDAY)
    assert not rates.is_behind(datetime(2026, 11, 29, 12, tzinfo=UTC))


def test_only_rates_that_are_not_in_force_are_none() -> None:
    """A core that has the new day alone waits for the others, rather than be ahead of them."""
    rates = reference_rates()
    rates.accept([of(MONDAY)], PUBLISHED)

    with pytest.raises(
        RatesUnavailableError, match="of 2026-11-30 are not in force before 16:00 UTC"
    ):
        rates.at(IN_FORCE - TICK)
    assert rates.at(IN_FORCE).instant == quoted_at(MONDAY)


def test_what_is_too_old_is_not_served() -> None:
    """Not even if there is nothing else."""
    rates = reference_rates()
    rates.accept([of(FRIDAY)], PUBLISHED)
    end = quoted_at(FRIDAY) + timedelta(days=6)

    assert rates.at(end).per_euro["JPY"] == 160
    with pytest.raises(
        RatesUnavailableError, match="the reference rates of 2026-11-27 are too old"
    ):
        rates.at(end + TICK)


@pytest.mark.parametrize(
    ("days", "problem"),
    [
        ([of(date(2026, 12, 1))], "is of 2026-12-01, which is in the future"),
        ([of(date(2999, 1, 1))], "is of 2999-01-01, which is in the future"),
        ([of(THURSDAY)], "is of 2026-11-26; those of 2026-11-27 are known"),
        (
            [of(MONDAY, "1.876")],
            "has USD at 1.876 on 2026-11-30, which was 1.25 on 2026-11-27: it jum",
        ),
        ([of(MONDAY, "0.833")], "jumped by more than 0.5"),
        ([of(MONDAY, JPY="1")], "has JPY at 1 on"),
        ([of(FRIDAY, "125")], "jumped"),
    ],
)
def test_what_cannot_be_believed_changes_nothing(days: list[DayRates], problem: str) -> None:
    """The future, the past, and a rate that jumps are refused, and the last good rates stay."""
    rates = reference_rates()
    rates.accept([of(FRIDAY)], PUBLISHED)

    with pytest.raises(InvalidRatesError, match=problem):
        rates.accept(days, PUBLISHED)
    assert rates.days == (of(FRIDAY),)


def test_a_day_is_in_the_future_until_its_rates_are_taken() -> None:
    """At 14:15 in Frankfurt; so a clock that is late is noticed, too."""
    rates = reference_rates()

    with pytest.raises(InvalidRatesError, match="in the future"):
        rates.accept([of(MONDAY)], quoted_at(MONDAY) - TICK)
    assert rates.accept([of(MONDAY)], quoted_at(MONDAY))


def test_the_first_document_is_compared_with_itself() -> None:
    """One of several days must not jump within."""
    rates = reference_rates()

    with pytest.raises(InvalidRatesError, match="jumped"):
        rates.accept([of(MONDAY, "12.5"), of(FRIDAY)], PUBLISHED)
    assert rates.days == ()


def test_a_move_that_has_happened_is_taken() -> None:
    """Half as much again, and currencies that come and go."""
    rates = reference_rates()
    rates.accept([of(FRIDAY, "1.2", BGN="1.9558")], PUBLISHED)

    assert rates.accept([of(MONDAY, "1.8", PLN="4.2")], PUBLISHED)
    assert "BGN" not in rates.at(in_force_from(MONDAY)).per_euro


def test_a_correction_of_the_same_day_is_taken() -> None:
    """And the same rates are nothing new."""
    rates = reference_rates()
    rates.accept([of(FRIDAY)], PUBLISHED)

    assert not rates.accept([of(FRIDAY)], PUBLISHED)
    assert rates.accept([of(FRIDAY, "1.26")], PUBLISHED)
    assert rates.at(PUBLISHED).per_euro["USD"] == Decimal("1.26")
