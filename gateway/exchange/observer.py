"""What watches requests and decides nothing; the access log, metrics and traces are observers too.

An `Observer` is told of events on every door and for every wire, also of requests that find no method. Which
events it wants is looked up once, when it is added (`Observation`): an event that nobody wants costs nothing.
Events with a `RequestInfo` cost more than those of plain values (`PLAIN_EVENTS`): somebody has to make it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from enum import Enum
from time import time
from typing import Any, Final, NamedTuple

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

    def exchange_continues(self, so_far: RequestEnd) -> None:
        """A stream goes on; called each time that `progress_seconds` have passed."""

    def head_rejected(self, end: RequestEnd) -> None:
        """Something was refused before it was a request, such as a head that is too large."""

    def policy_refused(self, policy: str, code: int) -> None:
        """A policy has refused a request: the name of its class, and the gRPC status code."""


PLAIN_EVENTS: Final = ("exchange_continues", "exchange_ended", "head_rejected", "policy_refused")
"""They need no `RequestInfo`."""
_OF_ONE_VALUE: Final = frozenset(
    ("exchange_continues", "exchange_ended", "head_rejected", "request_started")
)
EVENTS: Final = (
    *("message_received", "message_sent", "messages_dropped"),
    *("request_ended", "request_started", "response_started"),
    *PLAIN_EVENTS,
)


class Observation:
    """Several observers as one, whose errors reach nobody.

    Each attribute of an event tells those observers whose class overrides the method of its name; None if
    none does.

    Attributes:
        needs_info: whether an event with a `RequestInfo` is wanted.
        needs_end: whether the end is, or the progress, which is told until then.
        progress_seconds: interval of `exchange_continues`, the shortest of all.
    """

    __slots__ = (*EVENTS, "needs_end", "needs_info", "observers", "progress_seconds")

    request_started: Callable[[RequestInfo], None] | None
    response_started: Callable[[RequestInfo, int], None] | None
    message_received: Callable[[RequestInfo, int], None] | None
    message_sent: Callable[[RequestInfo, int], None] | None
    messages_dropped: Callable[[RequestInfo, int], None] | None
    request_ended: Callable[[RequestInfo, RequestEnd], None] | None
    exchange_ended: Sequence[Callable[[RequestEnd], None]] | None
    """Those that are told, without what catches their errors: each request has an end."""
    exchange_continues: Callable[[RequestEnd], None] | None
    head_rejected: Callable[[RequestEnd], None] | None
    policy_refused: Callable[[str, int], None] | None

    def __init__(self, observers: tuple[Observer, ...]) -> None:
        self.observers = observers
        for event in EVENTS:
            told = _told(event, observers)
            setattr(self, event, _tell_all(event, told) if told else None)
        self.exchange_ended = _told("exchange_ended", observers) or None
        self.needs_info = any(
            getattr(self, event) is not None for event in EVENTS if event not in PLAIN_EVENTS
        )
        ends = self.request_ended, self.exchange_ended, self.exchange_continues
        self.needs_end = any(told is not None for told in ends)
        intervals = [each.progress_seconds for each in observers if each.progress_seconds]
        self.progress_seconds = min(intervals, default=None)

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
            self.head_rejected(end)


def _told(event: str, observers: tuple[Observer, ...]) -> tuple[Callable[..., None], ...]:
    """Returns the methods of those observers that override one."""
    default = getattr(Observer, event)
    told = [getattr(observer, event) for observer in observers]
    return tuple([each for each in told if getattr(each, "__func__", None) is not default])


def _tell_all(event: str, told: Sequence[Callable[..., None]]) -> Callable[..., None]:
    """Returns what tells all; its values have names, for `*values` would cost twice as much."""

    def tell_one(value: Any) -> None:
        for each in told:
            try:
                each(value)
            except Exception:
                log_fault(each)

    def tell_two(value: Any, other: Any) -> None:
        for each in told:
            try:
                each(value, other)
            except Exception:
                log_fault(each)

    return tell_one if event in _OF_ONE_VALUE else tell_two


def log_fault(observer: object) -> None:
    """Logs what an observer has raised."""
    log.exception("an observer failed: %s", getattr(observer, "__qualname__", observer))
