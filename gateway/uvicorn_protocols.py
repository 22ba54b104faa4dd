"""uvicorn's two protocols, with what streams need of them beside.

Rule: as little as can be, for these are another project's insides; each has its test in tests/whole.
"""

from __future__ import annotations

from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from gateway.edge.types import WRITE

_MOST_PIPELINED: Final = 16
"""So many requests may wait behind one that is answered; who sends more is cut."""


class HttpProtocol(HttpToolsProtocol):
    """HTTP, in which the request that is answered hears of the end, though others wait behind it."""

    _answered: RequestResponseCycle | None = None
    _in_message = False

    @property
    def idle(self) -> bool:
        """Whether all that came was answered, to the end of a request."""
        cycle: RequestResponseCycle | None = self.cycle
        answered = cycle is None or cycle.response_complete
        return answered and not self._in_message and not self.pipeline

    @property
    def waits(self) -> bool:
        """Whether it closes by itself if no request comes."""
        return self.timeout_keep_alive_task is not None

    def wait_no_more(self) -> None:
        """Does not close for want of a request: somebody else has taken one."""
        self._unset_keepalive_if_required()

    def on_message_begin(self) -> None:
        """Takes the begin of a request."""
        self._in_message = True
        super().on_message_begin()

    def on_message_complete(self) -> None:
        """Takes the end of a request."""
        self._in_message = False
        super().on_message_complete()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._answered = cycle
        super()._start_asgi_task(cycle, app)

    def on_headers_complete(self) -> None:
        """Takes a request; one that has to wait does not keep the end of the connection from being read.

        What follows a body is none of its headers (RFC 9110, 6.5.1).
        """
        self.scope["headers"] = self.headers.copy()
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


class DirectWrite:
    """The extension `protoway.write` of the request that a connection answers."""

    __slots__ = ("cycle",)

    def __init__(self) -> None:
        self.cycle: RequestResponseCycle | None = None

    def __call__(self, part: bytes) -> bool:
        """Writes a part of a body, unless `send` would wait, or do another thing than write a chunk."""
        cycle = self.cycle
        if (
            cycle is None
            or cycle.flow.write_paused
            or cycle.disconnected
            or cycle.response_complete
            or not cycle.chunked_encoding
            or cycle.transport.is_closing()
        ):
            return False
        if part:  # an empty chunk would be the last
            cycle.transport.write(b"%x\r\n%b\r\n" % (len(part), part))
        return True


class DirectHttpProtocol(HttpProtocol):
    """HTTP for an application that lets nobody wrap `send`: it may write without it.

    A thousand readers of one stream are a thousand tasks; what wakes a task, steps through all that awaits
    within it, and makes an event of a message, is more than half of what delivery costs.
    """

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._write = DirectWrite()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._write.cycle = cycle
        cycle.scope["extensions"] = {WRITE: {"write": self._write}}
        super()._start_asgi_task(cycle, app)

    def connection_lost(self, exc: Exception | None) -> None:
        """Parts the last request from what writes for it: each holds the other."""
        super().connection_lost(exc)
        self._write.cycle = None


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
