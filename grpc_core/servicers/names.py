"""Resource names of version 2: `currencies/EUR`, `currencies/USD/exchangeRates/EUR`.

Source: AIP-122.
"""

import re

from grpc_core.finance.errors import InvalidArgumentError, Violation

_CURRENCY = re.compile(r"currencies/([A-Z]{3})")
_RATE = re.compile(r"currencies/([A-Z]{3})/exchangeRates/([A-Z]{3})")
MAX_QUOTED = 64


def currency_name(code: str) -> str:
    """Returns the name of a currency."""
    return f"currencies/{code}"


def rate_name(base: str, target: str) -> str:
    """Returns the name of the rate between two currencies."""
    return f"currencies/{base}/exchangeRates/{target}"


def currency_of(name: str, field: str = "name") -> str:
    """Returns the code in the name of a currency.

    Raises:
        InvalidArgumentError: It is no such name.
    """
    found = _CURRENCY.fullmatch(name)
    if found is None:
        raise _no_name(field, name, "currencies/CODE")
    return found[1]


def rate_of(name: str) -> tuple[str, str]:
    """Returns the codes of base and target in the name of a rate.

    Raises:
        InvalidArgumentError: It is no such name.
    """
    found = _RATE.fullmatch(name)
    if found is None:
        raise _no_name("name", name, "currencies/CODE/exchangeRates/CODE")
    return found[1], found[2]


def _no_name(field: str, name: str, pattern: str) -> InvalidArgumentError:
    shown = name if len(name) <= MAX_QUOTED else f"{name[:MAX_QUOTED]}..."
    return InvalidArgumentError(
        [Violation(field, f"{field} must be {pattern} with codes of ISO 4217, got {shown!r}")]
    )
