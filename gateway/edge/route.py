"""The whole table of the contract as one Starlette route.

Starlette's own path syntax cannot say `{name=shelves/*}:watch`, and its router sees paths that are decoded
already; so it asks this route, and this route asks the table, with the raw path.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from starlette.routing import BaseRoute, Match

from gateway.contract.route_table import RouteMatch
from gateway.edge.answer import send_error
from gateway.edge.client import ClientGone
from gateway.edge.exchange import Edge, Exchange
from gateway.edge.streams import serve_stream
from gateway.edge.types import Event, Receive, Scope, Send
from gateway.edge.unary import serve_unary
from gateway.edge.websocket import refuse, serve_websocket
from gateway.transcoding.deadline import Deadline
from gateway.transcoding.endpoint import Endpoint
from gateway.transcoding.request_head import read_head
from gateway.transcoding.status import INTERNAL, StatusError
from gateway.transcoding.transcoder import WEBSOCKET, no_route

log = logging.getLogger(__name__)


class TranscodedRoute(BaseRoute):
    """Takes every request that a binding of the contract takes, and answers it."""

    def __init__(self, edge: Edge) -> None:
        self._edge = edge

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Looks the request up; a path that only other methods take is a partial match, as 405 is."""
        if scope["type"] not in ("http", "websocket"):
            return Match.NONE, {}
        http_method = WEBSOCKET if scope["type"] == "websocket" else scope["method"]
        try:
            found = self._edge.transcoder.match(http_method, raw_path(scope))
        except StatusError as error:
            return Match.FULL, {"protoway": error}
        if isinstance(found, RouteMatch):
            return Match.FULL, {"protoway": found}
        return (Match.PARTIAL if found.allowed else Match.NONE), {"protoway": no_route(found)}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers what `matches` has found."""
        found: RouteMatch[Endpoint] | StatusError = scope["protoway"]
        sent = _Sent(send)
        try:
            if isinstance(found, StatusError):
                raise found
            await self._serve(found, scope, receive, sent)
        except ClientGone:
            return
        except StatusError as error:
            await self._send_error(scope, sent, error)
        except Exception:
            log.exception("answering %s %s", scope.get("method", WEBSOCKET), scope["path"])
            await self._send_error(scope, sent, StatusError.of(INTERNAL, "internal error"))

    async def _serve(
        self, found: RouteMatch[Endpoint], scope: Scope, receive: Receive, send: Send
    ) -> None:
        edge, method = self._edge, found.target.method
        head = read_head(scope["headers"], edge.metadata)
        now = asyncio.get_running_loop().time()
        streams = bool(method.stream_type.value)
        exchange = Exchange(
            edge=edge,
            endpoint=found.target,
            captures=found.captures,
            query=scope["query_string"],
            head=head,
            receive=receive,
            send=send,
            deadline=Deadline.after(now, head.timeout, None if streams else edge.limits.timeout),
        )
        if scope["type"] == "websocket":
            await serve_websocket(exchange, scope["subprotocols"])
        elif streams:
            await serve_stream(exchange)
        else:
            await serve_unary(exchange)

    async def _send_error(self, scope: Scope, sent: _Sent, error: StatusError) -> None:
        if sent.started:
            raise error  # too late for a status; the server cuts the connection, as it must
        if scope["type"] == "websocket":
            await refuse(sent, scope, self._edge.transcoder, error)
        else:
            await send_error(sent, self._edge.transcoder, error, head=scope["method"] == "HEAD")


class _Sent:
    """A `send` that knows whether an answer has begun."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.started = False

    async def __call__(self, event: Event) -> None:
        self.started = True
        await self._send(event)


def raw_path(scope: Scope) -> str:
    """Returns the path as it came, percent-encoded; ASGI's own `path` is decoded already."""
    raw: Any = scope.get("raw_path")
    path: str = raw.decode("latin-1") if raw is not None else scope["path"]
    return path.partition("?")[0]
