"""The shell of a connection: the transport, the timers, and who answers each request.

A whole unary request of the contract, if nothing else has come with it, is answered before it is parsed
(`DirectDoor`). All else is parsed here. What the contract has a route for is answered by its exchange, all
else by the ASGI application. At most one request of a connection is answered at a time; the next one starts
in the next turn of the loop, and when the transport takes more.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from contextlib import suppress
from typing import Final, cast

from gateway.doors.http.addresses import Addresses, addresses
from gateway.doors.http.asgi_bridge import AsgiExchange
from gateway.doors.http.contract_exchange import ContractExchange
from gateway.doors.http.contract_route import find_route
from gateway.doors.http.door import Door, Release, nothing
from gateway.doors.http.exchange import HttpExchange
from gateway.doors.http.limits import LINGER_BYTES, LINGER_SECONDS, PROBE_SECONDS
from gateway.doors.http.rejection import Rejection
from gateway.doors.http.request import Request
from gateway.doors.http.response import CONTINUE, Response, status_line
from gateway.doors.http.websocket import WebSocketProtocol
from gateway.doors.http1.connection import Connection
from gateway.doors.http1.direct import DirectDoor, DirectResponse, SharedHead
from gateway.doors.http1.reset import abort_after_reset
from gateway.doors.proxy_protocol import ProxiedEnds
from gateway.exchange.request import new_request_id
from gateway.exchange.response import header_lines
from gateway.transcoding.metadata import Headers

log = logging.getLogger(__name__)

_INVALID: Final = "Invalid HTTP request received."
_END_OF_HEAD: Final = b"\r\n\r\n"
_OTHER_LINES: Final = 2
"""The request line, and the empty line at the end of a head."""


class Http1Protocol(asyncio.Protocol):
    """One connection.

    Attributes:
        writing_paused: whether the client does not read what it is sent.
    """

    __slots__ = (
        *("_active", "_client", "_connection", "_direct", "_door", "_ends", "_keep_alive", "_last"),
        *("_linger_bytes", "_loop", "_prober", "_reading", "_release", "_served", "_since"),
        *("_switched", "_timer", "_told", "_transport", "_unparsed", "_version", "writing_paused"),
    )

    def __init__(
        self, door: Door, release: Release = nothing, told: ProxiedEnds | None = None
    ) -> None:
        """Takes what all connections share.

        Args:
            door: who answers.
            release: called when the connection has ended.
            told: the ends that its PROXY header has told, if it had one.
        """
        self._door = door
        self._told = told
        direct = door.direct
        self._direct = direct if isinstance(direct, DirectDoor) else None
        self._release = release
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport
        self._ends: Addresses
        self._client = ""
        """IP address; empty where there is none, as on a Unix socket."""
        self._connection = Connection(door.limits)
        self._active: DirectResponse | HttpExchange | None = None
        self._last: SharedHead | None = None
        """The last head, which a client sends again and again; None: it was not shared."""
        self._keep_alive = True
        self._served = False
        self._switched = False
        self._version = ""
        """Of the request that is answered."""
        self._reading = True
        self._unparsed = False
        """Whether something was received that is not answered yet, to the end of a request."""
        self._linger_bytes = -1
        """Bytes that are still read of a connection that ends; negative while it does not."""
        self._since = 0.0
        """When the connection began to wait for what it waits for."""
        self._timer: asyncio.TimerHandle | None = None
        self._prober: asyncio.TimerHandle | None = None
        self.writing_paused = False

    # What the loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Starts to wait for the first request."""
        self._transport = cast("asyncio.Transport", transport)
        self._ends = addresses(transport, self._told)
        self._client = self._ends.client[0] if self._ends.client else ""
        self._door.state.connections.add(self)
        self._since = self._loop.time()
        self._timer = self._loop.call_later(self._door.limits.head_timeout, self._check_time)

    def data_received(self, data: bytes) -> None:
        """Answers what is one whole unary request directly, or parses what came."""
        if self._active is None and not self._unparsed and not self.writing_paused:
            direct, limits, certificate = self._direct, self._door.limits, self._ends.certificate
            response = direct and direct.answer(
                data, limits, self._last, self._respond, self._client, certificate
            )
            if not response:
                self._parse(data)
                return
            self._last = response.shared
            if not response.over:
                self._active, self._version = response, "1.1"
                self._connection.responding = True
                self._door.state.tasks.add(response)
        elif self._linger_bytes >= 0:
            self._linger(len(data))
        else:
            self._parse(data)

    def eof_received(self) -> bool | None:
        """Lets requests that have arrived whole be answered; the client may only have ended its side.

        An end in the middle of a request or of a response, or under TLS, is the end of the connection.
        """
        connection, active = self._connection, self._active
        if self._linger_bytes >= 0 or not (connection.responding or connection.has_requests):
            return None
        if self._transport.get_extra_info("sslcontext") is not None:
            return None
        if isinstance(active, HttpExchange) and (
            active.response.started or not active.request.complete
        ):
            return None
        connection.eof = True
        self._prober = self._loop.call_later(PROBE_SECONDS, self._probe, PROBE_SECONDS)
        return True

    def pause_writing(self) -> None:
        """Starts no further request while the client does not read."""
        self.writing_paused = True

    def resume_writing(self) -> None:
        """Goes on."""
        self.writing_paused = False
        if isinstance(self._active, HttpExchange):
            self._active.writing_resumed()
        elif self._active is None and self._unparsed:
            self._parse(b"")

    def connection_lost(self, exc: Exception | None) -> None:
        """Ends; what is being answered is cancelled."""
        del exc
        self._linger_bytes = -1
        if active := self._ended():
            active.disconnect()
        self._connection.close()
        self._leave()
        self._release()

    # What the server calls.

    def shutdown(self) -> None:
        """Closes behind the response that is under way; soon, if a request may be on its way."""
        self._keep_alive = False
        left = self._since + self._door.crossing - self._loop.time()
        if left > 0:
            self._loop.call_later(left, self._close_idle)
        else:
            self._close_idle()

    def _close_idle(self) -> None:
        if self._active is None:
            self._transport.close()

    def abort(self) -> None:
        """Ends the connection at once."""
        self._transport.abort()

    def leave(self) -> None:
        """Ends without closing: the connection speaks another version of HTTP."""
        self._leave()
        self._connection.close()
        self._release = nothing

    # Requests.

    def _parse(self, data: bytes) -> None:
        """Parses what came, and starts what can be started; `b""` goes on with what was kept."""
        connection = self._connection
        connection.receive(data)
        if self._active is None:
            self._start_next()
            if self._switched:
                return
        elif isinstance(self._active, HttpExchange):
            if connection.body_broken:
                self._give_up(self._active, connection.rejection())
                return
            self._active.data_arrived()
        self._unparsed = not connection.is_drained
        if (self._unparsed or not self._reading) and not self._transport.is_closing():
            self._look_at_rest()

    def _look_at_rest(self) -> None:
        """Sets timer and reading for what has come of the next request, or of a body."""
        connection = self._connection
        arrives = connection.incomplete is not None and connection.responding
        if connection.new_head() or arrives:
            self._since = self._loop.time()
            self._watch()
        discards = connection.discards_too_much or connection.body_broken
        if discards and not connection.responding:
            self._end()
        self._read_or_not()

    def _start_next(self) -> None:
        """Starts the next request, if it may be answered now."""
        connection = self._connection
        if self._active is not None or self.writing_paused or self._linger_bytes >= 0:
            return
        request = connection.next_request()
        if request is None:
            if (handshake := connection.handshake()) is not None:
                self._switch(*handshake)
        elif isinstance(request, Rejection):
            self._reject(request)
        else:
            self._start(request)

    def _start(self, request: Request) -> None:
        if not request.keep_alive:
            self._keep_alive = False
        self._version = request.version
        door = self._door
        response, ends = self._connection.response(), self._ends
        route = find_route(door.direct, request, ends)
        if route is None:
            bridge = AsgiExchange(door, self, request, response)
            self._active = bridge
            bridge.start(self._loop, ends)
            return
        exchange = ContractExchange(door.state, self, request, response)
        self._active = exchange
        exchange.answer(route)
        if response.complete:
            self._loop.call_soon(self._start_waiting)

    def _start_waiting(self) -> None:
        """Starts the next request, if there is one and none is answered: each has a turn of its own."""
        if self._active is None and self._unparsed and not self._transport.is_closing():
            self._parse(b"")

    def _respond(self, status: int, lines: bytes, body: bytes) -> None:
        """Writes a whole response: its status, its header lines, and its body."""
        door, connection = self._door, self._connection
        if self._active is not None:
            door.state.tasks.discard(self._active)
        start = status_line(status, door.state.default_headers)
        last = connection.eof and not connection.has_requests
        if not self._keep_alive or last or connection.closing or door.closing:
            self._keep_alive = False
            lines += b"connection: close\r\n"
        self._transport.write(b"%b%b\r\n%b" % (start, lines, body))
        connection.responding = False
        self._go_on()

    def _reject(self, rejection: Rejection, *, is_new: bool = True) -> None:
        """Answers what is no request, and ends the connection; `is_new` unless an exchange tells of it."""
        log.warning(_INVALID)
        body, request_id = rejection.body(), new_request_id()
        if self._door.rejected is not None and is_new:
            self._door.rejected(rejection.status, rejection.code, request_id, self._client)
        lines = header_lines(
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(body)),
            *rejection.headers,
            *self._door.headers_of_rejection(self._connection.known_headers),
            (b"x-request-id", request_id.encode()),
            (b"connection", b"close"),
        )
        start = status_line(rejection.status, self._door.state.default_headers)
        self._transport.write(b"".join((start, lines, b"\r\n", body)))
        self._end()

    # What an exchange calls.

    def write_continue(self) -> None:
        """See `Connected`."""
        if not self._transport.is_closing():
            self._transport.write(CONTINUE)

    def write_head(
        self, response: Response, status: int, headers: Iterable[tuple[bytes, bytes]]
    ) -> None:
        """See `Connected`."""
        self._transport.write(self._head(response, status, headers))

    def write_body(
        self, response: Response, part: bytes, *, more: bool, trailers: Headers = ()
    ) -> None:
        """See `Connected`. Trailers are left out: few clients of HTTP/1.1 read them."""
        del trailers
        if data := response.body(part, more=more):
            self._transport.write(data)

    def write_now(self, response: Response, part: bytes) -> bool:
        """See `Connected`."""
        if not response.chunked or self._transport.is_closing():
            return False
        if part:  # an empty chunk would be the last
            self._transport.write(b"%x\r\n%b\r\n" % (len(part), part))
        return True

    def write_whole(
        self,
        response: Response,
        status: int,
        headers: Iterable[tuple[bytes, bytes]],
        body: bytes,
        trailers: Headers = (),
    ) -> None:
        """See `Connected`; trailers are left out, as in `write_body`."""
        del trailers
        head = self._head(response, status, headers)
        self._transport.write(head + response.body(body, more=False))

    def _head(
        self, response: Response, status: int, headers: Iterable[tuple[bytes, bytes]]
    ) -> bytes:
        """Returns the head of a response, as the connection goes on after it."""
        connection = self._connection
        if not self._keep_alive or self._door.closing:
            connection.closing = True
        defaults = self._door.state.default_headers
        return connection.start_response(response, status, headers, defaults)

    def body_read(self) -> None:
        """Parses and reads on: the application has read what came of a body."""
        if not self._reading or not self._connection.wants_data:
            self._connection.receive(b"")
            if isinstance(self._active, HttpExchange) and self._connection.body_broken:
                self._give_up(self._active, self._connection.rejection())
                return
            self._unparsed = not self._connection.is_drained
            self._since = self._loop.time()
            self._watch()
            self._read_or_not()

    def response_ended(self) -> None:
        """Goes on with the next request, or ends the connection."""
        if not self._connection.end_response():  # the client was told; else it may use it again
            self._keep_alive = False
        self._go_on()

    def _go_on(self) -> None:
        self._active = None
        self._served = True
        if not self._keep_alive:
            self._end()
            return
        self._since = since = self._loop.time()
        timer, limits = self._timer, self._door.limits
        if timer is None or (limits.has_longer_timers and timer.when() > since + limits.keep_alive):
            self._watch()
        if self._unparsed:
            self._watch()
            self._loop.call_soon(self._start_waiting)

    def response_cut(self) -> None:
        """Ends the connection in the middle of a response, which the client is to notice."""
        self._ended()
        if self.writing_paused:
            self._transport.abort()
        else:
            self._transport.close()

    def _ended(self) -> DirectResponse | HttpExchange | None:
        active, self._active = self._active, None
        if isinstance(active, DirectResponse):
            self._door.state.tasks.discard(active)
        return active

    # The end of a connection.

    def _give_up(self, exchange: HttpExchange, rejection: Rejection) -> None:
        """Answers in the application's place a request whose body has no end, and ends the connection."""
        self._ended()
        is_told = isinstance(exchange, ContractExchange)
        if isinstance(exchange, ContractExchange):
            exchange.reject(rejection)
        exchange.disconnect()
        if exchange.response.started:
            self._transport.close()
        else:
            self._reject(rejection, is_new=not is_told)

    def _end(self) -> None:
        """Closes; a client that still sends is read for a moment, so that it receives the response.

        To close with unread data would reset the connection, and take the response from the client.
        """
        transport, connection = self._transport, self._connection
        self._keep_alive = False
        if transport.is_closing() or self._linger_bytes >= 0:
            return
        if connection.eof or not (connection.incomplete or connection.rejected or connection.held):
            transport.close()
            return
        self._linger_bytes = LINGER_BYTES
        with suppress(OSError):  # the client may have reset the connection: the loop tells it next
            if transport.can_write_eof():
                transport.write_eof()
        self._since = self._loop.time()
        self._watch()
        self._read_or_not()

    def _linger(self, count: int) -> None:
        self._linger_bytes -= count
        if self._linger_bytes < 0:
            self._transport.close()

    def _probe(self, seconds: float) -> None:
        """Looks, less and less often, whether the client has reset the connection.

        Until the response starts, an interim one is written: a client that has left answers by a reset.
        """
        transport = self._transport
        if self._active is None or transport.is_closing() or abort_after_reset(transport):
            return
        started = isinstance(self._active, HttpExchange) and self._active.response.started
        if self._version == "1.1" and not started:
            transport.write(CONTINUE)
        self._prober = self._loop.call_later(seconds, self._probe, 2 * seconds)

    def _switch(self, request: Request, rest: bytes) -> None:
        """Goes on as a WebSocket."""
        self._switched = True
        release = self._release
        self.leave()
        websocket = WebSocketProtocol(self._door, request, release, self._ends)
        self._transport.set_protocol(websocket)
        if not self._reading:
            self._transport.resume_reading()
        if self.writing_paused:
            websocket.pause_writing()
        websocket.connection_made(self._transport)
        if rest:
            websocket.data_received(rest)

    def _leave(self) -> None:
        self._door.state.connections.discard(self)
        for timer in (self._timer, self._prober):
            if timer is not None:
                timer.cancel()
        self._timer = self._prober = None

    def _read_or_not(self) -> None:
        if self._transport.is_closing():
            return
        wanted = self._linger_bytes >= 0 or self._connection.wants_data
        if wanted and not self._reading:
            self._reading = True
            self._transport.resume_reading()
        elif not wanted and self._reading:
            self._reading = False
            self._transport.pause_reading()

    # Timers.

    def _due(self) -> float | None:
        """Returns when what the connection waits for is to have come; None where the client waits."""
        limits, connection = self._door.limits, self._connection
        if self._linger_bytes >= 0:
            return self._since + LINGER_SECONDS
        active = self._active
        if active is not None:
            waits = (
                isinstance(active, HttpExchange)
                and not active.request.complete
                and not active.response.started
                and self._reading
            )
            return self._since + limits.body_timeout if waits else None
        if connection.in_head or connection.incomplete is not None or not self._served:
            return self._since + limits.head_timeout
        return self._since + limits.keep_alive

    def _watch(self) -> None:
        """Sets the timer, unless it ends earlier anyway and then looks again."""
        due = self._due()
        if due is None:
            return
        if self._timer is not None:
            if self._timer.when() <= due:
                return
            self._timer.cancel()
        self._timer = self._loop.call_at(due, self._check_time)

    def _check_time(self) -> None:
        """Ends what has waited for too long; else looks again when it may have."""
        self._timer = None
        due = self._due()
        if due is None:
            return  # the response sets it anew
        if due > self._loop.time():
            self._timer = self._loop.call_at(due, self._check_time)
        elif self._linger_bytes >= 0 or self._transport.is_closing():
            self._transport.abort()
        elif isinstance(self._active, HttpExchange):
            seconds = self._door.limits.body_timeout
            late = Rejection(408, f"nothing of the body arrived for {seconds:g} seconds")
            self._give_up(self._active, late)
        elif self._connection.in_head:
            seconds = self._door.limits.head_timeout
            self._reject(Rejection(408, f"the head did not arrive within {seconds:g} seconds"))
        else:
            self._transport.close()
