"""The edge's own paths: the contract cannot hide them, and settings move or close them."""

from __future__ import annotations

import logging
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from pydantic import ValidationError

from gateway import health
from gateway.app import create_app
from gateway.contract.route_table import NoRoute, RouteMatch
from gateway.exchange.routing import Router
from gateway.settings import Settings
from gateway.testing import ScriptedCall, ScriptedUpstream
from tests.contracts import compile_text
from tests.edge.asgi import ask, connect, running

PROTO = """
syntax = "proto3";
package t;
import "google/api/annotations.proto";
message M { string id = 1; }
service S {
  rpc All(M) returns (M) {
    option (google.api.http) = {
      get: "/{id=**}"
      additional_bindings { post: "/{id=**}" }
      additional_bindings { get: "/healthz" }
      additional_bindings { custom { kind: "*" path: "/{id}" } }
    };
  }
  rpc Stream(M) returns (stream M) { option (google.api.http) = {put: "/{id=**}"}; }
}
"""
FILES = ["/docs/swagger-ui.css", "/docs/swagger-ui-bundle.js", "/docs/viewer.js"]
OWN = ["/healthz", "/livez", "/readyz", "/startupz", "/openapi.json", "/docs", *FILES]
HEALTH_SETTINGS = "health_path, live_path, ready_path, startup_path"


async def echo(call: ScriptedCall) -> AsyncIterator[bytes]:
    """Answers with the request."""
    async for request in call.requests:
        yield request


def make(folder: Path, **settings: Any) -> FastAPI:
    """Makes an application whose contract takes every path."""
    path = folder / "all.binpb"
    path.write_bytes(compile_text(PROTO))
    upstream = ScriptedUpstream({"/t.S/All": echo, "/t.S/Stream": echo})
    return create_app(Settings(descriptor_set=path, **settings), upstream)


@pytest.mark.parametrize("path", [*OWN, "/%68ealthz", "/docs/swagger%2Dui.css"])
async def test_the_contract_cannot_hide_them(path: str, tmp_path: Path) -> None:
    """They are answered by the edge, whatever method they are asked with, and as a WebSocket not at all."""
    async with running(make(tmp_path)) as app:
        get = await ask(app, "GET", path)
        head = await ask(app, "HEAD", path)
        options = await ask(app, "OPTIONS", path)
        post = await ask(app, "POST", path)
        report = await ask(app, "REPORT", path)
        handshake = await connect(app, path).ended()

    assert (get.status, b'"id"' in get.body[:5]) == (200, False)
    assert head.status == 200
    assert (options.status, options.headers["allow"]) == (204, "GET, HEAD, OPTIONS")
    for refused in (post, report):
        assert (refused.status, refused.headers["allow"]) == (405, "GET, HEAD, OPTIONS")
    assert handshake.status == 404


async def test_what_lies_beside_is_the_contracts(tmp_path: Path) -> None:
    """Only these very paths are the edge's."""
    async with running(make(tmp_path)) as app:
        for path in ("/healthz/", "/docs/x", "/healthz:x", "/openapi"):
            answer = await ask(app, "GET", path)

            assert (answer.status, answer.json) == (200, {"id": path[1:]})


async def test_settings_move_them(tmp_path: Path) -> None:
    """What they leave is the contract's; the page's files move along."""
    moved = {
        "health_path": "/-/alive",
        "live_path": "/-/live",
        "ready_path": "/-/ready",
        "startup_path": "/-/startup",
        "openapi_path": "/-/api.json",
        "docs_path": "/-/docs",
    }
    async with running(make(tmp_path, **moved)) as app:
        for path in (*moved.values(), *(f"/-{path}" for path in FILES)):
            answer = await ask(app, "GET", path)
            assert (answer.status, b'"id"' in answer.body[:5]) == (200, False)
        for path in OWN[1:]:
            assert (await ask(app, "GET", path)).json == {"id": path[1:]}


@pytest.mark.parametrize(
    ("closed", "paths"),
    [
        ({"health_path": ""}, ["/healthz"]),
        ({"live_path": "", "startup_path": ""}, ["/livez", "/startupz"]),
        ({"ready_path": ""}, ["/readyz"]),
        ({"openapi_path": ""}, ["/openapi.json", "/docs", *FILES]),
        ({"docs_path": ""}, ["/docs", *FILES]),
    ],
)
async def test_settings_close_them(
    closed: dict[str, str], paths: list[str], tmp_path: Path
) -> None:
    """An empty path is none; then the contract may have it, and the others stay."""
    async with running(make(tmp_path, **closed)) as app:
        for path in OWN:
            answer = await ask(app, "POST", path)

            assert answer.status == (200 if path in paths else 405)


@pytest.mark.parametrize("path", OWN)
def test_the_fast_path_leaves_them_too(path: str, tmp_path: Path) -> None:
    """What answers whole requests without ASGI asks the same function."""
    router: Router = make(tmp_path).state.edge.served.router

    assert isinstance(router.find("GET", path), NoRoute)
    assert isinstance(router.find("GET", "/other"), RouteMatch)


def test_the_start_warns_of_rules_that_would_take_them(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Once for each rule, with its place, the paths and the settings."""
    with caplog.at_level(logging.WARNING):
        make(tmp_path)

    told = [record.getMessage() for record in caplog.records]
    assert told == [
        (
            f"test.proto:8:5: t.S.All: GET /{{id=**}} does not get {', '.join(OWN)}:"
            f" the edge answers that itself ({HEALTH_SETTINGS}, openapi_path, docs_path)"
        ),
        (
            f"test.proto:8:5: t.S.All: POST /{{id=**}} does not get {', '.join(OWN)}:"
            f" the edge answers that itself ({HEALTH_SETTINGS}, openapi_path, docs_path)"
        ),
        (
            "test.proto:8:5: t.S.All: GET /healthz is never reached:"
            " the edge answers this path itself (health_path)"
        ),
        (
            "test.proto:8:5: t.S.All: * /{id} does not get"
            " /healthz, /livez, /readyz, /startupz, /openapi.json, /docs:"
            f" the edge answers that itself ({HEALTH_SETTINGS}, openapi_path, docs_path)"
        ),
        (
            f"test.proto:15:38: t.S.Stream: PUT /{{id=**}} does not get {', '.join(OWN)}:"
            f" the edge answers that itself ({HEALTH_SETTINGS}, openapi_path, docs_path)"
        ),
    ]


@pytest.mark.parametrize(
    "path", ["healthz", "/a b", "/{x}", "/a//b", "/é", "/%41", "/a/", "/.", "/a/../b"]
)
def test_a_path_is_a_path(path: str, tmp_path: Path) -> None:
    """What is none is refused at the start."""
    with pytest.raises(ValidationError):
        Settings(descriptor_set=tmp_path, health_path=path)


def test_no_two_are_the_same(tmp_path: Path) -> None:
    """One would hide the other."""
    with pytest.raises(ValidationError, match="no two of health_path, live_path"):
        Settings(descriptor_set=tmp_path, health_path="/docs")
    with pytest.raises(ValidationError, match="no two of health_path, live_path"):
        Settings(descriptor_set=tmp_path, docs_path="/d", health_path="/d/viewer.js")


def test_the_health_command_follows_the_setting(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The container's check asks at the path that its environment names."""
    monkeypatch.setenv("PROTOWAY_HEALTH_PATH", "/-/alive")
    with pytest.raises(SystemExit):
        health.main(["--help"])

    assert "http://127.0.0.1:8080/-/alive" in "".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("alive", [True, False])
def test_the_health_command_connects_where_the_path_is_closed(
    monkeypatch: pytest.MonkeyPatch, *, alive: bool
) -> None:
    """An edge that takes a connection is alive; one that is not there is not."""
    monkeypatch.setenv("PROTOWAY_HEALTH_PATH", "")
    with socket.create_server(("127.0.0.1", 0)) as listening:
        monkeypatch.setenv("PROTOWAY_PORT", str(listening.getsockname()[1]))
        if not alive:
            listening.close()

        assert health.main([]) == (0 if alive else 1)
