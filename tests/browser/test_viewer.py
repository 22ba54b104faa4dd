"""The page at `/docs`, in a browser that reaches this machine and no other."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.app import create_app
from gateway.doors.types import App, Receive, Scope, Send
from gateway.settings import Settings
from gateway.testing import ScriptedCall, ScriptedUpstream
from tests.browser import chromium
from tests.browser.chromium import Browser, Page
from tests.contracts import compile_text
from tests.whole.conftest import Demo, free_ports, start_demo, stop_demo
from tests.whole.serving import serving

Json = Any
PREFIX = "/behind/a/proxy"
METHODS = 400
pytestmark = pytest.mark.timeout(180)  # the first test starts a browser and the demo
PROTO = (
    'syntax = "proto3"; package t; import "google/api/annotations.proto";'
    " message M { string id = 1; int32 number = 2; M more = 3; } service S {"
    + "".join(
        f' rpc R{n}(M) returns (M) {{ option (google.api.http) = {{get: "/r{n}/{{id}}"}}; }}'
        for n in range(METHODS)
    )
    + " }"
)
SHOWN = """
const shown = new Set();
// a busy browser may draw no frame for a while
const drawn = () => new Promise((resolve) => {
  requestAnimationFrame(() => setTimeout(resolve));
  setTimeout(resolve, 100);
});
while (shown.size < %d) {
  for (let top = 0; top < document.body.scrollHeight; top += innerHeight / 2) {
    scrollTo(0, top);
    await drawn();
    for (const block of document.querySelectorAll(".opblock")) {
      const verb = block.querySelector(".opblock-summary-method").textContent.toLowerCase();
      shown.add(`${verb} ${block.querySelector("[data-path]").dataset.path}`);
    }
  }
}
return [...shown];
"""
"""Scrolls until so many operations were seen: Swagger UI draws those in sight, and a few beyond."""


@pytest.fixture(scope="module")
async def offline() -> AsyncIterator[Browser]:
    """A Chromium that finds no host but this one."""
    executable = chromium.find()
    if executable is None:
        pytest.skip(f"needs a browser: none of {', '.join(chromium.NAMES)} is installed")
    rules = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"
    async with chromium.running(executable, rules) as running:
        yield running


@pytest.fixture(scope="module")
def demo(offline: Browser) -> Iterator[Demo]:
    """The demo, where there is a browser to see it."""
    running = start_demo(*free_ports(2))
    yield running
    assert stop_demo(running) == 0


@asynccontextmanager
async def opened(browser: Browser, url: str) -> AsyncIterator[Page]:
    """Opens a page; its console and its policy have no complaint, and it asks its own host alone."""
    async with browser.page("about:blank") as page:
        await page.call("Network.enable")
        await page.call(
            "Emulation.setDeviceMetricsOverride",
            width=1000,
            height=4000,
            deviceScaleFactor=1,
            mobile=False,
        )
        await page.go(url)
        yield page
        host = "/".join(url.split("/")[:3])
        assert page.problems == []
        assert [asked for asked in page.requests if not asked.startswith((host, "data:"))] == []
        assert len(page.requests) > 4


def operations(document: Json) -> list[str]:
    """Returns the HTTP method and the path of each operation of a document."""
    return [f"{verb} {path}" for path, item in document["paths"].items() for verb in item]


async def answers_with_itself(call: ScriptedCall) -> AsyncIterator[bytes]:
    """Answers each request with itself."""
    async for request in call.requests:
        yield request


class WithoutPrefix:
    """Takes a prefix off the path, as a reverse proxy does before it passes a request on."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes one request on."""
        if scope["type"] == "http":
            scope["path"] = scope["path"].removeprefix(PREFIX)
            scope["raw_path"] = scope["raw_path"].removeprefix(PREFIX.encode())
        await self._app(scope, receive, send)


@asynccontextmanager
async def edge(folder: Path) -> AsyncIterator[str]:
    """An edge with a large contract, at its own paths and below a prefix; gives its base URL."""
    path = folder / "large.binpb"
    path.write_bytes(compile_text(PROTO))
    settings = Settings(descriptor_set=path)
    upstream = ScriptedUpstream({f"/t.S/R{n}": answers_with_itself for n in range(METHODS)})
    app = create_app(settings, upstream)
    app.add_middleware(WithoutPrefix)
    async with serving(app, settings) as port:
        yield f"http://127.0.0.1:{port}"


async def test_every_method_is_shown_without_a_network(offline: Browser, demo: Demo) -> None:
    """All operations of the document are on the page, and nothing is asked of another host."""
    async with httpx.AsyncClient() as client:
        document = (await client.get(f"{demo.http}/openapi.json")).json()
    expected = operations(document)
    async with opened(offline, f"{demo.http}/docs") as page:
        shown = await page.run(SHOWN % len(expected))

    assert sorted(shown) == sorted(expected)
    assert len(shown) > 6


async def test_a_request_can_be_tried(offline: Browser, demo: Demo) -> None:
    """An operation opens, and its request is sent with the example that stands there, and answered."""
    block = """document.querySelector('[data-path="/hello"]')?.closest('.opblock')"""
    async with opened(offline, f"{demo.http}/docs") as page:
        for button in (".opblock-summary-control", ".try-out__btn", ".execute"):
            await page.until(f"!!{block}?.querySelector('{button}')")
            await page.run(f"{block}.querySelector('{button}').click()")
        answer = await page.until(
            f"{block}.querySelector('.live-responses-table td pre')?.innerText"
        )

    assert "Hello, string!" in answer


@pytest.mark.parametrize("prefix", ["", PREFIX])
async def test_a_large_contract_is_shown_below_a_prefix_too(
    offline: Browser, prefix: str, tmp_path: Path
) -> None:
    """Hundreds of methods are shown in seconds, and requests go where the page came from."""
    async with edge(tmp_path) as url, opened(offline, f"{url}{prefix}/docs") as page:
        shown = await page.run(SHOWN % METHODS)
        server = await page.run("return document.querySelector('.servers option')?.value ?? null")

    assert sorted(shown) == sorted(f"get /r{n}/{{id}}" for n in range(METHODS))
    assert server == (prefix or None)
