"""How long a connection lives: what the clock does to it when nothing else does.

A peer that says nothing is cut; one that is silent for long is asked whether it is there; a connection that
is idle or old says that it goes. Each rule looks, does what is due, and says when to look again, so that
bytes that come and streams that end cost no timers.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

_JITTER = 0.1
"""Ages differ by so much either way, lest all clients come again at once (gRFC A9)."""


@dataclass(frozen=True, slots=True)
class Lifetimes:
    """How long things last, in seconds; infinite is never."""

    handshake: float = 20.0
    """Until settings have been exchanged; a peer that connects and says nothing is cut."""
    keepalive: float = math.inf
    """Silence of the peer after which it is asked whether it is there (a ping)."""
    keepalive_timeout: float = 20.0
    """Silence after that at which the connection is given up."""
    keepalive_without_streams: bool = False
    """Whether a peer is asked also while nothing is open."""
    idle: float = math.inf
    """Time without a stream after which the connection goes."""
    age: float = math.inf
    """Age at which the connection goes."""
    grace: float = math.inf
    """What streams have left to finish when it goes for its age."""
    goodbye: float = 20.0
    """What a peer has to answer the first GOAWAY; then its last requests are not waited for."""
    linger: float = 1.0
    """What the peer has to close when all is said; then this side does."""


FOREVER = Lifetimes()


class Mortal(Protocol):
    """What a lifetime asks of a connection, and does to it."""

    heard: float
    """When something last came from the peer."""

    @property
    def established(self) -> bool:
        """Whether settings have been sent and acknowledged both ways."""

    @property
    def stream_count(self) -> int:
        """How many streams are open."""

    def ask(self) -> None:
        """Sends a ping."""

    def go_away(self, grace: float = math.inf) -> None:
        """Takes no new streams, and closes when the last has ended or the grace is over."""

    def abort(self, reason: str) -> None:
        """Closes at once."""


class Lifetime:
    """The clock of one connection.

    Attributes:
        idle_since: when the last stream ended.
    """

    def __init__(self, mortal: Mortal, times: Lifetimes, loop: asyncio.AbstractEventLoop) -> None:
        self._mortal = mortal
        self._times = times
        self._loop = loop
        self._handles: dict[str, asyncio.TimerHandle] = {}
        spread = random.uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311 - nobody is to be surprised
        self._birth = self.idle_since = loop.time()
        self._asked = -math.inf
        self._old = self._birth + times.age * spread
        self._rule("handshake", self._handshake)
        self._rule("age", self._age)
        self._rule("idle", self._idle)
        self._rule("keepalive", self._keepalive)

    def end(self) -> None:
        """Stops the clock."""
        for handle in self._handles.values():
            handle.cancel()
        self._handles.clear()

    def _rule(self, name: str, look: Callable[[float], float]) -> None:
        self._handles.pop(name, None)
        due = look(self._loop.time())
        if due < math.inf:
            self._handles[name] = self._loop.call_at(due, self._rule, name, look)

    def _handshake(self, now: float) -> float:
        due = self._birth + self._times.handshake
        if self._mortal.established:
            return math.inf
        if now >= due:
            self._mortal.abort("the peer did not say that it speaks HTTP/2")
            return math.inf
        return due

    def _keepalive(self, now: float) -> float:
        if self._asked > self._mortal.heard:
            due = self._asked + self._times.keepalive_timeout
            if now < due:
                return due
            self._mortal.abort("keepalive watchdog timeout")
            return math.inf
        due = self._mortal.heard + self._times.keepalive
        if now < due:
            return due
        if not (self._mortal.stream_count or self._times.keepalive_without_streams):
            return now + self._times.keepalive
        self._asked = now
        self._mortal.ask()
        return now + self._times.keepalive_timeout

    def _idle(self, now: float) -> float:
        since = now if self._mortal.stream_count else self.idle_since
        if now < since + self._times.idle:
            return since + self._times.idle
        self._mortal.go_away()
        return math.inf

    def _age(self, now: float) -> float:
        if now < self._old:
            return self._old
        self._mortal.go_away(self._times.grace)
        return math.inf
