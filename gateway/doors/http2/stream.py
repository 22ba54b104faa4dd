"""One request over HTTP/2 that is not answered directly: its stream, as an exchange sees its connection.

The body is read as it arrives, and the client may send as much again when it was read; a response waits while
the client's windows are closed. So a stream that is not read stalls no other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from gateway.doors.http.asgi_bridge import AsgiExchange
from gateway.doors.http.contract_exchange import ContractExchange
from gateway.doors.http.contract_route import find_route
from gateway.doors.http.rejection import Rejection
from gateway.doors.http.request import Request
from gateway.doors.http.response import Response
from gateway.transcoding.metadata import Headers
from grpc_wire.http2.errors import ErrorCode
from grpc_wire.http2.events import DataReceived, HeadersReceived, StreamReset
from grpc_wire.http2.priority import urgency_of

if TYPE_CHECKING:
    from gateway.doors.http2.connection import Http2Connection

_CONTINUE: Final = ((b":status", b"100"),)
_EVENTS: Final = b"text/event-stream"
_EVENTS_URGENCY: Final = 2
"""Events go before what has the usual urgency of 3, unless their client says otherwise."""


class Http2Stream:
    """One stream; to an exchange it is the connection.

    Attributes:
        writing_paused: whether the client does not read what it is sent.
        trailers: of the request; None if none came.
    """

    __slots__ = (
        *("_connection", "_exchange", "_id", "_over", "_request", "_since", "_timer", "_unread"),
        *("trailers", "writing_paused"),
    )

    def __init__(
        self, connection: Http2Connection, event: HeadersReceived, request: Request
    ) -> None:
        """Takes a request, of which the head has come at least."""
        self._connection = connection
        self._id = event.stream_id
        self._request = request
        self._exchange: AsgiExchange | ContractExchange
        self._over = False
        """Whether nothing more is sent: the response has ended, or the client has left."""
        self._since = 0.0
        """When something of the body came last, or was read."""
        self._timer: asyncio.TimerHandle | None = None
        self._unread = 0
        self.trailers: Headers | None = None
        self.writing_paused = False
        self._take(event)

    def answer(self) -> None:
        """Starts to answer; the response may be complete when this returns."""
        connection, request = self._connection, self._request
        door, response = connection.door, Response(request)
        route = find_route(door.direct, request, connection.ends)
        if not request.complete and not (route is not None and route.may_pause):
            self._since = connection.loop.time()
            self._timer = connection.loop.call_later(door.limits.body_timeout, self._check_time)
        if route is None:
            bridge = AsgiExchange(door, self, request, response)
            self._exchange = bridge
            bridge.start(connection.loop, connection.ends)
            return
        exchange = ContractExchange(door.state, self, request, response)
        self._exchange = exchange
        exchange.answer(route)

    # What the connection calls.

    def headers_received(self, event: HeadersReceived) -> None:
        """Ends the body: these are trailers."""
        self.trailers = event.headers
        self._request.complete = True
        self._exchange.data_arrived()

    def data_received(self, event: DataReceived) -> None:
        """Takes a part of the body."""
        self._take(event)
        self._exchange.data_arrived()

    def _take(self, event: HeadersReceived | DataReceived) -> None:
        request = self._request
        if event.data:
            self._unread += len(event.data)
            request.append(event.data)
            if self._timer is not None:
                self._since = self._connection.loop.time()
        if event.end_stream:
            request.complete = True
            self.trailers = event.trailers

    def drained(self) -> None:
        """Lets who answers write again; leaves the stream if all was written."""
        if self._over:
            self._connection.sent(self._id)
        else:
            self._connection.left(self._id)
            self.writing_paused = False
            self._exchange.writing_resumed()

    def reset(self, event: StreamReset) -> None:
        """See `disconnect`."""
        del event
        self.disconnect()

    def lost(self, reason: str) -> None:
        """See `disconnect`."""
        del reason
        self.disconnect()

    def disconnect(self) -> None:
        """Tells who answers that the client has left."""
        self._connection.left(self._id)
        self._end()
        self._exchange.disconnect()

    # What the exchange calls.

    def write_continue(self) -> None:
        """See `Connected`."""
        self._connection.transport.send_informational(self._id, _CONTINUE)

    def write_head(
        self, response: Response, status: int, headers: Iterable[tuple[bytes, bytes]]
    ) -> None:
        """See `Connected`."""
        fields = response.start_fields(status, headers, self._connection.default_headers)
        transport = self._connection.transport
        transport.send_headers(self._id, fields, end_stream=response.is_empty)
        if (urgency := self._urgency(fields)) is not None:
            transport.connection.prioritise(self._id, urgency)

    def _urgency(self, fields: Headers) -> int | None:
        """Returns the urgency of the response (RFC 9218, section 4.1); None: the usual one."""
        said = next((v for n, v in self._request.headers if n == b"priority"), b"")
        if (urgency := urgency_of(said)) is not None:
            return urgency
        kind = next((v for n, v in fields if n == b"content-type"), b"")
        return _EVENTS_URGENCY if kind.startswith(_EVENTS) else None

    def write_body(
        self, response: Response, part: bytes, *, more: bool, trailers: Headers = ()
    ) -> None:
        """See `Connected`."""
        data = response.body(part, more=more)
        if response.is_empty and not data:
            return
        transport = self._connection.transport
        last = not more and not trailers
        if (data or last) and transport.send_data(self._id, data, end_stream=last):
            self.writing_paused = True
            self._connection.waits(self._id)
        if trailers and not more:
            transport.send_headers(self._id, trailers, end_stream=True)

    def write_now(self, response: Response, part: bytes) -> bool:
        """See `Connected`."""
        del response
        return not self._over and self._connection.transport.send_now(self._id, part)

    def write_whole(
        self,
        response: Response,
        status: int,
        headers: Iterable[tuple[bytes, bytes]],
        body: bytes,
        trailers: Headers = (),
    ) -> None:
        """See `Connected`."""
        fields = response.start_fields(status, headers, self._connection.default_headers)
        data = response.body(body, more=False)
        self._connection.respond(self._id, fields, data, trailers=trailers)

    def body_read(self) -> None:
        """See `Connected`."""
        read, self._unread = self._unread, 0
        if self._timer is not None:
            self._since = self._connection.loop.time()
        if read and not self._request.complete:
            self._connection.transport.consumed(self._id, read)

    def response_ended(self) -> None:
        """See `Connected`."""
        self._end()
        self._connection.response_ended(self._id)

    def response_cut(self) -> None:
        """See `Connected`."""
        self._end()
        self._connection.left(self._id)
        self._connection.transport.reset(self._id, ErrorCode.INTERNAL_ERROR)

    def _end(self) -> None:
        self._over = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # The time for a body.

    def _check_time(self) -> None:
        """Answers 408 if nothing of the body has come for too long, before the response has started."""
        connection, exchange, request = self._connection, self._exchange, self._request
        seconds = connection.door.limits.body_timeout
        if self._over or request.complete or exchange.response.started:
            self._timer = None
            return
        now = connection.loop.time()
        due = now + seconds if request.buffered else self._since + seconds
        if due > now:
            self._timer = connection.loop.call_at(due, self._check_time)
            return
        late = Rejection(408, f"nothing of the body arrived for {seconds:g} seconds")
        if isinstance(exchange, ContractExchange):
            exchange.reject(late)
        self._end()
        exchange.disconnect()
        is_new = not isinstance(exchange, ContractExchange)
        connection.reject(self._id, late, tuple(request.headers), is_new=is_new)
