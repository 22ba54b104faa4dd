"""The whole table of the contract, in front of the framework's own routes.

Starlette's own path syntax cannot say `{name=shelves/*}:watch`, and its router sees paths that are decoded
already; so a middleware asks the table first, with the raw path. It is the innermost of the application's:
what it takes has passed all that were added, and nothing of the framework's own machinery.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Container, Iterable
from random import getrandbits
from typing import Any, Final, NamedTuple, NoReturn, TypeAlias
from urllib.parse import quote, unquote

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match, NoMatchFound

from gateway.contract.route_table import NoRoute, RouteMatch
from gateway.edge.answer import Answer, error_body, failure, options
from gateway.edge.client import ClientGone, Interruption
from gateway.edge.exchange import Edge, Exchange
from gateway.edge.streams import serve_client_stream, serve_server_stream
from gateway.edge.types import WRITE, App, Receive, Scope, Send
from gateway.edge.unary import serve_unary
from gateway.edge.websocket import refuse, serve_websocket
from gateway.transcoding.deadline import Deadline
from gateway.transcoding.endpoint import Endpoint
from gateway.transcoding.metadata import MetadataFilter
from gateway.transcoding.metadata_size import check_metadata
from gateway.transcoding.request_head import RequestHead, read_head
from gateway.transcoding.status import (
    HTTP_STATUS,
    INTERNAL,
    UNAVAILABLE,
    UNIMPLEMENTED,
    UNKNOWN,
    StatusError,
)
from gateway.transcoding.success_status import CONTENTLESS
from gateway.transcoding.transcoder import allowed_methods, no_route

log = logging.getLogger(__name__)


_CODES: Final = {405: UNIMPLEMENTED} | {
    status: code for code, status in sorted(HTTP_STATUS.items(), reverse=True)
}
"""The code of an HTTP status; of several the first in `google.rpc.Code`."""
_NOWHERE: Final = NoRoute(frozenset())
_OWN: Final = NoRoute(frozenset({"GET"}))
"""A path of the edge's own, asked with another method than it takes."""


class Options(NamedTuple):
    """What a request with OPTIONS has found: a path that takes these methods."""

    methods: list[str]


Found: TypeAlias = RouteMatch[Endpoint] | NoRoute | Options | StatusError


class ContractRoutes:
    """Middleware that answers every request which a binding of the contract takes."""

    def __init__(self, app: App, answers: Answers) -> None:
        self._app = app
        self._answers = answers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request, or leaves it to the framework with what the table says of it."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        found = self._answers.find(scope)
        if isinstance(found, NoRoute):
            scope["protoway"] = found
            # an application that is mounted below may have middleware around its `send`
            scope.get("extensions", {}).pop(WRITE, None)
            await self._app(scope, receive, send)
            return
        await self._answers.answer(found, scope, receive, send)


class OtherMethods(BaseRoute):
    """The route, first of the framework's, of a path that the contract has for other methods alone.

    To Starlette it is a partial match, so another route that takes the request goes first.
    """

    def __init__(self, answers: Answers) -> None:
        self._answers = answers

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Looks at what the table has said."""
        found: NoRoute = scope.get("protoway", _NOWHERE)
        return (Match.PARTIAL if found.allowed else Match.NONE), {}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers 405."""
        await self._answers.answer(scope["protoway"], scope, receive, send)

    def url_path_for(self, name: str, /, **path_params: Any) -> NoReturn:
        """Has no names: the contract's paths are the contract's to know."""
        raise NoMatchFound(name, path_params)


class Answers:
    """Finds what requests ask for, and answers them."""

    def __init__(self, edge: Edge, own_paths: Container[str] = ()) -> None:
        """Takes the edge, and the paths that the framework's routes answer whatever the contract says."""
        self._edge = edge
        self._own_paths = own_paths

    def find(self, scope: Scope) -> Found:
        """Looks a request up in the table."""
        if scope["type"] == "websocket":
            path = raw_path(scope)
            if self._is_own(path):
                return _NOWHERE
            try:
                return self._edge.transcoder.match_handshake(path)
            except StatusError as error:
                return error
        return self.look_up(scope["method"], raw_path(scope))

    def look_up(self, http_method: str, path: str) -> Found:
        """Looks a request over HTTP up in the table, by its path as it came."""
        if self._is_own(path):
            return _own(http_method)
        transcoder = self._edge.transcoder
        try:
            found = transcoder.match(http_method, path)
            if isinstance(found, NoRoute) and http_method == "HEAD" and "GET" in found.allowed:
                found = transcoder.match("GET", path)
        except StatusError as error:
            return error
        if isinstance(found, NoRoute) and http_method == "OPTIONS" and found.allowed:
            return Options(allowed_methods(found))
        return found

    def _is_own(self, path: str) -> bool:
        """Whether a path is one that the framework's routes have, which see it decoded."""
        return path in self._own_paths or ("%" in path and unquote(path) in self._own_paths)

    async def not_found(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers what neither the contract nor any other route takes."""
        if scope["type"] == "websocket":
            await receive()
        await self.answer(_NOWHERE, scope, receive, send)

    async def framework_error(self, request: Request, error: Exception) -> Response:
        """Makes a Status of the HTTPException of a route that is not the contract's."""
        if not isinstance(error, HTTPException):
            raise error
        if error.status_code in CONTENTLESS:
            return Response(status_code=error.status_code, headers=error.headers)
        code = _CODES.get(error.status_code, UNKNOWN)
        own = StatusError.of(code, str(error.detail), http_status=error.status_code)
        accept = request.headers.get("accept", "")
        media_type, body = error_body(self._edge.transcoder, own, accept)
        return Response(body, error.status_code, error.headers, media_type=media_type)

    async def answer(self, found: Found, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request with what was found for it."""
        offered = scope["extensions"].get(WRITE) if "extensions" in scope else None
        write = offered["write"] if offered is not None else None
        head = scope.get("method") == "HEAD"
        answer = Answer(send, self._edge.compression, head=head, write=write)
        try:
            await self._answer(found, scope, receive, answer)
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
            log.exception("answering %s %a", scope.get("method", "WebSocket"), raw_path(scope))
            await self._send_error(scope, answer, StatusError.of(INTERNAL, "internal error"))

    async def _answer(self, found: Found, scope: Scope, receive: Receive, answer: Answer) -> None:
        edge, head = self._edge, answer.request
        read_named_head(scope["headers"], edge.metadata, head)
        if isinstance(found, StatusError):
            raise found
        if isinstance(found, NoRoute):
            raise no_route(found)
        if isinstance(found, Options):
            await answer.whole(options(found.methods))
            return
        check_metadata(head.metadata, edge.limits.max_metadata)
        stream_type = found.target.method.stream_type
        longest = None if stream_type.value else edge.limits.timeout
        exchange = Exchange(
            edge=edge,
            endpoint=found.target,
            captures=found.captures,
            query=scope["query_string"],
            head=head,
            receive=receive,
            answer=answer,
            deadline=Deadline.after(asyncio.get_running_loop().time(), head.timeout, longest),
            client=client[0] if (client := scope.get("client")) else "",
        )
        if scope["type"] == "websocket":
            secure = scope.get("scheme") == "wss"
            await serve_websocket(exchange, scope["subprotocols"], secure=secure)
        elif stream_type.server:
            await serve_server_stream(exchange)
        elif stream_type.client:
            await serve_client_stream(exchange)
        else:
            await serve_unary(exchange)

    async def _send_error(self, scope: Scope, answer: Answer, error: StatusError) -> None:
        if answer.started:
            # too late for a status; the server cuts the connection, as it must, and logs the error, but not
            # what the transport knows of the call
            raise error from None
        edge = self._edge
        try:
            if scope["type"] == "websocket":
                await refuse(answer, scope, edge, error)
            else:
                accept = answer.request.accept
                await answer.whole(failure(edge.transcoder, edge.metadata, error, accept))
        except ClientGone:
            return


def _own(http_method: str) -> Found:
    """Returns what is found at a path of the edge's own, which takes GET and HEAD."""
    if http_method in ("GET", "HEAD"):
        return _NOWHERE  # and so the framework's to answer
    return Options(allowed_methods(_OWN)) if http_method == "OPTIONS" else _OWN


def read_named_head(
    headers: Iterable[tuple[bytes, bytes]], allowed: MetadataFilter, head: RequestHead
) -> None:
    """Reads the headers of a request; one that comes without an id is given one.

    Raises:
        StatusError: INVALID_ARGUMENT that lists the headers which make no sense; the others are read.
    """
    try:
        read_head(headers, allowed, head)
    finally:
        if not head.request_id:
            head.name(new_request_id(), allowed)


def new_request_id() -> str:
    """Returns an id that no other request has; it is no secret, so the system need not be asked for it."""
    return getrandbits(128).to_bytes(16, "big").hex()  # a process that was forked draws others


def raw_path(scope: Scope) -> str:
    """Returns the path as it came, percent-encoded, below the root that the application is mounted at.

    ASGI's own `path` is decoded already.
    """
    raw: Any = scope.get("raw_path")
    path: str = raw.decode("latin-1") if raw is not None else scope["path"]
    return below_root(path.partition("?")[0], scope.get("root_path", ""))


def below_root(path: str, root_path: str) -> str:
    """Returns a path without the root that the application has, where it begins with that.

    Args:
        path: percent-encoded.
        root_path: decoded, as ASGI has it.
    """
    if not root_path:
        return path
    root = quote(root_path)
    return path.removeprefix(root) if path.startswith(f"{root}/") else path
