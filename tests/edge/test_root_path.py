"""An edge that a proxy serves below a prefix: its paths, its document and its pages."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from pydantic import ValidationError

from gateway.app import create_app
from gateway.doors.asgi import AsgiDoor
from gateway.settings import Settings
from gateway.testing import ScriptedUpstream
from tests.contracts import echo_descriptor_set
from tests.edge.asgi import ask, connect, running
from tests.edge.conftest import MakeApp
from tests.whole.serving import serving


@pytest.mark.parametrize("prefix", ["/api", ""], ids=["passed on", "stripped"])
async def test_paths_below_the_prefix(make_app: MakeApp, prefix: str) -> None:
    """The contract's paths and the edge's own answer, whether the proxy passes the prefix on or strips it."""
    async with running(make_app(root_path="/api")) as app:
        captured = await ask(app, "GET", f"{prefix}/v1/echo/a%2Fb")
        health = await ask(app, "GET", f"{prefix}/healthz")
        refused = await ask(app, "DELETE", f"{prefix}/v1/echo")
        handshake = connect(app, f"{prefix}/v1/bidi")
        handshake.arrives("websocket.receive", text="")
        await handshake.ended()

    assert captured.json == {"stringField": "a/b"}
    assert (health.status, refused.status) == (200, 405)
    assert handshake.sent[0]["type"] == "websocket.accept"


async def test_only_the_whole_first_segments_are_the_prefix(make_app: MakeApp) -> None:
    """A path that merely begins with the same letters is another one."""
    async with running(make_app(root_path="/v")) as app:
        answer = await ask(app, "GET", "/v1/echo?int32Field=1")

    assert answer.json == {"int32Field": 1}


async def test_the_document_names_the_prefix(make_app: MakeApp) -> None:
    """`servers` leads a client that was made from the document below the prefix."""
    async with running(make_app(root_path="/api")) as app:
        document = (await ask(app, "GET", "/api/openapi.json")).json
    async with running(make_app()) as app:
        plain = (await ask(app, "GET", "/openapi.json")).json

    assert document["servers"] == [{"url": "/api"}]
    assert {**plain, "servers": document["servers"]} == document


@pytest.mark.parametrize("prefix", ["/api", ""], ids=["passed on", "stripped"])
async def test_requests_that_come_whole(
    tmp_path: Path, upstream: ScriptedUpstream, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server answers them below the prefix too, without a turn through the application."""
    path = tmp_path / "echo.binpb"
    path.write_bytes(echo_descriptor_set())
    settings = Settings(descriptor_set=path, root_path="/api")
    app = create_app(settings, upstream)
    monkeypatch.delattr(AsgiDoor, "answer")

    async with serving(app, settings) as port, httpx.AsyncClient() as client:
        answer = await client.get(f"http://127.0.0.1:{port}{prefix}/v1/echo?int32Field=1")

    assert answer.json() == {"int32Field": 1}


@pytest.mark.parametrize("wrong", ["api", "/api/", "/a b", "/a%20b", "/..", "/a:b"])
def test_a_prefix_that_is_none(tmp_path: Path, wrong: str) -> None:
    """A prefix begins with a slash, ends without one, and needs no percent-encoding."""
    with pytest.raises(ValidationError, match="root_path"):
        Settings(descriptor_set=tmp_path, root_path=wrong)
