"""The ASGI door: every request that a binding of the contract takes, in front of the framework's own routes.

Starlette's path syntax cannot express `{name=shelves/*}:watch`, and its router sees decoded paths; so a
middleware asks the contract's table first, with the raw path. It is the innermost middleware of the
application: what it answers has passed all middleware that was added, and none of the framework's routing.

Source: ASGI specification 3.0, HTTP and WebSocket messages 2.4.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final, NoReturn
from urllib.parse import quote, unquote

from starlette.exceptions import HTTPException
from starlette.requests import Request as StarletteRequest
from starlette.responses import Response as StarletteResponse
from starlette.routing import BaseRoute, Match, NoMatchFound

from gateway.contract.route_table import NoRoute
from gateway.doors.framework import CODES, FrameworkRequest
from gateway.doors.peer_certificate import scope_certificate
from gateway.doors.types import App, Receive, Scope, Send
from gateway.exchange.edge import Edge
from gateway.exchange.exchange import Exchange
from gateway.exchange.ports import ClientGone
from gateway.exchange.request import Request, identify, parse_head
from gateway.exchange.request_info import ListedHeaders
from gateway.exchange.response import HttpResponse, error_body
from gateway.exchange.routing import NO_ROUTE, below_root
from gateway.exchange.serve import no_route, serve
from gateway.transcoding.metadata import Headers
from gateway.transcoding.rpc.wire import RpcWire
from gateway.transcoding.status import INTERNAL, UNKNOWN, StatusError
from gateway.transcoding.success_status import CONTENTLESS

_IN_PATH: Final = "/:@!$&'()*+,;=~"
"""What a path may have as it is (RFC 3986, section 3.3)."""


class ContractRoutes:
    """Middleware that answers every request which a binding of the contract takes."""

    def __init__(self, app: App, door: AsgiDoor) -> None:
        self._app = app
        self._door = door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request, or leaves it to the framework with what the table says of it."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        await self._door.answer(scope, receive, send, otherwise=self._app)


class OtherMethods(BaseRoute):
    """The route, first of the framework's, of a path that the contract has for other methods alone.

    To Starlette it is a partial match, so another route that takes the request goes first.
    """

    def __init__(self, door: AsgiDoor) -> None:
        self._door = door

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Returns whether the contract has the path."""
        exchange: Exchange = scope["protoway"]
        route = exchange.request.route
        allowed = isinstance(route, NoRoute) and route.allowed
        return (Match.PARTIAL if allowed else Match.NONE), {}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers 405."""
        await self._door.not_found(scope, receive, send)

    def url_path_for(self, name: str, /, **path_params: Any) -> NoReturn:
        """Has no names: the contract's paths have none in the framework."""
        raise NoMatchFound(name, path_params)


class AsgiDoor:
    """Makes exchanges of ASGI requests."""

    def __init__(self, edge: Edge) -> None:
        self._edge = edge

    async def answer(self, scope: Scope, receive: Receive, send: Send, otherwise: App) -> None:
        """Answers a request, or has it answered by `otherwise` if the contract has no route for it."""
        edge = self._edge
        is_websocket = scope["type"] == "websocket"
        sink = AsgiSink(send)
        request = _request(scope, edge)
        route = request.route
        request_id, metadata = identify(request.head, edge.metadata)
        exchange = Exchange(
            edge,
            request,
            AsgiBody(receive),
            sink,
            request_id=request_id,
            metadata=metadata,
            query=scope["query_string"],
            headers=ListedHeaders(scope["headers"]),
            websocket=AsgiWebSocket(scope, receive, send) if is_websocket else None,
        )
        exchange.certificate = scope_certificate(scope)
        if not isinstance(route, NoRoute):
            await serve(exchange)
        else:
            scope["protoway"] = exchange
            if request.served.policies:
                _agree(scope, request.path)
            other = FrameworkRequest(exchange, otherwise, scope, receive, send)
            exchange.pass_on = other.answer
            await serve(exchange)
            if other.error is not None:
                raise other.error
        if sink.error is not None:
            # the server cuts the response, as it must; it logs the error, but not what upstream knows of it
            raise sink.error from None

    async def not_found(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers what neither the contract nor any other route takes, by an error of its exchange.

        Raises:
            StatusError: always.
        """
        del receive, send
        exchange: Exchange = scope["protoway"]
        route = exchange.request.route
        raise no_route(exchange, route if isinstance(route, NoRoute) else NO_ROUTE)

    async def framework_error(
        self, request: StarletteRequest, error: Exception
    ) -> StarletteResponse:
        """Makes a Status of the HTTPException of a route that is not the contract's."""
        if not isinstance(error, HTTPException):
            raise error
        if error.status_code in CONTENTLESS:
            return StarletteResponse(status_code=error.status_code, headers=error.headers)
        code = CODES.get(error.status_code, UNKNOWN)
        status = StatusError.of(code, str(error.detail), http_status=error.status_code)
        return self._response(request, status, error.headers)

    async def framework_fault(
        self, request: StarletteRequest, error: Exception
    ) -> StarletteResponse:
        """Makes a Status of what a route that is not the contract's has raised, which the server logs.

        Its exchange has ended by then, so the headers of policies are added here.
        """
        del error
        response = self._response(request, StatusError.of(INTERNAL, "internal error"))
        exchange: Exchange | None = request.scope.get("protoway")
        if exchange is not None:
            of_policies = () if exchange.info is None else exchange.info.response_headers
            request_id = (b"x-request-id", exchange.request_id.encode())
            response.raw_headers += [*of_policies, request_id]
        return response

    def _response(
        self,
        request: StarletteRequest,
        error: StatusError,
        headers: Mapping[str, str] | None = None,
    ) -> StarletteResponse:
        accept = request.headers.get("accept", "")
        media_type, body = error_body(self._edge.served.transcoder, error, accept)
        return StarletteResponse(body, error.http_status, headers, media_type=media_type)


def _request(scope: Scope, edge: Edge) -> Request:
    """Reads the head of a request, and looks it up in the table of the contract in force."""
    served, path = edge.served, raw_path(scope)
    rpc: RpcWire | None = None
    if scope["type"] == "websocket":
        route = served.router.find_handshake(path)
    else:
        route, rpc = served.router.find_by_head(
            scope["method"],
            path,
            scope["headers"],
            scope["query_string"],
            has_trailers=False,  # ASGI servers need not know them
        )
    head, error = parse_head(scope["headers"], edge.metadata, is_rpc=rpc is not None)
    return Request(
        http_method=scope.get("method", "GET"),
        path=path,
        head=head,
        route=route,
        served=served,
        error=error,
        client=client[0] if (client := scope.get("client")) else "",
        secure=scope.get("scheme") in ("https", "wss"),
        subprotocols=scope.get("subprotocols", ()),
        rpc=rpc,
        http_version=scope.get("http_version", "1.1"),
    )


class AsgiBody:
    """The body of one request, from ASGI's `receive`."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self.whole_body: bytes | None = None
        self.ended = False

    async def read(self) -> bytes:
        """See `RequestBody`."""
        event = await self._receive()
        if event["type"] == "http.disconnect":
            raise ClientGone
        self.ended = not event.get("more_body", False)
        part: bytes = event.get("body", b"")
        return part

    async def gone(self) -> None:
        """See `RequestBody`."""
        if (await self._receive())["type"] != "http.disconnect":
            # a middleware that gives the body again cannot tell when the client leaves
            await asyncio.get_running_loop().create_future()


class AsgiSink:
    """The response to one request, as events for ASGI's `send`.

    A server may say by an OSError that the client has left (ASGI 2.4).

    Attributes:
        error: why the response was cut; the application has to raise it.
    """

    def __init__(self, send: Send) -> None:
        self._send = send
        self.error: Exception | None = None

    @property
    def write_now(self) -> None:
        """Nothing: `send` is a coroutine."""

    async def whole(self, response: HttpResponse, *, head: bool) -> None:
        """See `Sink`."""
        await self.start(response.status, tuple(response.all_headers()))
        await self.end(b"" if head else response.body)

    async def start(self, status: int, headers: Headers) -> None:
        """See `Sink`."""
        event = {"type": "http.response.start", "status": status, "headers": list(headers)}
        await _send(self._send, event)

    async def write(self, data: bytes) -> None:
        """See `Sink`."""
        await _send(self._send, {"type": "http.response.body", "body": data, "more_body": True})

    async def end(self, data: bytes, trailers: Headers = ()) -> None:
        """See `Sink`. ASGI servers need not know trailers."""
        del trailers
        await _send(self._send, {"type": "http.response.body", "body": data})

    def abort(self, error: Exception) -> None:
        """See `Sink`."""
        self.error = error


class AsgiWebSocket:
    """One WebSocket, from ASGI's `receive` and `send`."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self._sends_responses = "websocket.http.response" in scope.get("extensions", {})
        self._connected = False

    async def _connect(self) -> None:
        if not self._connected:
            self._connected = True
            if (await self._receive())["type"] != "websocket.connect":
                raise ClientGone

    async def accept(self, subprotocol: str | None) -> None:
        """See `WebSocket`."""
        await self._connect()
        await _send(self._send, {"type": "websocket.accept", "subprotocol": subprotocol})

    async def refuse(self, response: HttpResponse) -> None:
        """Answers the handshake with an error, with a body where the server can send one."""
        await self._connect()
        if not self._sends_responses:
            await _send(self._send, {"type": "websocket.close", "code": 1008, "reason": ""})
            return
        headers = [each for each in response.all_headers() if each[0] != b"content-length"]
        start = {
            "type": "websocket.http.response.start",
            "status": response.status,
            "headers": headers,
        }
        await _send(self._send, start)
        await _send(self._send, {"type": "websocket.http.response.body", "body": response.body})

    async def receive(self) -> str | bytes:
        """See `WebSocket`."""
        event = await self._receive()
        if event["type"] == "websocket.disconnect":
            raise ClientGone
        message: str | bytes | None = event.get("text")
        return event.get("bytes") or b"" if message is None else message

    async def send(self, text: str) -> None:
        """See `WebSocket`."""
        await _send(self._send, {"type": "websocket.send", "text": text})

    async def close(self, code: int, reason: str) -> None:
        """See `WebSocket`."""
        await _send(self._send, {"type": "websocket.close", "code": code, "reason": reason})


async def _send(send: Send, event: Any) -> None:
    try:
        await send(event)
    except OSError as error:
        raise ClientGone from error


def raw_path(scope: Scope) -> str:
    """Returns the path as it came, percent-encoded, below the root that the application is mounted at.

    ASGI's own `path` is decoded; it counts for a server that gives no `raw_path`.
    """
    raw: Any = scope.get("raw_path")
    path: str = quote(scope["path"], _IN_PATH) if raw is None else raw.decode("latin-1")
    return below_root(path.partition("?")[0], scope.get("root_path", ""))


def _agree(scope: Scope, path: str) -> None:
    """Lets the framework look up the path that the policies have decided about, and no other.

    It takes the root off the decoded path, and so off `/%61pi/x` and `/api%2Fx` too.

    Args:
        scope: of the request; a root alone, which has no slash behind it, stays as it is.
        path: below the root, percent-encoded.
    """
    root, seen, decided = scope.get("root_path", ""), scope["path"], unquote(path)
    below = seen.removeprefix(root) if seen.startswith(f"{root}/") else seen
    if below != decided and not seen == decided == root:
        scope["path"] = root + decided
