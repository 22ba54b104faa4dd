"""What is served of one contract, compiled: all that changes together when the contract does.

The edge holds the one in force (`Edge.served`). A request takes it once, when it is matched, and is answered
by it to its end, whatever is in force by then.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.contract.descriptors import Contract
from gateway.contract.method import Method
from gateway.exchange.own_calls import OwnCall
from gateway.exchange.policy import Policy
from gateway.exchange.routing import Router
from gateway.transcoding.transcoder import Transcoder


@dataclass(frozen=True, slots=True, eq=False)
class ServedContract:
    """One contract, compiled for an edge."""

    contract: Contract
    fingerprint: str
    """Tells contracts apart."""
    transcoder: Transcoder
    router: Router
    title: str
    """Names of its services."""
    document: Mapping[str, Any]
    """OpenAPI."""
    policies: tuple[Policy, ...] = ()
    """Asked in this order."""
    own_calls: dict[Method, OwnCall] = field(default_factory=dict)
    """Methods that the edge answers itself, and what does."""

    @property
    def direct_calls(self) -> list[str]:
        """Paths of the unary methods that a door may answer directly on a wire of RPC."""
        return [
            path
            for path, match in self.transcoder.rpc.items()
            if not match.target.method.streams and match.target.method not in self.own_calls
        ]
