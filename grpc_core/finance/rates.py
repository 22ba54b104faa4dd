"""Exchange rates at one instant.

Rule: all rates of a snapshot are derived from one table of rates per euro, so they are consistent. A currency
    that
is not in the table has no rate.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from types import MappingProxyType

from grpc_core.finance.errors import InvalidArgumentError, Violation

EURO = "EUR"
MAX_QUOTED = 12  # characters of an unknown code in an error; a valid code has 3


def canonical(code: str) -> str:
    """Returns a currency code in upper case, if it is ASCII.

    Other codes are unchanged, since `str.upper` converts a long s (U+017F) to S.
    """
    return code.upper() if code.isascii() else code


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The rates of all currencies at one instant.

    Attributes:
        instant: Time of the quote; timezone-aware, in UTC.
        per_euro: Active currency -> its units per euro. The euro is added.
        retired: Currencies that no longer have a rate.
    """

    instant: datetime
    per_euro: Mapping[str, Decimal]
    retired: frozenset[str] = frozenset()
    _rates: dict[tuple[str, str], Decimal] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )
    """Cached rates by canonical base and target."""

    def __post_init__(self) -> None:
        complete = MappingProxyType({**self.per_euro, EURO: Decimal(1)})
        object.__setattr__(self, "per_euro", complete)

    def rate(self, base: str, target: str) -> Decimal:
        """Returns the units of `target` per unit of `base`, to 28 digits.

        Raises:
            InvalidArgumentError: `base` or `target` has no rate; lists both if neither has one.
        """
        rate = self.known_rate(base, target)
        if rate is None:
            raise InvalidArgumentError(self.refused({"base": base, "target": target}))
        return rate

    def known_rate(self, base: str, target: str) -> Decimal | None:
        """Returns the units of `target` per unit of `base`; None: one of them has no rate."""
        known = self._rates.get((base, target))
        if known is not None:
            return known
        base, target = canonical(base), canonical(target)
        per_euro = self.per_euro
        try:
            rate = self._rates[base, target] = per_euro[target] / per_euro[base]
        except KeyError:
            return None
        return rate

    def refused(self, codes: Mapping[str, str]) -> list[Violation]:
        """Returns a violation for each currency code without a rate.

        Args:
            codes: Name of the request field -> currency code.
        """
        return [
            Violation(field, self._problem(code))
            for field, code in codes.items()
            if canonical(code) not in self.per_euro
        ]

    def _problem(self, code: str) -> str:
        if not code:
            return "currency code must not be empty"
        shown = code if len(code) <= MAX_QUOTED else f"{code[:MAX_QUOTED]}..."
        if canonical(code) in self.retired:
            return f"retired currency {shown!r} no longer has a rate"
        return f"unknown currency {shown!r}"
