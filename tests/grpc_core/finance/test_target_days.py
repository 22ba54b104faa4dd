"""When reference rates are taken, published and in force."""

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import pytest

from grpc_core.finance.target_days import due, in_force_from, is_working_day, quoted_at
from grpc_core.settings import Settings


@pytest.mark.parametrize(("day", "hour"), [(date(2026, 7, 1), 12), (date(2026, 11, 20), 13)])
def test_the_instant_knows_summer_time(day: date, hour: int) -> None:
    """14:15 in Frankfurt is 12:15 UTC in summer and 13:15 UTC in winter."""
    assert quoted_at(day) == datetime(day.year, day.month, day.day, hour, 15, tzinfo=UTC)
    assert in_force_from(day) - quoted_at(day) == timedelta(hours=2, minutes=45)


def test_the_ecb_works_on_target_days() -> None:
    """The closing days of 2024 to 2026, as the ECB has announced them."""
    closed = {
        date(2024, 1, 1), date(2024, 3, 29), date(2024, 4, 1), date(2024, 5, 1), date(2024, 12, 25),
        date(2024, 12, 26), date(2025, 1, 1), date(2025, 4, 18), date(2025, 4, 21), date(2025, 5, 1),
        date(2025, 12, 25), date(2025, 12, 26), date(2026, 1, 1), date(2026, 4, 3), date(2026, 4, 6),
        date(2026, 5, 1), date(2026, 12, 25),
    }  # fmt: skip
    weekdays = [day for n in range(1096) if (day := date(2024, 1, 1) + timedelta(n)).weekday() < 5]

    assert {day for day in weekdays if not is_working_day(day)} == closed
    assert not is_working_day(date(2026, 11, 28))


@pytest.mark.parametrize(
    ("now", "day"),
    [
        (datetime(2026, 11, 30, 15, 59, 59, tzinfo=UTC), date(2026, 11, 27)),
        (datetime(2026, 11, 30, 16, 0, tzinfo=UTC), date(2026, 11, 30)),
        (datetime(2026, 11, 30, 23, 30, tzinfo=UTC), date(2026, 11, 30)),
        (datetime(2026, 11, 29, 12, 0, tzinfo=UTC), date(2026, 11, 27)),
        (datetime(2026, 4, 7, 14, 59, tzinfo=UTC), date(2026, 4, 2)),
        (datetime(2026, 4, 7, 15, 0, tzinfo=UTC), date(2026, 4, 7)),
        (datetime(2026, 1, 1, 12, 0, tzinfo=UTC), date(2025, 12, 31)),
    ],
)
def test_rates_are_due_at_five_on_working_days(now: datetime, day: date) -> None:
    """At 17:00 in Frankfurt, and not on weekends, at Easter and at the turn of the year."""
    assert due(now) == day


def test_no_holiday_makes_rates_too_old() -> None:
    """For thirty years, rates that come in time are never as old as the default of `rates_max_age`."""
    days = [
        day for n in range(11_000) if is_working_day(day := date(2026, 1, 1) + timedelta(days=n))
    ]
    oldest = max(in_force_from(newer) - quoted_at(older) for older, newer in pairwise(days))

    assert timedelta(days=5, hours=2) < oldest < timedelta(days=5, hours=4)
    assert oldest + timedelta(hours=12) < timedelta(seconds=Settings().rates_max_age)
