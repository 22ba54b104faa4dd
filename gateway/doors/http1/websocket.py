"""The shell of a WebSocket, and its ASGI application (ASGI 3.0, WebSocket 2.4).

In each turn of the event loop one piece of what came is parsed, and nothing while the application has
messages that it has not taken, or the client does not read what it is sent.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Iterable
from random import getrandbits
from typing import Final, cast
from urllib.parse import unquote

from gateway.doors.http1.addresses import addresses
from gateway.doors.http1.door import Door, Release
from gateway.doors.http1.rejection import Rejection
from gateway.doors.http1.request import Headers, Request
from gateway.doors.http1.response import Response, status_line
from gateway.doors.http1.websocket_connection import Closed, Message, WebSocketConnection
from gateway.edge.request import new_request_id
from gateway.edge.response import header_lines
from gateway.edge.types import Event, Scope
from gateway.transcoding.status import StatusError

log = logging.getLogger(__name__)

CLOSE_SECONDS: Final = 10.0
"""How long a client may take to answer a close frame."""
_ABNORMAL: Final = 1006
_RESTART: Final = 1012


class ClientLeft(OSError):
    """Raised by `send` when the client has left (ASGI 2.4)."""


class WebSocketProtocol(asyncio.Protocol):
    """One WebSocket, from its handshake on."""

    __slots__ = (
        "_accepted",
        "_answered",
        "_close_timer",
        "_connection",
        "_disconnected",
        "_door",
        "_due",
        "_events",
        "_headers",
        "_loop",
        "_ping",
        "_ping_timer",
        "_reader",
        "_reading",
        "_refusal",
        "_release",
        "_request",
        "_transport",
        "_writable",
    )

    def __init__(self, door: Door, request: Request, release: Release) -> None:
        """Takes the handshake.

        Args:
            door: who answers, and the limits.
            request: the handshake.
            release: called when the connection has ended.
        """
        self._door = door
        self._request = request
        self._release = release
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport
        self._connection = WebSocketConnection(door.websocket)
        self._headers: Headers = []
        self._events: deque[Event] = deque()
        self._reader: asyncio.Future[None] | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self._accepted = False
        self._answered = False
        """Whether the handshake has its response."""
        self._refusal: Response | None = None
        self._disconnected = False
        self._due = False
        self._reading = True
        self._ping: bytes | None = None
        self._ping_timer: asyncio.TimerHandle | None = None
        self._close_timer: asyncio.TimerHandle | None = None

    # What the loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Asks the application, or refuses what is no handshake."""
        self._transport = cast("asyncio.Transport", transport)
        self._door.state.connections.add(self)
        try:
            self._headers = self._connection.handshake(self._request)
        except Rejection as rejection:
            self._refuse(rejection)
            return
        self._events.append({"type": "websocket.connect"})
        task = self._loop.create_task(self._run())
        tasks = self._door.state.tasks
        tasks.add(task)
        task.add_done_callback(tasks.discard)

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
        self._disconnect(1005 if self._accepted else _ABNORMAL, "")
        self._disconnected = True
        self._writable.set()
        self._connection.drop()
        self._door.state.connections.discard(self)
        self._release()

    # What the server calls.

    def shutdown(self) -> None:
        """Closes: the application has had its time to do so."""
        if self._accepted and not self._connection.close_sent:
            self._disconnect(_RESTART, "")
            self._connection.close(_RESTART, "")
            self._write()
        self._transport.close()

    def abort(self) -> None:
        """Ends the connection at once."""
        self._transport.abort()

    # Frames.

    def _can_parse(self) -> bool:
        """Whether the application has taken what came, and the client reads; or both are past the close."""
        taken = not self._events or self._connection.close_sent
        return self._accepted and taken and self._writable.is_set()

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
                    kind = "text" if isinstance(event.data, str) else "bytes"
                    self._events.append({"type": "websocket.receive", kind: event.data})
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
        self._events.append({"type": "websocket.disconnect", "code": code, "reason": reason})
        self._wake()

    def _wake(self) -> None:
        if self._events and self._reader is not None and not self._reader.done():
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

    # The application.

    async def _run(self) -> None:
        try:
            await self._door.app(self._scope(), self.receive, self.send)
        except ClientLeft:
            pass
        except asyncio.CancelledError:
            self._transport.abort()
            raise
        except StatusError:  # which the edge has logged
            self._fail()
        except Exception:
            log.exception("Exception in ASGI application")
            self._fail()
        else:
            if not self._answered and not self._disconnected:
                log.error("the ASGI application has returned without an answer to a handshake")
                self._fail()
        if self._close_timer is None:
            self._transport.close()

    def _scope(self) -> Scope:
        request, door, ends = self._request, self._door, addresses(self._transport)
        root = door.root_path
        offered = [value for name, value in request.headers if name == b"sec-websocket-protocol"]
        return {
            "type": "websocket",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "server": ends.server,
            "client": ends.client,
            "scheme": "wss" if ends.secure else "ws",
            "root_path": root,
            "path": root + unquote(request.path),
            "raw_path": (root + request.path).encode("ascii"),
            "query_string": request.query,
            "headers": request.headers,
            "subprotocols": [
                name.strip() for value in offered for name in value.decode("latin-1").split(",")
            ],
            "state": door.app_state.copy(),
            "extensions": {"websocket.http.response": {}},
        }

    async def receive(self) -> Event:
        """Waits for the next event of the client."""
        while not self._events:
            if self._disconnected:
                return {"type": "websocket.disconnect", "code": _ABNORMAL, "reason": ""}
            self._reader = self._loop.create_future()
            try:
                await self._reader
            finally:
                self._reader = None
        event = self._events.popleft()
        if not self._events:
            self._go_on_or_wait()
        return event

    async def send(self, event: Event) -> None:
        """Sends an event, when the client reads.

        Raises:
            ClientLeft: the client has left.
            ValueError: the event is none that may come now.
        """
        await self._writable.wait()
        if self._disconnected:
            raise ClientLeft
        kind = event["type"]
        if kind == "websocket.send" and self._accepted:
            text = event.get("text")
            self._connection.send(text if text is not None else event["bytes"])
            self._write()
        elif kind == "websocket.close" and self._accepted:
            self._close(event.get("code", 1000), event.get("reason") or "")
        elif kind == "websocket.accept" and not self._answered:
            self._accept(event.get("subprotocol"), event.get("headers", ()))
        elif kind == "websocket.close" and not self._answered:
            self._log("403")
            self._refuse(Rejection(403, "the handshake is refused"))
        elif kind == "websocket.http.response.start" and not self._answered:
            self._log(str(event["status"]))
            self._start_refusal(event["status"], event.get("headers", ()))
        elif kind == "websocket.http.response.body" and self._refusal is not None:
            self._go_on_refusing(event.get("body", b""), more=event.get("more_body", False))
        else:
            raise ValueError(f"an application does not send {kind!r} now")

    def _log(self, outcome: str) -> None:
        """Logs the answer to a handshake; its query may hold credentials."""
        client = addresses(self._transport).client
        shown = f"{client[0]}:{client[1]}" if client else ""
        log.info('%s - "WebSocket %s" %s', shown, self._request.path, outcome)

    def _accept(self, subprotocol: str | None, headers: Iterable[tuple[bytes, bytes]]) -> None:
        if self._transport.is_closing():
            return
        self._log("[accepted]")
        self._accepted = self._answered = True
        lines = [*self._headers, *headers]
        if subprotocol:
            lines.append((b"sec-websocket-protocol", subprotocol.encode("latin-1")))
        start = status_line(101, *self._door.state.default_headers)
        self._transport.write(start + header_lines(*lines) + b"\r\n")
        self._ping_timer = self._loop.call_later(
            self._door.websocket.ping_interval, self._keep_alive
        )
        self._go_on_or_wait()

    def _close(self, code: int, reason: str) -> None:
        if self._connection.close_sent or self._transport.is_closing():
            return
        self._disconnect(code, reason)
        self._connection.close(code, reason)
        self._write()
        self._close_timer = self._loop.call_later(CLOSE_SECONDS, self._transport.close)
        self._go_on_or_wait()

    # Refused handshakes.

    def _start_refusal(self, status: int, headers: Iterable[tuple[bytes, bytes]]) -> None:
        self._answered = True
        self._refusal = Response(self._request)
        defaults = self._door.state.default_headers
        self._transport.write(self._refusal.start(status, headers, defaults, keep_alive=False))

    def _go_on_refusing(self, body: bytes, *, more: bool) -> None:
        assert self._refusal is not None  # noqa: S101 - it was looked at
        self._transport.write(self._refusal.body(body, more=more))
        if not more:
            self._disconnect(_ABNORMAL, "")
            self._transport.close()

    def _refuse(self, rejection: Rejection) -> None:
        body = rejection.body()
        headers = (
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(body)),
            *rejection.headers,
            (b"x-request-id", new_request_id().encode()),
        )
        self._start_refusal(rejection.status, headers)
        self._go_on_refusing(body, more=False)

    def _fail(self) -> None:
        """Answers 500 to a handshake, or closes what was accepted with 1011."""
        if self._disconnected:
            return
        if self._accepted:
            self._close(1011, "internal error")
        elif not self._answered:
            self._refuse(Rejection(500, "internal error"))
        else:
            self._transport.close()
