"""An edge that listens, in the loop of the test."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from gateway.server import Server
from gateway.settings import Settings


@asynccontextmanager
async def serving(
    app: FastAPI,
    settings: Settings,
    *,
    send_buffer: int | None = None,
) -> AsyncIterator[int]:
    """Serves an application within the block, which is given its port; then it is told to stop.

    Args:
        app: what is served.
        settings: of the server.
        send_buffer: bytes that its sockets are let hold.
    """
    with socket.create_server(("127.0.0.1", 0)) as listening:
        if send_buffer is not None:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)  # inherited
        server = Server(app, settings)
        task = asyncio.create_task(server.serve(sockets=[listening]))
        while not server.started:
            await asyncio.sleep(0.001)
        try:
            yield listening.getsockname()[1]
        finally:
            server.should_exit = True
            await task
