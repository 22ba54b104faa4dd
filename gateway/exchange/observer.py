"""What watches requests and decides nothing; the access log, metrics and traces are observers too.

An `Observer` is told of events on every door and for every wire, also of requests that find no method. Which
events it wants is looked up once, when it is added (`Observation`): an event that nobody wants costs nothing.
Events with a `RequestInfo` cost more than those of plain values (`PLAIN_EVENTS`): somebody has to make it.
Ends can be told some at a time (`exchanges_ended`): code that runs for many at once costs less for each.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from enum import Enum
from time import time
from typing import Final, NamedTuple

from gateway.contract.http_rule import Binding
from gateway.exchange.request_info import RequestInfo
from gateway.exchange.tally import Tally

log = logging.getLogger(__name__)


class EndedBy(Enum):
    """Who ended a request."""

    UPSTREAM = "upstream"
    """The gRPC server, by its status, OK included; or that it cannot be reached."""
    EDGE = "edge"
    """The edge, by an error of its own or of a policy: a bad request, a limit, a fault."""
    CLIENT = "client"
    """The client, which disconnected."""
    SHUTDOWN = "shutdown"
    """The shutdown of the edge."""


class RequestEnd(NamedTuple):
    """How a request ended, in plain values that may be kept; it is made once for all observers."""

    time: float
    """Unix time of the end."""
    seconds: float
    """From the head of the request to the end of the response."""
    request_id: str
    traceparent: str
    """That of the call upstream, unchecked; empty if there is none."""
    client: str
    """IP address of the client; empty if it is not known."""
    identity: str
    """`name` of the caller's identity; empty if it has none."""
    http_method: str
    """Empty if it was refused before it was a request."""
    binding: Binding | None
    """The binding of the contract that was matched; None if none was."""
    http_status: int
    """HTTP status that was sent; 0 if none was, 101 for a WebSocket."""
    code: int
    """gRPC status code."""
    ended_by: EndedBy
    bytes_in: int
    """Of the body, or of the messages of a WebSocket."""
    bytes_out: int
    counts: Tally | None
    """What a stream or a page has carried; None for a unary call, which says all by itself."""
    is_websocket: bool
    by_upstream: bool
    """Whether its error is that of the call."""
    path: str
    """As it came, percent-encoded, without the query."""
    is_over: bool = True
    """False in `exchange_continues`, where status, code and who ended it are still open."""
    http_version: str = ""
    """`1.0`, `1.1` or `2`; empty if it was refused before it was a request."""
    rpc_wire: str = ""
    """`grpc`, `grpc-web`, `connect`, …, of a call on its own wire; empty for any other."""


class Observer:
    """Watches requests; each method does nothing unless a subclass says what.

    The methods are called in the event loop and must not block. What they raise is logged and ignored.

    Attributes:
        progress_seconds: interval of `exchange_continues`; None: it is never called.
    """

    progress_seconds: float | None = None

    def request_started(self, request: RequestInfo) -> None:
        """The head was read and matched; no policy was asked yet."""

    def response_started(self, request: RequestInfo, http_status: int) -> None:
        """The head of the response is sent; 101 for a WebSocket."""

    def message_received(self, request: RequestInfo, size: int) -> None:
        """A message of the client goes upstream; its size in bytes of protobuf."""

    def message_sent(self, request: RequestInfo, size: int) -> None:
        """A message of the server goes to the client; its size in bytes of protobuf."""

    def messages_dropped(self, request: RequestInfo, count: int) -> None:
        """A slow or returning reader missed messages; 0 if nobody knows how many."""

    def request_ended(self, request: RequestInfo, end: RequestEnd) -> None:
        """The response has ended; called once for each started request."""

    def exchange_ended(self, end: RequestEnd) -> None:
        """As `request_ended`, without the request: it costs a fraction."""

    def exchanges_ended(self, ends: Sequence[RequestEnd]) -> None:
        """As `exchange_ended`, for all exchanges since the last call: at most 32, of at most 50 ms."""

    def exchange_continues(self, so_far: RequestEnd) -> None:
        """A stream goes on; called each time that `progress_seconds` have passed."""

    def head_rejected(self, end: RequestEnd) -> None:
        """Something was refused before it was a request, such as a head that is too large."""

    def policy_refused(self, policy: str, code: int) -> None:
        """A policy has refused a request: the name of its class, and the gRPC status code."""


PLAIN_EVENTS: Final = (
    *("exchange_continues", "exchange_ended", "exchanges_ended"),
    *("head_rejected", "policy_refused"),
)
"""They need no `RequestInfo`."""
MAX_ENDS: Final = 32
"""Maximum ends that wait to be told together."""
_GATHER_SECONDS: Final = 0.05
"""Maximum time that they wait."""
EVENTS: Final = (
    *("message_received", "message_sent", "messages_dropped"),
    *("request_ended", "request_started", "response_started"),
    *PLAIN_EVENTS,
)


class Observation:
    """Several observers as one, whose errors reach nobody.

    Each attribute of an event has the methods of its name of those observers whose class overrides it; None
    if none does. Whoever calls them catches what they raise (`log_fault`); the events of each request are
    told where they occur, without a function between.

    Attributes:
        needs_info: whether an event with a `RequestInfo` is wanted.
        needs_end: whether the end is, or the progress, which is told until then.
        progress_seconds: interval of `exchange_continues`, the shortest of all.
        ends: those that wait to be told together; None if nobody wants them so. Whoever adds the first one,
            or that with which there are `MAX_ENDS`, calls `gather`.
    """

    __slots__ = (
        *EVENTS,
        *("_timer", "ends", "needs_end", "needs_info", "observers", "progress_seconds"),
    )

    request_started: Sequence[Callable[[RequestInfo], None]] | None
    response_started: Sequence[Callable[[RequestInfo, int], None]] | None
    message_received: Sequence[Callable[[RequestInfo, int], None]] | None
    message_sent: Sequence[Callable[[RequestInfo, int], None]] | None
    messages_dropped: Sequence[Callable[[RequestInfo, int], None]] | None
    request_ended: Sequence[Callable[[RequestInfo, RequestEnd], None]] | None
    exchange_ended: Sequence[Callable[[RequestEnd], None]] | None
    exchanges_ended: Sequence[Callable[[Sequence[RequestEnd]], None]] | None
    exchange_continues: Sequence[Callable[[RequestEnd], None]] | None
    head_rejected: Sequence[Callable[[RequestEnd], None]] | None
    policy_refused: Sequence[Callable[[str, int], None]] | None

    def __init__(self, observers: tuple[Observer, ...]) -> None:
        self.observers = observers
        for event in EVENTS:
            setattr(self, event, _told(event, observers) or None)
        self.needs_info = any(
            getattr(self, event) is not None for event in EVENTS if event not in PLAIN_EVENTS
        )
        ends = self.request_ended, self.exchange_ended, self.exchanges_ended
        self.needs_end = any(told is not None for told in (*ends, self.exchange_continues))
        intervals = [each.progress_seconds for each in observers if each.progress_seconds]
        self.progress_seconds = min(intervals, default=None)
        self.ends: list[RequestEnd] | None = None if self.exchanges_ended is None else []
        self._timer: asyncio.TimerHandle | None = None

    def gather(self) -> None:
        """Tells the ends that wait, if there are many; else soon."""
        if self.ends and len(self.ends) >= MAX_ENDS:
            self.tell_ends()
        elif self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(_GATHER_SECONDS, self._tell_late)

    def _tell_late(self) -> None:
        self._timer = None
        self.tell_ends()

    def tell_ends(self) -> None:
        """Tells the ends that wait, so that whoever has them is up to date."""
        if ends := self.ends:
            self.ends = []
            tell_each(self.exchanges_ended, ends)

    def reject(self, http_status: int, code: int, request_id: str, client: str) -> None:
        """Tells of what was refused before it was a request."""
        if self.head_rejected is not None:
            end = RequestEnd(
                time=time(),
                seconds=0.0,
                request_id=request_id,
                traceparent="",
                client=client,
                identity="",
                http_method="",
                binding=None,
                http_status=http_status,
                code=code,
                ended_by=EndedBy.EDGE,
                bytes_in=0,
                bytes_out=0,
                counts=None,
                is_websocket=False,
                by_upstream=False,
                path="",
            )
            self.tell_ends()  # they were before it
            tell_each(self.head_rejected, end)


def _told(event: str, observers: tuple[Observer, ...]) -> tuple[Callable[..., None], ...]:
    """Returns the methods of those observers that override one."""
    default = getattr(Observer, event)
    told = [getattr(observer, event) for observer in observers]
    return tuple([each for each in told if getattr(each, "__func__", None) is not default])


def tell_each(told: Sequence[Callable[..., None]] | None, *values: object) -> None:
    """Tells of an event; those of each request are told in place, for `*values` would cost twice as much."""
    for tell in told or ():
        try:
            tell(*values)
        except Exception:
            log_fault(tell)


def log_fault(observer: object) -> None:
    """Logs what an observer has raised."""
    log.exception("an observer failed: %s", getattr(observer, "__qualname__", observer))
