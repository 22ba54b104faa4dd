"""uvicorn, with a start line, an orderly end of streams, and workers.

The first line on stdout says where it listens, and a supervisor can wait for it; the second says what is
served. On a shutdown the streams end first, each with the end of its own framing, before connections close.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from collections.abc import Sequence
from functools import partial
from types import FrameType

import uvicorn
from fastapi import FastAPI

from gateway.contract.http_rule import Binding
from gateway.edge.asgi import ContractRoutes
from gateway.edge.direct import DirectDoor
from gateway.edge.exchange import Edge
from gateway.front import Front
from gateway.listening import allow_many_files, listen, listen_for_workers
from gateway.settings import Settings
from gateway.tls import check_serving
from gateway.transcoding.status import StatusError
from gateway.uvicorn_http import DirectHttpProtocol, HttpProtocol
from gateway.uvicorn_websocket import WebSocketProtocol
from gateway.workers import Parent, Workers
from grpc_wire.transport.accepting import acceptors

_LOOK_SECONDS = 0.1
"""Interval at which a shutdown checks whether a second signal came."""
_ENVELOPE_BYTES = 16 * 1024
"""Bytes that a WebSocket frame may have beside its message, or for metadata if messages are small."""
_SHOWN_SERVICES = 3
"""Maximum services that the start line names."""


class _WithoutStatuses(logging.Filter):
    """Drops uvicorn's traceback of a response that a gRPC status cut: the edge has logged it in one line."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the line passes."""
        return not (record.exc_info and isinstance(record.exc_info[1], StatusError))


for _name in ("uvicorn.error", "uvicorn.error.websocket"):
    logging.getLogger(_name).addFilter(_WithoutStatuses())


def serve(app: FastAPI, settings: Settings) -> int:
    """Serves an application until SIGINT or SIGTERM, as `protoway serve` does; returns the exit status.

    Args:
        app: what `create_app` has made, perhaps with routes and middleware of your own.
        settings: those that it was made with; here `host`, `port`, `workers`, the limits of streams and
            WebSockets, and `tls_certificate` and `tls_key` count.

    Raises:
        ListenError: the address is taken, or is none of this machine.
        TlsError: the certificate or the key cannot be used.
        OSError: a file cannot be read.
    """
    check_serving(settings)
    allow_many_files()
    server = Server(app, settings)
    if settings.workers > 1:
        return server.serve_with_workers(listen_for_workers(settings))
    with listen(settings) as listening:
        server.serve_on(listening)
    return 0


class Server(uvicorn.Server):
    """Serves one application on one socket until a signal, or its parent, stops it."""

    _parent: Parent | None = None

    def __init__(self, app: FastAPI, settings: Settings) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                log_config=None,  # the command has configured the logs
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
        self._settings = settings

    def serve_on(self, listening: socket.socket, parent: Parent | None = None) -> None:
        """Serves until SIGINT or SIGTERM. Without a parent, a second signal ends the shutdown at once."""
        self._parent = parent
        for number in (signal.SIGINT, signal.SIGTERM):
            # uvicorn raises the signal again after the shutdown, for the previous handler
            signal.signal(number, lambda *_: None)
        self.run(sockets=[listening])

    def serve_with_workers(self, listening: Sequence[socket.socket]) -> int:
        """Serves with a worker for each socket; returns the exit status."""
        self.config.load()  # so that all workers have the same certificate, whenever they start

        def work(parent: Parent) -> int:
            for place, other in enumerate(listening):
                if place != parent.number:
                    other.close()
            self.serve_on(listening[parent.number], parent)
            return 0

        def stopping() -> None:
            for each in listening:
                each.close()

        # the parent keeps each socket open, so connections wait there while a worker is replaced
        return Workers("protoway", len(listening), work).run(
            serving=lambda: self._say_where(listening[0]), stopping=stopping
        )

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Starts, and prints the start lines. The direct path is off if a user has added middleware."""
        middleware: list[object] = [each.cls for each in self._app.user_middleware]
        direct: DirectDoor = self._app.state.direct
        if middleware == [ContractRoutes] and self._app.root_path == direct.root_path:
            self.config.http_protocol_class = partial(Front, direct, DirectHttpProtocol)  # type: ignore[assignment] # it is only called
        listening = [each for one in sockets or () for each in acceptors(one)]
        try:
            await super().startup(listening)
        finally:
            if not self.started:
                for each in listening:
                    each.close()
        if self._parent is not None:
            self._parent.serving(self._stop)
        elif self.started and sockets:
            self._say_where(sockets[0])

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Starts the shutdown; a second signal ends it at once, but not in a worker.

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
        print(
            f"protoway: serving HTTP on {scheme}://{shown}:{port}",
            f"protoway: {served(self._edge.transcoder.bindings, self._settings)}",
            sep="\n",
            flush=True,
        )

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Ends the streams, then lets uvicorn shut down, all within `drain_seconds`."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._settings.drain_seconds
        for server in self.servers:
            server.close()
        ending = self._edge.interrupt_streams()
        while ending and not self.force_exit and loop.time() < deadline:
            _, ending = await asyncio.wait(ending, timeout=_LOOK_SECONDS)
        self.config.timeout_graceful_shutdown = max(0.0, deadline - loop.time())  # type: ignore[assignment] # it is only waited for
        await super().shutdown(sockets)


def served(bindings: Sequence[Binding], settings: Settings) -> str:
    """Returns what is served, in one line: routes, services, contract, upstream and transport."""
    services = list(dict.fromkeys(binding.method.service_name for binding in bindings))
    names = ", ".join(services[:_SHOWN_SERVICES])
    if len(services) > _SHOWN_SERVICES:
        names += f" and {len(services) - _SHOWN_SERVICES} more"
    routes = f"{len(bindings)} route{'s' if len(bindings) != 1 else ''}"
    return (
        f"{routes} of {names} from {settings.descriptor_set};"
        f" upstream {settings.upstream} by {settings.transport}"
    )
