"""Where policy and observation stand: what decides about a request, and what watches it.

A `Policy` decides whether a request may come in; authentication, rights and limits are policies. An
`Observer` watches requests and decides nothing; an access log, metrics and traces are observers. Both see
`RequestInfo`, plain values without ASGI, gRPC or sockets, and both are called on every door and for every
wire, also for requests that find no method. They are given to `create_app(..., policies=, observers=)`.

A policy decides about each request anew: a `RequestInfo` is never kept with the bytes of a head.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

from gateway.contract.method import Method
from gateway.transcoding.metadata import Headers

log = logging.getLogger(__name__)


class Wire(Enum):
    """How the request came."""

    HTTP = "http"
    WEBSOCKET = "websocket"


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


@dataclass(slots=True, eq=False)
class RequestInfo:
    """One request, as policies and observers see it; the same object from its start to its end."""

    wire: Wire
    http_method: str
    """`GET`, `POST`, …; that of a WebSocket handshake is GET."""
    path: str
    """The path as it came, percent-encoded, without the query."""
    headers: Headers
    """All headers as they came, with lower-case names; credentials are among them."""
    method: Method | None
    """The method of the contract that was matched; None if none was."""
    client: str
    """IP address of the client; empty if the server does not tell it."""
    request_id: str
    identity: object | None = None
    """Whoever the caller is: a policy sets it, others read it."""
    metadata: list[tuple[str, str | bytes]] = field(default_factory=list)
    """Metadata that policies add to the call; they replace forwarded metadata of the same key."""
    message_checks: list[Callable[[int], None]] = field(default_factory=list)
    """Each is called with the size of each message from the client, in bytes of protobuf, before it is sent
    upstream. It may raise a StatusError, which ends the request."""

    def header(self, name: bytes) -> bytes | None:
        """Returns the first value of a header, given by its lower-case name; None if there is none."""
        return next((value for each, value in self.headers if each == name), None)


class Policy(Protocol):
    """Decides whether a request may come in."""

    def admit(self, request: RequestInfo) -> Awaitable[None] | None:
        """Decides about a request after the match, before its body is read.

        It may set `request.identity`, and add to `request.metadata` and `request.message_checks`. The
        policies are asked in their order.

        Returns:
            None, or an awaitable if the decision has to wait, for a key set say. What can be decided at once
            should be: a request that waits needs a task.

        Raises:
            StatusError: the request is refused with this status. The awaitable may raise it too.
        """
        ...


@dataclass(frozen=True, slots=True)
class RequestEnd:
    """How a request ended."""

    code: int
    """gRPC status code."""
    http_status: int
    """HTTP status that was sent; 0 if none was, 101 for a WebSocket."""
    ended_by: EndedBy
    seconds: float
    """From the head of the request to the end of the response."""


class Observer:
    """Watches requests; each method does nothing unless a subclass says what.

    The methods are called in the event loop and must not block. What they raise is logged and ignored.
    """

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


class Observation(Observer):
    """Several observers as one, whose errors reach nobody."""

    def __init__(self, observers: tuple[Observer, ...]) -> None:
        self._observers = observers

    def request_started(self, request: RequestInfo) -> None:
        """See `Observer`."""
        self._each(lambda observer: observer.request_started(request))

    def response_started(self, request: RequestInfo, http_status: int) -> None:
        """See `Observer`."""
        self._each(lambda observer: observer.response_started(request, http_status))

    def message_received(self, request: RequestInfo, size: int) -> None:
        """See `Observer`."""
        self._each(lambda observer: observer.message_received(request, size))

    def message_sent(self, request: RequestInfo, size: int) -> None:
        """See `Observer`."""
        self._each(lambda observer: observer.message_sent(request, size))

    def messages_dropped(self, request: RequestInfo, count: int) -> None:
        """See `Observer`."""
        self._each(lambda observer: observer.messages_dropped(request, count))

    def request_ended(self, request: RequestInfo, end: RequestEnd) -> None:
        """See `Observer`."""
        self._each(lambda observer: observer.request_ended(request, end))

    def _each(self, notify: Callable[[Observer], None]) -> None:
        for observer in self._observers:
            try:
                notify(observer)
            except Exception:
                log.exception("an observer failed: %s", type(observer).__name__)
