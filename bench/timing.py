"""Timing several ways of one thing side by side, in turns, so that a noisy machine disturbs all alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping

_ROUNDS = 15
_ROUND_SECONDS = 0.02


def side_by_side(ways: Mapping[str, Callable[[], object]]) -> dict[str, float]:
    """Returns the median microseconds of CPU that one call of each way takes."""
    calls = {name: calls_in(_ROUND_SECONDS, way) for name, way in ways.items()}
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(_ROUNDS):
        for name, way in ways.items():
            times[name].append(taken(way, calls[name]) / calls[name] * 1e6)
    return {name: statistics.median(each) for name, each in times.items()}


def calls_in(seconds: float, way: Callable[[], object]) -> int:
    """Returns how many calls, a power of two, take at least so long."""
    calls = 1
    while taken(way, calls) < seconds:
        calls *= 2
    return calls


def taken(way: Callable[[], object], calls: int) -> float:
    """Returns the seconds of CPU that so many calls take."""
    began = time.process_time()
    for _ in range(calls):
        way()
    return time.process_time() - began
