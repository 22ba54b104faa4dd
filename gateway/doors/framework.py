"""Requests that the framework's own routes answer, each within its exchange, so that policies decide.

The edge's pages, its health check, and what a user has added to the application are such routes.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from gateway.doors.types import App, Receive, Scope, Send
from gateway.exchange.exchange import Exchange
from gateway.transcoding.metadata import Headers
from gateway.transcoding.status import HTTP_STATUS, INTERNAL, UNIMPLEMENTED, UNKNOWN, StatusError

CODES: Final = {405: UNIMPLEMENTED} | {
    status: code for code, status in sorted(HTTP_STATUS.items(), reverse=True)
}
"""The gRPC code of an HTTP status; of several the first in `google.rpc.Code`."""
_SWITCHING_PROTOCOLS: Final = 101
_ACCESS_CONTROL: Final = b"access-control-"


class FrameworkRequest:
    """One request that the framework answers.

    Attributes:
        error: what a route has raised; who has called the application has to raise it.
    """

    def __init__(
        self, exchange: Exchange, app: App, scope: Scope, receive: Receive, send: Send
    ) -> None:
        self._exchange = exchange
        self._app = app
        self._scope = scope
        self._receive = receive
        self._send_on = send
        exchange.bytes_in = exchange.request.head.content_length or 0
        self.error: Exception | None = None

    async def answer(self) -> None:
        """Answers it.

        Raises:
            StatusError: a route has raised it, or no route takes the request.
        """
        exchange = self._exchange
        try:
            await self._app(self._scope, self._receive, self._send)
        except StatusError:
            raise
        except Exception as error:
            self.error = error
            exchange.failure = StatusError.of(INTERNAL, "internal error")
            return
        finally:
            if exchange.tally is not None:
                exchange.tally.route = _template(self._scope)
        status = exchange.status
        if status >= 400:
            exchange.failure = StatusError.of(CODES.get(status, UNKNOWN), f"HTTP status {status}")

    async def _send(self, event: Any) -> None:
        kind, exchange = event["type"], self._exchange
        if kind == "websocket.accept":
            exchange.mark_started(_SWITCHING_PROTOCOLS)
        elif kind in ("http.response.start", "websocket.http.response.start"):
            of_policies = () if exchange.info is None else exchange.info.response_headers
            headers = [*_without_access_control(event.get("headers", ()), of_policies)]
            headers += of_policies
            if not any(name.lower() == b"x-request-id" for name, _ in headers):
                headers.append((b"x-request-id", exchange.request_id.encode()))
            event = {**event, "headers": headers}
            exchange.mark_started(event["status"])
        elif kind == "http.response.body":
            exchange.bytes_out += len(event.get("body", b""))
        await self._send_on(event)


def _without_access_control(
    headers: Headers, policy_headers: Iterable[tuple[bytes, bytes]]
) -> Headers:
    """Returns a route's headers without those of CORS that a policy sets, which can occur once only."""
    fixed = {name for name, _ in policy_headers if name.startswith(_ACCESS_CONTROL)}
    return tuple(each for each in headers if each[0].lower() not in fixed) if fixed else headers


def _template(scope: Scope) -> str:
    """Returns the path of the framework's route that has taken a request, with its variables' names."""
    endpoint, app = scope.get("endpoint"), scope.get("app")
    if endpoint is None or app is None:
        return ""
    for route in app.router.routes:
        if endpoint in (getattr(route, "endpoint", None), getattr(route, "app", None)):
            return str(getattr(route, "path", ""))
    return ""
