"""Counts the requests at the front: durations by route, HTTP method and HTTP status, and refusals."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from typing import Final

from gateway.contract.route_table import RouteMatch
from gateway.exchange.exchange import Exchange
from gateway.exchange.policy import Policy
from gateway.operations.recent_errors import RecentErrors
from gateway.transcoding.endpoint import Endpoint
from gateway.transcoding.status import StatusError, code_name
from server_process.exposition import BUCKETS, Histogram, Sample

OTHER: Final = "_OTHER"
"""Label of what the contract does not name, as OpenTelemetry has it: its paths, and unknown HTTP methods."""
_METHODS: Final = frozenset(
    ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"]
)


_FIRST_FAULT: Final = 500


class RequestMeter:
    """Counts requests as they end; it is the `Edge.meter`.

    Attributes:
        errors: the last ones of each route.
    """

    def __init__(self) -> None:
        self._series: dict[tuple[Endpoint | None, str, int], Histogram] = {}
        self._by_labels: dict[tuple[str, str, str], Histogram] = {}
        self._refusals: Counter[tuple[str, str]] = Counter()
        self.errors = RecentErrors()

    def ended(self, exchange: Exchange, seconds: float) -> None:
        """Counts a request that has ended."""
        request = exchange.request
        endpoint = request.route.target if isinstance(request.route, RouteMatch) else None
        key = endpoint, request.http_method, exchange.status
        series = self._series.get(key) or self._add(*key)
        series.counts[bisect_left(BUCKETS, seconds)] += 1
        series.sum += seconds
        if exchange.failure is not None or exchange.status >= _FIRST_FAULT:
            self.errors.add(*self._labels(*key)[:2], exchange)

    def refused(self, policy: Policy, error: StatusError) -> None:
        """Counts a request that a policy has refused."""
        self._refusals[(type(policy).__name__, code_name(error.code))] += 1

    def _add(self, endpoint: Endpoint | None, http_method: str, status: int) -> Histogram:
        """Returns the series of some labels; none is made for a method that only a caller has named."""
        labels = self._labels(endpoint, http_method, status)
        series = self._by_labels.setdefault(labels, Histogram())
        if http_method in _METHODS:
            self._series[(endpoint, http_method, status)] = series
        return series

    @staticmethod
    def _labels(endpoint: Endpoint | None, http_method: str, status: int) -> tuple[str, str, str]:
        template = OTHER if endpoint is None else str(endpoint.binding.template)
        method = http_method if http_method in _METHODS else OTHER
        return template, method, str(status) if status else ""

    def durations(self) -> list[Sample]:
        """Returns the samples of `http_server_request_duration_seconds`."""
        return [(labels, series.value()) for labels, series in self._by_labels.items()]

    def refusals(self) -> list[Sample]:
        """Returns the samples of `protoway_admission_refusals_total`."""
        return list(self._refusals.items())
