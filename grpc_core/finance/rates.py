"""What currencies are worth at one instant.

Rule: every rate of a snapshot is derived from one table of rates per euro, so that no two of them
contradict each other, and a currency that is not in the table has no rate at all.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from types import MappingProxyType

from grpc_core.finance.errors import InvalidArgumentError, Violation

EURO = "EUR"
SHOWN_CHARACTERS = 12  # of a wrong code: four times what a right one has


def canonical(code: str) -> str:
    """Returns a currency code as the tables spell it: upper case, if it is ASCII.

    Beyond ASCII nothing is folded, since `str.upper` makes an S of a long s (U+017F).
    """
    return code.upper() if code.isascii() else code


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The rates of all currencies at one instant.

    Attributes:
        instant: When these rates were quoted; aware, in UTC.
        per_euro: For each active currency, how many of its units one euro is. The euro is added.
        retired: Currencies that once had a rate and have none now.
    """

    instant: datetime
    per_euro: Mapping[str, Decimal]
    retired: frozenset[str] = frozenset()
    _rates: dict[tuple[str, str], Decimal] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )
    """Rates that were asked for, by base and target as the tables spell them."""

    def __post_init__(self) -> None:
        complete = MappingProxyType({**self.per_euro, EURO: Decimal(1)})
        object.__setattr__(self, "per_euro", complete)

    def rate(self, base: str, target: str) -> Decimal:
        """Returns how many units of `target` one unit of `base` is, to 28 digits.

        Raises:
            InvalidArgumentError: `base` or `target` has no rate; both are named if both are wrong.
        """
        rate = self.known_rate(base, target)
        if rate is None:
            raise InvalidArgumentError(self.refused({"base": base, "target": target}))
        return rate

    def known_rate(self, base: str, target: str) -> Decimal | None:
        """Returns how many units of `target` one unit of `base` is; None if one of them has no rate."""
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
        """Lists what is wrong with currency codes.

        Args:
            codes: The codes to be judged, each under the name of the field that it came in.

        Returns:
            One violation for each code that has no rate; none if all have one.
        """
        return [
            Violation(field, self._objection(code))
            for field, code in codes.items()
            if canonical(code) not in self.per_euro
        ]

    def _objection(self, code: str) -> str:
        if not code:
            return "currency code must not be empty"
        shown = code if len(code) <= SHOWN_CHARACTERS else f"{code[:SHOWN_CHARACTERS]}..."
        if canonical(code) in self.retired:
            return f"retired currency {shown!r} no longer has a rate"
        return f"unknown currency {shown!r}"
