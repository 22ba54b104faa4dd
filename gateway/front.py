"""A connection of HTTP/1.1, in front of uvicorn's.

What `DirectDoor` reads as one whole unary request is answered here, and its answer written at once. All
else goes to uvicorn's own protocol, byte for byte as it came, until that has answered it: streams,
WebSockets, bodies in pieces, pipelined requests, what is unusual, and callers who do not read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any, Final, cast

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE
from uvicorn.server import ServerState

from gateway.edge.direct import DirectDoor, DirectResponse
from gateway.edge.response import header_lines
from gateway.uvicorn_http import HttpProtocol

_MOST_HELD: Final = 64 * 1024
"""What is read of the next request while one is answered; who sends more is not seen to leave before that."""

_KEPT: Final = 16
"""Statuses that are answered in one second are few."""


class Front(asyncio.Protocol):
    """One connection."""

    def __init__(
        self,
        direct: DirectDoor,
        behind: Callable[..., HttpProtocol],
        *,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        """Takes what uvicorn gives to a protocol.

        Args:
            direct: what answers whole requests.
            behind: makes uvicorn's protocol, when something comes for it.
            config: uvicorn's.
            server_state: the connections and tasks that a shutdown waits for.
            app_state: what the application's lifespan has yielded.
        """
        self._direct = direct
        self._make_behind = partial(
            behind, config=config, server_state=server_state, app_state=app_state, _loop=_loop
        )
        self._loop = _loop or asyncio.get_running_loop()
        self._state = server_state
        self._keep_alive_seconds = config.timeout_keep_alive
        self._transport: asyncio.Transport
        self._behind: HttpProtocol | None = None
        self._paused = False
        self._answer: DirectResponse | None = None
        self._keep_alive = True
        self._held = b""
        self._idle_since = 0.0
        self._timer: asyncio.TimerHandle | None = None

    # What the loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begins."""
        self._transport = cast("asyncio.Transport", transport)
        self._state.connections.add(self)  # type: ignore[arg-type] # it is asked to shut down, and counted

    def data_received(self, data: bytes) -> None:
        """Takes what came, or keeps it until the request before it is answered."""
        if self._answer is not None:
            self._held += data
            if len(self._held) > _MOST_HELD:
                self._transport.pause_reading()
        elif self._behind is not None and not self._behind.idle:
            self._pass_on(data)
        else:
            self._take(data)

    def eof_received(self) -> None:
        """Lets the transport close."""

    def pause_writing(self) -> None:
        """Knows that the caller does not read."""
        self._paused = True
        if self._behind is not None:
            self._behind.pause_writing()

    def resume_writing(self) -> None:
        """Knows that it does."""
        self._paused = False
        if self._behind is not None:
            self._behind.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Ends; a call that is under way is cancelled."""
        if answer := self._ended():
            answer.disconnect()
        self._leave()
        if self._behind is not None:
            self._behind.connection_lost(exc)

    # What the server calls.

    def shutdown(self) -> None:
        """Closes when what is under way is answered."""
        self._keep_alive = False
        if self._behind is not None and not self._behind.idle:
            self._behind.shutdown()
        elif self._answer is None:
            self._transport.close()

    # Requests that are answered here.

    def _take(self, data: bytes) -> None:
        request = None if self._paused else self._direct.read(data)
        if request is None:
            self._pass_on(data)
            return
        if self._behind is not None:
            self._behind.wait_no_more()
        answer = self._direct.start(request, self._respond)
        if not answer.over:
            self._answer = answer
            self._state.tasks.add(answer)  # type: ignore[arg-type] # it can be cancelled, and is counted

    def _respond(self, status: int, lines: bytes, body: bytes) -> None:
        self._ended()
        state = self._state
        state.total_requests += 1
        begin = _begin(status, *state.default_headers)
        if not self._keep_alive:
            self._transport.write(b"%b%bconnection: close\r\n\r\n%b" % (begin, lines, body))
            self._transport.close()
            return
        self._transport.write(b"".join((begin, lines, b"\r\n", body)))
        self._idle_since = self._loop.time()
        if self._timer is None:
            self._timer = self._loop.call_later(self._keep_alive_seconds, self._look)
        if self._held:
            data, self._held = self._held, b""
            if len(data) > _MOST_HELD:
                self._transport.resume_reading()
            self.data_received(data)

    def _ended(self) -> DirectResponse | None:
        answer = self._answer
        if answer is not None:
            self._answer = None
            self._state.tasks.discard(answer)
        return answer

    # Connections on which nothing comes.

    def _look(self) -> None:
        """Closes a connection that has been idle for long enough; else looks again when it may be."""
        self._timer = None
        behind = self._behind
        if self._answer is not None or (behind is not None and (behind.waits or not behind.idle)):
            return  # the next answer starts it anew; uvicorn's protocol has a timer of its own
        left = self._idle_since + self._keep_alive_seconds - self._loop.time()
        if left <= 0:
            self._transport.close()
        else:
            self._timer = self._loop.call_later(left, self._look)

    # What is uvicorn's.

    def _pass_on(self, data: bytes) -> None:
        behind = self._behind
        if behind is None:
            behind = self._behind = self._make_behind()
            behind.connection_made(self._transport)
            self._state.connections.discard(behind)  # this one stands for both
            if self._paused:
                behind.pause_writing()
        self._idle_since = self._loop.time()
        behind.data_received(data)
        if self._transport.get_protocol() is not self:  # it is a WebSocket now
            self._leave()

    def _leave(self) -> None:
        self._state.connections.discard(self)
        if self._timer is not None:
            self._timer.cancel()


@lru_cache(maxsize=_KEPT)
def _begin(status: int, *headers: tuple[bytes, bytes]) -> bytes:
    """Returns how each answer of a status begins; uvicorn's own headers change once a second."""
    return STATUS_LINE[status] + header_lines(*headers)
