"""Currencies and the rounding of their amounts."""

from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from grpc_core.finance.conversion import convert
from grpc_core.finance.currencies import DIGITS, ISO_4217, minor_unit_digits, rounded
from grpc_core.finance.rates import Snapshot
from grpc_core.finance.reference import load

SNAPSHOT = Snapshot(
    datetime(2026, 11, 20, tzinfo=UTC), {"USD": Decimal("1.1563"), "JPY": Decimal(182)}
)
AMOUNTS = st.decimals(
    min_value=Decimal("1e-9"), max_value=Decimal(2**63 - 1), places=9, allow_nan=False
)


@given(AMOUNTS, st.sampled_from(["USD", "EUR", "JPY"]), st.sampled_from(["USD", "EUR", "JPY"]))
def test_a_result_is_off_by_half_a_unit_at_most(amount: Decimal, source: str, target: str) -> None:
    """However large the amount is: the product is reckoned with fractions here."""
    conversion = convert(SNAPSHOT, from_currency=source, to_currency=target, amount=amount)
    unit = Decimal(1).scaleb(-minor_unit_digits(target))

    exact = Fraction(amount) * Fraction(conversion.rate)
    off = Fraction(rounded(conversion.amount, target)) - exact
    assert -Fraction(unit) / 2 < off <= Fraction(unit) / 2


def test_every_currency_is_in_the_list() -> None:
    """Those with other digits and those with a rate are currencies of ISO 4217."""
    assert DIGITS.keys() <= ISO_4217
    assert load().per_euro.keys() <= ISO_4217
