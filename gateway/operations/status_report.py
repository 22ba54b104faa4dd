"""What the admin page says of an edge, as JSON has it: made of what its workers tell when somebody looks.

Rule: pure; numbers come from the metrics, so nothing is counted for the page alone but the last errors.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, TypeAlias

from gateway.operations.calls import OTHER
from server_process.exposition import BUCKETS

Told: TypeAlias = Mapping[str, Any]
"""What one worker tells: `metrics`, `feeds`, `errors` and its last `reload`."""

MAX_ERRORS: Final = 200
"""Errors that are shown, of all routes and workers."""
_DURATION: Final = "http_server_request_duration_seconds"
_FIRST_FAULT: Final = 500


def report(
    workers: Mapping[str, Told | None], routes: Iterable[tuple[str, str, str]]
) -> dict[str, Any]:
    """Returns the numbers of all workers together, and what each is.

    Args:
        workers: number of each -> what it tells; None: it does not answer.
        routes: HTTP method, path template and method of each binding.
    """
    told = [each for each in workers.values() if each is not None]
    metrics = [each["metrics"] for each in told]
    errors = [
        error | {"worker": number}
        for number, each in workers.items()
        if each is not None
        for error in each["errors"]
    ]
    errors.sort(key=lambda error: error["time"], reverse=True)
    return {
        "workers": [_worker(number, each) for number, each in workers.items()],
        "routes": _routes(metrics, routes),
        "streams": _summed(metrics, "protoway_streams_open"),
        "feeds": _feeds(each["feeds"] for each in told),
        "upstream_connections": _summed(metrics, "protoway_upstream_connections"),
        "upstream_calls_waiting": _total(metrics, "protoway_upstream_calls_waiting"),
        "connections": _total(metrics, "protoway_connections_open"),
        "refusals": [
            {"policy": policy, "code": code, "requests": count}
            for (policy, code), count in _by_labels(
                metrics, "protoway_admission_refusals_total"
            ).items()
        ],
        "recent_errors": errors[:MAX_ERRORS],
    }


def quantile(counts: Sequence[int], share: float) -> float | None:
    """Returns the duration in seconds below which a share of all lies; None without any.

    It is interpolated within its bucket, as Prometheus does; beyond the last bound it is that bound.
    """
    total = sum(counts)
    if not total:
        return None
    wanted = share * total
    below = 0
    for bound, (lower, count) in zip(
        BUCKETS, zip((0.0, *BUCKETS), counts, strict=False), strict=False
    ):
        if below + count >= wanted and count:
            return lower + (bound - lower) * (wanted - below) / count
        below += count
    return BUCKETS[-1]


def _worker(number: str, told: Told | None) -> dict[str, Any]:
    if told is None:
        return {"worker": number, "up": False}
    metrics = told["metrics"]
    (contract,) = (labels[0] for labels, _ in metrics["protoway_contract_info"])
    counts, _ = metrics["protoway_event_loop_delay_seconds"][0][1]
    found = {"worker": number, "up": True, "process": told["process"], "contract": contract}
    for key, name in (
        ("started", "process_start_time_seconds"),
        ("memory_bytes", "process_resident_memory_bytes"),
        ("cpu_seconds", "process_cpu_seconds_total"),
    ):
        found[key] = _total([metrics], name)
    return found | {"loop_delay_p99_ms": _milliseconds(quantile(counts, 0.99))}


def _routes(
    metrics: Sequence[Mapping[str, Any]], routes: Iterable[tuple[str, str, str]]
) -> list[dict[str, Any]]:
    """Returns those of the contract and what else was asked for, the busiest first."""
    rpcs = {(http_method, template): rpc for http_method, template, rpc in routes}
    statuses: dict[tuple[str, str], Counter[str]] = {key: Counter() for key in rpcs}
    buckets: dict[tuple[str, str], list[int]] = {}
    for labels, (counts, *_) in _samples(metrics, _DURATION):
        template, http_method, status = labels
        key = http_method, template
        statuses.setdefault(key, Counter())[status or "none"] += sum(counts)
        before = buckets.get(key, [0] * len(counts))
        buckets[key] = [one + other for one, other in zip(before, counts, strict=True)]
    found: list[dict[str, Any]] = [
        {
            "http_method": key[0],
            "route": key[1],
            "rpc": rpcs.get(key, ""),
            "requests": by_status.total(),
            "errors": sum(n for status, n in by_status.items() if _is_fault(status)),
            "statuses": dict(sorted(by_status.items())),
            "p50_ms": _milliseconds(quantile(buckets.get(key, ()), 0.5)),
            "p99_ms": _milliseconds(quantile(buckets.get(key, ()), 0.99)),
        }
        for key, by_status in statuses.items()
    ]
    found.sort(key=lambda each: (-each["requests"], each["route"] == OTHER, each["route"]))
    return found


def _is_fault(status: str) -> bool:
    return status.isdecimal() and int(status) >= _FIRST_FAULT


def _feeds(told: Iterable[Iterable[Mapping[str, Any]]]) -> list[dict[str, Any]]:
    """Returns the feeds by method: their number, their readers, and the lag of the slowest one."""
    found: dict[str, dict[str, Any]] = {}
    for each in (one for worker in told for one in worker):
        same = found.setdefault(
            each["rpc"], {"rpc": each["rpc"], "feeds": 0, "readers": 0, "bytes": 0, "lag": 0}
        )
        for name in ("feeds", "readers", "bytes"):
            same[name] += each[name]
        same["lag"] = max(same["lag"], each["lag"])
    return sorted(found.values(), key=lambda each: str(each["rpc"]))


def _samples(metrics: Iterable[Mapping[str, Any]], name: str) -> Iterable[tuple[Any, Any]]:
    return ((labels, value) for each in metrics for labels, value in each.get(name, ()))


def _by_labels(metrics: Iterable[Mapping[str, Any]], name: str) -> Counter[tuple[str, ...]]:
    found: Counter[tuple[str, ...]] = Counter()
    for labels, value in _samples(metrics, name):
        found[tuple(labels)] += value
    return found


def _summed(metrics: Iterable[Mapping[str, Any]], name: str) -> dict[str, int]:
    """Returns the values of a series by its last label, summed over the others."""
    found: Counter[str] = Counter()
    for labels, value in _samples(metrics, name):
        found[labels[-1]] += value
    return dict(found)


def _total(metrics: Iterable[Mapping[str, Any]], name: str) -> float:
    total = sum((float(value) for _, value in _samples(metrics, name)), 0.0)
    return int(total) if total.is_integer() else total


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 2)
