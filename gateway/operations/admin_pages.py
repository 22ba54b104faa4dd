"""What the admin listener has beside `/metrics`: pages, debugging, and `POST /reload`.

Rule: read-only but for `/reload`, which reads the contract again. It and what is below `/debug` is for
callers of this machine. A stranger's page may lead a browser here under the stranger's name (DNS
rebinding), so the host must be this machine's too; and no page of a browser may ask for a reload.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping
from ipaddress import ip_address
from typing import Any, Final, TypeAlias

import orjson
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from gateway.operations.debugging import MAX_SECONDS, BusyError, Profiler, tasks
from gateway.operations.status import Status
from gateway.operations.status_page import HEADERS, render_page
from gateway.operations.status_report import Told
from gateway.reload.state import Outcome, Result

_DEFAULT_SECONDS: Final = 5.0
_GONE_SECONDS: Final = 0.25
"""Interval at which a profile looks whether somebody still waits for it."""
Endpoint: TypeAlias = Callable[[Request], Awaitable[Response]]
_STATUSES: Final = {
    Result.REFUSED: 422,
    Result.FAILED: 503,
    Result.APPLIED: 200,
    Result.UNCHANGED: 200,
}
"""HTTP status of what became of a reload."""
Reload: TypeAlias = Callable[[], Awaitable[Outcome]]
AskAll: TypeAlias = Callable[[], Awaitable[Mapping[str, Told | None]]]
"""Returns what each worker tells."""


class AdminPages:
    """The routes of one process."""

    def __init__(self, status: Status, ask_all: AskAll, reload: Reload) -> None:
        """Takes what this process knows, how all workers are asked, and what reads the contract again."""
        self._reload_contract = reload
        self._status = status
        self._ask_all = ask_all
        self._profiler = Profiler()

    def routes(self) -> list[Route]:
        """Returns the routes."""
        endpoints: Mapping[str, Endpoint] = {
            "/": self._page,
            "/status.json": self._json,
            "/debug/tasks": _local(self._tasks),
            "/debug/profile": _local(self._profile),
        }
        routes = [Route(path, _named(each), methods=["GET"]) for path, each in endpoints.items()]
        return [*routes, Route("/reload", _named(_local(self._reload)), methods=["POST"])]

    async def _report(self) -> dict[str, Any]:
        return await self._status.report(await self._ask_all())

    async def _page(self, _request: Request) -> Response:
        page = await asyncio.to_thread(render_page, await self._report())
        return Response(page, headers=HEADERS, media_type="text/html")

    async def _json(self, _request: Request) -> Response:
        body = orjson.dumps(await self._report(), default=str)
        return Response(body, headers=HEADERS, media_type="application/json")

    async def _reload(self, request: Request) -> Response:
        if "origin" in request.headers:
            return PlainTextResponse("not from a page\n", 403, HEADERS)
        outcome = await self._reload_contract()
        body = orjson.dumps(outcome.told())
        return Response(body, _STATUSES[outcome.result], HEADERS, media_type="application/json")

    async def _tasks(self, _request: Request) -> Response:
        return PlainTextResponse(await tasks(), headers=HEADERS)

    async def _profile(self, request: Request) -> Response:
        seconds = _seconds(request.query_params.get("seconds"))
        if seconds is None:
            reason = f"seconds is a number above 0, at most {MAX_SECONDS:g}\n"
            return PlainTextResponse(reason, 400, HEADERS)
        profiling = asyncio.ensure_future(self._profiler.profile(seconds))
        try:
            while not profiling.done() and not await request.is_disconnected():
                await asyncio.wait({profiling}, timeout=_GONE_SECONDS)
        finally:
            profiling.cancel()  # does nothing to what is done
        try:
            return PlainTextResponse(await profiling, headers=HEADERS)
        except BusyError:
            return PlainTextResponse("another profile is being taken\n", 409, HEADERS)
        except asyncio.CancelledError:  # of the profile: nobody waits for it
            return Response(status_code=499)


def _seconds(text: str | None) -> float | None:
    """Returns the duration that a query asks for; None: it is none."""
    try:
        seconds = _DEFAULT_SECONDS if text is None else float(text)
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) and 0 < seconds <= MAX_SECONDS else None


def _named(endpoint: Endpoint) -> Endpoint:
    """Returns an endpoint that callers of this machine reach under a name of this machine alone."""

    async def answer(request: Request) -> Response:
        is_local = request.client is not None and is_loopback(request.client.host)
        if is_local and not is_loopback(request.url.hostname or ""):
            return PlainTextResponse("ask for localhost\n", 403, HEADERS)
        return await endpoint(request)

    return answer


def _local(endpoint: Endpoint) -> Endpoint:
    """Returns an endpoint for callers of this machine, by TCP or a Unix socket."""

    async def answer(request: Request) -> Response:
        if request.client is not None and not is_loopback(request.client.host):
            return PlainTextResponse("only from this machine\n", 403, HEADERS)
        return await endpoint(request)

    return answer


def is_loopback(host: str) -> bool:
    """Whether a host is this machine itself: `localhost`, or an address of its own interface."""
    try:
        address = ip_address(host.strip("[]"))
    except ValueError:
        return host.lower() == "localhost"
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)
