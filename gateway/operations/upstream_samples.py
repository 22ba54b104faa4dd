"""The samples of the upstreams: their connections, and the calls that they have under way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

from gateway.upstream.around import pools_of
from gateway.upstream.balanced import balanced_in
from gateway.upstream.retrying import retries_of
from gateway.upstream_settings import DEFAULT_NAME
from server_process.exposition import Sample

_STATES: Final = ("idle", "connecting", "ready", "transient_failure", "draining")
_ADDRESS_STATES: Final = ("live", "warming", "unreachable", "ejected")


def upstream_samples(upstream: Any) -> dict[str, list[Sample]]:
    """Returns the samples of an upstream, or of several; empty for one of the user's."""
    upstreams: Mapping[str, Any] = getattr(upstream, "upstreams", {DEFAULT_NAME: upstream})
    connections: list[Sample] = []
    established: list[Sample] = []
    waiting: list[Sample] = []
    for name, each in upstreams.items():
        if pools := pools_of(each):
            states: Counter[str] = sum((pool.states() for pool in pools), Counter())
            connections += [((name, state), states[state]) for state in _STATES]
            established.append(((name,), sum(pool.established for pool in pools)))
            waiting.append(((name,), sum(pool.waiting for pool in pools)))
    if not connections:
        return {}
    samples = {
        "protoway_upstream_connections": connections,
        "protoway_upstream_connections_established_total": established,
        "protoway_upstream_calls_waiting": waiting,
    }
    kinds = [
        (name, kind, counted)
        for name, each in upstreams.items()
        for kind, counted in getattr(each, "kinds", {}).items()
    ]
    if kinds:
        samples["protoway_upstream_calls_open"] = [((n, k), each.open) for n, k, each in kinds]
        samples["protoway_upstream_refused_calls_total"] = [
            ((n, k), each.refused) for n, k, each in kinds
        ]
    retries: list[Sample] = [
        ((name, result), count)
        for name, each in upstreams.items()
        for result, count in retries_of(each).items()
    ]
    if retries:
        samples["protoway_upstream_retries_total"] = retries
    return samples | _address_samples(upstreams)


def _address_samples(upstreams: Mapping[str, Any]) -> dict[str, list[Sample]]:
    """Returns the samples of those with several addresses."""
    found = [(name, each) for name, one in upstreams.items() if (each := balanced_in(one))]
    if not found:
        return {}
    counted = {name: each.states() for name, each in found}
    return {
        "protoway_upstream_addresses": [
            ((name, state), states[state])
            for name, states in counted.items()
            for state in _ADDRESS_STATES
        ],
        "protoway_upstream_ejections_total": [
            ((name, reason), count)
            for name, each in found
            for reason, count in each.outliers.ejected.items()
        ],
        "protoway_upstream_returns_total": [
            ((name,), each.outliers.returns) for name, each in found
        ],
    }
