"""The route that gives tickets, among the framework's own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.exchange.exchange import Exchange
from gateway.exchange.request_info import RequestInfo
from gateway.transcoding.status import RESOURCE_EXHAUSTED, StatusError

MAX_BODY_BYTES: Final = 8 * 1024

Issue: TypeAlias = Callable[[RequestInfo, bytes], Awaitable[bytes]]
"""Returns the JSON that answers a request with this body."""


def ticket_routes(path: str, issue: Issue | None) -> list[Route]:
    """Returns the route that gives tickets; none without `issue`.

    Its response is kept by no cache. It answers 413 to a body of more than `MAX_BODY_BYTES`.
    """
    if issue is None:
        return []

    async def endpoint(request: Request) -> Response:
        exchange: Exchange = request.scope["protoway"]
        body = b""
        async for part in request.stream():
            body += part
            if len(body) > MAX_BODY_BYTES:
                text = f"the body has more than {MAX_BODY_BYTES} bytes"
                raise StatusError.of(RESOURCE_EXHAUSTED, text, http_status=413)
        answer = await issue(exchange.info or exchange.inform(), body)
        headers = {"cache-control": "no-store"}
        return Response(answer, media_type="application/json", headers=headers)

    return [Route(path, endpoint, methods=["POST"], include_in_schema=False)]
