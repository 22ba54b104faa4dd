"""The pages of the admin listener: what they say, what they never say, and who may read them."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette

from gateway import __version__
from gateway.app import create_app
from gateway.operations.admin_pages import AdminPages, is_loopback
from gateway.operations.debugging import BusyError, Profiler, tasks
from gateway.operations.recent_errors import KEPT
from gateway.operations.status import Status
from gateway.operations.status_page import MAX_ROUTES, render_page
from gateway.operations.status_report import MAX_ERRORS, quantile, report
from gateway.server import Server
from gateway.settings import Settings
from gateway.testing import ScriptedUpstream, serving
from server_process.exposition import BUCKETS, Histogram
from tests.contracts import echo_descriptor_set
from tests.edge.conftest import SCRIPTS
from tests.operations.test_admin_listener import CONVERT, watched_edge
from tests.whole.certificates import made
from tests.whole.processes import core

UNARY = "/v1/echo?int32Field=1"
LOCAL = ("127.0.0.1", 4711)
PROMPTLY = 20
SECRET = "hunter2-secret"


@pytest.fixture
def make(tmp_path: Path) -> Any:
    """Makes an application that counts, and its settings."""
    path = tmp_path / "echo.binpb"
    path.write_bytes(echo_descriptor_set())

    def make(**settings: Any) -> tuple[FastAPI, Settings]:
        made = Settings(descriptor_set=path, admin_port=0, **settings)
        return create_app(made, ScriptedUpstream(SCRIPTS)), made

    return make


def status_of(app: FastAPI, settings: Settings) -> Status:
    """Returns the status of an application."""
    return Status(app.state.metrics, settings, app.state.readiness)


async def report_of(app: FastAPI, settings: Settings) -> dict[str, Any]:
    """Returns its report, as its only worker gives it."""
    status = status_of(app, settings)
    return await status.report({"0": status.tell()})


@asynccontextmanager
async def pages(
    app: FastAPI, settings: Settings, client: tuple[str, int] = LOCAL, host: str = "localhost"
) -> AsyncIterator[httpx.AsyncClient]:
    """Gives a client of the pages, which has an address and calls them by a host."""
    status = status_of(app, settings)

    async def ask_all() -> Any:
        return {"0": status.tell()}

    served = Starlette(routes=AdminPages(status, ask_all, app.state.reloader.reload).routes())
    transport = httpx.ASGITransport(served, client=client)
    async with httpx.AsyncClient(transport=transport, base_url=f"http://{host}") as asking:
        yield asking


def ask(app: FastAPI, settings: Settings, *paths: str, **headers: str) -> list[int]:
    """Asks the edge by its own door; returns the statuses."""
    with serving(app, settings) as url, httpx.Client(base_url=url, headers=headers) as client:
        return [client.get(path).status_code for path in paths]


async def test_routes_have_their_counts_and_durations(make: Any) -> None:
    """Also those that nobody has asked for; what no route takes is one row."""
    app, settings = make()
    assert ask(app, settings, UNARY, UNARY, "/v1/echo?int32Field=x", "/none") == [
        200,
        200,
        400,
        404,
    ]
    found = await report_of(app, settings)

    routes = {(each["http_method"], each["route"]): each for each in found["routes"]}
    echo = routes["GET", "/v1/echo"]
    assert (echo["requests"], echo["errors"]) == (3, 0)
    assert echo["statuses"] == {"200": 2, "400": 1}
    assert 0 < echo["p50_ms"] <= echo["p99_ms"]
    assert routes["GET", "_OTHER"]["requests"] == 1
    unused = [each for each in found["routes"] if not each["requests"]]
    assert unused
    assert all(each["p50_ms"] is None for each in unused)
    bindings = app.state.edge.served.transcoder.bindings
    assert {(each.http_method, str(each.template)) for each in bindings} <= routes.keys()


async def test_what_is_served_is_told(make: Any, tmp_path: Path) -> None:
    """Version, contract, upstream, readiness, limits, settings and the ends of certificates."""
    folder = made(tmp_path / "tls") / "gateway"
    files = {"tls_certificate": folder / "certificate.pem", "tls_key": folder / "key.pem"}
    app, settings = make(**files, max_message_bytes=12345)
    Server(app, settings)
    found = await report_of(app, settings)

    assert found["version"] == __version__
    assert found["contract"]["file"] == str(settings.descriptor_set)
    assert found["contract"]["fingerprints"] == [found["workers"][0]["contract"]]
    assert found["upstream"]["address"] == settings.upstream
    assert found["readiness"]["status"] == "NOT_SERVING"
    assert found["limits"]["max_message_bytes"] == 12345
    assert "max_message_bytes: 12345  # set" in found["settings"]
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", found["certificates"]["tls_certificate"]
    )


async def test_no_secret_and_no_value_of_a_caller_is_told(make: Any) -> None:
    """The id of its request is escaped."""
    app, settings = make()
    headers = {"authorization": f"Bearer {SECRET}", "cookie": SECRET, "x-request-id": "<b>id"}
    paths = (f"/v1/echo?int32Field={SECRET}", f"/{SECRET}?{SECRET}")
    assert ask(app, settings, *paths, **headers) == [400, 404]
    async with pages(app, settings) as client:
        answers = [await client.get(path) for path in ("/", "/status.json", "/debug/tasks")]

    for answer in answers:
        assert answer.status_code == 200
        assert SECRET not in answer.text
    assert "<b>" not in answers[0].text


async def test_recent_errors_are_kept_by_route(make: Any) -> None:
    """A bounded number, the last ones first, with what finds them in the logs; successes are none."""
    app, settings = make()
    wrong = "/v1/echo?int32Field=x"
    ask(app, settings, UNARY, *["/none"] * (KEPT + 3), wrong)
    errors = (await report_of(app, settings))["recent_errors"]

    assert len(errors) == KEPT + 1
    first = errors[0]
    assert (first["route"], first["status"], first["code"]) == ("/v1/echo", 400, "INVALID_ARGUMENT")
    assert first["http_method"] == "GET"
    assert first["request_id"]
    assert first["worker"] == "0"
    assert {each["route"] for each in errors[1:]} == {"_OTHER"}
    times = [each["time"] for each in errors]
    assert times == sorted(times, reverse=True)
    assert time.time() - 60 < times[-1] <= times[0] <= time.time()


def histogram(*seconds: float) -> Histogram:
    """Returns a histogram of some durations."""
    made = Histogram()
    for each in seconds:
        made.observe(each)
    return made


@pytest.mark.parametrize(
    ("seconds", "share", "expected"),
    [
        ((), 0.5, None),
        ((0.003,), 0.5, 0.0025 + 0.0025 * 0.5),
        ((0.003, 0.003), 1.0, 0.005),
        ((0.0001,) * 99 + (0.06,), 0.5, 0.0005 * 50 / 99),
        ((0.0001,) * 99 + (0.06,), 1.0, 0.1),
        ((99.0,), 0.5, 10.0),
    ],
)
def test_a_quantile_is_that_of_prometheus(
    seconds: tuple[float, ...], share: float, expected: float | None
) -> None:
    """Interpolated within a bucket, as `histogram_quantile` does."""
    found = quantile(histogram(*seconds).counts, share)

    assert found == (None if expected is None else pytest.approx(expected))


@given(st.lists(st.floats(0, 9.9), min_size=1, max_size=50), st.floats(0.01, 1))
def test_a_quantile_lies_in_the_bucket_of_the_value(values: list[float], share: float) -> None:
    """Whatever the values."""
    found = quantile(histogram(*values).counts, share)
    position = max(0, min(len(values) - 1, int(-(-share * len(values) // 1)) - 1))
    true = sorted(values)[position]

    assert found is not None
    bounds = (0.0, *BUCKETS)
    lower = max(bound for bound in bounds if bound < true or bound == 0)
    upper = min(bound for bound in bounds[1:] if bound >= true)
    assert lower - 1e-9 <= found <= upper + 1e-9


async def test_workers_are_added_up(make: Any) -> None:
    """And one that does not answer is told of."""
    app, settings = make()
    ask(app, settings, UNARY, "/none")
    told = status_of(app, settings).tell()
    found = report({"0": told, "1": None, "2": told}, [("GET", "/v1/echo", "a.B/C")])

    assert [each["up"] for each in found["workers"]] == [True, False, True]
    assert found["routes"][0]["requests"] == 2
    assert len(found["recent_errors"]) == 2
    many = {**told, "errors": told["errors"] * (MAX_ERRORS + 1)}
    assert len(report({"0": many}, ())["recent_errors"]) == MAX_ERRORS


class _Tags(HTMLParser):
    """The tags of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Notes a tag."""
        self.tags.add(tag)
        self.links += [value or "" for name, value in attrs if name == "href"]
        assert not any(name.startswith("on") for name, _ in attrs)


async def test_the_page_is_plain_and_escaped(make: Any) -> None:
    """No script, no form, no link to elsewhere; its style is the one that its policy allows."""
    app, settings = make()
    found = await report_of(app, settings)
    evil = "</pre><script>alert(1)</script>"
    found["settings"] = evil
    found["contract"]["services"] = [evil]
    found["routes"] = [{**found["routes"][0], "route": evil}] * (MAX_ROUTES + 2)
    tags = _Tags()
    tags.feed(render_page(found))
    assert not tags.tags & {"script", "form", "iframe", "img", "link", "button"}
    assert all(not re.match("[a-z]+:|/", link) for link in tags.links)
    assert "And 2 more." in render_page(found)

    async with pages(app, settings) as client:
        answer = await client.get("/")
    policy = answer.headers["content-security-policy"]
    (style,) = re.findall("<style>(.*?)</style>", answer.text)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy.startswith(f"default-src 'none'; style-src 'sha256-{digest}';")
    assert answer.headers["cache-control"] == "no-store"
    for heading in ("Routes", "Feeds", "Recent errors", "Certificates", "Limits", "Settings"):
        assert f"<h2>{heading}</h2>" in answer.text


@pytest.mark.parametrize(
    ("client", "host", "page", "debug"),
    [
        (("127.0.0.1", 1), "localhost:9901", 200, 200),
        (("::1", 1), "[::1]:9901", 200, 200),
        (("::ffff:127.0.0.1", 1), "127.0.0.1", 200, 200),
        (("127.0.0.1", 1), "rebound.example", 403, 403),
        (("192.0.2.7", 1), "edge.example:9901", 200, 403),
        (("192.0.2.7", 1), "localhost", 200, 403),
    ],
)
async def test_who_may_read_what(
    make: Any, client: tuple[str, int], host: str, page: int, debug: int
) -> None:
    """Only this machine sees stacks; a page of a stranger cannot come here under the stranger's name."""
    app, settings = make()
    async with pages(app, settings, client, host) as asking:
        for path in ("/", "/status.json"):
            assert (await asking.get(path)).status_code == page
            assert (await asking.post(path)).status_code == 405
        for path in ("/debug/tasks", "/debug/profile?seconds=0.01"):
            assert (await asking.get(path)).status_code == debug


@pytest.mark.parametrize(
    ("host", "expected"),
    [("localhost", True), ("127.9.9.9", True), ("[::1]", True), ("0.0.0.0", False), ("", False)],
)
def test_a_host_is_this_machine(host: str, expected: bool) -> None:
    """By address or by the one name."""
    assert is_loopback(host) is expected


@pytest.mark.parametrize("seconds", ["0", "-1", "61", "nan", "inf", "x", ""])
async def test_a_profile_is_bounded(make: Any, seconds: str) -> None:
    """A duration that is none, or too long, is refused with the limit."""
    app, settings = make()
    async with pages(app, settings) as client:
        answer = await client.get(f"/debug/profile?seconds={seconds}")

    assert (answer.status_code, "at most 60" in answer.text) == (400, True)


async def _busy_with_something() -> None:
    ends = time.monotonic() + 0.3
    while time.monotonic() < ends:
        sum(range(1000))


async def test_a_profile_shows_what_the_loop_does(make: Any) -> None:
    """As folded stacks, outermost first; one at a time."""
    app, settings = make()
    async with pages(app, settings) as client:
        asking = asyncio.ensure_future(client.get("/debug/profile?seconds=1"))
        await asyncio.sleep(0.1)
        assert (await client.get("/debug/profile?seconds=1")).status_code == 409
        await _busy_with_something()
        text = (await asking).text

    counts = {stack: int(n) for stack, n in re.findall(r"^(\S+) (\d+)$", text, re.MULTILINE)}
    name = f"{__name__}.{_busy_with_something.__qualname__}"
    assert any(stack.rpartition(";")[2] == name for stack in counts), text
    assert list(counts.values()) == sorted(counts.values(), reverse=True)


async def test_a_profile_that_is_left_makes_way() -> None:
    """For the next one, and its thread ends."""
    profiler = Profiler()
    first = asyncio.ensure_future(profiler.profile(60))
    await asyncio.sleep(0)
    with pytest.raises(BusyError):
        await profiler.profile(1)
    first.cancel()
    await asyncio.wait({first})

    assert await profiler.profile(0.01) is not None


async def _waits_for_ever(secret: str) -> None:
    await asyncio.Event().wait()
    assert secret


async def test_tasks_have_their_stacks() -> None:
    """Equal ones once, with their number; names, and no values."""
    waiting = [asyncio.ensure_future(_waits_for_ever(SECRET)) for _ in range(300)]
    await asyncio.sleep(0)
    text = await tasks()
    for each in waiting:
        each.cancel()
    await asyncio.wait(waiting)

    assert re.search(
        rf"^300 x\n  {__name__}\._waits_for_ever:\d+\n  asyncio\.locks\.Event\.wait",
        text,
        re.MULTILINE,
    )
    assert SECRET not in text


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_the_page_of_a_process(workers: str) -> None:
    """Served beside the metrics; with workers it has the numbers of all."""
    requests = 20
    async with core() as upstream, watched_edge(upstream.address, workers=workers) as (edge, admin):
        for _ in range(requests):
            async with httpx.AsyncClient() as client:
                assert (await client.get(edge.http + CONVERT)).status_code == 200
        for _ in range(3):
            async with httpx.AsyncClient(timeout=PROMPTLY) as client:
                found = (await client.get(f"{admin}/status.json")).json()
                page = await client.get(f"{admin}/")
            assert [each["up"] for each in found["workers"]] == [True] * int(workers)
            assert found["routes"][0]["requests"] == requests
            assert found["readiness"]["status"] == "SERVING"
            assert found["upstream_connections"]["ready"] >= 1
            assert page.headers["content-type"] == "text/html; charset=utf-8"
            assert "finance.CurrencyConverter/Convert" in page.text
