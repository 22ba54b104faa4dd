"""A limit of calls under way that follows their latency: it falls while they queue, and rises else.

Calls that wait for each other take longer, so latency tells how many there should be (Little's law). In each
window of time the median latency is compared with the one without a queue:

    gradient = tolerance · least / median, from 0.5 to 1        target = gradient · limit + √limit / 2

and the limit goes a fifth of the way to the target. While calls keep queueing, the latency without a queue
may have become another; then every half minute the limit is halved for one window, and the median of the
calls that began in it is the new one. If half the limit still queues, the median is still halved with it, so
further probes come closer. The first window is such a probe, at the minimum; behind it the limit is 100, and
doubles with each window that uses it until calls queue for the first time, as TCP's does (RFC 5681, 3.1).

Sources: Netflix, "Performance Under Load" (2018), and its concurrency-limits, `Gradient2Limit` (the gradient,
the smoothing, no growth of a limit that is not used); Envoy, "Adaptive Concurrency" (medians, the latency
measured with fewer calls, √limit as headroom, of which this takes half).
"""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt
from random import random
from statistics import median
from typing import Final

WINDOW_SECONDS: Final = 0.1
MIN_SAMPLES: Final = 10
MAX_SAMPLES: Final = 500
"""A window has at least as many samples, and keeps at most as many."""
PROBE_SECONDS: Final = 30.0
"""Least time between two probes; up to a fifth more, for several processes should not probe together."""
TOLERANCE: Final = 1.25
"""How much longer than without a queue calls may take before the limit falls."""
START: Final = 100.0
"""Limit behind the first probe: a burst should not be refused because all was quiet before."""
MOST: Final = 10_000.0
"""Maximum, where the settings have none."""
_SMOOTHING: Final = 0.2
_STEEPEST: Final = 0.5
_HEADROOM: Final = 0.5
"""Of √limit, by which the limit rises while nothing queues; all of it is a long queue for a small limit."""


class AdaptiveLimit:
    """The limit.

    Attributes:
        limit: calls that may be under way now.
        least_seconds: latency without a queue, as far as it is known.
    """

    def __init__(
        self,
        least: int,
        most: int | None,
        *,
        jitter: Callable[[], float] = random,
    ) -> None:
        """Takes its bounds."""
        self._least = float(least)
        self._most = MOST if most is None else float(most)
        self._jitter = jitter
        self._usual = max(self._least, min(START, self._most))
        self._doubles = True
        self._samples: list[float] = []
        self._peak = 0
        self._due = 0.0
        self._probing_since: float | None = 0.0
        self._probe_at = 0.0
        self.limit = int(self._least)
        self.least_seconds = float("inf")

    def add(self, seconds: float, calls: int, now: float) -> None:
        """Adds the latency of a call that has ended.

        Args:
            seconds: of the call.
            calls: that were under way when it ended, itself among them.
            now: seconds of a clock that does not go back.
        """
        since = self._probing_since
        if since is not None and now - seconds < since:
            return  # it began in the queue that the probe is to do without
        if not self._samples:
            self._due = now + WINDOW_SECONDS
        if calls > self._peak:
            self._peak = calls
        if len(self._samples) < MAX_SAMPLES:
            self._samples.append(seconds)
        if now >= self._due and len(self._samples) >= MIN_SAMPLES:
            self._end_window(now)

    def is_slow(self, seconds: float) -> bool:
        """Whether a call that has failed took so long that its latency says something."""
        return seconds > TOLERANCE * self.least_seconds

    def _end_window(self, now: float) -> None:
        seconds, peak = median(self._samples), self._peak
        self._samples.clear()
        self._peak = 0
        if self._probing_since is not None:
            self.least_seconds = seconds
            self._probing_since = None
            self._postpone_probe(now)
        else:
            self.least_seconds = min(self.least_seconds, seconds)
            self._follow(seconds, peak, now)
        probing = self._probing_since is not None
        self.limit = int(max(self._least, self._usual / 2) if probing else self._usual)

    def _follow(self, seconds: float, peak: int, now: float) -> None:
        gradient = TOLERANCE * self.least_seconds / seconds if seconds else 1.0
        if gradient >= 1:
            gradient = 1.0
            self._postpone_probe(now)
            if 2 * peak < self._usual:
                return  # a limit that is not used would grow without end
            if self._doubles:
                self._usual = min(self._most, 2 * self._usual)
                return
        elif now >= self._probe_at:
            self._probing_since = now
        self._doubles = self._doubles and gradient >= 1
        usual = self._usual
        target = max(_STEEPEST, gradient) * usual + _HEADROOM * sqrt(usual)
        self._usual = min(self._most, max(self._least, usual + _SMOOTHING * (target - usual)))

    def _postpone_probe(self, now: float) -> None:
        self._probe_at = now + PROBE_SECONDS * (1 + 0.2 * self._jitter())
