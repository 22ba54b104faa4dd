"""Conversion of amounts between currencies.

Rule: amounts are decimals internally and products are exact; only a caller rounds. Every
result fits into a double.
"""

import math
import sys
from dataclasses import dataclass
from datetime import datetime
from decimal import Context, Decimal
from typing import Self

from grpc_core.finance.errors import (
    FinanceError,
    InvalidArgumentError,
    OutOfRangeError,
    Violation,
)
from grpc_core.finance.rates import Snapshot

LARGEST_DOUBLE = Decimal(sys.float_info.max)
EXACT = Context(prec=64)
"""Holds the product of an amount (at most 28 digits) and a rate (28 digits) without rounding."""


@dataclass(slots=True)
class Conversion:
    """A converted amount.

    Attributes:
        amount: The result in units of the target currency, not rounded.
        rate: Units of the target currency per unit of the source currency.
        instant: Time of the quote, in UTC.
    """

    amount: Decimal
    rate: Decimal
    instant: datetime


def convert(
    snapshot: Snapshot, *, from_currency: str, to_currency: str, amount: float | Decimal
) -> Conversion:
    """Converts an amount at the rates of a snapshot.

    Args:
        snapshot: The rates.
        from_currency: Code of the source currency.
        to_currency: Code of the target currency.
        amount: In units of `from_currency`; a double is taken by its shortest representation.

    Raises:
        InvalidArgumentError: A currency has no rate, or the amount is not a finite number.
        OutOfRangeError: The amount is not greater than zero, or the result exceeds a double.
    """
    rate = snapshot.known_rate(from_currency, to_currency)
    if rate is None or not 0 < amount < math.inf:
        codes = {"from_currency": from_currency, "to_currency": to_currency}
        raise _refusal(snapshot.refused(codes), amount)
    exact = amount if isinstance(amount, Decimal) else Decimal(repr(amount))
    converted = EXACT.multiply(exact, rate)
    if converted > LARGEST_DOUBLE:
        raise OutOfRangeError(
            [Violation("amount", f"amount is too large to convert, got {amount}")]
        )
    return Conversion(converted, rate, snapshot.instant)


def _refusal(refused: list[Violation], amount: float | Decimal) -> FinanceError:
    if not math.isfinite(amount):
        problem = Violation("amount", f"amount must be a finite number, got {amount}")
        return InvalidArgumentError([*refused, problem])
    if amount > 0:
        return InvalidArgumentError(refused)
    problem = Violation("amount", f"amount must be greater than 0, got {amount}")
    return InvalidArgumentError([*refused, problem]) if refused else OutOfRangeError([problem])


@dataclass(frozen=True, slots=True)
class Batch:
    """The sum of converted amounts.

    Attributes:
        total: The sum, regardless of the currencies.
        count: Number of amounts.
    """

    total: Decimal = Decimal(0)
    count: int = 0

    def plus(self, conversion: Conversion) -> Self:
        """Returns this batch with one more amount.

        Raises:
            OutOfRangeError: The sum exceeds a double.
        """
        total = self.total + conversion.amount
        if total > LARGEST_DOUBLE:
            raise OutOfRangeError(
                [Violation("amount", "amount makes the sum of the batch too large")]
            )
        return type(self)(total, self.count + 1)
