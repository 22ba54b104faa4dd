"""The admin listener of a start that waits for its contract: alive, and neither started nor ready.

Rule: it is served from a thread, which has ended when the block is left, since workers are forked after that.
"""

from __future__ import annotations

import asyncio
import socket
from concurrent.futures import Future
from threading import Thread
from types import TracebackType
from typing import Final, Self

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.listening import listen_for_admin
from gateway.operations.admin_door import AdminDoor
from gateway.operations.readiness import Readiness, every_health_route, health_routes
from gateway.operations.series import SERIES
from gateway.settings import Settings
from server_process.exposition import Snapshot, render

_EVERYTHING_ELSE: Final = "/{path:path}"


class WaitingAdmin:
    """Listens from the first time that there is something to wait for, to the end of the block.

    Attributes:
        sockets: listening sockets of each worker, which stay open after the block, unless it has failed;
            empty if nothing was waited for, or there is no admin listener.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._readiness = Readiness(settings.readiness, None)
        self._ended: Future[None] = Future()
        self._thread: Thread | None = None
        self.sockets: list[list[socket.socket]] = []

    def tell(self, reason: str) -> None:
        """Says why the start waits, without an address.

        Raises:
            ListenError: the address of the admin listener is taken, or is none of this machine.
        """
        self._readiness.starting = reason
        if self._thread is None and self._settings.admin_port is not None:
            self.sockets = listen_for_admin(self._settings)
            self._thread = Thread(target=lambda: asyncio.run(self._serve()), daemon=True)
            self._thread.start()

    def __enter__(self) -> Self:
        """Does nothing yet."""
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        """Stops serving; connections that come now wait for who serves next on the sockets."""
        if self._thread is not None:
            self._ended.set_result(None)
            self._thread.join()
        if error is not None:
            for each in (one for worker in self.sockets for one in worker):
                each.close()

    async def _serve(self) -> None:
        readiness, settings = self._readiness, self._settings
        routes = [
            Route("/metrics", self._metrics, methods=["GET"]),
            *every_health_route(readiness, settings),
            *health_routes(readiness, live=(), ready="", startup=_EVERYTHING_ELSE),
        ]
        door = AdminDoor(routes, [each.dup() for each in self.sockets[0]])
        door.start()
        try:
            await asyncio.wrap_future(self._ended)
        finally:
            door.close()

    async def _metrics(self, request: Request) -> Response:
        ready = [((check,), int(passed)) for check, passed in self._readiness.last().items()]
        snapshot: Snapshot = {"protoway_worker_up": [((), 1)], "protoway_ready": ready}
        body, media_type = render(SERIES, {"0": snapshot}, request.headers.get("accept", ""))
        return Response(body, headers={"content-type": media_type})
