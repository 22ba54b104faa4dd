"""The reference rates of the newest days: which ones are taken, and which one is served at an instant.

Rule: rates are a function of the instant and of the days that are known. Two cores that know the same days
serve the same rates at the same instant, whenever they fetched them.
"""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal

from grpc_core.finance.errors import RatesUnavailableError
from grpc_core.finance.eurofxref import DayRates, InvalidRatesError
from grpc_core.finance.rates import Snapshot
from grpc_core.finance.target_days import due, in_force_from, quoted_at

KEPT_DAYS = 2
"""The newest day, and the one that is served until the newest is in force."""


class ReferenceRates:
    """The last good rates.

    Attributes:
        days: The newest days, the newest first; empty: there were never any.
    """

    def __init__(self, *, max_age: timedelta, max_jump: Decimal, known: frozenset[str]) -> None:
        """Takes the bounds.

        Args:
            max_age: Age from which rates are not served.
            max_jump: Maximum change of a currency from one day to the next: 0.5 is half as much again, or two
                thirds.
            known: All currencies that were ever listed; those without a rate are retired.
        """
        self.days: tuple[DayRates, ...] = ()
        self._max_age = max_age
        self._max_jump = max_jump
        self._known = known
        self._snapshots: dict[date, Snapshot] = {}

    def accept(self, days: Sequence[DayRates], now: datetime) -> bool:
        """Takes the days of a document, the newest first; returns whether there is anything new.

        Raises:
            InvalidRatesError: The newest day is in the future, or older than the last good one, or a currency
                has jumped. Then nothing is taken.
        """
        newest = days[0]
        if quoted_at(newest.day) > now:
            raise InvalidRatesError(f"is of {newest.day}, which is in the future")
        before = self.days[0] if self.days else days[min(1, len(days) - 1)]
        if newest.day < before.day:
            raise InvalidRatesError(f"is of {newest.day}; those of {before.day} are known")
        self._check_jumps(before, newest)
        found = {each.day: each for each in (*self.days, *days[:KEPT_DAYS])}
        kept = tuple(found[day] for day in sorted(found, reverse=True)[:KEPT_DAYS])
        is_new = kept != self.days
        if is_new:
            self.days = kept
            self._snapshots = {each.day: self._snapshot(each) for each in kept}
        return is_new

    def at(self, instant: datetime) -> Snapshot:
        """Returns the rates that are in force.

        Raises:
            RatesUnavailableError: There are none, or they are too old.
        """
        if not self.days:
            raise RatesUnavailableError("there are no reference rates yet")
        for each in self.days:
            if in_force_from(each.day) <= instant:
                if instant - quoted_at(each.day) > self._max_age:
                    raise RatesUnavailableError(f"the reference rates of {each.day} are too old")
                return self._snapshots[each.day]
        day = self.days[-1].day
        raise RatesUnavailableError(
            f"the reference rates of {day} are not in force before {in_force_from(day):%H:%M} UTC"
        )

    def is_behind(self, now: datetime) -> bool:
        """Whether rates should be in force, by the calendar, that are not known yet."""
        return not self.days or self.days[0].day < due(now)

    def _snapshot(self, of: DayRates) -> Snapshot:
        return Snapshot(quoted_at(of.day), of.per_euro, self._known - of.per_euro.keys())

    def _check_jumps(self, before: DayRates, after: DayRates) -> None:
        for code in before.per_euro.keys() & after.per_euro.keys():
            old, new = before.per_euro[code], after.per_euro[code]
            if max(old, new) > min(old, new) * (1 + self._max_jump):
                raise InvalidRatesError(
                    f"has {code} at {new} on {after.day}, which was {old} on {before.day}:"
                    f" it jumped by more than {self._max_jump}"
                )
