"""What counts requests: an observer that is told less than others, so that it costs less.

An `Observer` sees a `RequestInfo`, which takes longer to make than a count. A `Meter` reads the exchange.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from gateway.exchange.policy import Policy
from gateway.transcoding.status import StatusError

if TYPE_CHECKING:
    from gateway.exchange.exchange import Exchange


class Meter(Protocol):
    """Counts the requests of all doors; its methods do not raise."""

    def ended(self, exchange: Exchange, seconds: float) -> None:
        """A request has ended, so many seconds after its head was read."""
        ...

    def refused(self, policy: Policy, error: StatusError) -> None:
        """A policy has refused a request."""
        ...
