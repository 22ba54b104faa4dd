"""uvicorn, with what an edge with streams needs of it beside.

It says in one line where it listens, which a supervisor can wait for; when it is told to stop, the streams
end first, each in its own words, before connections are closed under them; and it may have workers.
"""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Sequence
from functools import partial
from types import FrameType

import uvicorn
from fastapi import FastAPI

from gateway.edge.asgi import ContractRoutes
from gateway.edge.direct import DirectDoor
from gateway.edge.exchange import Edge
from gateway.front import Front
from gateway.settings import Settings
from gateway.uvicorn_http import DirectHttpProtocol, HttpProtocol
from gateway.uvicorn_websocket import WebSocketProtocol
from gateway.workers import Parent, Workers
from grpc_wire.transport.accepting import acceptors

_LOOK_SECONDS = 0.1
"""How often a shutdown looks whether it is to wait no longer."""
_ENVELOPE_BYTES = 16 * 1024
"""What a WebSocket frame may have beside its message; or metadata, where messages may be small."""


class Server(uvicorn.Server):
    """Serves one application on one socket until a signal comes, or its parent tells it to stop."""

    _parent: Parent | None = None

    def __init__(self, app: FastAPI, settings: Settings) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                log_level=settings.log_level,
                access_log=False,
                lifespan="on",
                server_header=False,
                http=HttpProtocol,
                ws=WebSocketProtocol,
                ws_max_size=settings.max_message_bytes + _ENVELOPE_BYTES,
                ws_ping_interval=settings.websocket_ping_seconds,
                ws_ping_timeout=settings.websocket_ping_seconds,
                ws_per_message_deflate=settings.websocket_compression,
                ssl_certfile=settings.tls_certificate,
                ssl_keyfile=settings.tls_key,
            )
        )
        self._app = app
        self._edge: Edge = app.state.edge
        self._drain_seconds = settings.drain_seconds

    def serve_on(self, listening: socket.socket, parent: Parent | None = None) -> None:
        """Serves until SIGINT or SIGTERM; a second one does not wait, if there is no parent to say so."""
        self._parent = parent
        for number in (signal.SIGINT, signal.SIGTERM):
            # uvicorn raises the signal anew when it is done, for whoever was there before it
            signal.signal(number, lambda *_: None)
        self.run(sockets=[listening])

    def serve_with_workers(self, listening: Sequence[socket.socket]) -> int:
        """Serves with a worker for each socket; returns the exit status."""
        self.config.load()  # what is read from files is the same for all, whenever they start

        def work(parent: Parent) -> int:
            for place, other in enumerate(listening):
                if place != parent.number:
                    other.close()
            self.serve_on(listening[parent.number], parent)
            return 0

        def stopping() -> None:
            for each in listening:
                each.close()

        # what waits for a worker that has died is kept by the parent's end of its socket
        return Workers("protoway", len(listening), work).run(
            serving=lambda: self._say_where(listening[0]), stopping=stopping
        )

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Starts, and says where; a middleware that a user has added sees all that is sent."""
        middleware: list[object] = [each.cls for each in self._app.user_middleware]
        if middleware == [ContractRoutes] and not self._app.root_path:
            direct: DirectDoor = self._app.state.direct
            self.config.http_protocol_class = partial(Front, direct, DirectHttpProtocol)  # type: ignore[assignment] # it is only called
        await super().startup([each for one in sockets or () for each in acceptors(one)])
        if self._parent is not None:
            self._parent.serving(self._stop)
        elif self.started and sockets:
            self._say_where(sockets[0])

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stops; a second signal of either kind does not wait.

        A worker may get each signal twice: a terminal and some supervisors send them to it and to its parent.
        """
        self.force_exit = self.should_exit and self._parent is None
        self._stop()
        del sig, frame

    def _stop(self) -> None:
        self.should_exit = True

    def _say_where(self, listening: socket.socket) -> None:
        host, port = listening.getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host
        scheme = "https" if self.config.is_ssl else "http"
        print(f"protoway: serving HTTP on {scheme}://{shown}:{port}", flush=True)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Ends the streams, then what uvicorn ends, all within the time that draining may take."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._drain_seconds
        for server in self.servers:
            server.close()
        ending = self._edge.interrupt_streams()
        while ending and not self.force_exit and loop.time() < deadline:
            _, ending = await asyncio.wait(ending, timeout=_LOOK_SECONDS)
        self.config.timeout_graceful_shutdown = max(0.0, deadline - loop.time())  # type: ignore[assignment] # it is only waited for
        await super().shutdown(sockets)
