"""The whole table of the contract as one Starlette route.

Starlette's own path syntax cannot say `{name=shelves/*}:watch`, and its router sees paths that are decoded
already; so it asks this route, and this route asks the table, with the raw path.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import Any, Final, NamedTuple, NoReturn, TypeAlias
from urllib.parse import quote
from uuid import uuid4

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match, NoMatchFound

from gateway.contract.route_table import NoRoute, RouteMatch
from gateway.edge.answer import error_body, send_error, send_options
from gateway.edge.client import ClientGone, Interruption
from gateway.edge.exchange import Edge, Exchange
from gateway.edge.streams import serve_client_stream, serve_server_stream
from gateway.edge.types import Event, Receive, Scope, Send
from gateway.edge.unary import serve_unary
from gateway.edge.websocket import refuse, serve_websocket
from gateway.transcoding.deadline import Deadline
from gateway.transcoding.endpoint import Endpoint
from gateway.transcoding.request_head import RequestHead, read_head
from gateway.transcoding.status import (
    HTTP_STATUS,
    INTERNAL,
    UNAVAILABLE,
    UNIMPLEMENTED,
    UNKNOWN,
    StatusError,
)
from gateway.transcoding.transcoder import allowed_methods, no_route

log = logging.getLogger(__name__)


_CODES: Final = {405: UNIMPLEMENTED} | {
    status: code for code, status in sorted(HTTP_STATUS.items(), reverse=True)
}
"""The code of an HTTP status; of several the first in `google.rpc.Code`."""
_BODILESS: Final = (204, 205, 304)
_STARTS: Final = ("http.response.start", "websocket.http.response.start")


class Options(NamedTuple):
    """What a request with OPTIONS has found: a path that takes these methods."""

    methods: list[str]


Found: TypeAlias = RouteMatch[Endpoint] | NoRoute | Options | StatusError


class TranscodedRoute(BaseRoute):
    """Takes every request that a binding of the contract takes, and answers it."""

    def __init__(self, edge: Edge) -> None:
        self._edge = edge

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Looks the request up; a path that only other methods take is a partial match, as 405 is."""
        if scope["type"] not in ("http", "websocket"):
            return Match.NONE, {}
        try:
            found = self._find(scope)
        except StatusError as error:
            return Match.FULL, {"protoway": error}
        if isinstance(found, NoRoute):
            return (Match.PARTIAL if found.allowed else Match.NONE), {"protoway": found}
        return Match.FULL, {"protoway": found}

    def url_path_for(self, name: str, /, **path_params: Any) -> NoReturn:
        """Has no names: the contract's paths are the contract's to know."""
        raise NoMatchFound(name, path_params)

    def _find(self, scope: Scope) -> Found:
        transcoder, path = self._edge.transcoder, raw_path(scope)
        if scope["type"] == "websocket":
            return transcoder.match_handshake(path)
        http_method = scope["method"]
        found = transcoder.match(http_method, path)
        if isinstance(found, NoRoute) and http_method == "HEAD" and "GET" in found.allowed:
            found = transcoder.match("GET", path)
        if isinstance(found, NoRoute) and http_method == "OPTIONS" and found.allowed:
            return Options(allowed_methods(found))
        return found

    async def not_found(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers what neither this route nor any other takes."""
        if scope["type"] == "websocket":
            await receive()
        scope["protoway"] = NoRoute(frozenset())
        await self.handle(scope, receive, send)

    async def framework_error(self, request: Request, error: Exception) -> Response:
        """Makes a Status of the HTTPException of a route that is not the contract's."""
        if not isinstance(error, HTTPException):
            raise error
        if error.status_code in _BODILESS:
            return Response(status_code=error.status_code, headers=error.headers)
        code = _CODES.get(error.status_code, UNKNOWN)
        own = StatusError.of(code, str(error.detail), http_status=error.status_code)
        accept = request.headers.get("accept", "")
        media_type, body = error_body(self._edge.transcoder, own, accept)
        return Response(body, error.status_code, error.headers, media_type=media_type)

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers what `matches` has found."""
        answer = _Answer(send, head=scope.get("method") == "HEAD")
        try:
            await self._answer(scope, receive, answer)
        except ClientGone:
            await answer.give_up(scope["type"])
        except StatusError as error:
            await self._send_error(scope, answer, error)
        except asyncio.CancelledError:
            if answer.started or not self._edge.closing:
                raise
            # the server cuts what a shutdown can wait for no longer; the caller is told why
            shutdown = StatusError.of(UNAVAILABLE, Interruption.SHUTDOWN.value)
            await self._send_error(scope, answer, shutdown)
        except Exception:
            log.exception("answering %s %s", scope.get("method", "WebSocket"), scope["path"])
            await self._send_error(scope, answer, StatusError.of(INTERNAL, "internal error"))

    async def _answer(self, scope: Scope, receive: Receive, answer: _Answer) -> None:
        found: Found = scope["protoway"]
        head = answer.request
        try:
            read_head(scope["headers"], self._edge.metadata, head)
        finally:
            if not head.request_id:
                head.name(uuid4().hex, self._edge.metadata)
        if isinstance(found, StatusError):
            raise found
        if isinstance(found, NoRoute):
            raise no_route(found)
        if isinstance(found, Options):
            await send_options(answer, found.methods)
            return
        exchange = self._exchange(found, scope, head, receive, answer)
        stream_type = found.target.method.stream_type
        if scope["type"] == "websocket":
            await serve_websocket(exchange, scope["subprotocols"])
        elif stream_type.server:
            await serve_server_stream(exchange, headers_only=answer.head)
        elif stream_type.client:
            await serve_client_stream(exchange)
        else:
            await serve_unary(exchange)

    def _exchange(
        self,
        found: RouteMatch[Endpoint],
        scope: Scope,
        head: RequestHead,
        receive: Receive,
        send: Send,
    ) -> Exchange:
        edge = self._edge
        streams = bool(found.target.method.stream_type.value)
        now = asyncio.get_running_loop().time()
        return Exchange(
            edge=edge,
            endpoint=found.target,
            captures=found.captures,
            query=scope["query_string"],
            head=head,
            receive=receive,
            send=send,
            deadline=Deadline.after(now, head.timeout, None if streams else edge.limits.timeout),
        )

    async def _send_error(self, scope: Scope, answer: _Answer, error: StatusError) -> None:
        if answer.started:
            raise error  # too late for a status; the server cuts the connection, as it must
        try:
            if scope["type"] == "websocket":
                await refuse(answer, scope, self._edge.transcoder, error)
            else:
                accept = answer.request.accept
                await send_error(answer, self._edge.transcoder, error, accept=accept)
        except ClientGone:
            return


class _Answer:
    """A `send` that names the request in the answer, and knows whether the answer has begun.

    An answer to HEAD has no body: it would be read as the next answer (RFC 9110, 9.3.2). A server may say
    by an OSError that the client has left (ASGI 2.4).
    """

    def __init__(self, send: Send, *, head: bool) -> None:
        self._send = send
        self.head = head
        self.request = RequestHead()
        self.started = False

    async def __call__(self, event: Event) -> None:
        self.started = True
        if event["type"] in _STARTS:
            event["headers"].append((b"x-request-id", self.request.request_id.encode()))
        elif event["type"] == "http.response.body" and self.head:
            event = {**event, "body": b""}
        try:
            await self._send(event)
        except OSError as error:
            raise ClientGone from error

    async def give_up(self, scope_type: str) -> None:
        """Ends an answer that nobody waits for; middleware still sees what became of the request."""
        if self.started or scope_type != "http":
            return
        with suppress(ClientGone):
            await self({"type": "http.response.start", "status": 499, "headers": []})
            await self({"type": "http.response.body"})


def raw_path(scope: Scope) -> str:
    """Returns the path as it came, percent-encoded, below the root that the application is mounted at.

    ASGI's own `path` is decoded already.
    """
    raw: Any = scope.get("raw_path")
    path: str = raw.decode("latin-1") if raw is not None else scope["path"]
    path = path.partition("?")[0]
    root = quote(scope.get("root_path", ""))
    return path.removeprefix(root) if path.startswith(f"{root}/") else path
