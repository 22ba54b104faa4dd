"""The whole table of the contract as one Starlette route.

Starlette's own path syntax cannot say `{name=shelves/*}:watch`, and its router sees paths that are decoded
already; so it asks this route, and this route asks the table, with the raw path.
"""

from __future__ import annotations

import asyncio
import logging
from http import HTTPStatus
from typing import Any, Final, NamedTuple, TypeAlias
from uuid import uuid4

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match

from gateway.contract.route_table import NoRoute, RouteMatch
from gateway.edge.answer import send_error, send_options
from gateway.edge.client import ClientGone
from gateway.edge.exchange import Edge, Exchange
from gateway.edge.streams import serve_client_stream, serve_server_stream
from gateway.edge.types import Event, Receive, Scope, Send
from gateway.edge.unary import serve_unary
from gateway.edge.websocket import refuse, serve_websocket
from gateway.transcoding.deadline import Deadline
from gateway.transcoding.endpoint import Endpoint
from gateway.transcoding.request_head import RequestHead, read_head
from gateway.transcoding.status import INTERNAL, NOT_FOUND, UNIMPLEMENTED, UNKNOWN, StatusError
from gateway.transcoding.transcoder import allowed_methods, no_route

log = logging.getLogger(__name__)


_FRAMEWORK_CODES: Final = {404: NOT_FOUND, 405: UNIMPLEMENTED}


class Options(NamedTuple):
    """What a request with OPTIONS has found: a path that takes these methods."""

    methods: list[str]


Found: TypeAlias = RouteMatch[Endpoint] | Options | StatusError


class TranscodedRoute(BaseRoute):
    """Takes every request that a binding of the contract takes, and answers it."""

    def __init__(self, edge: Edge) -> None:
        self._edge = edge

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Looks the request up; a path that only other methods take is a partial match, as 405 is."""
        if scope["type"] not in ("http", "websocket"):
            return Match.NONE, {}
        try:
            match, found = self._find(scope)
        except StatusError as error:
            match, found = Match.FULL, error
        return match, {"protoway": found}

    async def not_found(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers what neither this route nor any other takes."""
        if scope["type"] == "websocket":
            await receive()
        scope["protoway"] = no_route(NoRoute(frozenset()))
        await self.handle(scope, receive, send)

    async def framework_error(self, _request: Request, error: Exception) -> Response:
        """Makes a Status of what the framework answers on its own routes, such as 405."""
        status = error.status_code if isinstance(error, HTTPException) else 500
        own = StatusError.of(_FRAMEWORK_CODES.get(status, UNKNOWN), HTTPStatus(status).phrase)
        body = self._edge.transcoder.errors.status(own.status)
        headers = getattr(error, "headers", None)
        return Response(body, status, headers, media_type="application/json")

    def _find(self, scope: Scope) -> tuple[Match, Found]:
        transcoder, path = self._edge.transcoder, raw_path(scope)
        if scope["type"] == "websocket":
            handshake = transcoder.match_handshake(path)
            if isinstance(handshake, RouteMatch):
                return Match.FULL, handshake
            return Match.NONE, no_route(handshake)
        http_method = scope["method"]
        found = transcoder.match(http_method, path)
        if isinstance(found, NoRoute) and http_method == "HEAD" and "GET" in found.allowed:
            found = transcoder.match("GET", path)
        if isinstance(found, RouteMatch):
            return Match.FULL, found
        if http_method == "OPTIONS" and found.allowed:
            return Match.FULL, Options(allowed_methods(found))
        return Match.PARTIAL if found.allowed else Match.NONE, no_route(found)

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers what `matches` has found."""
        answer = _Answer(send, head=scope.get("method") == "HEAD")
        try:
            await self._answer(scope, receive, answer)
        except ClientGone:
            return
        except StatusError as error:
            await self._send_error(scope, answer, error)
        except Exception:
            log.exception("answering %s %s", scope.get("method", "WebSocket"), scope["path"])
            await self._send_error(scope, answer, StatusError.of(INTERNAL, "internal error"))

    async def _answer(self, scope: Scope, receive: Receive, answer: _Answer) -> None:
        found: Found = scope["protoway"]
        head = answer.request = read_head(scope["headers"], self._edge.metadata)
        if not head.request_id:
            head.name(uuid4().hex, self._edge.metadata)
        if isinstance(found, StatusError):
            raise found
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
        if scope["type"] == "websocket":
            await refuse(answer, scope, self._edge.transcoder, error)
        else:
            accept = answer.request.accept if answer.request else ""
            await send_error(answer, self._edge.transcoder, error, accept=accept)


class _Answer:
    """A `send` that names the request in the answer, and knows whether the answer has begun.

    An answer to HEAD has no body: it would be read as the next answer (RFC 9110, 9.3.2).
    """

    def __init__(self, send: Send, *, head: bool) -> None:
        self._send = send
        self.head = head
        self.request: RequestHead | None = None
        self.started = False

    async def __call__(self, event: Event) -> None:
        self.started = True
        if event["type"] == "http.response.start" and self.request is not None:
            event["headers"].append((b"x-request-id", self.request.request_id.encode()))
        elif event["type"] == "http.response.body" and self.head:
            event = {**event, "body": b""}
        await self._send(event)


def raw_path(scope: Scope) -> str:
    """Returns the path as it came, percent-encoded; ASGI's own `path` is decoded already."""
    raw: Any = scope.get("raw_path")
    path: str = raw.decode("latin-1") if raw is not None else scope["path"]
    return path.partition("?")[0]
