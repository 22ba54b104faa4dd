"""Currencies, and the digits that their amounts are rounded to.

Source: ISO 4217, table A.1, column "minor unit".
"""

from decimal import ROUND_HALF_UP, Context, Decimal

from grpc_core.finance.errors import NotFoundError, Violation
from grpc_core.finance.rates import Snapshot

USUAL_DIGITS = 2
DIGITS = {"ISK": 0, "JPY": 0, "KRW": 0}
"""Minor units of the currencies that have other than two, of those that the ECB has a rate for."""

_ROUNDING = Context(prec=64, rounding=ROUND_HALF_UP)


def minor_unit_digits(code: str) -> int:
    """Returns how many digits after the decimal point amounts of an active currency have."""
    return DIGITS.get(code, USUAL_DIGITS)


def rounded(amount: Decimal, code: str) -> Decimal:
    """Returns an amount rounded to the minor unit of its currency; a half is rounded up.

    Source: Council Regulation (EC) 1103/97, article 5.
    """
    return amount.quantize(Decimal(1).scaleb(-minor_unit_digits(code)), context=_ROUNDING)


def codes(snapshot: Snapshot) -> list[str]:
    """Returns the codes of all currencies, retired ones too, sorted."""
    return sorted(snapshot.per_euro.keys() | snapshot.retired)


def rate(snapshot: Snapshot, base: str, target: str, *, field: str = "name") -> Decimal:
    """Returns the rate that a name says; its codes are exact.

    Args:
        snapshot: The rates.
        base: Code of the base currency.
        target: Code of the target currency.
        field: What an error calls the field with the name.

    Raises:
        NotFoundError: One of the currencies has no rate.
    """
    missing = dict.fromkeys(code for code in (base, target) if code not in snapshot.per_euro)
    if missing:
        raise NotFoundError([Violation(field, f"{' and '.join(missing)} has no rate")])
    return snapshot.rate(base, target)
