"""What an amount of one currency is in another.

Rule: amounts are decimals inside, and every result fits the double that it is answered in.
"""

import math
import sys
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Self

from grpc_core.finance.errors import (
    FinanceError,
    InvalidArgumentError,
    OutOfRangeError,
    Violation,
)
from grpc_core.finance.rates import Snapshot

LARGEST_DOUBLE = Decimal(sys.float_info.max)


@dataclass(slots=True)
class Conversion:
    """An amount that has been converted.

    Attributes:
        amount: The result in units of the target currency, not rounded to its minor unit.
        rate: How many units of the target currency one unit of the source currency is.
        instant: When the rate was quoted; in UTC.
    """

    amount: Decimal
    rate: Decimal
    instant: datetime


def convert(
    snapshot: Snapshot, *, from_currency: str, to_currency: str, amount: float
) -> Conversion:
    """Converts an amount at the rates of a snapshot.

    Args:
        snapshot: The rates.
        from_currency: The currency that the amount is in.
        to_currency: The currency that it is wanted in.
        amount: How much, in units of `from_currency`; taken as the decimal that it is printed as.

    Raises:
        InvalidArgumentError: A currency has no rate, or the amount is not a finite number.
        OutOfRangeError: The amount is not greater than zero, or the result does not fit a double.
    """
    rate = snapshot.known_rate(from_currency, to_currency)
    if rate is None or not 0 < amount < math.inf:
        codes = {"from_currency": from_currency, "to_currency": to_currency}
        raise _refusal(snapshot.refused(codes), amount)
    converted = Decimal(repr(amount)) * rate
    if converted > LARGEST_DOUBLE:
        raise OutOfRangeError(
            [Violation("amount", f"amount is too large to convert, got {amount}")]
        )
    return Conversion(converted, rate, snapshot.instant)


def _refusal(refused: list[Violation], amount: float) -> FinanceError:
    if not math.isfinite(amount):
        problem = Violation("amount", f"amount must be a finite number, got {amount}")
        return InvalidArgumentError([*refused, problem])
    if amount > 0:
        return InvalidArgumentError(refused)
    problem = Violation("amount", f"amount must be greater than 0, got {amount}")
    return InvalidArgumentError([*refused, problem]) if refused else OutOfRangeError([problem])


@dataclass(frozen=True, slots=True)
class Batch:
    """Converted amounts, added up.

    Attributes:
        total: The sum of the amounts, whatever currency each is in.
        count: How many there are.
    """

    total: Decimal = Decimal(0)
    count: int = 0

    def plus(self, conversion: Conversion) -> Self:
        """Returns this batch with one more amount.

        Raises:
            OutOfRangeError: The sum no longer fits a double.
        """
        total = self.total + conversion.amount
        if total > LARGEST_DOUBLE:
            raise OutOfRangeError(
                [Violation("amount", "amount makes the sum of the batch too large")]
            )
        return type(self)(total, self.count + 1)
