"""One WebSocket, handed to an ASGI application (ASGI 3.0, WebSocket 2.4)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from typing import Final, Protocol
from urllib.parse import unquote

from gateway.doors.http.addresses import Addresses
from gateway.doors.http.door import Door
from gateway.doors.http.request import Request
from gateway.doors.http.request_head import subprotocols
from gateway.doors.peer_certificate import SCOPE_KEY
from gateway.doors.types import Event, Scope
from gateway.exchange.ports import ClientGone
from gateway.transcoding.status import StatusError

log = logging.getLogger(__name__)

_ABNORMAL: Final = 1006


class ClientLeft(OSError):
    """Raised by `send` when the client has left (ASGI 2.4)."""


class Connected(Protocol):
    """What an application asks of its WebSocket."""

    accepted: bool
    answered: bool
    end: tuple[int, str] | None

    async def accept(
        self, subprotocol: str | None, headers: Iterable[tuple[bytes, bytes]] = ()
    ) -> None:
        """Completes the handshake."""

    async def receive(self) -> str | bytes:
        """Waits for the next message."""
        ...

    async def send(self, message: str | bytes) -> None:
        """Sends a message."""

    async def close(self, code: int, reason: str) -> None:
        """Closes what was accepted."""

    async def writable(self) -> None:
        """Waits while the client does not read."""

    def start_refusal(self, status: int, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """Writes the head of a response that refuses the handshake."""

    def go_on_refusing(self, body: bytes, *, more: bool) -> None:
        """Writes a part of its body."""

    def refuse_by_application(self) -> None:
        """Refuses the handshake with 403."""

    def fail(self) -> None:
        """Ends what an error has ended."""

    def ended(self) -> None:
        """Closes the connection."""

    def abort(self) -> None:
        """Ends the connection at once."""


class AsgiWebSocket:
    """One WebSocket, and the application that answers it."""

    __slots__ = ("_connected", "_door", "_ends", "_request", "_socket")

    def __init__(self, socket: Connected, door: Door, request: Request, ends: Addresses) -> None:
        """Takes a WebSocket whose handshake has come, and nothing was said to it."""
        self._socket = socket
        self._door = door
        self._request = request
        self._ends = ends
        self._connected = False

    def start(self) -> None:
        """Starts the application."""
        task = asyncio.get_running_loop().create_task(self._run())
        tasks = self._door.state.tasks
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    async def _run(self) -> None:
        socket = self._socket
        try:
            await self._door.app(self._scope(), self.receive, self.send)
        except ClientLeft:
            pass
        except asyncio.CancelledError:
            socket.abort()
            raise
        except StatusError:  # which the edge has logged
            socket.fail()
        except Exception:
            log.exception("Exception in ASGI application")
            socket.fail()
        else:
            if not socket.answered and socket.end is None:
                log.error("the ASGI application has returned without an answer to a handshake")
                socket.fail()
        socket.ended()

    def _scope(self) -> Scope:
        request, door, ends = self._request, self._door, self._ends
        root = door.root_path
        return {
            "type": "websocket",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": request.version,
            "server": ends.server,
            "client": ends.client,
            "scheme": "wss" if ends.secure else "ws",
            "root_path": root,
            "path": root + unquote(request.path),
            "raw_path": (root + request.path).encode("ascii"),
            "query_string": request.query,
            "headers": request.headers,
            "subprotocols": subprotocols(request.headers),
            "state": door.app_state.copy(),
            "extensions": {"websocket.http.response": {}, SCOPE_KEY: ends.certificate},
        }

    async def receive(self) -> Event:
        """Waits for the next event of the client."""
        if not self._connected:
            self._connected = True
            return {"type": "websocket.connect"}
        try:
            message = await self._socket.receive()
        except ClientGone:
            code, reason = self._socket.end or (_ABNORMAL, "")
            return {"type": "websocket.disconnect", "code": code, "reason": reason}
        kind = "text" if isinstance(message, str) else "bytes"
        return {"type": "websocket.receive", kind: message}

    async def send(self, event: Event) -> None:
        """Sends an event, when the client reads.

        Raises:
            ClientLeft: the client has left.
            ValueError: the event is none that may come now.
        """
        try:
            await self._send(event)
        except ClientGone:
            raise ClientLeft from None

    async def _send(self, event: Event) -> None:
        socket = self._socket
        await socket.writable()
        match event["type"]:
            case "websocket.send" if socket.accepted:
                text = event.get("text")
                await socket.send(text if text is not None else event["bytes"])
            case "websocket.close" if socket.accepted:
                await socket.close(event.get("code", 1000), event.get("reason") or "")
            case "websocket.accept" if not socket.answered:
                await socket.accept(event.get("subprotocol"), event.get("headers", ()))
            case "websocket.close" if not socket.answered:
                socket.refuse_by_application()
            case "websocket.http.response.start" if not socket.answered:
                socket.start_refusal(event["status"], event.get("headers", ()))
            case "websocket.http.response.body" if socket.answered and not socket.accepted:
                socket.go_on_refusing(event.get("body", b""), more=event.get("more_body", False))
            case kind:
                raise ValueError(f"an application does not send {kind!r} now")
