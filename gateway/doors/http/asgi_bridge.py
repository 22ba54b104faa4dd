"""One request over HTTP, handed to an ASGI application (ASGI 3.0, HTTP 2.3)."""

from __future__ import annotations

import asyncio
import logging
from urllib.parse import unquote

from gateway.doors.http.addresses import Addresses
from gateway.doors.http.door import Door
from gateway.doors.http.exchange import Connected, HttpExchange
from gateway.doors.http.request import Request
from gateway.doors.http.response import Response
from gateway.doors.peer_certificate import SCOPE_KEY
from gateway.doors.types import Event, Scope
from gateway.exchange.ports import ClientGone
from gateway.transcoding.status import StatusError

log = logging.getLogger(__name__)


class AsgiExchange(HttpExchange):
    """One request, and the application's response to it."""

    __slots__ = ("_door",)

    def __init__(
        self,
        door: Door,
        connection: Connected,
        request: Request,
        response: Response,
    ) -> None:
        super().__init__(connection, request, response)
        self._door = door

    def start(self, loop: asyncio.AbstractEventLoop, ends: Addresses) -> None:
        """Starts the application."""
        task = loop.create_task(self._run(ends))
        tasks = self._door.state.tasks
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    async def _run(self, ends: Addresses) -> None:
        try:
            await self._door.app(self._scope(ends), self.receive, self.send)
        except asyncio.CancelledError:
            self.cut()  # the server waits for it no longer
            raise
        except StatusError:  # which the edge has logged
            self.fail()
        except Exception:
            log.exception("Exception in ASGI application")
            self.fail()
        else:
            if not self.response.complete and not self.client_gone:
                log.error("the ASGI application has returned without a complete response")
                self.fail()

    def _scope(self, ends: Addresses) -> Scope:
        request, door = self.request, self._door
        path, root = request.path, door.root_path
        scope: Scope = {
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
        if ends.certificate is not None:
            scope["extensions"] = {SCOPE_KEY: ends.certificate}
        return scope

    # What the application calls.

    async def receive(self) -> Event:
        """Waits for the next part of the body, or for the client to leave."""
        try:
            body = await self.read_body()
        except ClientGone:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": body, "more_body": not self.request.read_to_end}

    async def send(self, event: Event) -> None:
        """Sends a part of the response, when the transport takes it; nothing if the client has left.

        Raises:
            ValueError: the event is none that may come now, or makes no response of HTTP.
        """
        try:
            await self.writable()
        except ClientGone:
            return
        kind = event["type"]
        if kind == "http.response.start":
            self.write_head(event["status"], event.get("headers", ()))
        elif kind == "http.response.body":
            self.write_body(event.get("body", b""), more=event.get("more_body", False))
        else:
            raise ValueError(f"an application over HTTP does not send {kind!r}")
