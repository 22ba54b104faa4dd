"""The rates that a caller watches.

Rule: a watchlist is always valid: each of its currencies has a rate and occurs once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from grpc_core.finance.errors import InvalidArgumentError
from grpc_core.finance.rates import Snapshot, canonical


@dataclass(frozen=True, slots=True)
class Watchlist:
    """A base currency and target currencies, as upper-case codes.

    Attributes:
        base: The base currency.
        targets: The target currencies, in the order of the request.
    """

    base: str
    targets: tuple[str, ...]

    @classmethod
    def of(cls, snapshot: Snapshot, base: str, targets: Sequence[str]) -> Self:
        """Validates a request, and returns its watchlist.

        Args:
            snapshot: The current rates.
            base: The base currency.
            targets: The target currencies; empty: all except `base`.

        Raises:
            InvalidArgumentError: A currency has no rate; lists all such currencies.
        """
        fields = {f"target_currencies[{index}]": code for index, code in enumerate(targets)}
        if refused := snapshot.refused({"base_currency": base, **fields}):
            raise InvalidArgumentError(refused)
        base = canonical(base)
        others = sorted(snapshot.per_euro.keys() - {base})
        return cls(base, tuple(dict.fromkeys(map(canonical, targets))) or tuple(others))
