"""The metrics of one process of the edge: what counts, and the snapshot of it all."""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

from gateway import __version__
from gateway.admission.limits.shared import SharedBuckets
from gateway.contract.descriptors import Contract
from gateway.contract.method import Method
from gateway.doors.accepting import Acceptor
from gateway.doors.http.contract_door import ContractDoor
from gateway.exchange.edge import Edge
from gateway.exchange.served import ServedContract
from gateway.feeds.stored_feed import Role
from gateway.operations.access_log import AccessLog
from gateway.operations.calls import MeteredUpstream
from gateway.operations.readiness import Readiness
from gateway.operations.requests import RequestMeter, TracedRequestMeter
from gateway.operations.upstream_samples import upstream_samples
from gateway.reload.state import ReloadState
from gateway.store.store import Store
from gateway.upstream.health_check import HEALTH_CHECK
from gateway.upstream.port import Upstream
from grpc_wire.renewal import Renewed
from server_process.exposition import Histogram, Sample, process_snapshot
from server_process.loop_delay import LoopDelay

_WIRES: Final = {
    "text/event-stream": "sse",
    "application/x-ndjson": "ndjson",
    "application/json": "json",
    "application/json-seq": "json-seq",
}
"""Media type of a framing -> value of the label `wire`; others are called as they are."""
_CERTIFICATES: Final = {"tls_certificate": "server", "upstream_certificate": "upstream"}
"""Setting -> value of the label `certificate`."""


class Metrics:
    """What one process counts.

    Attributes:
        requests: counts those of the front.
        calls: counts those to the upstream, and carries them.
        renewed: files of TLS, of which each scrape reads when the certificates end.
        loop_delay: measures while the edge serves.
        loop_delays: what it has measured.
    """

    def __init__(self, contract: Contract, upstream: Upstream, *, traced: bool = False) -> None:
        """Takes what is served, and whether it is traced; what is None here is set when it is made."""
        self.requests = TracedRequestMeter() if traced else RequestMeter()
        self.calls = MeteredUpstream(upstream, _methods(contract))
        self.loop_delays = Histogram()
        self.loop_delay = LoopDelay(self.loop_delays.observe)
        self.edge: Edge | None = None
        self.readiness: Readiness | None = None
        self.acceptor: Acceptor | None = None
        self.direct: ContractDoor | None = None
        self.renewed: list[Renewed[Any]] = []
        self.reloads: ReloadState | None = None
        self.store: Store | None = None
        self.limits: SharedBuckets | None = None

    def follow(self, served: ServedContract) -> None:
        """Counts what is served of another contract."""
        self.requests.follow(served)
        self.calls.follow(_methods(served.contract))

    def snapshot(self) -> dict[str, list[Sample]]:
        """Returns all samples of this process; takes about 1 ms and 1 µs for each reader of a stream."""
        calls = self.calls
        if self.edge is not None and self.edge.observation is not None:
            self.edge.observation.tell_ends()
        samples: dict[str, list[Sample]] = {
            "http_server_request_duration_seconds": self.requests.durations(),
            "grpc_client_started_total": calls.started(),
            "grpc_client_handled_total": calls.handled(),
            "grpc_client_handling_seconds": calls.seconds(),
            "grpc_client_msg_sent_total": calls.sent(),
            "grpc_client_msg_received_total": calls.received(),
            "protoway_admission_refusals_total": self.requests.refusals(),
            "protoway_event_loop_delay_seconds": [((), self.loop_delays.value())],
            "protoway_build_info": [((__version__, platform.python_version()), 1)],
            "protoway_certificate_expiry_timestamp_seconds": [
                ((certificate,), end)
                for each in self.renewed
                for name, end in each.ends().items()
                if (certificate := _certificate(name)) is not None
            ],
            "protoway_worker_up": [((), 1)],
        }
        if self.edge is not None:
            samples |= _reloads(self.reloads)
            samples["protoway_contract_info"] = [((self.edge.served.fingerprint,), 1)]
            samples |= _streams(self.edge) | _shared_feeds(self.edge)
        if self.direct is not None:
            samples["protoway_head_cache_misses_total"] = [((), self.direct.head_misses)]
        if self.readiness is not None:
            samples["protoway_ready"] = [
                ((check,), int(passed)) for check, passed in self.readiness.last().items()
            ]
        if self.store is not None:
            samples |= _store(self.store)
        if self.limits is not None:
            samples["protoway_limits_local_requests_total"] = [
                ((reason,), count) for reason, count in self.limits.local.items()
            ]
        samples |= _connections(calls.inner, self.acceptor)
        return samples | process_snapshot()


def _methods(contract: Contract) -> tuple[Method, ...]:
    """Returns the methods that are called."""
    return (*contract.methods, HEALTH_CHECK)


def _reloads(state: ReloadState | None) -> dict[str, list[Sample]]:
    if state is None:
        return {}
    return {
        "protoway_contract_reloads_total": [
            ((result.value,), count) for result, count in state.counts.items()
        ],
        "protoway_contract_in_force_timestamp_seconds": [((), state.in_force_since)],
    }


def _streams(edge: Edge) -> dict[str, list[Sample]]:
    wires = Counter(_WIRES.get(each.wire, each.wire) for each in edge.attendances)
    feeds, counts, lags = edge.feeds, edge.feeds.counts, edge.feeds.lags
    watching = () if edge.observation is None else edge.observation.observers
    return {
        "protoway_access_log_lost_lines_total": [
            ((), each.lost) for each in watching if isinstance(each, AccessLog)
        ],
        "protoway_streams_open": [
            ((wire,), wires[wire])
            for wire in sorted({*_WIRES.values(), "upload", "websocket", *wires})
        ],
        "protoway_feeds": [((), feeds.count)],
        "protoway_feed_readers": [((), len(lags))],
        "protoway_feed_buffer_bytes": [((), feeds.accounting.bytes)],
        "protoway_feed_lag_messages": [
            (("slowest",), lags[-1] if lags else 0),
            (("median",), _median(lags)),
        ],
        "protoway_feed_dropped_messages_total": [
            ((policy.name.lower().replace("_", "-"),), count)
            for policy, count in counts.dropped.items()
        ],
        "protoway_feed_gaps_total": [((), counts.gaps)],
        "protoway_feed_resumes_total": [((result,), n) for result, n in counts.resumed.items()],
    }


def _shared_feeds(edge: Edge) -> dict[str, list[Sample]]:
    counts, roles = edge.feeds.store_counts, edge.feeds.roles
    if counts is None:
        return {}
    each: tuple[Role, ...] = ("leader", "follower", "alone")
    return {
        "protoway_shared_feeds": [((role,), roles[role]) for role in each],
        "protoway_shared_feed_takeovers_total": [((), counts.takeovers)],
        "protoway_shared_feed_restarts_total": [((), counts.restarts)],
        "protoway_shared_feed_alone_total": [((), counts.alone)],
        "protoway_shared_feed_refused_appends_total": [
            ((outcome.name.lower(),), count) for outcome, count in counts.refused.items()
        ],
    }


def _store(store: Store) -> dict[str, list[Sample]]:
    return {
        "protoway_store_up": [((), int(store.is_up))],
        "protoway_store_command_duration_seconds": [
            ((purpose,), each.value()) for purpose, each in store.durations.items()
        ],
        "protoway_store_commands_failed_total": [
            (labels, count) for labels, count in store.failures.items()
        ],
    }


def _connections(upstream: Any, acceptor: Acceptor | None) -> dict[str, list[Sample]]:
    samples = upstream_samples(upstream)
    if acceptor is not None:
        samples |= {
            "protoway_connections_open": [((), acceptor.open)],
            "protoway_connections_refused_total": [((), acceptor.refused)],
            "protoway_accept_exhausted_total": [((), acceptor.exhausted)],
        }
    return samples


def _certificate(name: str) -> str | None:
    """Returns the value of the label `certificate` for a file; None: it is no certificate of ours."""
    list_name, _, rest = name.partition(".")
    if list_name == "upstreams" and rest.endswith(".certificate"):
        return f"upstream:{rest.removesuffix('.certificate')}"
    return _CERTIFICATES.get(name)


def _median(lags: Sequence[int]) -> int:
    return lags[len(lags) // 2] if lags else 0
