"""A page on another origin calls the edge in a real Chromium, in each way; a third origin is refused each.

A way in which a page says who it is, is one more item of `WAYS`.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from starlette.responses import Response

from gateway.admission.cors_settings import CorsSettings
from gateway.app import create_app
from gateway.exchange.policy import Policy
from gateway.exchange.request_info import RequestInfo
from gateway.settings import Settings
from gateway.testing import ScriptedCall, ScriptedUpstream
from gateway.transcoding.status import NOT_FOUND, UNAUTHENTICATED, StatusError
from tests.browser import scripted
from tests.browser.chromium import Browser, Page
from tests.contracts import compile_text
from tests.whole.cutting import Cut, CuttingProxy, cutting
from tests.whole.serving import serving

Json = Any
CONTRACT = """
syntax = "proto3"; package shop;
import "gateway/v1/options.proto"; import "google/api/annotations.proto";
service Shop {
  rpc Get(Item) returns (Item) { option (google.api.http) = {
    get: "/items/{name}"
    additional_bindings {post: "/items" body: "*"}
    additional_bindings {delete: "/items/{name}"}
  }; }
  rpc Watch(Item) returns (stream Item) {
    option (google.api.http) = {get: "/watch/{name}"};
    option (gateway.v1.stream) = {keep: 8 linger {seconds: 60}};
  }
  rpc Talk(stream Item) returns (stream Item) { option (google.api.http) = {post: "/talk" body: "*"}; }
}
message Item { string name = 1; int32 number = 2; }
"""
EVENTS = 6
PADDING = "x" * 2000
"""Of each event, so that a cut after `CUT` bytes is in the third one."""
CUT = 5000


class RequireCookie:
    """A policy that knows one cookie."""

    def admit(self, request: RequestInfo) -> None:
        """Refuses those who do not have it."""
        if request.is_preflight or request.path == "/login":
            return
        if b"sid=ann" not in (request.header(b"cookie") or b""):
            raise StatusError.of(UNAUTHENTICATED, "who are you?")


@dataclass(frozen=True)
class Way:
    """How a page says who it is."""

    name: str
    policies: tuple[Policy, ...] = ()
    login: str = ""
    """JavaScript that runs first in the listed page; `E` is the edge's URL."""
    cookies: dict[str, str] = field(default_factory=dict)
    """That the browser has of the edge since then."""
    init: dict[str, Json] = field(default_factory=dict)
    """Options of `fetch`."""
    events: dict[str, Json] = field(default_factory=dict)
    """Options of `EventSource`."""


WAYS = (
    Way("nobody asks"),
    Way(
        "cookie",
        (RequireCookie(),),
        'await fetch(E + "/login", { method: "POST", credentials: "include" });',
        {"sid": "ann"},
        {"credentials": "include"},
        {"withCredentials": True},
    ),
)


async def get(call: ScriptedCall) -> AsyncIterator[Json]:
    """Answers with the item, if there is one."""
    item = await call.message()
    if item.name == "missing":
        raise StatusError.of(NOT_FOUND, "no such item")
    yield item


async def watch(_call: ScriptedCall) -> AsyncIterator[Json]:
    """Answers some events."""
    for number in range(EVENTS):
        yield {"name": PADDING, "number": number + 1}


async def talk(call: ScriptedCall) -> AsyncIterator[Json]:
    """Answers each message with itself."""
    async for item in call.messages():
        yield item


@dataclass
class Stage:
    """An edge, and pages of a listed origin and of a third one."""

    edge: str
    """Its URL."""
    upstream: ScriptedUpstream
    proxy: CuttingProxy
    """Cuts the first stream."""
    listed: Page
    third: Page
    way: Way

    def script(self, body: str, *, edge: str = "") -> str:
        """Returns a script with what it needs: `E`, `INIT` and `EVENTS_INIT`."""
        names = {"E": edge or self.edge, "INIT": self.way.init, "EVENTS_INIT": self.way.events}
        constants = "".join(f"const {name} = {json.dumps(value)};" for name, value in names.items())
        return constants + body


@pytest.fixture(scope="module")
async def tabs(browser: Browser) -> AsyncIterator[tuple[Page, Page]]:
    """Two pages that share nothing, for all tests: a new one costs more than what a test does in it."""
    async with browser.page("about:blank") as listed, browser.page("about:blank") as third:
        yield listed, third


@pytest.fixture(params=WAYS, ids=lambda way: way.name)
async def stage(
    request: pytest.FixtureRequest, tabs: tuple[Page, Page], tmp_path: Path
) -> AsyncIterator[Stage]:
    """The edge of one way, and the pages, which have no cookie of an earlier test."""
    way: Way = request.param
    path = tmp_path / "shop.binpb"
    path.write_bytes(compile_text(CONTRACT))
    upstream = ScriptedUpstream(
        {"/shop.Shop/Get": get, "/shop.Shop/Watch": watch, "/shop.Shop/Talk": talk}
    )
    async with AsyncExitStack() as stack:
        app_server = await stack.enter_async_context(scripted.serving())
        third_server = await stack.enter_async_context(scripted.serving())
        cors = CorsSettings(
            origins=(app_server.url,), credentials="credentials" in way.init, headers=("x-custom",)
        )
        settings = Settings(
            descriptor_set=path, cors=cors, retry_seconds=0.05, request_headers=("x-custom",)
        )
        app = create_app(settings, upstream, policies=way.policies)

        @app.post("/login")
        async def login() -> Response:
            return Response(headers={"set-cookie": "sid=ann; Path=/; SameSite=Lax"})

        port = await stack.enter_async_context(serving(app, settings))

        def cuts() -> Iterator[Cut]:
            while not proxy.cut:
                yield Cut(CUT, reset=False)

        proxy = await stack.enter_async_context(cutting(f"127.0.0.1:{port}", cuts()))
        listed, third = tabs
        for page, server in ((listed, app_server), (third, third_server)):
            await page.call("Network.clearBrowserCookies")
            await page.go(f"{server.url}/")
            page.problems.clear()
        stage = Stage(f"http://127.0.0.1:{port}", upstream, proxy, listed, third, way)
        await listed.run(stage.script(way.login))
        for name, value in way.cookies.items():  # the user of the third page is logged in too
            await third.call("Network.setCookie", name=name, value=value, url=stage.edge)
        yield stage
        for page in tabs:
            await page.go("about:blank")  # closes its connections


FETCH = """
const answers = [];
const ask = async (path, init = {}) => {
  const response = await fetch(E + path, { ...INIT, ...init });
  const id = response.headers.get("x-request-id");
  answers.push([response.status, await response.json(), id]);
};
"""


async def test_a_listed_page_fetches(stage: Stage) -> None:
    """Simple requests and those with a preflight; it reads bodies, errors and ids."""
    answers = await stage.listed.run(
        stage.script(
            FETCH
            + """
            const headers = { "x-request-id": "r-1", "x-custom": "1", "grpc-metadata-x-a": "2" };
            await ask("/items/tea", { headers: { "x-request-id": "r-0" } });
            await ask("/items", {
              method: "POST",
              headers: { ...headers, "content-type": "application/json" },
              body: JSON.stringify({ name: "tea", number: 2 }),
            });
            await ask("/items/cup", { method: "DELETE", headers: { "x-request-id": "r-2" } });
            await ask("/items/missing", { headers: { "x-request-id": "r-3" } });
            await ask("/items/tea?nothing=1", { headers: { "x-request-id": "r-4" } });
            await ask("/nowhere", {});
            await ask("/watch/a", { method: "POST", body: "{}", headers });
            return answers;
            """
        )
    )

    assert [status for status, _, _ in answers] == [200, 200, 200, 404, 400, 404, 405]
    assert [body for _, body, _ in answers[:3]] == [
        {"name": "tea"},
        {"name": "tea", "number": 2},
        {"name": "cup"},
    ]
    assert answers[3][1] == {"code": NOT_FOUND, "message": "no such item"}
    assert (
        answers[6][1]["message"]
        == "this path takes the HTTP methods GET, HEAD and OPTIONS, not POST"
    )
    assert [request_id for _, _, request_id in answers[:5]] == [f"r-{n}" for n in range(5)]
    assert len(answers[5][2]) == 32
    assert dict(stage.upstream.calls[1].metadata) == {"x-custom": "1", "x-a": "2"}
    assert stage.listed.problems == []


async def test_a_listed_page_reads_events_and_resumes(stage: Stage) -> None:
    """`EventSource` comes back after a cut with the last id, and misses nothing."""
    seen = await asyncio.wait_for(
        stage.listed.run(
            stage.script(
                """
                const source = new EventSource(E + "/watch/a", EVENTS_INIT);
                const seen = { numbers: [], cuts: 0, gaps: 0 };
                source.onerror = () => { seen.cuts += 1; };
                source.addEventListener("gap", () => { seen.gaps += 1; });
                await new Promise((resolve) => {
                  source.onmessage = (event) => {
                    seen.numbers.push(JSON.parse(event.data).number);
                    if (seen.numbers.length === 6) resolve();
                  };
                });
                source.close();
                return seen;
                """,
                edge=f"http://{stage.proxy.address}",
            )
        ),
        30,
    )

    assert seen == {"numbers": [1, 2, 3, 4, 5, 6], "cuts": 1, "gaps": 0}
    assert stage.proxy.cut == 1
    assert len(stage.upstream.calls) == 1  # the same call, which went on
    assert stage.listed.problems == []


async def test_a_listed_page_reads_events_by_fetch(stage: Stage) -> None:
    """The id of the last event is in a header of the page's own, which needs a preflight."""
    numbers = await stage.listed.run(
        stage.script(
            """
            const response = await fetch(E + "/watch/a", {
              ...INIT, headers: { accept: "text/event-stream", "last-event-id": "" },
            });
            const text = await response.text();
            return [...text.matchAll(/"number":(\\d)/g)].map((found) => Number(found[1]));
            """
        )
    )

    assert numbers == [1, 2, 3, 4, 5, 6]
    assert stage.listed.problems == []


SOCKET = """
const socket = new WebSocket(E.replace("http", "ws") + "/talk", ["grpc-json.v1"]);
return await new Promise((resolve) => {
  const seen = [];
  socket.onopen = () => { socket.send('{"name":"tea"}'); socket.send(""); };
  socket.onmessage = (event) => seen.push(JSON.parse(event.data));
  socket.onclose = (event) => resolve([seen, event.code]);
});
"""


async def test_a_listed_page_opens_a_websocket(stage: Stage) -> None:
    """By the same list."""
    assert await stage.listed.run(stage.script(SOCKET)) == [[{"name": "tea"}], 1000]
    assert stage.listed.problems == []


async def test_a_third_page_gets_nothing(stage: Stage) -> None:
    """Though its user is logged in: no answer by `fetch`, no event, no WebSocket, and no unsafe call."""
    seen = await stage.third.run(
        stage.script(
            """
            const seen = {};
            const ask = async (name, path, init = {}) => {
              seen[name] = await fetch(E + path, { ...INIT, ...init }).then(
                (response) => response.status, (error) => error.name);
            };
            const json = { "content-type": "application/json" };
            await ask("post", "/items", { method: "POST", body: '{"name":"tea"}' });
            await ask("json", "/items", { method: "POST", body: '{"name":"tea"}', headers: json });
            await ask("delete", "/items/tea", { method: "DELETE" });
            await ask("blind", "/items",
              { method: "POST", body: '{"name":"tea"}', mode: "no-cors" });
            const source = new EventSource(E + "/watch/a", EVENTS_INIT);
            seen.events = await new Promise((resolve) => {
              source.onerror = () => resolve(source.readyState);
              source.onmessage = () => resolve("a message");
            });
            """
            + SOCKET.replace("return await", "seen.socket = await")
            + """
                        await ask("get", "/items/tea");
            await ask("docs", "/openapi.json");
            return seen;
            """
        )
    )

    assert seen == {
        "post": "TypeError",
        "json": "TypeError",
        "delete": "TypeError",
        "blind": 0,  # opaque: a page is not told that it was refused
        "events": 2,  # CLOSED: it does not come back
        "socket": [[], 1006],
        "get": "TypeError",
        "docs": "TypeError",
    }
    # safe requests go through, and only their answers are kept from the page
    called = [call.method.full_name for call in stage.upstream.calls]
    assert called == ["shop.Shop.Watch", "shop.Shop.Get"]


async def test_a_page_that_sends_no_cookie_is_told_so(stage: Stage) -> None:
    """The refusal of a later policy has the headers of CORS, so the page reads it."""
    if not stage.way.init:
        pytest.skip("nobody asks who it is")
    answer = await stage.listed.run(
        stage.script(
            """
            const response = await fetch(E + "/items/tea");
            return [response.status, (await response.json()).message,
                    response.headers.get("www-authenticate")];
            """
        )
    )

    assert answer == [401, "who are you?", "Bearer"]


@pytest.mark.parametrize(
    ("path", "init", "says"),
    [
        (
            "/items/tea",
            {"method": "PUT"},
            "Method PUT is not allowed by Access-Control-Allow-Methods",
        ),
        ("/nowhere", {"headers": {"x-custom": "1"}}, "It does not have HTTP ok status"),
        ("/items/tea", {"headers": {"x-other": "1"}}, "field x-other is not allowed"),
    ],
)
async def test_the_console_names_the_reason(
    stage: Stage, path: str, init: dict[str, Json], says: str
) -> None:
    """And not that a header of CORS were missing, which is not what is wrong."""
    script = f"return await fetch(E + {json.dumps(path)}, {json.dumps(init)}).catch((e) => e.name);"
    assert await stage.listed.run(stage.script(script)) == "TypeError"
    await asyncio.wait_for(_problem(stage.listed), 10)

    assert says in stage.listed.problems[0]


async def _problem(page: Page) -> None:
    while not page.problems:
        await asyncio.sleep(0.01)
