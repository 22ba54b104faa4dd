"""Amounts, rates and instants of the domain as messages of `google.type` and `google.protobuf`."""

from datetime import datetime
from decimal import Decimal
from functools import lru_cache

from google.protobuf.timestamp_pb2 import Timestamp
from google.type.decimal_pb2 import Decimal as DecimalMessage
from google.type.money_pb2 import Money

from grpc_core.finance.errors import InvalidArgumentError, OutOfRangeError, Violation

MAX_UNITS = 2**63 - 1
MAX_NANOS = 999_999_999
NANOS = 9


def amount_of(money: Money) -> Decimal:
    """Returns the amount of a Money, exactly.

    Raises:
        InvalidArgumentError: `nanos` has more than nine digits or another sign than `units`; the field is
            `amount.nanos`.
    """
    units, nanos = money.units, money.nanos
    if abs(nanos) > MAX_NANOS:
        raise _wrong(f"nanos must be between -{MAX_NANOS} and {MAX_NANOS}, got {nanos}")
    if units and nanos and (units > 0) is not (nanos > 0):
        raise _wrong(f"nanos must have the sign of units ({units}), got {nanos}")
    return Decimal(units) + Decimal(nanos).scaleb(-NANOS) if nanos else Decimal(units)


def _wrong(problem: str) -> InvalidArgumentError:
    return InvalidArgumentError([Violation("amount.nanos", problem)])


def money(amount: Decimal, code: str, too_large: str) -> Money:
    """Returns a Money.

    Args:
        amount: In units of the currency; at most nine digits after the decimal point, not negative.
        code: The currency.
        too_large: What an error says.

    Raises:
        OutOfRangeError: Money cannot hold the amount; the field is `amount`.
    """
    units = int(amount)
    if units > MAX_UNITS:
        raise OutOfRangeError([Violation("amount", too_large)])
    return Money(currency_code=code, units=units, nanos=int((amount - units).scaleb(NANOS)))


@lru_cache(maxsize=1024)
def decimal(rate: Decimal) -> DecimalMessage:
    """Returns a rate as a message; not to be changed, as it is kept."""
    return DecimalMessage(value=format(rate, "f"))


@lru_cache(maxsize=8)
def timestamp(instant: datetime) -> Timestamp:
    """Returns an instant as a message; not to be changed, as it is kept."""
    message = Timestamp()
    message.FromDatetime(instant)
    return message
