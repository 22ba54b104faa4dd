"""One request over HTTP, handed to an ASGI application (ASGI 3.0, HTTP 2.3).

The application reads the body as it arrives, with back-pressure to the socket; it writes as the transport
takes it. `protoway.write` writes a part of a response without a coroutine.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Protocol
from urllib.parse import unquote

from gateway.doors.http1.addresses import Addresses
from gateway.doors.http1.door import Door
from gateway.doors.http1.rejection import Rejection
from gateway.doors.http1.request import Request
from gateway.doors.http1.response import CONTINUE, Response
from gateway.edge.types import WRITE, Event, Scope
from gateway.transcoding.status import StatusError

log = logging.getLogger(__name__)


class Connected(Protocol):
    """What an exchange asks of its connection."""

    writing_paused: bool

    def start_response(self, response: Response, status: int, headers: Any) -> bytes:
        """Returns the head of a response."""

    def body_read(self) -> None:
        """Reads more from the socket: the application has read what came."""

    def response_ended(self) -> None:
        """Goes on with the next request."""

    def response_cut(self) -> None:
        """Ends the connection: the response cannot be completed."""


class AsgiExchange:
    """One request, and the application's response to it.

    Attributes:
        request: the request.
        response: the response to it.
        gone: whether the client has left.
    """

    __slots__ = (
        "_connection",
        "_door",
        "_reader",
        "_transport",
        "_writable",
        "gone",
        "request",
        "response",
    )

    def __init__(
        self,
        door: Door,
        connection: Connected,
        transport: asyncio.Transport,
        request: Request,
        response: Response,
    ) -> None:
        self._door = door
        self._connection = connection
        self._transport = transport
        self._reader: asyncio.Future[None] | None = None
        self._writable: asyncio.Event | None = None
        self.request = request
        self.response = response
        self.gone = False

    def start(self, loop: asyncio.AbstractEventLoop, ends: Addresses) -> None:
        """Starts the application."""
        task = loop.create_task(self._run(ends))
        tasks = self._door.state.tasks
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    # What the connection calls.

    def data_arrived(self) -> None:
        """Lets the application read what has arrived of the body."""
        _wake(self._reader)

    def writing_resumed(self) -> None:
        """Lets the application write again."""
        if self._writable is not None:
            self._writable.set()

    def disconnect(self) -> None:
        """Tells the application that the client has left."""
        self.gone = True
        _wake(self._reader)
        self.writing_resumed()

    # The application.

    async def _run(self, ends: Addresses) -> None:
        try:
            await self._door.app(self._scope(ends), self.receive, self.send)
        except asyncio.CancelledError:
            if not self.response.complete:  # the server waits for it no longer
                self._cut()
            raise
        except StatusError:  # which the edge has logged
            self._fail()
        except Exception:
            log.exception("Exception in ASGI application")
            self._fail()
        else:
            if not self.response.complete and not self.gone:
                log.error("the ASGI application has returned without a complete response")
                self._fail()

    def _scope(self, ends: Addresses) -> Scope:
        request, door = self.request, self._door
        path, root = request.path, door.root_path
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": request.version,
            "server": ends.server,
            "client": ends.client,
            "scheme": "https" if ends.secure else "http",
            "method": request.method,
            "root_path": root,
            "path": root + (unquote(path) if "%" in path else path),
            "raw_path": (root + path).encode("ascii"),
            "query_string": request.query,
            "headers": request.headers,
            "state": door.app_state.copy(),
        }
        if door.direct is not None:
            scope["extensions"] = {WRITE: {"write": self.write}}
        return scope

    def _fail(self) -> None:
        """Answers 500, or cuts a response that has started."""
        if self.gone or self.response.complete:
            return
        if self.response.started:
            self._cut()
            return
        body = Rejection(500, "internal error").body()
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        head = self._connection.start_response(self.response, 500, headers)
        self._transport.write(head + self.response.body(body, more=False))
        self._end()

    def _cut(self) -> None:
        if not self.gone:
            self._connection.response_cut()

    def _end(self) -> None:
        _wake(self._reader)
        self._connection.response_ended()

    # What the application calls.

    async def receive(self) -> Event:
        """Waits for the next part of the body, or for the client to leave."""
        request = self.request
        if request.expects_continue:
            request.expects_continue = False
            if not self.response.started and not self._transport.is_closing():
                self._transport.write(CONTINUE)
        while True:
            if self.gone or self.response.complete:
                return {"type": "http.disconnect"}
            if not request.read_to_end and (request.buffered or request.complete):
                body = request.read()
                self._connection.body_read()
                request.read_to_end = request.complete and not request.buffered
                return {
                    "type": "http.request",
                    "body": body,
                    "more_body": not request.read_to_end,
                }
            self._reader = asyncio.get_running_loop().create_future()
            try:
                await self._reader
            finally:
                self._reader = None

    async def send(self, event: Event) -> None:
        """Sends a part of the response, when the transport takes it; nothing if the client has left.

        Raises:
            ValueError: the event is none that may come now, or makes no response of HTTP.
        """
        while self._connection.writing_paused and not self.gone:
            if self._writable is None:
                self._writable = asyncio.Event()  # several tasks may send
            self._writable.clear()
            await self._writable.wait()
        if self.gone:
            return
        response, kind = self.response, event["type"]
        if kind == "http.response.start":
            head = self._connection.start_response(
                response, event["status"], event.get("headers", ())
            )
            self._transport.write(head)
        elif kind == "http.response.body":
            more = event.get("more_body", False)
            data = response.body(event.get("body", b""), more=more)
            if data:
                self._transport.write(data)
            if not more:
                self._end()
        else:
            raise ValueError(f"an application over HTTP does not send {kind!r}")

    def write(self, part: bytes) -> bool:
        """Writes a part of a response that has started; see `gateway.edge.types.Write`."""
        response = self.response
        if (
            self._connection.writing_paused
            or self.gone
            or response.complete
            or not response.chunked
            or self._transport.is_closing()
        ):
            return False
        if part:  # an empty chunk would be the last
            self._transport.write(b"%x\r\n%b\r\n" % (len(part), part))
        return True


def _wake(waiter: asyncio.Future[None] | None) -> None:
    if waiter is not None and not waiter.done():
        waiter.set_result(None)
