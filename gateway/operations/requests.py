"""Counts the requests at the front: durations by route, HTTP method and HTTP status, and refusals."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from typing import Final

from gateway.contract.http_rule import Binding
from gateway.exchange.ends_observer import EndsObserver
from gateway.exchange.observer import EndedBy, RequestEnd
from gateway.exchange.request import Request
from gateway.exchange.served import ServedContract
from gateway.exchange.unary_end import End, UnaryEnd, whole
from gateway.operations.calls import OTHER
from gateway.operations.recent_errors import RecentErrors
from gateway.transcoding.status import OK, code_name
from server_process.exposition import BUCKETS, Histogram, Sample, TracedHistogram
from server_process.log_lines import is_sampled, trace_id

METHODS: Final = frozenset(
    ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"]
)


_FIRST_FAULT: Final = 500
_CLIENT: Final = EndedBy.CLIENT


class RequestMeter(EndsObserver):
    """Counts requests as they end.

    Attributes:
        errors: the last ones of each route.
    """

    histogram: type[Histogram] = Histogram
    """What counts the durations of a series."""

    def __init__(self) -> None:
        self._series: dict[tuple[Binding | None, str, int], Histogram] = {}
        self._by_labels: dict[tuple[str, str, str], Histogram] = {}
        self._refusals: Counter[tuple[str, str]] = Counter()
        self.errors = RecentErrors()

    def take_ends(self, ends: list[End]) -> None:
        """Counts requests that have ended."""
        request: Request | None = None
        series: Histogram | None = None
        status = 0
        for end in ends:
            if not isinstance(end, UnaryEnd):
                self._count(end)
                continue
            if series is None or end.request is not request or end.status != status:
                request, status = end.request, end.status
                series = self._of(end.binding, request.http_method, status)
            series.observe(end.seconds)

    def _count(self, end: RequestEnd) -> None:
        key = end.binding, end.http_method, end.http_status
        self._of(*key).observe(end.seconds)
        if end.code != OK and (end.ended_by is not _CLIENT or end.http_status >= _FIRST_FAULT):
            self.errors.add(*self._labels(*key)[:2], end)

    def _of(self, binding: Binding | None, http_method: str, status: int) -> Histogram:
        """Returns the series of some labels."""
        found = self._series.get((binding, http_method, status))
        return self._add(binding, http_method, status) if found is None else found

    def follow(self, served: ServedContract) -> None:
        """Counts the requests of another contract; the series of routes that it has not are dropped."""
        routes = {OTHER, *(binding.route for binding in served.transcoder.all_bindings)}
        self._series = {}
        self._by_labels = {
            labels: series for labels, series in self._by_labels.items() if labels[0] in routes
        }
        self.errors.forget_others(routes)

    def policy_refused(self, policy: str, code: int) -> None:
        """Counts a request that a policy has refused."""
        self._refusals[(policy, code_name(code))] += 1

    def _add(self, binding: Binding | None, http_method: str, status: int) -> Histogram:
        """Returns the series of some labels; it is not kept by what only a caller has named."""
        labels = self._labels(binding, http_method, status)
        series = self._by_labels.setdefault(labels, self.histogram())
        if http_method in METHODS and (binding is None or binding.route):
            self._series[(binding, http_method, status)] = series
        return series

    @staticmethod
    def _labels(binding: Binding | None, http_method: str, status: int) -> tuple[str, str, str]:
        template = OTHER if binding is None else binding.route or OTHER
        method = http_method if http_method in METHODS else OTHER
        return template, method, str(status) if status else ""

    def durations(self) -> list[Sample]:
        """Returns the samples of `http_server_request_duration_seconds`."""
        return [(labels, series.value()) for labels, series in self._by_labels.items()]

    def refusals(self) -> list[Sample]:
        """Returns the samples of `protoway_admission_refusals_total`."""
        return list(self._refusals.items())


class TracedRequestMeter(RequestMeter):
    """Counts requests that have traces, and keeps the last one of each bucket, if it is sampled."""

    histogram = TracedHistogram

    def take_ends(self, ends: list[End]) -> None:
        """Counts requests that have ended."""
        super().take_ends(ends)
        for end in map(whole, ends):
            trace = trace_id(end.traceparent)
            # none of a method that only a caller has named, which has no series here
            series = self._series.get((end.binding, end.http_method, end.http_status))
            if trace and isinstance(series, TracedHistogram) and is_sampled(end.traceparent):
                bucket = bisect_left(BUCKETS, end.seconds)
                series.exemplars[bucket] = trace, end.seconds, end.time
