"""Amounts that are converted."""

import math
import sys
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grpc_core.finance.conversion import Batch, Conversion, convert
from grpc_core.finance.errors import FinanceError, InvalidArgumentError, OutOfRangeError
from grpc_core.finance.rates import Snapshot

INSTANT = datetime(2026, 11, 20, 13, 15, tzinfo=UTC)
SNAPSHOT = Snapshot(INSTANT, {"USD": Decimal("1.25"), "JPY": Decimal("175.68")})
LARGEST = sys.float_info.max


def test_an_amount_is_the_decimal_that_it_is_printed_as() -> None:
    """0.1 is a tenth, and the result is not rounded to cents or yen."""
    conversion = convert(SNAPSHOT, from_currency="EUR", to_currency="JPY", amount=0.1)

    assert Conversion(Decimal("17.568"), Decimal("175.68"), INSTANT) == conversion


@given(st.floats(min_value=0, exclude_min=True, allow_infinity=False))
def test_a_currency_is_worth_itself(amount: float) -> None:
    """Converting into the same currency changes nothing."""
    conversion = convert(SNAPSHOT, from_currency="USD", to_currency="usd", amount=amount)

    assert amount == float(conversion.amount)
    assert conversion.rate == 1


@pytest.mark.parametrize(
    ("source", "target", "amount", "error", "fields"),
    [
        ("XXX", "USD", 1.0, InvalidArgumentError, ["from_currency"]),
        ("USD", "XXX", 1.0, InvalidArgumentError, ["to_currency"]),
        ("", "XXX", 1.0, InvalidArgumentError, ["from_currency", "to_currency"]),
        ("USD", "EUR", math.nan, InvalidArgumentError, ["amount"]),
        ("USD", "EUR", math.inf, InvalidArgumentError, ["amount"]),
        ("USD", "EUR", -math.inf, InvalidArgumentError, ["amount"]),
        ("USD", "EUR", 0.0, OutOfRangeError, ["amount"]),
        ("USD", "EUR", -0.0, OutOfRangeError, ["amount"]),
        ("USD", "EUR", -5.0, OutOfRangeError, ["amount"]),
        ("USD", "JPY", LARGEST, OutOfRangeError, ["amount"]),
        ("XXX", "USD", -5.0, InvalidArgumentError, ["from_currency", "amount"]),
        ("XX", "YY", math.nan, InvalidArgumentError, ["from_currency", "to_currency", "amount"]),
    ],
)
def test_everything_that_is_wrong_is_listed(
    source: str, target: str, amount: float, error: type[FinanceError], fields: list[str]
) -> None:
    """A wrong value of any kind outranks a value out of range; neither hides the other."""
    with pytest.raises(FinanceError) as caught:
        convert(SNAPSHOT, from_currency=source, to_currency=target, amount=amount)

    assert error is type(caught.value)
    assert fields == [violation.field for violation in caught.value.violations]


@pytest.mark.parametrize(
    ("amount", "message"),
    [
        (-5.0, "amount must be greater than 0, got -5.0"),
        (math.nan, "amount must be a finite number, got nan"),
        (LARGEST, "amount is too large to convert, got 1.7976931348623157e+308"),
    ],
)
def test_an_error_says_what_was_wrong(amount: float, message: str) -> None:
    """A message names the rule and the value that broke it."""
    with pytest.raises(FinanceError) as caught:
        convert(SNAPSHOT, from_currency="USD", to_currency="JPY", amount=amount)

    assert message == str(caught.value)


def test_a_batch_is_a_sum_and_a_number() -> None:
    """Sums are decimal: ten tenths are one."""
    batch = Batch()
    for _ in range(10):
        batch = batch.plus(Conversion(Decimal("0.1"), Decimal(1), INSTANT))

    assert Batch(Decimal("1.0"), 10) == batch


def test_a_batch_has_to_fit_a_double() -> None:
    """A sum that is too large is refused, not infinite."""
    huge = Conversion(Decimal(LARGEST), Decimal(1), INSTANT)

    with pytest.raises(OutOfRangeError, match="sum of the batch too large"):
        Batch().plus(huge).plus(huge)
