"""Headers by which browsers protect pages, and tell what a response is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI

from tests.edge.asgi import Request, connect, http_scope, running
from tests.edge.conftest import MakeApp
from tests.edge.test_direct import answer

HSTS = "max-age=31536000; includeSubDomains"
PAGES = ("/docs", "/docs/viewer.js", "/docs/swagger-ui.css", "/openapi.json", "/", "/page.js")
JSON = ("/v1/echo", "/v1/echo?nothing=1", "/v1/fail/5", "/v1/nothing", "/healthz")
STREAMS = ("/v1/fail-stream/5?after=1", "/v1/fail-stream/5")


async def got(app: FastAPI, path: str, scheme: str = "http", **headers: str) -> Request:
    """Asks by GET."""
    request = Request(app, http_scope("GET", path, headers) | {"scheme": scheme})
    request.arrives("http.request", body=b"", more_body=False)
    return await request.ended()


@pytest.fixture
def pages(tmp_path: Path) -> Path:
    """A folder of pages."""
    folder = tmp_path / "pages"
    folder.mkdir()
    (folder / "index.html").write_text("<!doctype html>")
    (folder / "page.js").write_text("")
    return folder


@pytest.mark.parametrize("path", PAGES)
async def test_pages_say_what_they_may_load(make_app: MakeApp, pages: Path, path: str) -> None:
    """And that they are what their media type says, and that nobody is told where a link was."""
    async with running(make_app(pages=pages)) as app:
        request = await got(app, path)

    assert request.status == 200
    policy = request.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; ")
    assert "frame-ancestors 'none'" in policy
    assert request.headers["x-content-type-options"] == "nosniff"
    assert request.headers["referrer-policy"] == "no-referrer"


@pytest.mark.parametrize("path", [*JSON, *STREAMS])
async def test_every_body_is_what_its_type_says(make_app: MakeApp, path: str) -> None:
    """Answers, errors and streams, once."""
    async with running(make_app()) as app:
        request = await got(app, path)

    names = [name for name, _ in request.sent[0]["headers"]]
    assert names.count(b"x-content-type-options") == 1
    assert request.headers["x-content-type-options"] == "nosniff"


async def test_direct_answers_too(app: FastAPI) -> None:
    """Those that need no task."""
    _, headers, _ = await answer(app, b"GET /v1/echo HTTP/1.1\r\nhost: x\r\n\r\n")

    assert headers[b"x-content-type-options"] == b"nosniff"


@pytest.mark.parametrize("path", [*PAGES, *JSON, *STREAMS])
async def test_hsts_is_for_tls(make_app: MakeApp, pages: Path, path: str) -> None:
    """Each response over TLS has it, and none without TLS, nor without the setting."""
    async with running(make_app(pages=pages, hsts=HSTS)) as app:
        over_tls, without = await got(app, path, "https"), await got(app, path)
    async with running(make_app(pages=pages)) as app:
        unset = await got(app, path, "https")

    assert over_tls.headers["strict-transport-security"] == HSTS
    for other in (without, unset):
        assert "strict-transport-security" not in other.headers


@pytest.mark.parametrize(("scheme", "sent"), [("wss", True), ("ws", False)])
async def test_hsts_of_a_refused_handshake(make_app: MakeApp, scheme: str, *, sent: bool) -> None:
    """It is a response as any other."""
    async with running(make_app(hsts=HSTS)) as app:
        request = await connect(app, "/v1/nothing", scheme=scheme).ended()

    assert request.status == 404
    assert ("strict-transport-security" in request.headers) is sent


@pytest.mark.parametrize(
    "value", ["1", "max-age=x", "max-age=1;", "max-age=1; other", "max-age=1\n"]
)
def test_a_wrong_value_stops_the_start(make_app: MakeApp, value: Any) -> None:
    """It would be a header that browsers ignore."""
    with pytest.raises(ValueError, match="hsts"):
        make_app(hsts=value)
