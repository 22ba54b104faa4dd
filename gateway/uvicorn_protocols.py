"""uvicorn's two protocols, with what streams need of them beside.

Rule: as little as can be, for these are another project's insides; each has its test in tests/whole.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from gateway.edge.direct import DirectAnswer, DirectAnswers
from gateway.edge.types import WRITE

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
    """HTTP for an application that lets nobody stand between it and the server.

    It may write a part of a stream without `send`: a thousand readers of one stream are a thousand tasks, and
    what wakes one, steps through all that awaits in it, and makes an event of a message, is more than half of
    what delivery costs. And a unary request whose body came with its head is answered without a task.
    """

    def __init__(self, direct: DirectAnswers, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._direct = direct
        self._write = DirectWrite()
        self._ready: tuple[RequestResponseCycle, Any] | None = None
        self._answer: DirectAnswer | None = None

    def data_received(self, data: bytes) -> None:
        """Takes what came, all of it, before a request in it is answered."""
        super().data_received(data)
        self._begin()

    def on_response_complete(self) -> None:
        """Goes on with the next request, if it has come already."""
        super().on_response_complete()
        self._begin()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._ready = cycle, app

    def _begin(self) -> None:
        if self._ready is None:
            return
        (cycle, app), self._ready = self._ready, None
        if not (cycle.more_body or self.flow.write_paused or self.transport.is_closing()):
            scope: Any = cycle.scope
            respond = partial(self._respond, cycle)
            answer = self._direct.begin(scope, bytes(cycle.body), respond)
            if answer is not None:
                if not cycle.response_complete:
                    self._answer = answer
                    self.tasks.add(answer)  # type: ignore[arg-type] # they are cancelled, and counted
                return
        self._write.cycle = cycle
        cycle.scope["extensions"] = {WRITE: {"write": self._write}}
        super()._start_asgi_task(cycle, app)

    def _respond(
        self,
        cycle: RequestResponseCycle,
        status: int,
        headers: list[tuple[bytes, bytes]],
        body: bytes,
    ) -> None:
        """Writes what `cycle.send` would."""
        self._end_answer()
        cycle.response_started = cycle.response_complete = True
        parts = [STATUS_LINE[status]]
        for name, value in (*cycle.default_headers, *headers):
            parts += (name, b": ", value, b"\r\n")
        parts.append(b"\r\n" if cycle.keep_alive else b"connection: close\r\n\r\n")
        if cycle.scope["method"] != "HEAD":
            parts.append(body)
        self.transport.write(b"".join(parts))
        if not cycle.keep_alive:
            self.transport.close()
        done, cycle.on_response = cycle.on_response, _nothing  # each holds the other
        done()

    def _end_answer(self) -> DirectAnswer | None:
        answer, self._answer = self._answer, None
        self.tasks.discard(answer)
        return answer

    def connection_lost(self, exc: Exception | None) -> None:
        """Parts the last request from what writes for it: each holds the other."""
        super().connection_lost(exc)
        self._write.cycle = None
        if answer := self._end_answer():
            answer.leave()


def _nothing() -> None:
    """Does nothing."""


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
