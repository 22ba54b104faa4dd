"""When reference rates are taken, published and in force.

Source: the ECB's framework for the euro foreign exchange reference rates (concertation at 14:15, publication
at about 16:00, on TARGET working days), and the TARGET calendar: Monday to Friday without 1 January, Good
Friday, Easter Monday, 1 May, 25 and 26 December.
"""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

FRANKFURT = ZoneInfo("Europe/Berlin")
CONCERTATION = time(14, 15, tzinfo=FRANKFURT)
"""Time of day of the reference rates: the daily concertation of central banks."""
IN_FORCE = time(17, 0, tzinfo=FRANKFURT)
"""Time of day from which the rates of a day are served.

An hour after publication, so that every core has fetched them by then, and all change at the same tick.
"""

_CLOSED = {(1, 1), (5, 1), (12, 25), (12, 26)}
_GOOD_FRIDAY, _EASTER_MONDAY = timedelta(days=-2), timedelta(days=1)
_SATURDAY = 5


def quoted_at(day: date) -> datetime:
    """Returns the instant of a day's rates: 14:15 in Frankfurt, in UTC."""
    return datetime.combine(day, CONCERTATION).astimezone(UTC)


def in_force_from(day: date) -> datetime:
    """Returns the instant from which a day's rates are served, in UTC."""
    return datetime.combine(day, IN_FORCE).astimezone(UTC)


def is_working_day(day: date) -> bool:
    """Whether TARGET is open, so that the ECB publishes rates."""
    if day.weekday() >= _SATURDAY or (day.month, day.day) in _CLOSED:
        return False
    easter = _easter_sunday(day.year)
    return day - easter not in (_GOOD_FRIDAY, _EASTER_MONDAY)


def due(now: datetime) -> date:
    """Returns the newest day whose rates have to be in force, by the calendar."""
    day = now.astimezone(FRANKFURT).date()
    while not is_working_day(day) or in_force_from(day) > now:
        day -= timedelta(days=1)
    return day


def _easter_sunday(year: int) -> date:
    """Returns Easter Sunday of the Gregorian calendar, by the algorithm of Meeus, Jones and Butcher."""
    a, (b, c) = year % 19, divmod(year, 100)
    d, e = divmod(b, 4)
    g = (8 * b + 13) // 25
    h = (19 * a + b - d - g + 15) % 30
    i, k = divmod(c, 4)
    m = (32 + 2 * e + 2 * i - h - k) % 7
    n = (a + 11 * h + 22 * m) // 451
    month, before = divmod(h + m - 7 * n + 114, 31)
    return date(year, month, before + 1)
