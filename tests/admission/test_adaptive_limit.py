"""The adaptive limit before a server of known capacity, on a simulated clock."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from random import Random

import pytest

from gateway.admission.overload.adaptive import AdaptiveLimit


class Server:
    """A server that works on so many calls at a time, and queues the others."""

    def __init__(self, limit: AdaptiveLimit, workers: int, seconds: float) -> None:
        self.limit = limit
        self.workers = workers
        self.seconds = seconds
        self.now = 1000.0
        self.answered = 0
        self.refused = 0
        self.latencies: list[float] = []
        self._random = Random(1)
        self.free: list[float] = [0.0] * workers
        self._ends: list[tuple[float, float]] = []

    def load(self, per_second: float, seconds: float) -> Iterator[None]:
        """Sends calls at random times, so many a second; yields behind each second."""
        end, tick = self.now + seconds, self.now + 1
        while self.now < end:
            self.now += self._random.expovariate(per_second)
            while self._ends and self._ends[0][0] <= self.now:
                at, since = heapq.heappop(self._ends)
                self.answered += 1
                self.latencies.append(at - since)
                self.limit.add(at - since, len(self._ends) + 1, at)
            if len(self._ends) >= self.limit.limit:
                self.refused += 1
            else:
                self._begin()
            if self.now >= tick:
                tick += 1
                yield

    def _begin(self) -> None:
        free = sorted(self.free)[-self.workers :] if self.workers < len(self.free) else self.free
        heapq.heapify(free)
        at = max(self.now, heapq.heappop(free)) + self.seconds * self._random.uniform(0.8, 1.2)
        self.free = [*free, at]
        heapq.heappush(self._ends, (at, self.now))

    def run(self, per_second: float, seconds: float) -> tuple[float, float]:
        """Sends calls, and returns those answered in a second, and the 99th percentile of their latency."""
        self.answered, self.latencies = 0, []
        for _ in self.load(per_second, seconds):
            pass
        ordered = sorted(self.latencies)
        return self.answered / seconds, ordered[int(0.99 * len(ordered))]


@pytest.mark.parametrize("workers", [2, 4, 8, 20, 100])
def test_under_twice_the_load_it_serves_what_the_server_can(workers: int) -> None:
    """At least 90 % of it, and the 99th percentile is within twice the latency without a queue."""
    server = Server(AdaptiveLimit(min(4, workers), None, jitter=lambda: 0.0), workers, 0.05)
    capacity = workers / 0.05
    server.run(2 * capacity, 20)

    served, p99 = server.run(2 * capacity, 60)

    assert served >= 0.9 * capacity
    least = 0.05 * 1.2
    assert p99 <= 2 * least


def test_it_refuses_nobody_that_the_server_can_serve() -> None:
    """Behind the first seconds, in which it learns."""
    server = Server(AdaptiveLimit(4, None), 20, 0.05)
    server.run(200, 10)
    server.refused = 0
    served, _ = server.run(280, 60)

    assert server.refused == 0
    assert served == pytest.approx(280, rel=0.05)


def test_it_recovers_when_the_server_does() -> None:
    """A server that becomes slow lowers the limit; one that is well again is used in full again."""
    limit = AdaptiveLimit(4, None, jitter=lambda: 0.0)
    server = Server(limit, 40, 0.05)
    server.run(1200, 20)
    healthy = limit.limit
    server.workers = 8
    server.run(1200, 40)
    assert limit.limit < 30 < healthy
    server.workers = 40
    server.free = [server.now] * 40
    server.run(1200, 30)

    served, _ = server.run(1200, 20)

    assert served >= 0.9 * 800


def test_a_server_that_is_slower_for_good_becomes_the_new_usual() -> None:
    """A probe finds it, half a minute later at most; then the limit rises to what it can."""
    limit = AdaptiveLimit(4, None, jitter=lambda: 0.0)
    server = Server(limit, 20, 0.02)
    server.run(800, 20)
    server.seconds = 0.1  # as many at a time, each five times as long
    server.run(400, 90)

    served, _ = server.run(400, 30)

    assert served >= 0.9 * 200
    assert limit.least_seconds > 0.08


def test_started_in_an_overload_it_converges() -> None:
    """The first window is with few calls, so the queue is not taken for usual."""
    limit = AdaptiveLimit(4, None, jitter=lambda: 0.0)
    server = Server(limit, 10, 0.01)
    server.run(10_000, 5)

    served, _ = server.run(10_000, 20)

    assert served >= 0.9 * 1000
    assert limit.limit < 30


def test_it_stays_within_its_bounds() -> None:
    """Whatever the latencies are."""
    random = Random(2)
    limit, now = AdaptiveLimit(3, 50), 1.0
    for _ in range(20_000):
        now += random.random() / 100
        limit.add(random.choice((0.0, 1e-9, 0.01, 100.0)), random.randrange(100), now)
        assert 3 <= limit.limit <= 50


def test_a_quick_failure_says_nothing_and_a_slow_one_does() -> None:
    """A server that refuses at once has no capacity."""
    limit, now = AdaptiveLimit(4, None), 1.0
    assert not limit.is_slow(60)
    for _ in range(40):
        now += 0.01
        limit.add(0.01, 1, now)

    assert not limit.is_slow(0.001)
    assert limit.is_slow(0.1)
