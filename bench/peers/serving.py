"""How the peers that are ASGI applications are served: as `pip install uvicorn[standard]` serves them."""

from __future__ import annotations

import socket
from typing import Any

import uvicorn

_BACKLOG = 2048


class _Server(uvicorn.Server):
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        assert sockets
        print(f"serving: {sockets[0].getsockname()[1]}", flush=True)


def serve(app: Any, **options: Any) -> None:
    """Serves on a free port until it is told to stop; on uvloop and httptools, and without a log."""
    config = uvicorn.Config(
        app, loop="uvloop", http="httptools", access_log=False, log_level="warning", **options
    )
    with socket.create_server(("127.0.0.1", 0), backlog=_BACKLOG) as listening:
        _Server(config).run(sockets=[listening])
