"""Series of metrics: names, values as plain numbers, and the text that Prometheus reads.

Rule: to count is to add to a plain attribute; names, labels and text are made when somebody scrapes.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Final, Literal, TypeAlias

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.samples import Exemplar

BUCKETS: Final[tuple[float, ...]] = (
    *(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)
"""Upper bounds of the buckets of all histograms, in seconds; one more has no bound."""
_BOUNDS: Final[list[float]] = [*BUCKETS]
"""The same as a list, which compiled code reads without a copy."""
_STEPS: Final = 2000.0
"""Steps in a second; each bound is a number of whole steps."""
_FIRST: Final = [bisect_left(BUCKETS, step / _STEPS) for step in range(101)]
"""The bucket of each number of steps; that of the last one is the first of all longer durations."""
WORKER: Final = "worker"
"""Label of each series: the number of the process, so that a counter falls only where its process ended."""

Value: TypeAlias = Any
"""A number; of a histogram `[counts of its buckets, sum]`, of one with exemplars `[…, …, exemplars]`."""
Sample: TypeAlias = Sequence[Any]
"""Label values and value."""
Snapshot: TypeAlias = Mapping[str, Sequence[Sample]]
"""Name of a series -> its samples; JSON can carry it."""


@dataclass(frozen=True, slots=True)
class Series:
    """One series of metrics."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    labels: tuple[str, ...]
    """Without `worker`, which each series has."""
    text: str
    """What it counts, in one sentence."""


class Histogram:
    """Durations in buckets."""

    __slots__ = ("_sum", "counts")

    def __init__(self) -> None:
        self.counts = [0] * (len(BUCKETS) + 1)
        """Number of durations in each bucket; the last one has no bound."""
        self._sum = 0.0

    def observe(self, seconds: float) -> None:
        """Counts one duration, which is not negative."""
        step, counts = int(seconds * _STEPS), self.counts
        bucket: int = _FIRST[step] if step < len(_FIRST) else _FIRST[-1]
        while bucket < len(_BOUNDS) and seconds > _BOUNDS[bucket]:
            bucket += 1
        before: int = counts[bucket]  # `+=` would add objects, not numbers, in compiled code
        counts[bucket] = before + 1
        self._sum += seconds

    @property
    def sum(self) -> float:
        """Sum of all durations."""
        return self._sum

    @property
    def count(self) -> int:
        """Number of durations."""
        return sum(self.counts)

    def value(self) -> Value:
        """Returns the value of a sample."""
        return [list(self.counts), self.sum]


class TracedHistogram(Histogram):
    """Durations in buckets, each with the last trace that it counted.

    Attributes:
        exemplars: bucket -> trace id, duration in seconds and POSIX time.
    """

    __slots__ = ("exemplars",)

    def __init__(self) -> None:
        super().__init__()
        self.exemplars: dict[int, tuple[str, float, float]] = {}

    def value(self) -> Value:
        """Returns the value of a sample."""
        return [*super().value(), [[bucket, *each] for bucket, each in self.exemplars.items()]]


PROCESS_SERIES: Final = (
    Series("process_virtual_memory_bytes", "gauge", (), "Virtual memory of the process."),
    Series("process_resident_memory_bytes", "gauge", (), "Resident memory of the process."),
    Series("process_start_time_seconds", "gauge", (), "Unix time at which the process started."),
    Series("process_cpu_seconds_total", "counter", (), "CPU time of the process."),
    Series("process_open_fds", "gauge", (), "Open file descriptors of the process."),
    Series("process_max_fds", "gauge", (), "Maximum number of open file descriptors."),
)
"""What `prometheus_client` tells of a process; empty where there is no /proc."""


def process_snapshot() -> dict[str, list[Sample]]:
    """Returns memory, CPU time and files of this process."""
    names = {series.name for series in PROCESS_SERIES}
    collector = ProcessCollector(registry=None)
    samples = [sample for metric in collector.collect() for sample in metric.samples]
    return {sample.name: [((), sample.value)] for sample in samples if sample.name in names}


def render(
    series: Sequence[Series], snapshots: Mapping[str, Snapshot], accept: str
) -> tuple[bytes, str]:
    """Returns the text of all series, and its media type.

    Args:
        series: all that there are.
        snapshots: worker -> what it has counted.
        accept: the `Accept` of who scrapes: OpenMetrics, or else Prometheus' text format.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collected(series, snapshots))
    encode, content_type = choose_encoder(accept)
    return encode(registry), content_type


class _Collected:
    """The collector of one scrape."""

    def __init__(self, series: Sequence[Series], snapshots: Mapping[str, Snapshot]) -> None:
        self._series = series
        self._snapshots = snapshots

    def collect(self) -> Iterator[Metric]:
        """Yields the series that have values, as `prometheus_client` wants them."""
        for each in self._series:
            add = _ADD[each.kind]
            labels = (*each.labels, WORKER)
            metric = _FAMILY[each.kind](each.name, each.text, labels=labels)
            for worker, snapshot in self._snapshots.items():
                for values, value in snapshot.get(each.name, ()):
                    add(metric, (*values, worker), value)
            if metric.samples:
                yield metric


def _add_number(metric: Any, labels: Sequence[str], value: Value) -> None:
    metric.add_metric(labels, value)


def _add_histogram(metric: Any, labels: Sequence[str], value: Value) -> None:
    counts, total, *rest = value
    bounds = (*map(str, BUCKETS), "+Inf")
    buckets: list[Any] = list(zip(bounds, accumulate(counts), strict=True))
    for bucket, trace, seconds, time in rest[0] if rest else ():
        buckets[bucket] += (Exemplar({"trace_id": trace}, seconds, time),)
    metric.add_metric(labels, buckets, sum_value=total)


_FAMILY: Final[Mapping[str, Any]] = {
    "counter": CounterMetricFamily,
    "gauge": GaugeMetricFamily,
    "histogram": HistogramMetricFamily,
}
_ADD: Final = {"counter": _add_number, "gauge": _add_number, "histogram": _add_histogram}
