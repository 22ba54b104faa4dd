"""One WebSocket of the contract, answered by its exchange without ASGI."""

from __future__ import annotations

import asyncio
import logging
from typing import Final, NoReturn, Protocol

from gateway.doors.http1.addresses import Addresses
from gateway.doors.http1.door import Door
from gateway.doors.http1.request import Request
from gateway.doors.http1.request_head import subprotocols
from gateway.edge.direct import DirectDoor
from gateway.edge.exchange import Exchange
from gateway.edge.inline import InlineRun
from gateway.edge.ports import WebSocket
from gateway.edge.request import Request as EdgeRequest
from gateway.edge.request import identify, parse_head
from gateway.edge.response import HttpResponse
from gateway.edge.routing import Route
from gateway.edge.serve import serve
from gateway.edge.writer import ResponseWriter
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


def serve_contract_websocket(
    socket: Connected,
    door: Door,
    direct: DirectDoor,
    request: Request,
    route: Route,
    path: str,
    ends: Addresses,
) -> None:
    """Starts to answer a handshake; it may be refused when this returns.

    Args:
        socket: of which the handshake has come, and nothing was said to it.
        door: whose server waits for the exchange when it stops.
        direct: what is served.
        request: the handshake.
        route: what the contract says of it.
        path: of the request, below the root of the application.
        ends: of the connection.
    """
    edge, run, sink = direct.edge, InlineRun(), _NoBody(socket)
    head, error = parse_head(request.headers, edge.metadata)
    request_id, metadata = identify(head, edge.metadata)
    exchange = Exchange(
        edge,
        EdgeRequest(
            http_method=request.method,
            path=path,
            query=request.query,
            head=head,
            route=route,
            error=error,
            client=ends.client[0] if ends.client else "",
            secure=ends.secure,
            subprotocols=subprotocols(request.headers),
        ),
        sink,
        ResponseWriter(sink, edge.compression, head=False),
        request_id=request_id,
        metadata=metadata,
        headers=lambda: tuple(request.headers),
        websocket=socket,
        run=run,
    )
    door.state.tasks.add(run)
    run.start_run(_serve(exchange, socket, door, run))


async def _serve(exchange: Exchange, socket: Connected, door: Door, run: InlineRun) -> None:
    try:
        await serve(exchange)
    except asyncio.CancelledError:
        socket.abort()
        raise
    except Exception:
        log.exception("the answer to a WebSocket has failed")
        socket.fail()
    finally:
        door.state.tasks.discard(run)
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

    async def whole(self, response: HttpResponse, *, head: bool) -> NoReturn:
        """See `Sink`."""
        raise NotImplementedError(_NO_BODY)

    async def start(self, status: int, headers: Headers) -> NoReturn:
        """See `Sink`."""
        raise NotImplementedError(_NO_BODY)

    async def write(self, data: bytes) -> NoReturn:
        """See `Sink`."""
        raise NotImplementedError(_NO_BODY)

    async def end(self, data: bytes) -> NoReturn:
        """See `Sink`."""
        raise NotImplementedError(_NO_BODY)

    def abort(self, error: Exception) -> None:
        """Closes with 1011, or answers 500 to a handshake."""
        del error  # which the exchange has logged
        self._socket.fail()
