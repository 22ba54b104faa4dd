"""What a caller may ask to follow."""

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from grpc_core.finance.errors import InvalidArgumentError
from grpc_core.finance.rates import Snapshot
from grpc_core.finance.watchlist import Watchlist

SNAPSHOT = Snapshot(
    datetime(2026, 11, 20, 13, 15, tzinfo=UTC), {"USD": Decimal("1.25"), "JPY": Decimal(160)}
)


@pytest.mark.parametrize(
    ("base", "targets", "expected"),
    [
        ("USD", ["JPY", "EUR"], Watchlist("USD", ("JPY", "EUR"))),
        ("usd", ["jpy", "JPY", "jPy"], Watchlist("USD", ("JPY",))),
        ("USD", [], Watchlist("USD", ("EUR", "JPY"))),
        ("EUR", [], Watchlist("EUR", ("JPY", "USD"))),
        ("USD", ["USD"], Watchlist("USD", ("USD",))),
    ],
)
def test_a_watchlist_is_in_order(base: str, targets: Sequence[str], expected: Watchlist) -> None:
    """Each target stands once, in upper case, where it was first asked for; none means all."""
    assert expected == Watchlist.of(SNAPSHOT, base, targets)


def test_every_wrong_code_is_named() -> None:
    """Targets are named by their place."""
    with pytest.raises(InvalidArgumentError) as caught:
        Watchlist.of(SNAPSHOT, "", ["EUR", "XXX", "YYY"])

    assert {violation.field: violation.description for violation in caught.value.violations} == {
        "base_currency": "currency code must not be empty",
        "target_currencies[1]": "unknown currency 'XXX'",
        "target_currencies[2]": "unknown currency 'YYY'",
    }
