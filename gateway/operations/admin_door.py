"""What serves the routes of the admin listener: our HTTP/1.1 door, with its limits."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from functools import partial
from typing import Final, cast

from starlette.applications import Starlette
from starlette.routing import Route

from gateway.doors.accepting import AcceptLimits, Acceptor
from gateway.doors.http.door import Door, ServerState
from gateway.doors.http.limits import WebSocketLimits
from gateway.doors.http1.protocol import Http1Protocol
from gateway.doors.types import App

_CONNECTIONS: Final = 64
"""Maximum connections of one process; more are refused."""
_WEBSOCKET: Final = WebSocketLimits(
    max_message=1, ping_interval=20.0, compression=False, small_frames=1
)


class AdminDoor:
    """Serves routes on listening sockets, in the running loop."""

    def __init__(self, routes: Sequence[Route], sockets: Sequence[socket.socket]) -> None:
        """Takes the routes, and the sockets, which are closed in the end."""
        self._state = ServerState()  # apart from the edge's, whose drain waits for its own
        app = cast("App", Starlette(routes=list(routes)))
        door = Door(app=app, state=self._state, websocket=_WEBSOCKET)
        limits = AcceptLimits(max_connections=_CONNECTIONS)
        self._acceptor = Acceptor(sockets, partial(Http1Protocol, door), limits)

    def start(self) -> None:
        """Starts to accept."""
        self._acceptor.start()

    def close(self) -> None:
        """Closes the sockets and the connections."""
        self._acceptor.close()
        for connection in list(self._state.connections):
            connection.abort()
