"""Which rates a caller wants to follow.

Rule: a watchlist that exists is right: every currency on it has a rate and stands there once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from grpc_core.finance.errors import InvalidArgumentError
from grpc_core.finance.rates import Snapshot, canonical


@dataclass(frozen=True, slots=True)
class Watchlist:
    """Rates to be followed, by upper-case currency code.

    Attributes:
        base: The currency whose worth is told.
        targets: The currencies in which it is told, in the order in which they were asked for.
    """

    base: str
    targets: tuple[str, ...]

    @classmethod
    def of(cls, snapshot: Snapshot, base: str, targets: Sequence[str]) -> Self:
        """Returns the watchlist that a caller asks for.

        Args:
            snapshot: Rates that tell which currencies there are.
            base: The currency whose worth is to be told.
            targets: The currencies in which it is to be told; none means all but `base`.

        Raises:
            InvalidArgumentError: A currency has no rate; every one that has none is named.
        """
        named = {f"target_currencies[{index}]": code for index, code in enumerate(targets)}
        if refused := snapshot.refused({"base_currency": base, **named}):
            raise InvalidArgumentError(refused)
        base = canonical(base)
        others = sorted(snapshot.per_euro.keys() - {base})
        return cls(base, tuple(dict.fromkeys(map(canonical, targets))) or tuple(others))
