"""Rates of one snapshot."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grpc_core.finance.errors import InvalidArgumentError
from grpc_core.finance.rates import Snapshot

INSTANT = datetime(2026, 11, 20, 13, 15, tzinfo=UTC)
SNAPSHOT = Snapshot(
    INSTANT, {"USD": Decimal("1.25"), "JPY": Decimal(160)}, retired=frozenset({"DEM"})
)

rates = st.decimals("0.0001", "100000", places=4)


@pytest.mark.parametrize(
    ("base", "target", "expected"),
    [
        ("EUR", "USD", "1.25"),
        ("USD", "EUR", "0.8"),
        ("USD", "JPY", "128"),
        ("usd", "Jpy", "128"),
        ("JPY", "JPY", "1"),
        ("EUR", "EUR", "1"),
    ],
)
def test_a_rate_is_crossed_through_the_euro(base: str, target: str, expected: str) -> None:
    """A rate is target per base, whatever the case of the codes."""
    assert Decimal(expected) == SNAPSHOT.rate(base, target)


def test_a_rate_is_worked_out_once() -> None:
    """And means the same however the codes are spelled."""
    assert SNAPSHOT.rate("USD", "EUR") is SNAPSHOT.rate("USD", "EUR")
    assert len({SNAPSHOT.rate(base, "JPY") for base in ("USD", "usd", "Usd")}) == 1


@pytest.mark.parametrize(
    ("code", "description"),
    [
        ("XXX", "unknown currency 'XXX'"),
        ("", "currency code must not be empty"),
        (" USD", "unknown currency ' USD'"),
        ("U\u017fD", "unknown currency 'U\u017fD'"),
        ("dem", "retired currency 'dem' no longer has a rate"),
        ("X" * 1000, "unknown currency 'XXXXXXXXXXXX...'"),
    ],
)
def test_a_code_without_a_rate_is_refused(code: str, description: str) -> None:
    """A currency that has no rate is an error that says why, also against itself."""
    with pytest.raises(InvalidArgumentError, match="currency") as caught:
        SNAPSHOT.rate("USD", code)

    assert [description] == [violation.description for violation in caught.value.violations]
    with pytest.raises(InvalidArgumentError):
        SNAPSHOT.rate(code, code)


def test_both_codes_are_named_when_both_are_wrong() -> None:
    """One error lists everything that is wrong."""
    with pytest.raises(InvalidArgumentError) as caught:
        SNAPSHOT.rate("AAA", "BBB")

    assert [violation.field for violation in caught.value.violations] == ["base", "target"]
    assert str(caught.value) == "unknown currency 'AAA'; unknown currency 'BBB'"


@given(rates, rates, rates)
def test_a_detour_costs_nothing(a: Decimal, b: Decimal, c: Decimal) -> None:
    """A to B to C is A to C, to the precision of a double."""
    snapshot = Snapshot(INSTANT, {"AAA": a, "BBB": b, "CCC": c})

    detour = snapshot.rate("AAA", "BBB") * snapshot.rate("BBB", "CCC")

    assert float(detour) == pytest.approx(float(snapshot.rate("AAA", "CCC")), rel=1e-15)


def test_a_snapshot_cannot_be_changed() -> None:
    """Who holds a snapshot can trust it."""
    with pytest.raises(TypeError):
        SNAPSHOT.per_euro["USD"] = Decimal(2)  # type: ignore[index]  # that it cannot be set is what is tried
