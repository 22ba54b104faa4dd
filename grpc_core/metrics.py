"""The metrics of one process of the core: its calls, its watchers, its rates and its event loop.

docs/reference/operations.md has the same table of series; a test compares them.
"""

from __future__ import annotations

import platform
from collections.abc import Callable
from datetime import UTC, datetime
from time import monotonic
from typing import Any, Final

import grpc

from grpc_core.finance.rates import Snapshot
from grpc_core.rate_feed import RateFeed
from grpc_wire.renewal import Renewed
from server_process.exposition import (
    PROCESS_SERIES,
    Histogram,
    Sample,
    Series,
    process_snapshot,
)
from server_process.loop_delay import LoopDelay

_METHOD: Final = ("grpc_type", "grpc_service", "grpc_method")

SERIES: Final = (
    Series("grpc_server_started_total", "counter", _METHOD, "Calls that started."),
    Series(
        "grpc_server_handled_total",
        "counter",
        (*_METHOD, "grpc_code"),
        "Calls that ended, by status code.",
    ),
    Series("grpc_server_handling_seconds", "histogram", _METHOD, "Durations of calls."),
    Series("grpc_server_msg_received_total", "counter", _METHOD, "Messages of clients."),
    Series("grpc_server_msg_sent_total", "counter", _METHOD, "Messages that were sent to clients."),
    Series(
        "core_access_log_lost_lines_total",
        "counter",
        (),
        "Lines of the access log that could not be written.",
    ),
    Series("core_watchers", "gauge", (), "Open calls that watch the rates."),
    Series("core_rates_age_seconds", "gauge", (), "Age of the current rates."),
    Series("core_rates_available", "gauge", (), "1 if there are rates to serve, else 0."),
    Series(
        "core_reference_rates_age_seconds",
        "gauge",
        (),
        "Age of the newest reference rates that are known.",
    ),
    Series(
        "core_reference_rates_behind",
        "gauge",
        (),
        "1 if live rates are due by the ECB's calendar and not known yet, else 0.",
    ),
    Series("core_rates_fetches_total", "counter", ("result",), "Fetches of live rates."),
    Series(
        "core_event_loop_delay_seconds",
        "histogram",
        (),
        "How late timers of the event loop were, measured ten times a second.",
    ),
    Series(
        "core_certificate_expiry_timestamp_seconds",
        "gauge",
        (),
        "Unix time at which the certificate expires.",
    ),
    Series("core_build_info", "gauge", ("transport", "python"), "1; which program this is."),
    Series("core_worker_up", "gauge", (), "1 if the worker answered this scrape, else 0."),
    *PROCESS_SERIES,
)
ABSENT: Final = {"core_worker_up": [((), 0)]}
"""Of a worker that does not answer."""

_CODES: Final = {code.value[0]: code.name for code in grpc.StatusCode}
_OK: Final = 0
_TYPES: Final = {
    (False, False): "unary",
    (True, False): "client_stream",
    (False, True): "server_stream",
    (True, True): "bidi_stream",
}


class MethodCounts:
    """What became of the calls of one method; its labels come from the contract."""

    __slots__ = ("codes", "labels", "received", "seconds", "sent", "started")

    def __init__(self, service: str, name: str, *, client: bool, server: bool) -> None:
        """Takes the names of service and method, and which sides stream."""
        self.labels = _TYPES[client, server], service, name
        self.started = self.received = self.sent = 0
        self.codes = [0] * len(_CODES)
        """By the number of the status code."""
        self.seconds = Histogram()

    def start(self) -> float:
        """Counts the start of a call; returns when it is."""
        self.started += 1
        return monotonic()

    def end(self, code: int, since: float) -> None:
        """Counts the end of a call."""
        self.codes[code] += 1
        self.seconds.observe(monotonic() - since)


class Metrics:
    """What one process counts.

    Attributes:
        loop_delay: Measures while the core serves.
        loop_delays: What it has measured.
        lost_lines: Tells how many lines of the access log were lost.
        of_rates: Returns the samples of the reference rates.
    """

    def __init__(self, feed: RateFeed, transport: str, tls: Renewed[Any] | None = None) -> None:
        """Takes the feed of rates, the name of the transport, and the files of TLS."""
        self._feed = feed
        self._tls = tls
        self._transport = transport
        self._methods: list[MethodCounts] = []
        self.loop_delays = Histogram()
        self.loop_delay = LoopDelay(self.loop_delays.observe)
        self.lost_lines: Callable[[], int] = int
        self.of_rates: Callable[[], dict[str, list[Sample]]] = dict

    def add(self, counts: MethodCounts) -> None:
        """Has the counts of a method in each snapshot from now on."""
        self._methods.append(counts)

    def snapshot(self) -> dict[str, list[Sample]]:
        """Returns all samples of this process."""
        methods, rates = self._methods, self._feed.newest
        samples: dict[str, list[Sample]] = {
            "grpc_server_started_total": [(each.labels, each.started) for each in methods],
            "grpc_server_handled_total": [
                ((*each.labels, _CODES[code]), count)
                for each in methods
                for code, count in enumerate(each.codes)
                if count or code == _OK
            ],
            "grpc_server_handling_seconds": [
                (each.labels, each.seconds.value()) for each in methods if each.started
            ],
            "grpc_server_msg_received_total": [(each.labels, each.received) for each in methods],
            "grpc_server_msg_sent_total": [(each.labels, each.sent) for each in methods],
            "core_access_log_lost_lines_total": [((), self.lost_lines())],
            "core_watchers": [((), self._feed.watchers)],
            "core_rates_age_seconds": [] if rates is None else [((), _age(rates))],
            "core_rates_available": [((), int(rates is not None))],
            "core_event_loop_delay_seconds": [((), self.loop_delays.value())],
            "core_certificate_expiry_timestamp_seconds": [
                ((), end)
                for name, end in ({} if self._tls is None else self._tls.ends()).items()
                if name == "tls_certificate"
            ],
            "core_build_info": [((self._transport, platform.python_version()), 1)],
            "core_worker_up": [((), 1)],
        }
        return samples | self.of_rates() | process_snapshot()


def _age(rates: Snapshot) -> float:
    return max(0.0, (datetime.now(UTC) - rates.instant).total_seconds())
