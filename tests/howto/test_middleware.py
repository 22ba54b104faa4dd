"""What docs/how-to/python-application.md says of policies and middleware: what they guard and break."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request, Response
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from gateway.app import create_app
from gateway.settings import Settings
from gateway.testing import Script, ScriptedCall, ScriptedUpstream, StatusError, serving
from tests.contracts import compile_text
from tests.howto.reading import PAGES
from tests.pages import blocks

PROTO = """
syntax = "proto3";
package t;
import "google/api/annotations.proto";
import "google/api/httpbody.proto";
message M { string text = 1; }
service S {
  rpc Ask(M) returns (M) { option (google.api.http) = {get: "/ask"}; }
  rpc Talk(stream M) returns (stream M) { option (google.api.http) = {post: "/talk" body: "*"}; }
  rpc Download(M) returns (stream google.api.HttpBody) { option (google.api.http) = {get: "/file"}; }
}
"""
Made = tuple[FastAPI, Settings]
TOKEN = {"authorization": "Bearer write-me"}


async def echo(call: ScriptedCall) -> AsyncIterator[Any]:
    """Answers each message with itself."""
    async for request in call.messages():
        yield request


async def half_a_file(_call: ScriptedCall) -> AsyncIterator[Any]:
    """Answers with one piece, then fails."""
    yield {"contentType": "text/csv", "data": "YWJj"}
    raise StatusError.of(14, "the disk is gone")


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Made]:
    """Makes an application, perhaps with policies, to which a test adds middleware, and its settings."""
    path = tmp_path / "t.binpb"
    path.write_bytes(compile_text(PROTO))
    settings = Settings(descriptor_set=path, log_level="critical")
    scripts: dict[str, Script] = {
        "/t.S/Ask": [{"text": "yes"}],
        "/t.S/Talk": echo,
        "/t.S/Download": half_a_file,
    }

    def made(*policies: Any) -> Made:
        return create_app(settings, ScriptedUpstream(scripts), policies=policies), settings

    return made


def shaken(url: str, headers: dict[str, str] | None = None) -> int:
    """Returns the status of a WebSocket handshake."""
    try:
        with connect(f"{url.replace('http', 'ws')}/talk", additional_headers=headers) as socket:
            socket.send('{"text":"x"}')
            assert socket.recv() == '{"text":"x"}'
            return 101
    except InvalidStatus as error:
        return error.response.status_code


def guard_by_decorator(app: FastAPI) -> None:
    """Adds the check that lets WebSockets pass."""

    @app.middleware("http")
    async def check(
        request: Request, call_next: Callable[[Request], Awaitable[Response]]
    ) -> Response:
        if "authorization" not in request.headers:
            return Response(status_code=401)
        return await call_next(request)


def require_token() -> Any:
    """Returns the class that stands on the page."""
    page = {each.title: each.text for each in blocks((PAGES / "python-application.md").read_text())}
    names: dict[str, Any] = {}
    exec(page["tokens.py"], names)
    return names["RequireToken"]


def test_a_decorator_guards_http_alone(make: Callable[[], Made]) -> None:
    """`@app.middleware("http")` never sees a handshake."""
    app, settings = make()
    guard_by_decorator(app)
    with serving(app, settings) as url:
        assert httpx.get(f"{url}/ask").status_code == 401
        assert shaken(url) == 101


def test_a_decorator_completes_what_was_cut(make: Callable[[], Made]) -> None:
    """A download that fails late looks whole behind `@app.middleware("http")`, and cut without it."""
    with serving(*make()) as url, pytest.raises(httpx.RemoteProtocolError):
        httpx.get(f"{url}/file")
    app, settings = make()
    guard_by_decorator(app)
    with serving(app, settings) as url:
        answer = httpx.get(f"{url}/file", headers=TOKEN)

    assert (answer.status_code, answer.content) == (200, b"abc")


def test_the_policy_of_the_page_guards_both(make: Callable[..., Made]) -> None:
    """Requests and handshakes without a token are 401, with one that may only read 403; a cut stays a cut."""
    app, settings = make(require_token()("write-me", "read-me"))
    reader = {"authorization": "Bearer read-me"}
    with serving(app, settings) as url:
        refused = httpx.get(f"{url}/ask")
        assert (refused.status_code, refused.json()["code"]) == (401, 16)
        assert refused.headers["www-authenticate"] == "Bearer"
        assert httpx.post(f"{url}/talk", headers=reader).status_code == 403
        assert httpx.get(f"{url}/ask", headers=TOKEN).json() == {"text": "yes"}
        assert [shaken(url), shaken(url, reader), shaken(url, TOKEN)] == [401, 403, 101]
        with pytest.raises(httpx.RemoteProtocolError):
            httpx.get(f"{url}/file", headers=TOKEN)


def test_an_empty_token_of_the_page_lets_nobody_in(make: Callable[..., Made]) -> None:
    """Though the variable of the environment may be empty."""
    app, settings = make(require_token()("", ""))
    with serving(app, settings) as url:
        for header in ("Bearer", "Basic x", ""):
            assert httpx.get(f"{url}/ask", headers={"authorization": header}).status_code == 401
