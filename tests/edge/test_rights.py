"""Who may call what, on every door, for every wire, and for what is not the contract's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from fastapi import FastAPI
from starlette.websockets import WebSocket

from gateway.admission.authentication.api_key_settings import ApiKeySettings
from gateway.admission.authentication.api_keys import new_api_key
from gateway.admission.cors_settings import CorsSettings
from gateway.admission.error import AdmissionError
from gateway.admission.identity import Identity
from gateway.admission.rights.settings import RightsSettings
from gateway.app import create_app
from gateway.exchange.request_info import RequestInfo
from gateway.settings import Settings
from gateway.testing import ScriptedUpstream
from gateway.transcoding.status import UNAUTHENTICATED
from tests.contracts import compile_text
from tests.edge.asgi import Request, ask, connect, http_scope, running
from tests.edge.conftest import MakeApp
from tests.edge.test_policies import OURS, Ask, by_asgi, directly

READER = {"x-caller": json.dumps({"scope": "read"})}
WRITER = {"x-caller": json.dumps({"scope": "read write", "roles": ["editor"]})}
ADMIN = {"x-caller": json.dumps({"roles": ["admin"]})}
NOBODY: dict[str, str] = {}


class Callers:
    """Stands in for authentication: the claims are what a header says."""

    def admit(self, request: RequestInfo) -> None:
        """Sets the identity."""
        if (claims := request.header(b"x-caller")) is not None:
            request.identity = Identity("ann", "jwt", json.loads(claims))


def made(make_app: MakeApp, *rules: dict[str, Any], **settings: Any) -> FastAPI:
    """Makes an edge with rules, before which a policy of the user's says who calls."""
    rights = RightsSettings.model_validate({"rules": rules})
    return make_app(policies=[Callers()], rights=rights, **settings)


RULES: tuple[dict[str, Any], ...] = (
    {"requests": "GET /v1/echo", "anonymous": True},
    {"requests": "echo.v1.Echo/Unary", "scopes": "write"},
    {"requests": ["echo.v1.Echo/ServerStream", "echo.v1.Echo/Bidi"], "roles": "editor"},
    {"requests": ["echo.v1.Echo/ClientStream", "/docs"], "identity": "any"},
)


@pytest.mark.parametrize("door", [by_asgi, directly])
@pytest.mark.parametrize(
    ("path", "statuses"),
    [
        ("/v1/echo", (200, 200, 200)),
        ("/v1/echo/x", (401, 403, 200)),
        ("/v1/names/x", (401, 403, 200)),
        ("/v1/fail/0", (401, 403, 403)),
    ],
)
async def test_each_binding_has_its_decision(
    make_app: MakeApp,
    upstream: ScriptedUpstream,
    door: Ask,
    path: str,
    statuses: tuple[int, ...],
) -> None:
    """Of the first rule that takes it in; no call is made for one that is refused."""
    async with running(made(make_app, *RULES)) as app:
        answers = [(await door(app, path, caller))[0] for caller in (NOBODY, READER, WRITER)]

    assert tuple(answers) == statuses
    assert len(upstream.calls) == statuses.count(200)


async def test_rights_hold_on_every_wire(make_app: MakeApp) -> None:
    """Events, lines, uploads and WebSockets, the latter by the binding of their path."""
    events, lines = {"accept": "text/event-stream"}, {"accept": "application/x-ndjson"}
    async with running(made(make_app, *RULES)) as app:
        for caller, status in ((NOBODY, 401), (READER, 403), (WRITER, 200)):
            for accept in (events, lines):
                got = await ask(app, "GET", "/v1/stream/x", headers=caller | accept)
                assert got.status == status
        for caller, status in ((NOBODY, 401), (READER, 200)):
            upload = await ask(app, "POST", "/v1/upload", b"{}", headers=caller)
            assert upload.status == status
        for caller, status in ((NOBODY, 401), (READER, 403)):
            socket = await connect(app, "/v1/bidi", caller, OURS).ended()
            assert (socket.status, socket.json["code"]) == (status, 16 if status == 401 else 7)
        socket = connect(app, "/v1/bidi", WRITER, OURS)
        await socket.until_sent(1)
        assert socket.sent[0]["type"] == "websocket.accept"
        socket.arrives("websocket.disconnect", code=1000)
        await socket.ended()


async def test_a_refusal_says_what_is_missing(make_app: MakeApp) -> None:
    """A challenge with each 401, and with a 403 the scopes (RFC 6750, section 3)."""
    async with running(made(make_app, *RULES)) as app:
        unknown = await ask(app, "GET", "/v1/echo/x")
        scope = await ask(app, "GET", "/v1/echo/x", headers=READER)
        role = await ask(app, "GET", "/v1/stream/x", headers=READER)

    assert unknown.json["message"] == "the request has no credentials, and needs some"
    assert unknown.headers["www-authenticate"] == "Bearer"
    challenge = 'Bearer error="insufficient_scope", scope="write"'
    assert scope.headers["www-authenticate"] == challenge
    assert scope.json["message"] == (
        "you have no right to echo.v1.Echo.Unary, which needs the scope write"
    )
    assert "www-authenticate" not in role.headers
    assert role.json["message"] == "you have no right to echo.v1.Echo.ServerStream"


TABLE: dict[tuple[str, str], tuple[int, int]] = {
    ("GET", "/healthz"): (200, 200),
    ("GET", "/docs"): (401, 200),
    ("GET", "/docs/swagger-ui.css"): (401, 200),
    ("GET", "/d%6fcs"): (401, 200),
    ("GET", "/openapi.json"): (401, 403),
    ("GET", "/open%61pi.json"): (401, 403),
    ("POST", "/openapi.json"): (401, 403),
    ("POST", "/docs"): (401, 405),
    ("GET", "/nowhere"): (401, 404),
    ("GET", "/own"): (401, 404),
    ("GET", "/v1/echo%2fx%00"): (401, 404),
    ("GET", "/v1/files/%ff"): (401, 404),
    ("DELETE", "/v1/echo"): (405, 405),
    ("PUT", "/v1/hang"): (401, 403),
    ("OPTIONS", "/v1/hang"): (401, 403),
    ("OPTIONS", "/v1/echo"): (204, 204),
    ("HEAD", "/v1/echo"): (200, 200),
    ("HEAD", "/v1/hang"): (401, 403),
    ("HEAD", "/nowhere"): (401, 404),
}


@pytest.mark.parametrize(("http_method", "path"), TABLE)
async def test_nobody_learns_which_paths_exist_without_a_right(
    make_app: MakeApp, http_method: str, path: str
) -> None:
    """Without an identity all closed paths answer alike; with one a path that is no method's is a 404."""
    app = made(make_app, *RULES)

    @app.get("/own")
    async def own() -> dict[str, str]:
        return {}

    async with running(app):
        answers = [await ask(app, http_method, path, headers=one) for one in (NOBODY, READER)]

    assert tuple(each.status for each in answers) == TABLE[http_method, path]


async def test_unknown_paths_and_closed_ones_are_the_same_to_strangers(make_app: MakeApp) -> None:
    """To the byte, but for the id; and those with an identity see no difference between 404s."""
    app = made(make_app, *RULES)

    @app.get("/own")
    async def own() -> dict[str, str]:
        return {}

    same_id = {"x-request-id": "1"}
    async with running(app):
        closed = [
            await ask(app, "GET", path, headers=same_id)
            for path in ("/v1/hang", "/nowhere", "/own", "/docs", "/v1/hangg", "/v1/raw")
        ]
        missing = [
            await ask(app, "GET", path, headers=same_id | READER)
            for path in ("/nowhere", "/own", "/v1/hangg")
        ]

    for answers in (closed, missing):
        assert all(each.sent == answers[0].sent for each in answers)


async def test_a_rule_for_all_requests_opens_unknown_paths_too(make_app: MakeApp) -> None:
    """They are the edge's 404 again, with its hint."""
    rule = {"requests": "*", "anonymous": True}
    async with running(made(make_app, rule)) as app:
        missing = await ask(app, "GET", "/v1/hangg")

    assert (missing.status, "did you mean" in missing.json["message"]) == (404, True)


async def test_pages_and_own_routes_are_opened_by_their_paths(
    make_app: MakeApp, tmp_path: Path
) -> None:
    """Files of `pages`, routes and WebSockets of the application; the contract stays closed."""
    pages = tmp_path / "pages"
    for name in ("index.html", "secret.html", "admin/index.html", "app/x.js"):
        (pages / name).parent.mkdir(parents=True, exist_ok=True)
        (pages / name).write_text(name)
    app = made(
        make_app,
        {"requests": ["/secret.html", "/admin/**"], "scopes": "write"},
        {"requests": "POST /own", "identity": "any"},
        {"requests": "pages", "anonymous": True},
        pages=pages,
    )

    @app.api_route("/own", methods=["GET", "POST"])
    async def own() -> dict[str, str]:
        return {}

    @app.websocket("/own")
    async def talk(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.close()

    async with running(app):
        statuses = {
            (method, path): (await ask(app, method, path)).status
            for method, path in (
                *(("GET", "/"), ("GET", "/app/x.js"), ("GET", "/own"), ("POST", "/own")),
                *(("GET", "/nothing"), ("GET", "/v1/hang"), ("GET", "/docs")),
            )
        }
        around = {
            path: (await ask(app, "GET", path)).status
            for path in (
                *("/secret.html", "/secret%2ehtml", "/secret.html/", "//secret.html"),
                *("/app/../secret.html", "/app/%2e%2e/secret.html", "/app%2f..%2fsecret.html"),
                *("/./secret.html", "/admin", "/admin/", "/admin/index.html", "/%61dmin/"),
                *("/app/..%5csecret.html", "/admin//index.html", "/x/..//admin/index.html"),
            )
        }
        socket = connect(app, "/own")
        await socket.until_sent(2)

    assert statuses == {
        ("GET", "/"): 200,
        ("GET", "/app/x.js"): 200,
        ("GET", "/own"): 200,
        ("POST", "/own"): 401,
        ("GET", "/nothing"): 404,
        ("GET", "/v1/hang"): 401,
        ("GET", "/docs"): 401,
    }
    assert set(around.values()) == {401}, around
    assert [event["type"] for event in socket.sent] == ["websocket.accept", "websocket.close"]


async def test_a_users_route_beside_a_binding_needs_its_own_rule(make_app: MakeApp) -> None:
    """The right to a path's GET is none to the POST that the application has added."""
    app = made(make_app, {"requests": "echo.v1.Echo/Hang", "anonymous": True})

    @app.post("/v1/hang")
    async def own() -> dict[str, str]:
        return {}

    async with running(app):
        answer = await ask(app, "POST", "/v1/hang")
    assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD, OPTIONS")


ANY = """
syntax = "proto3";
package any.v1;
import "google/api/annotations.proto";
message Thing { string name = 1; }
service Any {
  rpc Do(Thing) returns (Thing) {
    option (google.api.http) = {custom {kind: "*" path: "/v1/do"}};
  }
}
"""
PREFLIGHT = {"origin": "https://a.example", "access-control-request-method": "POST"}


PATHS = ("/v1/hang", "/v1/stream/x", "/docs", "/own", "/mounted/x", "/v1/nothing")


async def elsewhere(_scope: Any, _receive: Any, send: Any) -> None:
    """An application of a user's that answers every request."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"secret"})


def with_routes(app: FastAPI) -> FastAPI:
    """Adds a route that takes OPTIONS, and a mounted application."""
    app.add_api_route("/own", lambda: "secret", methods=["GET", "OPTIONS"])
    app.mount("/mounted", elsewhere)
    return app


async def test_preflights_pass(make_app: MakeApp) -> None:
    """They have no credentials, and CORS answers them; a plain OPTIONS does not pass."""
    cors = CorsSettings(origins=(PREFLIGHT["origin"],))
    async with running(with_routes(made(make_app, *RULES, cors=cors))) as app:
        for path in PATHS:
            preflight = await ask(app, "OPTIONS", path, headers=PREFLIGHT)
            assert preflight.status == (404 if path == "/v1/nothing" else 204)
            assert preflight.body.find(b"secret") < 0
            assert (await ask(app, "OPTIONS", path)).status == 401


async def test_nobody_forges_a_preflight(make_app: MakeApp) -> None:
    """Without CORS two headers are no credentials, on whatever path."""
    async with running(with_routes(made(make_app, *RULES))) as app:
        for path in PATHS:
            assert (await ask(app, "OPTIONS", path, headers=PREFLIGHT)).status == 401


@pytest.mark.parametrize("by", ["rights", "identity"])
async def test_what_looks_like_a_preflight_calls_no_method(tmp_path: Path, by: str) -> None:
    """A binding for all HTTP methods takes OPTIONS too: its method would be called without a right."""
    path = tmp_path / "any.binpb"
    path.write_bytes(compile_text(ANY))
    upstream = ScriptedUpstream({})
    rule = {"requests": "any.v1.Any/Do", "identity": "any"}
    keys = tmp_path / "keys.yaml"
    keys.write_text(yaml.safe_dump({"keys": [dict(new_api_key("ann")[1])]}))
    given: dict[str, Any] = {"api_keys": ApiKeySettings(file=keys)}
    if by == "rights":
        given = {"rights": RightsSettings.model_validate({"rules": [rule]})}
    async with running(create_app(Settings(descriptor_set=path, **given), upstream)) as app:
        answer = await ask(app, "OPTIONS", "/v1/do", headers=PREFLIGHT)

    assert (answer.status, upstream.calls) == (401, [])


def test_wrong_rules_stop_the_start(make_app: MakeApp) -> None:
    """All of them in one line."""
    rules = ({"requests": f"echo.v1.Echo/{name}", "anonymous": True} for name in ("Unry", "Hng"))
    with pytest.raises(AdmissionError) as error:
        made(make_app, *rules)
    assert "'echo.v1.Echo/Unary'" in str(error.value)
    assert "'echo.v1.Echo/Hang'" in str(error.value)


def test_nothing_is_checked_unless_something_says_so(make_app: MakeApp) -> None:
    """So requests pay nothing for it."""
    assert make_app().state.edge.served.policies == ()


@pytest.mark.parametrize("keys", [True, False])
def test_rights_without_identities_are_warned_of(
    make_app: MakeApp, tmp_path: Path, caplog: pytest.LogCaptureFixture, *, keys: bool
) -> None:
    """They refuse all but anonymous requests."""
    file = tmp_path / "keys.yaml"
    file.write_text(yaml.safe_dump({"keys": [dict(new_api_key("ann")[1])]}))
    made(make_app, *RULES, api_keys=ApiKeySettings(file=file if keys else None))

    assert ("no credentials are accepted" in caplog.text) is not keys


CLOSED: tuple[dict[str, Any], ...] = (
    {"requests": ["/admin", "/admin/**"], "roles": "admin"},
    {"requests": "pages", "anonymous": True},
)


@pytest.mark.parametrize("mounted", [False, True])
@pytest.mark.parametrize("root", ["/api", "/%61pi", "/ap%69", "/api%2F..%2Fapi", "/api/%2561pi"])
@pytest.mark.parametrize(
    "path", ["/admin", "/%61dmin", "%2Fadmin", "%2fadmin/x", "/admin/x", "//admin", "/./admin"]
)
async def test_no_spelling_of_the_root_path_passes_a_rule(
    make_app: MakeApp, root: str, path: str, *, mounted: bool
) -> None:
    """The framework, which takes the root off decoded paths, gets the path that was decided about."""
    app = made(make_app, *CLOSED, root_path="" if mounted else "/api")

    @app.get("/admin")
    @app.get("/admin/{name}")
    async def admin(name: str = "") -> str:
        return f"secret {name}"

    outer = FastAPI()
    outer.mount("/api", app)
    async with running(app):
        got = await ask(outer if mounted else app, "GET", root + path)
        good = await ask(outer if mounted else app, "GET", "/api/%61dmin", b"", ADMIN)

    assert (got.status in (401, 404), b"secret" in got.body) == (True, False)
    assert (good.status, good.json) == (200, "secret ")


@pytest.mark.parametrize("mounted", [False, True])
async def test_a_server_that_gives_no_raw_path(make_app: MakeApp, *, mounted: bool) -> None:
    """Its decoded paths are decoded once, for the contract, for rules and for routes alike."""
    app = made(make_app, *CLOSED, {"requests": "*", "anonymous": True})

    @app.get("/%61dmin")
    async def other() -> str:
        return "no secret"

    outer = FastAPI()
    outer.mount("/api", app)
    answers = []
    async with running(app):
        for path in ("/%61dmin", "/admin", "/v1/shelves/a%:watch"):
            scope = http_scope("GET", "")
            scope["path"] = f"/api{path}" if mounted else path
            del scope["raw_path"]
            request = Request(outer if mounted else app, scope)
            request.arrives("http.request", body=b"")
            answers.append((await request.ended()).json)

    assert answers[0] == "no secret"
    assert answers[1]["code"] == UNAUTHENTICATED
    assert answers[2] == {"stringField": "shelves/a%"}
