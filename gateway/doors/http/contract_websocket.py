"""One WebSocket of the contract, answered by its exchange without ASGI."""

from __future__ import annotations

import asyncio
import logging
from typing import Final, NoReturn, Protocol

from gateway.doors.http.contract_route import ContractRoute
from gateway.doors.http.door import ServerState
from gateway.exchange.exchange import Exchange
from gateway.exchange.inline import InlineRun
from gateway.exchange.ports import WebSocket
from gateway.exchange.response import HttpResponse
from gateway.exchange.serve import serve
from gateway.transcoding.metadata import Headers

log = logging.getLogger(__name__)

_NO_BODY: Final = "a WebSocket has messages, and no body"


class Connected(WebSocket, Protocol):
    """What an exchange asks of its WebSocket."""

    def fail(self) -> None:
        """Ends what an error has ended."""

    def ended(self) -> None:
        """Closes the connection."""

    def abort(self) -> None:
        """Ends the connection at once."""


def serve_contract_websocket(socket: Connected, state: ServerState, route: ContractRoute) -> None:
    """Starts to answer a handshake, to which nothing was said; it may be refused when this returns."""
    run, sink = InlineRun(), _NoBody(socket)
    exchange = route.exchange(run, sink, sink, socket)
    state.tasks.add(run)
    run.start_run(_serve(exchange, socket, state, run).__await__())


async def _serve(exchange: Exchange, socket: Connected, state: ServerState, run: InlineRun) -> None:
    try:
        await serve(exchange)
    except asyncio.CancelledError:
        socket.abort()
        raise
    except Exception:
        log.exception("the answer to a WebSocket has failed")
        socket.fail()
    finally:
        state.tasks.discard(run)
    socket.ended()


class _NoBody:
    """The body and the sink of a WebSocket, of which an exchange only uses what ends it."""

    __slots__ = ("_socket", "ended", "whole_body", "write_now")

    def __init__(self, socket: Connected) -> None:
        self._socket = socket
        self.whole_body: bytes | None = None
        self.ended = True
        self.write_now = None

    async def read(self) -> NoReturn:
        """See `RequestBody`."""
        raise NotImplementedError(_NO_BODY)

    async def gone(self) -> NoReturn:
        """See `RequestBody`."""
        raise NotImplementedError(_NO_BODY)

    def whole(self, response: HttpResponse, *, head: bool) -> NoReturn:
        """See `Sink`."""
        raise NotImplementedError(_NO_BODY)

    async def start(self, status: int, headers: Headers) -> NoReturn:
        """See `Sink`."""
        raise NotImplementedError(_NO_BODY)

    async def write(self, data: bytes) -> NoReturn:
        """See `Sink`."""
        raise NotImplementedError(_NO_BODY)

    async def end(self, data: bytes, trailers: Headers = ()) -> NoReturn:
        """See `Sink`."""
        raise NotImplementedError(_NO_BODY)

    def abort(self, error: Exception) -> None:
        """Closes with 1011, or answers 500 to a handshake."""
        del error  # which the exchange has logged
        self._socket.fail()
