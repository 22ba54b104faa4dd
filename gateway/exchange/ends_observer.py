"""An observer of this package, which takes ends as they are noted, without all that users are told."""

from __future__ import annotations

from gateway.exchange.observer import Observer
from gateway.exchange.unary_end import End


class EndsObserver(Observer):
    """An observer that is told of ends by `take_ends`, in the place of `exchanges_ended`."""

    def take_ends(self, ends: list[End]) -> None:
        """Takes all ends since the last call, as `exchanges_ended` does."""
        raise NotImplementedError
