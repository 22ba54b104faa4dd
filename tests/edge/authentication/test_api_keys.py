"""API keys: who has a good one comes in, and a revoked one stops at once, its streams too."""

from __future__ import annotations

import asyncio
import logging
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from fastapi import FastAPI

from gateway.admission.authentication.api_key_settings import ApiKeySettings
from gateway.admission.authentication.api_keys import new_api_key
from gateway.admission.cors_settings import CorsSettings
from gateway.admission.error import AdmissionError
from gateway.admission.identity import Identity
from gateway.exchange.request_info import RequestInfo
from gateway.setting_files import FileReadError
from gateway.testing import ScriptedUpstream
from gateway.transcoding.status import INVALID_ARGUMENT, UNAUTHENTICATED
from tests.edge.asgi import Request, ask, connect, http_scope, running, start
from tests.edge.authentication.conftest import MakeGuarded
from tests.edge.authentication.tokens import bearer, key
from tests.edge.conftest import MakeApp
from tests.edge.test_policies import OURS, Ask, Watching, by_asgi, by_websocket, directly

KEY, ENTRY = new_api_key("billing", scopes=("read", "write"), roles=("robot",))
OTHER, OTHER_ENTRY = new_api_key("reports")
DOORS = pytest.mark.parametrize("door", [by_asgi, directly, by_websocket])


def write(folder: Path, *entries: Any) -> Path:
    """Writes the file as a whole, as one should."""
    new = folder / "new.yaml"
    new.write_text(yaml.safe_dump({"keys": list(entries)}))
    path = folder / "api-keys.yaml"
    os.replace(new, path)
    return path


WRONG = {
    "empty": "",
    "a letter": "x",
    "cut": KEY[:-1],
    "longer": KEY + "x",
    "upper case": KEY.upper(),
    "another prefix": KEY.replace("pw_", "xx_"),
    "with a scheme": f"Bearer {KEY}",
    "an unknown id": f"pw_{'0' * 16}_{KEY[20:]}",
    "the id of another": OTHER[:20] + KEY[20:],
    "beyond ASCII": KEY + "\xe9",
    "huge": "x" * 10_000,
}


@pytest.fixture
def keyed(make_app: MakeApp, tmp_path: Path) -> Any:
    """Makes an edge with two keys."""

    def make(*, settings: dict[str, Any] | None = None, **section: Any) -> FastAPI:
        file = tmp_path / "api-keys.yaml"
        if not file.exists():
            write(tmp_path, ENTRY, OTHER_ENTRY)
        given: dict[str, Any] = {"file": file, "file_check_seconds": 0.05} | section
        return make_app(api_keys=ApiKeySettings(**given), **(settings or {}))

    return make


@pytest.mark.parametrize("door", [by_asgi, directly])
async def test_a_good_key_is_an_identity(keyed: Any, upstream: ScriptedUpstream, door: Ask) -> None:
    """With its name and its rights; the key itself does not go upstream, the name does if that is set."""
    app = keyed(name_metadata="x-user", settings={"request_headers": ("x-user", "x-api-key")})
    watching = Watching()
    app.state.edge.observe(watching)
    async with running(app):
        headers = {"X-API-Key": KEY, "x-user": "root", "grpc-metadata-x-api-key": KEY}
        status, _ = await door(app, "/v1/echo", headers)
    identity = watching.infos[0].identity
    assert (status, upstream.calls[-1].metadata) == (200, (("x-user", "billing"),))
    assert isinstance(identity, Identity)
    assert (identity.name, identity.kind, identity.expires_at) == ("billing", "api_key", None)
    assert identity.claims["scope"] == "read write"
    assert identity.claims["roles"] == ["robot"]


@DOORS
@pytest.mark.parametrize("text", WRONG.values(), ids=WRONG)
async def test_a_wrong_key_is_refused(
    keyed: Any, caplog: pytest.LogCaptureFixture, door: Ask, text: str
) -> None:
    """By 401; the log has nothing of it."""
    caplog.set_level(logging.DEBUG)
    async with running(keyed()) as app:
        if door is directly and "\xe9" in text:
            return
        status, body = await door(app, "/v1/echo", {"x-api-key": text})
    assert (status, body["code"]) == (401, UNAUTHENTICATED)
    assert len(text) < 10 or text not in caplog.text + str(body)


async def test_the_challenges(keyed: Any) -> None:
    """Without a key, and with a wrong one."""
    async with running(keyed(realm="echo")) as app:
        none = await ask(app, "GET", "/v1/echo")
        wrong = await ask(app, "GET", "/v1/echo", headers={"x-api-key": "x"})
    assert none.headers["www-authenticate"] == 'ApiKey realm="echo"'
    assert wrong.headers["www-authenticate"] == (
        'ApiKey realm="echo", error="invalid_token", error_description="the API key is unknown"'
    )


async def test_a_key_in_the_query_is_taken_out(keyed: Any, upstream: ScriptedUpstream) -> None:
    """Where that is set; the method does not see it."""
    async with running(keyed(query="key")) as app:
        for door in (by_asgi, directly):
            status, body = await door(app, f"/v1/echo?stringField=x&key={KEY}", {})
            assert (status, body) == (200, {"stringField": "x"})
        both = await ask(app, "GET", f"/v1/echo?key={KEY}", headers={"x-api-key": KEY})
        assert (both.status, both.json["code"]) == (400, INVALID_ARGUMENT)
    async with running(keyed()) as app:
        assert (await by_asgi(app, f"/v1/echo?key={KEY}", {}))[0] == 401


async def test_two_keys_are_refused(keyed: Any) -> None:
    """Though both are good."""
    async with running(keyed()) as app:
        scope = http_scope("GET", "/v1/echo")
        scope["headers"] = [(b"x-api-key", KEY.encode()), (b"x-api-key", OTHER.encode())]
        request = Request(app, scope)
        request.arrives("http.request", body=b"", more_body=False)
        assert (await request.ended()).status == 400


async def test_a_key_ends(keyed: Any, tmp_path: Path) -> None:
    """At its time, and so does its stream; one that has ended is refused."""
    soon, entry = new_api_key("soon", expires=datetime.now(UTC) + timedelta(seconds=3))
    late, old = new_api_key("late", expires=datetime(2020, 1, 1, tzinfo=UTC))
    write(tmp_path, entry, old)
    async with running(keyed()) as app:
        stream = start(app, "GET", "/v1/hang-stream", headers={"x-api-key": soon})
        assert (await ask(app, "GET", "/v1/echo", headers={"x-api-key": late})).status == 401
        await asyncio.wait_for(stream.ended(), 10)
        assert b"the credentials have expired" in stream.body
        refused = await ask(app, "GET", "/v1/echo", headers={"x-api-key": soon})
        assert (refused.status, refused.json["message"]) == (401, "the API key has expired")


@pytest.mark.parametrize("change", ["gone", "fewer rights", "another key"])
async def test_a_revoked_key_stops_at_once(keyed: Any, tmp_path: Path, change: str) -> None:
    """So do its streams and WebSockets, each in its framing; those of other keys go on."""
    entries = {
        "gone": [],
        "fewer rights": [{**ENTRY, "scopes": ["read"]}],
        "another key": [{**new_api_key("billing")[1], "id": ENTRY["id"]}],
    }[change]
    async with running(keyed()) as app:
        mine, others = {"x-api-key": KEY}, {"x-api-key": OTHER}
        events = start(
            app, "GET", "/v1/hang-stream", headers=mine | {"accept": "text/event-stream"}
        )
        lines = start(
            app, "GET", "/v1/hang-stream", headers=mine | {"accept": "application/x-ndjson"}
        )
        upload = start(
            app, "POST", "/v1/upload", None, mine | {"content-type": "application/x-ndjson"}
        )
        socket = connect(app, "/v1/bidi", mine, OURS)
        standing = start(app, "GET", "/v1/hang-stream", headers=others)
        for each in (events, lines, socket, standing):
            await each.until_sent(1)
        write(tmp_path, OTHER_ENTRY, *entries)
        for each in (events, lines, upload, socket):
            await asyncio.wait_for(each.ended(), 10)
        got = await ask(app, "GET", "/v1/echo", headers=mine)
        assert got.status == (200 if change == "fewer rights" else 401)
        assert not standing.task.done()
        assert (await ask(app, "GET", "/v1/echo", headers=others)).status == 200
        keys = app.state.edge.served.policies[0]._authenticators[0]._keys
        assert sum(len(each.streams) for each in keys.values()) == 1
        standing.arrives("http.disconnect")
        await standing.ended()
        assert sum(len(each.streams) for each in keys.values()) == 0
    assert b"the credentials have been revoked" in events.body
    assert b"the credentials have been revoked" in lines.body
    assert (upload.status, upload.json["code"]) == (401, UNAUTHENTICATED)
    assert socket.sent[-1]["code"] == 4000 + UNAUTHENTICATED


BAD_FILES = {
    "": "the file: Input should be",
    "keys: [": "line 1",
    "keys: 1": "keys: Input should be",
    "keyz: []": "keys: Field required; keyz: Extra inputs",
    "keys: [{id: 00112233, sha256: x, name: a}]": "keys.0.sha256",
    f"keys: [{{id: '00112233', sha256: {'a' * 64}, name: a, scope: b}}]": "keys.0.scope: Extra",
    f"keys: [{{id: '00112233', sha256: {'a' * 64}, name: a, scopes: ['a b']}}]": "keys.0.scopes.0",
    f"keys: [{{id: '00112233', sha256: {'a' * 64}, name: a, expires: 2027-01-01 00:00:00}}]": "timezone",
    yaml.safe_dump({"keys": [ENTRY, ENTRY]}): "more than once",
}


@pytest.mark.parametrize("text", BAD_FILES, ids=range(len(BAD_FILES)))
async def test_a_bad_file_is_refused_loudly(
    keyed: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture, text: str
) -> None:
    """At the start it stops that; later the last good one stays in force. No text has a hash."""
    app = keyed()
    path = tmp_path / "api-keys.yaml"
    async with running(app):
        path.write_text(text)
        async with asyncio.timeout(10):
            while "stays in force" not in caplog.text:
                await asyncio.sleep(0.01)
        assert BAD_FILES[text] in caplog.text
        assert caplog.text.count("stays in force") == 1
        assert (await ask(app, "GET", "/v1/echo", headers={"x-api-key": KEY})).status == 200
    with pytest.raises(AdmissionError) as error:
        keyed()
    assert str(error.value).startswith(f"api_keys_file: {path}: ")
    assert ENTRY["sha256"] not in caplog.text + str(error.value)
    assert "a" * 64 not in caplog.text + str(error.value)


async def test_a_file_that_is_not_there_stops_the_start(keyed: Any, tmp_path: Path) -> None:
    """And one that vanishes later does not stop the edge."""
    app = keyed()
    async with running(app):
        (tmp_path / "api-keys.yaml").unlink()
        await asyncio.sleep(0.12)
        assert (await ask(app, "GET", "/v1/echo", headers={"x-api-key": KEY})).status == 200
    with pytest.raises(FileReadError):
        keyed(file=tmp_path / "nowhere.yaml")


class Queries:
    """Remembers the query of each request."""

    def __init__(self) -> None:
        self.seen: list[bytes] = []

    def admit(self, request: RequestInfo) -> None:
        """Remembers it."""
        self.seen.append(request.query)


@pytest.mark.parametrize("door", [by_asgi, directly])
async def test_a_key_in_the_query_goes_nowhere_beside_a_token(
    make_guarded: MakeGuarded, tmp_path: Path, door: Ask
) -> None:
    """Policies behind, such as an external authorizer, do not see it, and the method has no such field."""
    section, queries = ApiKeySettings(file=write(tmp_path, ENTRY), query="key"), Queries()
    app = make_guarded(settings={"api_keys": section, "policies": [queries]})
    async with running(app):
        for key_before in (f"key={KEY}&", f"k%65y={KEY}&key=x&"):
            target = f"/v1/echo?{key_before}stringField=a"
            status, _ = await door(app, target, bearer(key().sign()))
            assert status == 200

    assert queries.seen == [b"stringField=a"] * 2


async def test_tokens_and_keys_side_by_side(
    make_guarded: MakeGuarded, tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    """The token is asked for first; a wrong one is refused though the key is good. No claim is forged."""
    section = ApiKeySettings(file=write(tmp_path, ENTRY))
    app = make_guarded(
        claim_metadata={"sub": "x-user"},
        settings={"api_keys": section, "request_headers": ("authorization", "x-user")},
    )
    async with running(app):
        for headers, status in (
            ({"x-api-key": KEY}, 200),
            (bearer(key().sign()), 200),
            (bearer("x.y.z") | {"x-api-key": KEY}, 401),
            ({"x-api-key": "x"}, 401),
        ):
            assert (await ask(app, "GET", "/v1/echo", headers=headers)).status == status
        none = await ask(app, "GET", "/v1/echo")
        challenges = [v for n, v in none.sent[0]["headers"] if n == b"www-authenticate"]
        assert challenges == [b"Bearer", b"ApiKey"]
        forged = {"x-api-key": KEY, "x-user": "root", "authorization": "Basic eDp5"}
        await ask(app, "GET", "/v1/echo", headers=forged)
        assert upstream.calls[-1].metadata == ()


async def test_pages_of_listed_origins_may_send_a_key(keyed: Any) -> None:
    """Their preflight allows the header, and they can read a refusal."""
    cors = CorsSettings(origins=("https://app.example",))
    origin = {"origin": "https://app.example"}
    asked = {"access-control-request-method": "POST", "access-control-request-headers": "x-api-key"}
    async with running(keyed(settings={"cors": cors})) as app:
        preflight = await ask(app, "OPTIONS", "/v1/echo", headers=origin | asked)
        refused = await ask(app, "GET", "/v1/echo", headers=origin | {"x-api-key": "x"})
    assert preflight.status == 204
    assert "x-api-key" in preflight.headers["access-control-allow-headers"]
    assert refused.status == 401
    assert refused.headers["access-control-allow-origin"] == "https://app.example"
