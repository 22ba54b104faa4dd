"""Alive, started, ready: what an edge tells its load balancer and its supervisor."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from gateway.app import create_app
from gateway.operations.readiness import health_routes
from gateway.settings import Settings
from gateway.testing import ScriptedCall, ScriptedUpstream
from gateway.transcoding.status import (
    DEADLINE_EXCEEDED,
    NOT_FOUND,
    PERMISSION_DENIED,
    UNAUTHENTICATED,
    UNAVAILABLE,
    UNIMPLEMENTED,
    StatusError,
)
from tests.edge.asgi import ask, running
from tests.edge.conftest import MakeApp

CHECK = "/grpc.health.v1.Health/Check"
SERVING = {"status": "SERVING"}


def report(upstream: str) -> Any:
    """Returns the body of a readiness check whose upstream fails with this reason; "": it does not."""
    told = {"status": "NOT_SERVING", "reason": upstream} if upstream else SERVING
    checks = {"contract": SERVING, "upstream": told, "shutdown": SERVING}
    return {"status": "NOT_SERVING" if upstream else "SERVING", "checks": checks}


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ([b"\x08\x01"], ""),
        ([b"\x08\x02"], "grpc.health.v1: NOT_SERVING"),
        ([b""], "grpc.health.v1: UNKNOWN"),
        (StatusError.of(UNIMPLEMENTED, ""), ""),
        (StatusError.of(UNAUTHENTICATED, "who are you"), ""),
        (StatusError.of(PERMISSION_DENIED, "not you"), ""),
        (StatusError.of(UNAVAILABLE, "connection refused"), "connection refused"),
        (StatusError.of(DEADLINE_EXCEEDED, "x"), "the upstream does not answer in time"),
        (
            StatusError.of(UNIMPLEMENTED, "upstream does not answer in gRPC: HTTP status 404"),
            "upstream does not answer in gRPC: HTTP status 404",
        ),
    ],
)
async def test_ready_is_what_the_upstream_says(
    make_app: MakeApp, upstream: ScriptedUpstream, script: Any, reason: str
) -> None:
    """A server that answers is ready, unless its own health says otherwise; every check has its name."""
    upstream.scripts[CHECK] = script
    async with running(make_app()) as app:
        ready = await ask(app, "GET", "/readyz")
        head = await ask(app, "HEAD", "/readyz")
        others = [await ask(app, "GET", path) for path in ("/healthz", "/livez", "/startupz")]

    assert (ready.status, ready.json) == (503 if reason else 200, report(reason))
    assert ready.headers["cache-control"] == "no-store"
    assert head.status == ready.status
    assert [each.status for each in others] == [200, 200, 200]
    assert others[0].json == others[1].json == SERVING


async def test_a_service_is_asked_about(make_app: MakeApp, upstream: ScriptedUpstream) -> None:
    """The setting's name goes upstream; a server that does not know it does not serve it."""
    upstream.scripts[CHECK] = StatusError.of(NOT_FOUND, "unknown service")
    async with running(make_app(readiness={"service": "echo.v1.Echo"})) as app:
        ready = await ask(app, "GET", "/readyz")

    (call,) = upstream.calls
    assert (await call.message()).service == "echo.v1.Echo"
    told = "grpc.health.v1: the upstream knows no service 'echo.v1.Echo'"
    assert (ready.status, ready.json) == (503, report(told))


async def test_many_who_ask_cost_one_call(make_app: MakeApp, upstream: ScriptedUpstream) -> None:
    """Whoever asks in the same second is told the same."""
    asked = asyncio.Event()

    async def slow(_call: ScriptedCall) -> AsyncIterator[bytes]:
        await asked.wait()
        yield b"\x08\x01"

    upstream.scripts[CHECK] = slow
    async with running(make_app()) as app:
        asking = [asyncio.create_task(ask(app, "GET", "/readyz")) for _ in range(20)]
        await asyncio.sleep(0)
        asked.set()
        answers = await asyncio.gather(*asking)
        answers.append(await ask(app, "GET", "/readyz"))

    assert {answer.status for answer in answers} == {200}
    assert len(upstream.calls) == 1


async def test_an_upstream_that_never_answers(
    make_app: MakeApp, upstream: ScriptedUpstream
) -> None:
    """The edge is not ready after the setting's time, even if the upstream keeps to no timeout."""

    async def never(_call: ScriptedCall) -> AsyncIterator[bytes]:
        await asyncio.Event().wait()
        yield b""

    upstream.scripts[CHECK] = never
    async with running(make_app(readiness={"timeout_seconds": 0.1})) as app:
        ready = await ask(app, "GET", "/readyz")
        live = await ask(app, "GET", "/livez")

    assert (ready.status, ready.json) == (503, report("the upstream does not answer in time"))
    assert live.status == 200


async def test_without_the_upstream(make_app: MakeApp, upstream: ScriptedUpstream) -> None:
    """A setting leaves the upstream out."""
    async with running(make_app(readiness={"upstream": False})) as app:
        ready = await ask(app, "GET", "/readyz")

    assert ready.json["checks"].keys() == {"contract", "shutdown"}
    assert upstream.calls == []


async def test_an_upstream_of_a_users_knows_no_health_check(make_app: MakeApp) -> None:
    """One that was made with the contract's methods alone is not asked."""

    class Strict(ScriptedUpstream):
        def open(self, method: Any, *_: Any, **__: Any) -> Any:
            raise KeyError(method)

    made = make_app()
    async with running(create_app(made.state.settings, Strict({}))) as app:
        ready = await ask(app, "GET", "/readyz")

    assert (ready.status, ready.json) == (200, report(""))


async def test_a_shutdown_falls_first(make_app: MakeApp, upstream: ScriptedUpstream) -> None:
    """An edge that shuts down is alive, and not ready."""
    async with running(make_app()) as app:
        app.state.readiness.draining = True
        ready = await ask(app, "GET", "/readyz")
        live = await ask(app, "GET", "/livez")

    assert (ready.status, live.status) == (503, 200)
    assert ready.json["checks"]["shutdown"]["reason"] == "the edge is shutting down"


async def test_the_edge_starts(make_app: MakeApp) -> None:
    """Before its lifespan an application has not started, and is not ready."""
    app = make_app()
    before = [await ask(app, "GET", path) for path in ("/startupz", "/readyz")]
    async with running(app):
        after = await ask(app, "GET", "/startupz")

    assert [each.status for each in (*before, after)] == [503, 503, 200]


async def test_another_application_can_have_the_routes(make_app: MakeApp) -> None:
    """As an admin listener does: the same answers, at paths of its own."""
    from fastapi import FastAPI

    async with running(make_app()) as app:
        other = FastAPI(openapi_url=None)
        other.router.routes.extend(
            health_routes(app.state.readiness, live=("/l",), ready="/r", startup="")
        )
        answers = [(await ask(other, "GET", path)).status for path in ("/l", "/r", "/startupz")]

    assert answers == [200, 200, 404]


async def test_anybody_may_ask(make_app: MakeApp, tmp_path: Any) -> None:
    """Where every request needs an identity and nobody has rights, the health checks do not."""
    keys = tmp_path / "keys.yaml"
    keys.write_text("keys: []\n")
    rights = {"rules": [{"requests": "*", "scopes": "x"}]}
    for settings in ({"api_keys": {"file": keys}}, {"api_keys": {"file": keys}, "rights": rights}):
        async with running(make_app(**settings)) as app:
            paths = ("/healthz", "/livez", "/readyz", "/startupz", "/docs")
            answers = [(await ask(app, "GET", path)).status for path in paths]

        assert answers == [200, 200, 200, 200, 401], settings


def test_there_is_one_list_of_paths(tmp_path: Any) -> None:
    """Empty ones are not on it."""
    settings = Settings(descriptor_set=tmp_path, live_path="", ready_path="/r")

    assert settings.health_paths() == {"/healthz", "/r", "/startupz"}
