"""What watches requests and decides nothing; the access log, metrics and traces are observers too.

An `Observer` is told of events on every door and for every wire, also of requests that find no method. An
event that nobody wants costs nothing (`gateway.exchange.observation`). Events with a `RequestInfo` cost more
than those of plain values (`PLAIN_EVENTS`): somebody has to make it. Ends can be told some at a time
(`exchanges_ended`): code that runs for many at once costs less for each.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Final, NamedTuple

from gateway.contract.http_rule import Binding
from gateway.exchange.request_info import RequestInfo
from gateway.exchange.tally import Tally


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
    """How a request ended, in plain values that may be kept."""

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
EVENTS: Final = (
    *("message_received", "message_sent", "messages_dropped"),
    *("request_ended", "request_started", "response_started"),
    *PLAIN_EVENTS,
)
