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
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol

from gateway.exchange.request_info import RequestInfo
from gateway.transcoding.metadata import Headers

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


class Answer(Exception):
    """A policy answers a request itself, as it does a preflight."""

    def __init__(
        self,
        http_status: int = 204,
        headers: Headers = (),
        body: bytes = b"",
        content_type: str = "",
    ) -> None:
        """Takes the status, the headers and the body of the response; without a type it has no body."""
        super().__init__(http_status)
        self.http_status = http_status
        self.headers = headers
        self.body = body
        self.content_type = content_type


class Policy(Protocol):
    """Decides whether a request may come in."""

    def admit(self, request: RequestInfo) -> Awaitable[None] | None:
        """Decides about a request after the match, before its body is read.

        It may set `request.identity`, `client`, `scheme`, `host`, `root_path`, `is_preflight` and
        `expires_at`, take parameters out of the query, and add to `metadata`, `removed_metadata`,
        `message_checks`, `sent_checks`, `response_headers` and `at_end`. The policies are asked in their
        order.

        Returns:
            None, or an awaitable if the decision has to wait, for a key set say. What can be decided at once
            should be: a request that waits needs a task.

        Raises:
            StatusError: the request is refused with this status. The awaitable may raise it too.
            Answer: the request is answered with this. The awaitable may raise it too.
        """
        ...


@dataclass(slots=True, eq=False)
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


class Observation:
    """Several observers as one, whose errors reach nobody.

    Each attribute tells those observers whose class overrides the method of its name; None if none does.
    """

    __slots__ = (
        *("message_received", "message_sent", "messages_dropped"),
        *("request_ended", "request_started", "response_started"),
    )

    request_started: Callable[[RequestInfo], None] | None
    response_started: Callable[[RequestInfo, int], None] | None
    message_received: Callable[[RequestInfo, int], None] | None
    message_sent: Callable[[RequestInfo, int], None] | None
    messages_dropped: Callable[[RequestInfo, int], None] | None
    request_ended: Callable[[RequestInfo, RequestEnd], None] | None

    def __init__(self, observers: tuple[Observer, ...]) -> None:
        for event in self.__slots__:
            told = [getattr(observer, event) for observer in observers]
            default = getattr(Observer, event)
            told = [each for each in told if getattr(each, "__func__", None) is not default]
            tell = _tell_start if event == "request_started" else _tell
            setattr(self, event, tell(tuple(told)) if told else None)


def _tell(told: tuple[Callable[[RequestInfo, Any], None], ...]) -> Callable[..., None]:
    def tell(request: RequestInfo, value: object) -> None:
        for each in told:
            try:
                each(request, value)
            except Exception:
                _log_fault(each)

    return tell


def _tell_start(told: tuple[Callable[[RequestInfo], None], ...]) -> Callable[..., None]:
    def tell(request: RequestInfo) -> None:
        for each in told:
            try:
                each(request)
            except Exception:
                _log_fault(each)

    return tell


def _log_fault(observer: object) -> None:
    log.exception("an observer failed: %s", getattr(observer, "__qualname__", observer))
