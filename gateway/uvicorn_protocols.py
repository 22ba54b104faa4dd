"""uvicorn's two protocols, with what streams need of them beside.

Rule: as little as can be, for these are another project's insides; each has its test in tests/whole.
"""

from __future__ import annotations

from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

_MOST_PIPELINED: Final = 16
"""So many requests may wait behind one that is answered; who sends more is cut."""


class HttpProtocol(HttpToolsProtocol):
    """HTTP, in which the request that is answered hears of the end, though others wait behind it."""

    _answered: RequestResponseCycle | None = None

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._answered = cycle
        super()._start_asgi_task(cycle, app)

    def on_headers_complete(self) -> None:
        """Takes a request; one that has to wait does not keep the end of the connection from being read."""
        super().on_headers_complete()
        if len(self.pipeline) > _MOST_PIPELINED:
            self.transport.abort()
        elif self.pipeline:
            self.flow.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tells the request that is answered; uvicorn itself tells only the last one that came."""
        cycle = self._answered
        if cycle is not None and not cycle.response_complete:
            cycle.disconnected = True
            cycle.message_event.set()
        super().connection_lost(exc)


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """WebSocket, whose keepalive knows of back-pressure."""

    def keepalive_timeout(self) -> None:
        """Gives up a client that has not answered a ping, if its answer would have been seen."""
        if self.read_paused and self.writable.is_set():
            # the pong may lie behind messages that the upstream does not take yet
            self.pong_timer = self.pending_ping_payload = None
            self.schedule_ping()
            return
        super().keepalive_timeout()
        if not self.writable.is_set():
            # a client that reads nothing would not let the connection close either
            self.transport.abort()
