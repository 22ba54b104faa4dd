"""Addresses of an upstream that are left out for a while: outliers, by failures in a row and by latency.

An address whose calls fail, or take too long, one after the other is ejected. It returns after a time that
grows with each ejection, and takes few calls at first (slow start). At least one address always stays.

A failure is UNAVAILABLE of the server or its connection, which no caller can bring about at will; a deadline
that a caller has set is none, for callers could have any address ejected by it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from gateway.transcoding.status import UNAVAILABLE, StatusError
from gateway.upstream.port import Upstream

log = logging.getLogger(__name__)

_LEAST_SHARE: Final = 0.1
"""Share of its calls that an address takes when it has just returned."""


@dataclass(frozen=True, slots=True)
class EjectionPolicy:
    """When an address is ejected, and for how long; times in seconds."""

    failures: int = 5
    """So many calls in a row that failed."""
    slow_calls: int = 5
    """So many unary calls in a row that took longer than `slow`."""
    slow: float | None = None
    """None: none is too slow."""
    time: float = 10.0
    """Of the first ejection; the second one is twice as long, and so on."""
    max_time: float = 300.0
    max_share: float = 0.5
    """Of the addresses may be ejected at the same time; at least one stays."""
    slow_start: float = 10.0
    """Time in which an address that returned comes to its full share of calls."""


class Endpoint:
    """One address.

    Attributes:
        address: as it was set.
        upstream: carries its calls.
        calls: calls under way.
        failed: calls in a row that failed.
        slow: calls in a row that took too long.
        ejections: how often it was ejected since it was last well for long.
        is_ejected: whether it takes no calls.
        returned_at: when it was last let in again, in the loop's time; None: it has its full share.
    """

    __slots__ = (
        *("address", "calls", "ejections", "failed", "is_ejected", "returned_at", "slow"),
        "upstream",
    )

    def __init__(self, address: str, upstream: Upstream) -> None:
        self.address = address
        self.upstream = upstream
        self.calls = self.failed = self.slow = self.ejections = 0
        self.is_ejected = False
        self.returned_at: float | None = None

    @property
    def is_failing(self) -> bool:
        """Whether a call would fail at once, for its last attempt to connect has failed."""
        pool = getattr(self.upstream, "pool", None)
        return pool is not None and pool.is_failing


class Outliers:
    """The addresses of one upstream, and which of them take calls.

    Attributes:
        live: those that are not ejected.
        warming: those of them that have returned, and have not their full share yet.
        ejected: reason -> how often an address was ejected for it.
        returns: how often one was let in again.
    """

    def __init__(
        self, name: str, endpoints: Sequence[Endpoint], policy: EjectionPolicy | None
    ) -> None:
        """Takes the addresses; without a policy all of them take calls, always."""
        self.live = tuple(endpoints)
        self.warming: set[Endpoint] = set()
        self.ejected = {"failures": 0, "latency": 0}
        self.returns = 0
        self._name = name
        self._endpoints = tuple(endpoints)
        self._policy = policy
        self._timers: set[asyncio.TimerHandle] = set()

    def called(self, endpoint: Endpoint, outcome: object, seconds: float | None = None) -> None:
        """Takes the end of a call.

        Args:
            endpoint: where it went.
            outcome: the error that it ended with, or anything else for a success.
            seconds: duration of a unary call; None: it streams, or was cancelled before it was slow.
        """
        policy = self._policy
        if policy is None:
            return
        if isinstance(outcome, StatusError) and outcome.code == UNAVAILABLE and outcome.by_upstream:
            endpoint.failed += 1
            if endpoint.failed >= policy.failures:
                self._eject(endpoint, policy, "failures")
            return
        endpoint.failed = 0
        if policy.slow is not None and seconds is not None:
            if seconds < policy.slow:
                endpoint.slow = 0
            else:
                endpoint.slow += 1
                if endpoint.slow >= policy.slow_calls:
                    self._eject(endpoint, policy, "latency")

    def is_slow(self, seconds: float) -> bool:
        """Whether a call that has taken so long is too slow, however it ends."""
        policy = self._policy
        return policy is not None and policy.slow is not None and seconds >= policy.slow

    def share(self, endpoint: Endpoint, now: float) -> float:
        """Returns which part of its calls an address takes, from above 0 to 1."""
        if endpoint.returned_at is None or self._policy is None:
            return 1.0
        passed = (now - endpoint.returned_at) / (self._policy.slow_start or 1e-9)
        if passed < 1:
            return max(passed, _LEAST_SHARE)
        endpoint.returned_at = None
        endpoint.ejections = 0
        self.warming.discard(endpoint)
        return 1.0

    def stop(self) -> None:
        """Lets in nobody any more."""
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()

    def _eject(self, endpoint: Endpoint, policy: EjectionPolicy, reason: str) -> None:
        if endpoint.is_ejected:
            return
        count = len(self._endpoints)
        most = min(max(int(count * policy.max_share), 1), count - 1)
        if count - len(self.live) >= most:
            return
        endpoint.ejections += 1
        endpoint.is_ejected = True
        endpoint.failed = endpoint.slow = 0
        self.live = tuple(each for each in self._endpoints if not each.is_ejected)
        self.warming.discard(endpoint)
        self.ejected[reason] += 1
        seconds = min(policy.time * endpoint.ejections, policy.max_time)
        log.warning(
            "upstream %s: %s takes no calls for %g s: too many in a row %s",
            self._name, endpoint.address, seconds,
            "failed" if reason == "failures" else "were slow",
        )  # fmt: skip
        loop = asyncio.get_running_loop()
        timer = loop.call_later(seconds, self._let_in, endpoint, loop)
        self._timers = {each for each in self._timers if each.when() > loop.time()} | {timer}

    def _let_in(self, endpoint: Endpoint, loop: asyncio.AbstractEventLoop) -> None:
        endpoint.is_ejected = False
        endpoint.returned_at = loop.time()
        self.warming.add(endpoint)
        self.live = tuple(each for each in self._endpoints if not each.is_ejected)
        self.returns += 1
        log.warning("upstream %s: %s takes calls again", self._name, endpoint.address)
