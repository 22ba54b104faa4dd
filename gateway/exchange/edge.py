"""What all requests of a process share: the contract in force, the way upstream, and the limits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from gateway.exchange.attendance import Attendance, Interruption
from gateway.exchange.compression import Compression
from gateway.exchange.observation import Observation
from gateway.exchange.observer import Observer
from gateway.exchange.served import ServedContract
from gateway.feeds.feeds import Feeds
from gateway.transcoding.metadata import MetadataFilter
from gateway.transcoding.origin import Origins
from gateway.upstream.port import Upstream


@dataclass(frozen=True, slots=True)
class Limits:
    """What the edge lets a caller do, and for how long; sizes in bytes, times in seconds."""

    max_message: int
    """One message, in JSON or in protobuf; so the whole body of a unary request too."""
    max_metadata: int
    """Metadata that a request forwards, as `metadata_size` counts it."""
    timeout: float | None
    """The longest that a unary call may take, whatever its caller allows; None: no end."""
    heartbeat: float
    """After so long without a message a stream shows that it lives."""
    retry: float
    """After so long a reader of events that was cut should come back; after an error up to twice as long."""
    websocket_idle: float | None
    """After so long without a message either way a WebSocket is closed; None: never."""
    origins: Origins
    """The origins whose pages may open a WebSocket, beside the edge's own."""


@dataclass(slots=True, eq=False)
class Edge:
    """What one process serves: the contract in force, the way upstream, and the limits."""

    served: ServedContract
    """The contract in force; `serve_contract` replaces it."""
    upstream: Upstream
    feeds: Feeds
    metadata: MetadataFilter
    limits: Limits
    compression: Compression
    observation: Observation | None = None
    """Tells observers; None: there are none."""
    trace_key: str | None = field(init=False)
    """Metadata key of a `traceparent`; None if it does not go upstream."""
    attendances: set[Attendance] = field(default_factory=set)

    warnings: set[tuple[str, str]] = field(default_factory=set)
    """Method and reason of each HTTP status of a server that was ignored, so that each is logged once."""

    decoding: ThreadPoolExecutor = field(
        default_factory=partial(ThreadPoolExecutor, 1, thread_name_prefix="decoding")
    )
    """Decodes JSON that takes longer than a turn of the loop should (`is_long`), one text at a time."""

    closing: bool = False
    """Whether the edge shuts down: a stream that would begin now is told so instead."""

    followers: list[Callable[[ServedContract], None]] = field(default_factory=list)
    """Told of each contract that comes into force: those who keep something by routes or methods."""

    def __post_init__(self) -> None:
        self.trace_key = self.metadata.request.get(b"traceparent")

    def serve_contract(self, served: ServedContract) -> None:
        """Puts a contract into force for the requests that are matched from now on."""
        if self.observation is not None:
            self.observation.tell_ends()  # those of the contract that was in force
        self.served = served
        self.warnings.clear()
        for follow in self.followers:
            follow(served)

    def observe(self, *observers: Observer) -> None:
        """Has observers told of the requests from now on, behind those that are."""
        if not observers:
            return
        told = () if self.observation is None else self.observation.observers
        self._tell((*told, *observers))

    def unobserve(self, observer: Observer) -> None:
        """Has an observer told of no further request."""
        told = () if self.observation is None else self.observation.observers
        self._tell(tuple([each for each in told if each is not observer]))

    def _tell(self, observers: tuple[Observer, ...]) -> None:
        if self.observation is not None:
            self.observation.tell_ends()
        self.observation = Observation(observers) if observers else None

    def interrupt_streams(self) -> set[asyncio.Task[Any]]:
        """Ends all streams, as the edge shuts down; returns the tasks that are saying so."""
        self.closing = True
        ending = {attendance.task for attendance in self.attendances}
        for attendance in tuple(self.attendances):
            attendance.interrupt(Interruption.SHUTDOWN)
        return ending
