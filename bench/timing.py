"""Timing two ways of one thing side by side, in turns, so that a noisy machine disturbs both alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping

_ROUNDS = 15
_ROUND_SECONDS = 0.02


def side_by_side(ways: Mapping[str, Callable[[], object]]) -> dict[str, float]:
    """Returns the median microseconds of CPU that one call of each way takes."""
    calls = {name: _calls_in(_ROUND_SECONDS, way) for name, way in ways.items()}
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(_ROUNDS):
        for name, way in ways.items():
            taken[name].append(_time(way, calls[name]) / calls[name] * 1e6)
    return {name: statistics.median(times) for name, times in taken.items()}


def _calls_in(seconds: float, way: Callable[[], object]) -> int:
    calls = 1
    while _time(way, calls) < seconds:
        calls *= 2
    return calls


def _time(way: Callable[[], object], calls: int) -> float:
    began = time.process_time()
    for _ in range(calls):
        way()
    return time.process_time() - began
