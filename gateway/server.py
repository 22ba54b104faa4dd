"""uvicorn, with the two things that an edge with streams needs of it beside.

It says in one line where it listens, which a supervisor can wait for; and when it is told to stop, the
streams end first, each in its own words, before connections are closed under them.
"""

from __future__ import annotations

import asyncio
import signal
import socket

import uvicorn
from fastapi import FastAPI

from gateway.edge.exchange import Edge
from gateway.settings import Settings


class Server(uvicorn.Server):
    """Serves one application on one socket until a signal comes."""

    def __init__(self, app: FastAPI, settings: Settings) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                log_level=settings.log_level,
                access_log=False,
                lifespan="on",
                server_header=False,
                timeout_graceful_shutdown=settings.drain_seconds,  # type: ignore[arg-type] # it is only waited for
                ws="websockets-sansio",
                ws_max_size=settings.max_message_bytes,
            )
        )
        self._edge: Edge = app.state.edge
        self._drain_seconds = settings.drain_seconds

    def serve_on(self, listening: socket.socket) -> None:
        """Serves until SIGINT or SIGTERM; a second one does not wait."""
        for number in (signal.SIGINT, signal.SIGTERM):
            # uvicorn raises the signal anew when it is done, for whoever was there before it
            signal.signal(number, lambda *_: None)
        self.run(sockets=[listening])

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Starts, and says where."""
        await super().startup(sockets)
        if self.started and sockets:
            host, port = sockets[0].getsockname()[:2]
            shown = f"[{host}]" if ":" in host else host
            print(f"protoway: serving HTTP on http://{shown}:{port}", flush=True)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Ends the streams, then what uvicorn ends."""
        for server in self.servers:
            server.close()
        if ending := self._edge.interrupt_streams():
            await asyncio.wait(ending, timeout=self._drain_seconds)
        await super().shutdown(sockets)
