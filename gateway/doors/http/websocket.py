"""The shell of a WebSocket.

In each turn of the event loop one piece of what came is parsed, and nothing while messages wait to be taken,
or the client does not read what it is sent. What the contract has a route for is answered by its exchange,
all else by the ASGI application.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Iterable
from random import getrandbits
from typing import Final, cast

from gateway.doors.http.addresses import Addresses
from gateway.doors.http.asgi_websocket import AsgiWebSocket
from gateway.doors.http.contract_route import find_route
from gateway.doors.http.contract_websocket import serve_contract_websocket
from gateway.doors.http.door import Door, Release
from gateway.doors.http.rejection import Rejection
from gateway.doors.http.request import Headers, Request
from gateway.doors.http.response import Response, status_line
from gateway.doors.http.websocket_connection import Closed, Message, WebSocketConnection
from gateway.exchange.ports import ClientGone
from gateway.exchange.request import new_request_id
from gateway.exchange.response import HttpResponse, header_lines

log = logging.getLogger(__name__)

CLOSE_SECONDS: Final = 10.0
"""How long a client may take to answer a close frame."""
_ABNORMAL: Final = 1006
_RESTART: Final = 1012


class WebSocketProtocol(asyncio.Protocol):
    """One WebSocket, from its handshake on; to an exchange of the contract it is its `WebSocket`.

    Attributes:
        accepted: whether the handshake was.
        answered: whether the handshake has its response.
        end: code and reason with which it has ended, for who answers; None while it has not.
    """

    __slots__ = (
        "_close_timer",
        "_connection",
        "_disconnected",
        "_door",
        "_due",
        "_ends",
        "_headers",
        "_loop",
        "_ping",
        "_ping_timer",
        "_reader",
        "_reading",
        "_received",
        "_refusal",
        "_release",
        "_request",
        "_transport",
        "_writable",
        "accepted",
        "answered",
        "end",
    )

    def __init__(self, door: Door, request: Request, release: Release, ends: Addresses) -> None:
        """Takes the handshake.

        Args:
            door: who answers, and the limits.
            request: the handshake.
            release: called when the connection has ended.
            ends: the addresses of the connection.
        """
        self._door = door
        self._ends = ends
        self._request = request
        self._release = release
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport
        self._connection = WebSocketConnection(door.websocket)
        self._headers: Headers = []
        self._received: deque[str | bytes] = deque()
        self.end: tuple[int, str] | None = None
        self._reader: asyncio.Future[None] | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self.accepted = False
        self.answered = False
        self._refusal: Response | None = None
        self._disconnected = False
        self._due = False
        self._reading = True
        self._ping: bytes | None = None
        self._ping_timer: asyncio.TimerHandle | None = None
        self._close_timer: asyncio.TimerHandle | None = None

    # What the loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Has the handshake answered, or refuses what is none."""
        self._transport = cast("asyncio.Transport", transport)
        self._door.state.connections.add(self)
        try:
            self._headers = self._connection.handshake(self._request)
        except Rejection as rejection:
            self._refuse(rejection, is_new=True)
            return
        door, request, ends = self._door, self._request, self._ends
        route = find_route(door.direct, request, ends, is_handshake=True)
        if route is None:
            AsgiWebSocket(self, door, request, ends).start()
        else:
            serve_contract_websocket(self, door.state, route)

    def data_received(self, data: bytes) -> None:
        """Parses a piece of what came, now or in later turns."""
        connection = self._connection
        if self._transport.is_closing():
            return
        at_once = self._can_parse() and not connection.has_unparsed and not self._due
        connection.receive(data)
        if at_once:
            self._parse()
        self._go_on_or_wait()

    def eof_received(self) -> None:
        """Lets the transport close."""

    def pause_writing(self) -> None:
        """Sends and parses no more while the client does not read."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """Goes on."""
        self._writable.set()
        self._go_on_or_wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tells the application."""
        del exc
        self._stop_timers()
        self._disconnect(1005 if self.accepted else _ABNORMAL, "")
        self._disconnected = True
        self._writable.set()
        self._connection.drop()
        self._door.state.connections.discard(self)
        self._release()

    # What the server calls.

    def shutdown(self) -> None:
        """Closes: the application has had its time to do so."""
        if self.accepted and not self._connection.close_sent:
            self._disconnect(_RESTART, "")
            self._connection.close(_RESTART, "")
            self._write()
        self._transport.close()

    def abort(self) -> None:
        """Ends the connection at once."""
        self._transport.abort()

    # Frames.

    def _can_parse(self) -> bool:
        """Whether what came was taken, and the client reads; or both are past the close."""
        taken = not self._received or self._connection.close_sent
        return self.accepted and taken and self._writable.is_set()

    def _go_on_or_wait(self) -> None:
        """Has the next piece parsed in the next turn, or reads on when there is none."""
        waits = self._connection.has_unparsed
        if self._transport.is_closing():
            return
        can_parse = self._can_parse()
        if waits and can_parse and not self._due:
            self._due = True
            self._loop.call_soon(self._go_on)
        wanted = not waits and can_parse
        if wanted and not self._reading:
            self._reading = True
            self._transport.resume_reading()
        elif not wanted and self._reading:
            self._reading = False
            self._transport.pause_reading()

    def _go_on(self) -> None:
        self._due = False
        if self._connection.has_unparsed and self._can_parse():
            self._parse()
        self._go_on_or_wait()

    def _parse(self) -> None:
        connection = self._connection
        connection.parse(self._loop.time())
        self._write()
        while connection.events:
            event = connection.events.popleft()
            if isinstance(event, Message):
                if self._close_timer is None:  # else the application has closed
                    self._received.append(event.data)
            elif isinstance(event, Closed):
                self._disconnect(event.code, event.reason)
                self._transport.close()
            elif event.payload == self._ping:
                self._ping = None
        self._wake()

    def _write(self) -> None:
        if data := self._connection.data_to_send():
            self._transport.write(data)

    def _disconnect(self, code: int, reason: str) -> None:
        if self.end is None:
            self.end = code, reason
        self._wake()

    def _wake(self) -> None:
        ready = self._received or self.end is not None
        if ready and self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    # Pings.

    def _keep_alive(self) -> None:
        """Pings the client, unless it has left the last ping unanswered."""
        if self._connection.close_sent or self._transport.is_closing():
            return
        # behind messages that the application has not taken the answer may not be seen yet
        unread = not self._writable.is_set()
        if self._ping is not None and (unread or (self._ping and self._reading)):
            self._give_up()
            return
        if not unread:
            self._ping = getrandbits(32).to_bytes(4, "big")  # no secret
            self._connection.ping(self._ping)
            self._write()
        else:
            self._ping = b""  # a client that reads nothing has as long to read something
        self._ping_timer = self._loop.call_later(
            self._door.websocket.ping_interval, self._keep_alive
        )

    def _give_up(self) -> None:
        self._connection.close(1011, "keepalive ping timeout")
        self._write()
        if self._writable.is_set():
            self._transport.close()
        else:
            self._transport.abort()

    def _stop_timers(self) -> None:
        for timer in (self._ping_timer, self._close_timer):
            if timer is not None:
                timer.cancel()

    # What those call who answer.

    async def receive(self) -> str | bytes:
        """See `WebSocket` of the edge's ports."""
        while not self._received:
            if self.end is not None:
                raise ClientGone
            self._reader = self._loop.create_future()
            try:
                await self._reader
            finally:
                self._reader = None
        message = self._received.popleft()
        if not self._received:
            self._go_on_or_wait()
        return message

    async def send(self, message: str | bytes) -> None:
        """See `WebSocket` of the edge's ports; an application may send bytes, too."""
        await self.writable()
        self._connection.send(message)
        self._write()

    async def close(self, code: int, reason: str) -> None:
        """See `WebSocket` of the edge's ports."""
        await self.writable()
        self._close(code, reason)

    async def accept(
        self, subprotocol: str | None, headers: Iterable[tuple[bytes, bytes]] = ()
    ) -> None:
        """See `WebSocket` of the edge's ports; an application may add headers."""
        await self.writable()
        if self._transport.is_closing():
            return
        self._log("[accepted]")
        self.accepted = self.answered = True
        lines = [*self._headers, *headers]
        if subprotocol:
            lines.append((b"sec-websocket-protocol", subprotocol.encode("latin-1")))
        self._write_accepted(lines)
        self._ping_timer = self._loop.call_later(
            self._door.websocket.ping_interval, self._keep_alive
        )
        self._go_on_or_wait()

    def _write_accepted(self, headers: Headers) -> None:
        """Writes the head of the response that accepts a handshake."""
        start = status_line(101, self._door.state.default_headers)
        self._transport.write(start + header_lines(*headers) + b"\r\n")

    async def refuse(self, response: HttpResponse) -> None:
        """See `WebSocket` of the edge's ports."""
        if self._disconnected:
            raise ClientGone
        headers = (each for each in response.all_headers() if each[0] != b"content-length")
        self.start_refusal(response.status, headers)
        self.go_on_refusing(response.body, more=False)

    async def writable(self) -> None:
        """Waits while the client does not read.

        Raises:
            ClientGone: it has left.
        """
        await self._writable.wait()
        if self._disconnected:
            raise ClientGone

    def _log(self, outcome: str) -> None:
        """Logs the answer to a handshake; its query may hold credentials."""
        client = self._ends.client
        shown = f"{client[0]}:{client[1]}" if client else ""
        log.info('%s - "WebSocket %s" %s', shown, self._request.path, outcome)

    def _close(self, code: int, reason: str) -> None:
        if self._connection.close_sent or self._transport.is_closing():
            return
        self._disconnect(code, reason)
        self._connection.close(code, reason)
        self._write()
        self._close_timer = self._loop.call_later(CLOSE_SECONDS, self._transport.close)
        self._go_on_or_wait()

    def ended(self) -> None:
        """Closes the connection behind who has answered, unless the closing handshake goes on."""
        if self._close_timer is None:
            self._transport.close()

    def fail(self) -> None:
        """Answers 500 to a handshake, or closes with 1011; nothing if the client has left."""
        if self._disconnected:
            return
        if self.accepted:
            self._close(1011, "internal error")
        elif not self.answered:
            self._refuse(Rejection(500, "internal error"))
        else:
            self._transport.close()

    # Refused handshakes.

    def start_refusal(self, status: int, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """Writes the head of the response that refuses a handshake."""
        self._log(str(status))
        self._start_refusal(status, headers)

    def _start_refusal(self, status: int, headers: Iterable[tuple[bytes, bytes]]) -> None:
        self.answered = True
        self._refusal = Response(self._request)
        self._write_refusal_head(self._refusal, status, headers)

    def _write_refusal_head(
        self, response: Response, status: int, headers: Iterable[tuple[bytes, bytes]]
    ) -> None:
        """Writes the head of the response that refuses a handshake."""
        defaults = self._door.state.default_headers
        self._transport.write(response.start(status, headers, defaults, keep_alive=False))

    def go_on_refusing(self, body: bytes, *, more: bool) -> None:
        """Writes a part of its body; with the last one the connection ends."""
        assert self._refusal is not None  # noqa: S101 - it was looked at
        self._transport.write(self._refusal.body(body, more=more))
        if not more:
            self._disconnect(_ABNORMAL, "")
            self._transport.close()

    def refuse_by_application(self) -> None:
        """Refuses a handshake that an application has closed (ASGI, WebSocket 2.3)."""
        self._log("403")
        self._refuse(Rejection(403, "the handshake is refused"))

    def _refuse(self, rejection: Rejection, *, is_new: bool = False) -> None:
        body, request_id = rejection.body(), new_request_id()
        if self._door.rejected is not None and is_new:
            client = self._ends.client
            self._door.rejected(
                rejection.status, rejection.code, request_id, client[0] if client else ""
            )
        headers = (
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(body)),
            *rejection.headers,
            (b"x-request-id", request_id.encode()),
        )
        self._start_refusal(rejection.status, headers)
        self.go_on_refusing(body, more=False)
