"""Whether an edge is alive, has started and is ready, for load balancers and supervisors.

Alive: the event loop answers; it does not depend on the upstream, since a restart of the edge would not mend
that. Ready: the contract is loaded, the upstream answers, and no shutdown has begun.

Rule: whoever asks, the upstream is asked at most once in `_FRESH_SECONDS`, and by one call at a time.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final, Self

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.operations.readiness_settings import ReadinessSettings
from gateway.upstream.health_check import problem_of
from gateway.upstream.port import Upstream

log = logging.getLogger(__name__)

_FRESH_SECONDS: Final = 1.0
"""Age up to which the last answer of the upstream is told again."""
_SLACK_SECONDS: Final = 1.0
"""Time beyond the timeout of a call after which an upstream that keeps to no timeout is given up."""
_HEADERS: Final = {"x-content-type-options": "nosniff", "cache-control": "no-store"}
_WORDS: Final = {True: "SERVING", False: "NOT_SERVING"}


@dataclass(frozen=True, slots=True)
class HealthReport:
    """What is told.

    Attributes:
        problems: name of each check -> why it fails, in words without addresses; empty: it does not.
    """

    problems: Mapping[str, str]

    @property
    def is_serving(self) -> bool:
        """Whether no check fails."""
        return not any(self.problems.values())

    def body(self) -> bytes:
        """Returns the report as JSON: `status`, and of each check in `checks` `status` and `reason`."""
        told: dict[str, object] = {"status": _WORDS[self.is_serving]}
        if self.problems:
            told["checks"] = {
                name: {"status": _WORDS[not why]} | ({"reason": why} if why else {})
                for name, why in self.problems.items()
            }
        return orjson.dumps(told)


class Readiness:
    """The state of one edge, whose application runs as long as the block.

    Attributes:
        started: whether the application has started.
        draining: whether a shutdown has begun; from then on the edge is not ready.
    """

    def __init__(self, settings: ReadinessSettings, upstream: Upstream) -> None:
        """Takes what is asked; nothing is before somebody wants to know."""
        self._settings = settings
        self._upstream = upstream
        self._asked_at = float("-inf")
        self._problem = ""
        self._asking: asyncio.Task[str] | None = None
        self.started = False
        self.draining = False

    async def live(self) -> HealthReport:
        """Returns whether the edge answers at all."""
        return HealthReport({})

    async def startup(self) -> HealthReport:
        """Returns whether the edge has started; its upstream may be missing still."""
        return HealthReport({"contract": "" if self.started else "the edge starts"})

    async def ready(self) -> HealthReport:
        """Returns whether the edge can answer calls; asks the upstream if that was not done just now."""
        problems = dict((await self.startup()).problems)
        if self._settings.upstream:
            problems["upstream"] = await self._upstream_problem()
        problems["shutdown"] = "the edge is shutting down" if self.draining else ""
        return HealthReport(problems)

    def last(self) -> dict[str, bool]:
        """Returns the name of each check -> whether it passed, for who cannot wait.

        The upstream's is that of the last time, and missing before the first; it is made again for the next
        time if it is not fresh.
        """
        passed = {"contract": self.started, "shutdown": not self.draining}
        if self._settings.upstream:
            if self._asked_at > float("-inf"):
                passed["upstream"] = not self._problem
            if self._is_stale and self.started and not self.draining:
                self._start_asking()
        return passed

    async def __aenter__(self) -> Self:
        """The application has started."""
        self.started = True
        return self

    async def __aexit__(self, *_: object) -> None:
        """It ends; cancels a question that is under way."""
        self.draining = True
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.wait({self._asking})

    async def _upstream_problem(self) -> str:
        if self._asking is None and not self._is_stale:
            return self._problem
        return await asyncio.shield(self._start_asking())

    @property
    def _is_stale(self) -> bool:
        return time.monotonic() - self._asked_at >= _FRESH_SECONDS

    def _start_asking(self) -> asyncio.Task[str]:
        """Returns the question that is under way, or a new one."""
        if self._asking is None:
            self._asking = asyncio.get_running_loop().create_task(self._ask())
        return self._asking

    async def _ask(self) -> str:
        seconds, before = self._settings.timeout_seconds, self._problem
        try:
            async with asyncio.timeout(seconds + _SLACK_SECONDS):
                self._problem = await problem_of(self._upstream, self._settings.service, seconds)
        except TimeoutError:
            self._problem = "the upstream does not answer in time"
        finally:
            self._asked_at = time.monotonic()
            self._asking = None
        if self._problem and not before:
            log.warning("not ready: %s", self._problem)
        elif before and not self._problem:
            log.warning("ready again: the upstream answers")
        return self._problem


def health_routes(
    readiness: Readiness, *, live: tuple[str, ...], ready: str, startup: str
) -> list[Route]:
    """Returns routes that tell the state of an edge, for the edge itself or for another application.

    Each answers 200 or 503 with the report as JSON.

    Args:
        readiness: the state; `app.state.readiness` of what `create_app` has made.
        live: paths that tell whether it is alive; empty ones are left out.
        ready: path that tells whether it is ready; empty: none.
        startup: path that tells whether it has started; empty: none.
    """
    paths = [*((path, readiness.live) for path in live)]
    paths += [(ready, readiness.ready), (startup, readiness.startup)]
    return [
        Route(path, _endpoint(report), methods=["GET"], include_in_schema=False)
        for path, report in paths
        if path
    ]


def _endpoint(
    report: Callable[[], Awaitable[HealthReport]],
) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(_request: Request) -> Response:
        told = await report()
        status = 200 if told.is_serving else 503
        return Response(told.body(), status, _HEADERS, media_type="application/json")

    return endpoint
