"""Whether an edge is alive, has started and is ready, for load balancers and supervisors.

Alive: the event loop answers; it does not depend on the upstream, since a restart of the edge would not mend
that. Ready: the contract is loaded, the upstream answers, and no shutdown has begun.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Self

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.operations.readiness_settings import ReadinessSettings
from gateway.operations.upstream_check import UpstreamCheck
from gateway.settings import Settings
from gateway.upstream.port import Upstream

_HEADERS: Final = {"x-content-type-options": "nosniff", "cache-control": "no-store"}
_NO_NOTES: Final[Mapping[str, Callable[[], str]]] = MappingProxyType({})
_WORDS: Final = {True: "SERVING", False: "NOT_SERVING"}


@dataclass(frozen=True, slots=True)
class HealthReport:
    """What is told.

    Attributes:
        problems: name of each check -> why it fails, in words without addresses; empty: it does not.
        optional: names of those that are told only.
    """

    problems: Mapping[str, str]
    optional: frozenset[str] = frozenset()

    @property
    def is_serving(self) -> bool:
        """Whether no check fails, beside the optional ones."""
        return not any(why for name, why in self.problems.items() if name not in self.optional)

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
        starting: why not, until it has.
        draining: whether a shutdown has begun; from then on the edge is not ready.
    """

    def __init__(
        self,
        settings: ReadinessSettings,
        upstream: Upstream | None,
        others: Iterable[UpstreamCheck] = (),
        notes: Mapping[str, Callable[[], str]] = _NO_NOTES,
    ) -> None:
        """Takes what is asked; nothing is before somebody wants to know.

        Args:
            settings: how it is asked.
            upstream: the default one; None: it is not asked.
            others: checks of those that take some methods.
            notes: name of a check that is told only -> returns why it fails, or "".
        """
        self._seconds = settings.timeout_seconds
        self._checks = tuple(others)
        if settings.upstream and upstream is not None:
            check = UpstreamCheck("upstream", upstream, settings.service)
            self._checks = (check, *self._checks)
        self._notes = notes
        self._optional = notes.keys() | {each.name for each in self._checks if not each.is_required}
        self.started = False
        self.starting = "the edge starts"
        self.draining = False

    async def live(self) -> HealthReport:
        """Returns whether the edge answers at all."""
        return HealthReport({})

    async def startup(self) -> HealthReport:
        """Returns whether the edge has started; its upstream may be missing still."""
        return HealthReport({"contract": "" if self.started else self.starting})

    async def ready(self) -> HealthReport:
        """Returns whether the edge can answer calls; asks the upstream if that was not done just now."""
        problems = dict((await self.startup()).problems)
        checks = self._checks
        told = await asyncio.gather(*(each.problem(self._seconds) for each in checks))
        problems |= {each.name: why for each, why in zip(checks, told, strict=True)}
        problems |= {name: problem() for name, problem in self._notes.items()}
        problems["shutdown"] = "the edge is shutting down" if self.draining else ""
        return HealthReport(problems, frozenset(self._optional))

    async def is_serving(self) -> bool:
        """Returns whether `ready` reports no problem."""
        return (await self.ready()).is_serving

    def last(self) -> dict[str, bool]:
        """Returns the name of each check -> whether it passed, for who cannot wait.

        That of an upstream is of the last time, and missing before the first; it is made again for the next
        time if it is not fresh.
        """
        passed = {"contract": self.started, "shutdown": not self.draining}
        passed |= {name: not problem() for name, problem in self._notes.items()}
        for each in self._checks:
            if (last := each.last) is not None:
                passed[each.name] = not last
            if each.is_stale and self.started and not self.draining:
                each.start_asking(self._seconds)
        return passed

    async def __aenter__(self) -> Self:
        """The application has started."""
        self.started = True
        return self

    async def __aexit__(self, *_: object) -> None:
        """It ends; cancels a question that is under way."""
        self.draining = True
        await asyncio.gather(*(each.stop() for each in self._checks))


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


def every_health_route(readiness: Readiness, settings: Settings) -> list[Route]:
    """Returns the routes for the paths that settings name."""
    return health_routes(
        readiness,
        live=(settings.health_path, settings.live_path),
        ready=settings.ready_path,
        startup=settings.startup_path,
    )


def _endpoint(
    report: Callable[[], Awaitable[HealthReport]],
) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(_request: Request) -> Response:
        told = await report()
        status = 200 if told.is_serving else 503
        return Response(told.body(), status, _HEADERS, media_type="application/json")

    return endpoint
