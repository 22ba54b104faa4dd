"""Timers of one connection: handshake, header section, keepalive, idle, age.

Each rule checks, acts if it is due, and returns when to check again. So received bytes and ended streams
restart no timer.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

_JITTER = 0.1
"""Relative spread of ages, so that clients do not reconnect all at once (gRFC A9)."""


@dataclass(frozen=True, slots=True)
class Lifetimes:
    """Durations in seconds; infinity disables."""

    handshake: float = 20.0
    """Timeout for the exchange of SETTINGS; then the connection is closed."""
    section: float = 20.0
    """Time that the peer may take for the rest of a header section; then the connection is closed."""
    keepalive: float = math.inf
    """Silence of the peer after which a keepalive ping is sent."""
    keepalive_timeout: float = 20.0
    """Silence after a keepalive ping at which the connection is closed."""
    keepalive_without_streams: bool = False
    """Whether pings are sent without open streams."""
    idle: float = math.inf
    """Time without a stream after which the connection is closed."""
    age: float = math.inf
    """Age at which the connection is closed gracefully."""
    grace: float = math.inf
    """Time that open streams have to finish after `age`."""
    goaway_timeout: float = 20.0
    """Timeout for the reply to the ping behind the first GOAWAY; then the second is sent."""
    close_timeout: float = 1.0
    """Time that the peer has to close after this side has sent everything; then this side closes."""


UNLIMITED = Lifetimes()


class TimedConnection(Protocol):
    """What a lifetime needs of a connection."""

    idle_since: float
    """When the last stream ended, in the loop's time."""

    @property
    def last_received(self) -> float:
        """When bytes last came, in the loop's time."""

    @property
    def established(self) -> bool:
        """Whether SETTINGS were sent and acknowledged both ways."""

    @property
    def stream_count(self) -> int:
        """How many streams are open."""

    @property
    def open_section(self) -> int:
        """Stream whose header section is not complete; 0 if all are."""

    def send_ping(self) -> None:
        """Sends a keepalive ping."""

    def go_away(self, grace: float = math.inf) -> None:
        """Accepts no new streams; closes when the last has ended or `grace` seconds are over."""

    def abort(self, reason: str) -> None:
        """Closes at once."""


class Lifetime:
    """The timers of one connection."""

    def __init__(
        self, connection: TimedConnection, times: Lifetimes, loop: asyncio.AbstractEventLoop
    ) -> None:
        self._connection = connection
        self._times = times
        self._loop = loop
        self._handles: dict[str, asyncio.TimerHandle] = {}
        spread = random.uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311 - jitter, not security
        self._opened_at = loop.time()
        self._pinged_at = -math.inf
        self._ends_at = self._opened_at + times.age * spread
        self._check("handshake", self._handshake)
        self._check("age", self._age)
        self._check("idle", self._idle)
        self._check("keepalive", self._keepalive)

    def begin_section(self, stream_id: int) -> None:
        """Closes the connection unless a header section is complete in time; meanwhile nothing else comes."""
        if "section" not in self._handles:
            self._handles["section"] = self._loop.call_later(
                self._times.section, self._check_section, stream_id
            )

    def _check_section(self, stream_id: int) -> None:
        del self._handles["section"]
        still_open = self._connection.open_section
        if still_open == stream_id:
            self._connection.abort("a header section is not complete")
        elif still_open:
            self.begin_section(still_open)

    def end(self) -> None:
        """Stops the timers."""
        for handle in self._handles.values():
            handle.cancel()
        self._handles.clear()

    def _check(self, name: str, rule: Callable[[float], float]) -> None:
        self._handles.pop(name, None)
        due = rule(self._loop.time())
        if due < math.inf:
            self._handles[name] = self._loop.call_at(due, self._check, name, rule)

    def _handshake(self, now: float) -> float:
        due = self._opened_at + self._times.handshake
        if self._connection.established:
            return math.inf
        if now >= due:
            self._connection.abort("the peer did not say that it speaks HTTP/2")
            return math.inf
        return due

    def _keepalive(self, now: float) -> float:
        if self._pinged_at > self._connection.last_received:
            due = self._pinged_at + self._times.keepalive_timeout
            if now < due:
                return due
            self._connection.abort("keepalive watchdog timeout")
            return math.inf
        due = self._connection.last_received + self._times.keepalive
        if now < due:
            return due
        if not (self._connection.stream_count or self._times.keepalive_without_streams):
            return now + self._times.keepalive
        self._pinged_at = now
        self._connection.send_ping()
        return now + self._times.keepalive_timeout

    def _idle(self, now: float) -> float:
        since = now if self._connection.stream_count else self._connection.idle_since
        if now < since + self._times.idle:
            return since + self._times.idle
        self._connection.go_away()
        return math.inf

    def _age(self, now: float) -> float:
        if now < self._ends_at:
            return self._ends_at
        self._connection.go_away(self._times.grace)
        return math.inf
