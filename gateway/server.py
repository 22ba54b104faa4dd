"""uvicorn over our own door, with a start line, an orderly end of streams, and workers.

The first line on stdout says where it listens, and a supervisor can wait for it; the second says what is
served. On a shutdown the streams end first, each with the end of its own framing, before connections close.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from types import FrameType
from typing import Final

import uvicorn
from fastapi import FastAPI

from gateway.connections import accept_limits, door, protocol, proxied
from gateway.doors.accepting import Acceptor
from gateway.doors.http.door import Door, ServerState
from gateway.exchange.edge import Edge
from gateway.listening import allow_many_files, listen, listen_for_workers
from gateway.operations.admin import Admin
from gateway.operations.metrics import Metrics
from gateway.operations.readiness import Readiness
from gateway.reload.reloader import ContractReloader
from gateway.settings import Settings, names_uvicorns_proxies
from gateway.start_lines import SERVING, middleware_line, served, shown, streams_line
from gateway.tls import check_serving, serving_tls
from grpc_wire.renewal import RenewedContext, watching
from server_process.logs import configure_logs
from server_process.reloads import Reloads, async_of
from server_process.systemd import notify, watchdog
from server_process.workers import Parent, Workers

log = logging.getLogger(__name__)

LOGGING: Final = ("protoway", "gateway", "grpc_wire", "server_process", "uvicorn")
"""Packages that log at `log_level`; others log warnings and errors."""
_LOOK_SECONDS: Final = 0.02
"""Interval at which a shutdown checks whether a second signal came, and whether anything is open."""
_LAST_SECONDS: Final = 0.5
"""Maximum time that responses which a shutdown cuts have to say so."""
_CROSSING_SECONDS: Final = 1.0
"""Behind the delay: time for handshakes of TLS, and for requests that were sent while a stream ended, or on a
connection that was accepted last."""
_STARTUP_FAILURE: Final = 3


def serve(
    app: FastAPI, settings: Settings, admin_sockets: list[list[socket.socket]] | None = None
) -> int:
    """Serves an application until SIGINT or SIGTERM, as `protoway serve` does; returns the exit status.

    Unless the program has configured logging, the log goes to stderr as that of `protoway serve`.

    Args:
        app: what `create_app` has made, perhaps with routes and middleware of your own.
        settings: those that it was made with; here `host`, `port`, `workers`, the limits of streams and
            WebSockets, and `tls_certificate` and `tls_key` count.
        admin_sockets: of the admin listener, for each worker, where it listens already.

    Raises:
        ListenError: the address is taken, or is none of this machine.
        TlsError: the certificate or the key cannot be used.
        OSError: a file cannot be read.
    """
    check_serving(settings)
    if not logging.getLogger().handlers:
        configure_logs(settings.log_level, LOGGING, settings.log_format, settings.log_config)
    allow_many_files()
    server = Server(app, settings)
    if settings.workers > 1:
        listening = listen_for_workers(settings, settings.workers)
        server.admin.open(admin_sockets or [])
        return server.serve_with_workers(listening)
    sockets = listen(settings)
    server.admin.open(admin_sockets or [])
    server.serve_on(sockets)
    return 0


class Server(uvicorn.Server):
    """Serves one application on one socket until a signal, or its parent, stops it."""

    _parent: Parent | None = None
    server_state: ServerState  # type: ignore[assignment] # compiled: responses read it

    def __init__(self, app: FastAPI, settings: Settings) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                log_config=None,  # the command has configured the logs
                log_level=settings.log_level,
                access_log=False,
                lifespan="on",
                server_header=False,
                http=asyncio.Protocol,  # `startup` makes the connections
                ws="none",
                proxy_headers=False,  # `proxies_trusted` says who is believed
            )
        )
        self.server_state = ServerState()
        if names_uvicorns_proxies():
            log.warning("FORWARDED_ALLOW_IPS is not read; set proxies_trusted")
        self._app = app
        self._edge: Edge = app.state.edge
        # read before workers are forked, so that all begin with the same certificate
        self._tls = serving_tls(settings)
        app.state.serving_tls = self._tls
        metrics: Metrics | None = app.state.metrics
        if metrics is not None and self._tls is not None:
            metrics.renewed.append(self._tls)
        self._reloader: ContractReloader = app.state.reloader
        self._reloads: Reloads = app.state.reloads
        if self._tls is not None:
            self._reloads.add(self._tls.names, async_of(self._tls.read_again))
        self._background = AsyncExitStack()
        self._readiness: Readiness = app.state.readiness
        self._settings = settings
        self._acceptor: Acceptor | None = None
        self._door: Door | None = None
        self.admin = Admin(app.state.metrics, settings, self._readiness, self._reloader.reload)

    def serve_on(self, listening: list[socket.socket], parent: Parent | None = None) -> None:
        """Serves on some sockets, and closes them, until SIGINT or SIGTERM.

        Without a parent, a second signal ends the shutdown at once.
        """
        self._parent = parent
        self._app.state.served_with = self._settings
        for number in (signal.SIGINT, signal.SIGTERM):
            # uvicorn raises the signal again after the shutdown, for the previous handler
            signal.signal(number, lambda *_: None)
        self.run(sockets=listening)

    def serve_with_workers(self, listening: Sequence[list[socket.socket]]) -> int:
        """Serves with a worker for each list of sockets; returns the exit status."""
        self.admin.share(len(listening))
        self._reloader.share(len(listening))

        def work(parent: Parent) -> int:
            for open_sockets in (listening, self.admin.sockets):
                for number, sockets in enumerate(open_sockets):
                    if number != parent.number:
                        _close(sockets)
            self.serve_on(listening[parent.number], parent)
            return 0

        def stopping() -> None:
            notify("STOPPING=1")
            for sockets in (*listening, *self.admin.sockets):
                _close(sockets)

        # the parent keeps each socket open, so connections wait there while a worker is replaced
        return Workers("protoway", len(listening), work).run(
            serving=lambda: self._say_where(listening[0]), stopping=stopping
        )

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Starts the application, accepts, and prints the start lines."""
        number = 0 if self._parent is None else self._parent.number
        await self._background.enter_async_context(self._reloader.running(number))
        await self.lifespan.startup()
        if self.lifespan.should_exit:
            sys.exit(_STARTUP_FAILURE)
        settings, listening = self._settings, list(sockets or ())
        if (tls := self._tls) is not None:
            await self._background.enter_async_context(watching(tls, settings.tls_check_seconds))
        await self._background.enter_async_context(watchdog())
        stop = self._stop if self._parent is None else None
        await self._background.enter_async_context(self._reloads.on_hangup(stop))
        self._door = door(self._app, self.config, self.server_state, self.lifespan.state, settings)
        self._acceptor = Acceptor(
            listening,
            protocol(self._door, settings),
            accept_limits(settings),
            None if tls is None else RenewedContext(lambda: tls.current),
            proxied(self._app.state.settings.proxies),
        )
        self._acceptor.start()
        self.admin.start(self._acceptor, self._door.direct, number)
        self.started = True
        if self._parent is not None:
            self._parent.serving(self._stop)
        elif listening:
            self._say_where(listening)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Starts the shutdown; a second signal ends it at once, but not in a worker.

        A worker may get each signal twice: a terminal and some supervisors send them to it and to its parent.
        """
        self.force_exit = self.should_exit and self._parent is None
        self._stop()
        del sig, frame

    def _stop(self) -> None:
        self._readiness.draining = True
        if self._door is not None:
            self._door.closing = True
        self.should_exit = True

    def _say_where(self, listening: Sequence[socket.socket]) -> None:
        scheme = "https" if self._tls is not None else "http"
        print(
            *(f"{SERVING}{shown(each, scheme)}" for each in listening),
            f"protoway: {served(self._edge.served.transcoder.bindings, self._settings)}",
            *streams_line(self._edge.served.transcoder.bindings, self._settings),
            *middleware_line(self._app),
            *(f"protoway: serving /metrics on {shown(each, 'http')}" for each in self.admin.shown),
            sep="\n",
            flush=True,
        )
        notify("READY=1")

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Says that the edge is not ready, waits for `drain_delay_seconds`, and ends within `drain_seconds`.

        The streams end first, then the connections. What is not answered by then is answered with 503.
        Clients that do not read are not waited for.
        """
        del sockets  # the acceptor closes them
        loop = asyncio.get_running_loop()
        await self._leave_the_balancer()
        deadline = loop.time() + self._settings.drain_seconds
        state = self.server_state
        ending = self._edge.interrupt_streams()
        while ending and not self.force_exit and loop.time() < deadline:
            _, ending = await asyncio.wait(ending, timeout=_LOOK_SECONDS)
        for connection in list(state.connections):
            connection.shutdown()
        await self._wait_until_idle(deadline, impatient=True)
        for task in list(state.tasks):
            task.cancel("the server is shutting down")
        await self._wait_until_idle(loop.time() + _LAST_SECONDS, impatient=False)
        for connection in list(state.connections):
            connection.abort()
        self.admin.close()
        await self._background.aclose()
        await self.lifespan.shutdown()

    async def _leave_the_balancer(self) -> None:
        """Lets readiness fall, and accepts connections until load balancers have seen that.

        Each response of that time ends its connection, so that few are left that a client may use again.
        """
        if self._parent is None:
            notify("STOPPING=1")
        self._stop()
        acceptor, delay = self._acceptor, self._settings.drain_delay_seconds
        if delay and acceptor is not None:
            log.info("shutting down; connections are accepted for %g s more", delay)
            await self._pause(delay)
            acceptor.accept_waiting()
            if self._door is not None:
                self._door.crossing = _CROSSING_SECONDS
        if acceptor is not None:
            acceptor.close()
        if delay and acceptor is not None:
            with suppress(TimeoutError):  # some may never end their TLS handshake
                await asyncio.wait_for(acceptor.wait_closed(), _CROSSING_SECONDS)

    async def _pause(self, seconds: float) -> None:
        """Waits, unless a second signal came."""
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        while not self.force_exit:
            left = until - loop.time()
            if left <= 0:
                return
            await asyncio.sleep(min(_LOOK_SECONDS, left))

    async def _wait_until_idle(self, deadline: float, *, impatient: bool) -> None:
        """Waits until nothing is open; `impatient` if a second signal ends that."""
        loop, state = asyncio.get_running_loop(), self.server_state
        while (state.connections or state.tasks) and not (impatient and self.force_exit):
            left = deadline - loop.time()
            if left <= 0:
                return
            await asyncio.sleep(min(_LOOK_SECONDS, left))


def _close(sockets: Sequence[socket.socket]) -> None:
    for each in sockets:
        each.close()
