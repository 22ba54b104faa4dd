"""The metrics of the edge: each series moves when what it counts happens, on each door."""

from __future__ import annotations

import asyncio
import errno
import json
import math
import re
import socket
import time
from bisect import bisect_left
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import pytest
from cryptography import x509
from fastapi import FastAPI
from hypothesis import example, given
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as parse_openmetrics,
)

from gateway import __version__
from gateway.app import create_app
from gateway.contract.fingerprint import fingerprint
from gateway.contract.service_config import auto_mapped
from gateway.doors.accepting import AcceptLimits, Acceptor
from gateway.feeds.requests import StreamRequest
from gateway.feeds.store.rules import Appended
from gateway.operations.calls import OTHER
from gateway.operations.metrics import Metrics
from gateway.operations.series import SERIES
from gateway.server import Server as GatewayServer
from gateway.settings import Settings
from gateway.store.error import StoreError
from gateway.testing import ScriptedUpstream
from gateway.transcoding.event_fields import stream_spec
from gateway.transcoding.status import PERMISSION_DENIED, StatusError
from server_process.exposition import BUCKETS, Histogram, render
from tests.contracts import (
    echo_contract,
    echo_descriptor_set,
    feeds_contract,
    feeds_descriptor_set,
)
from tests.edge.asgi import ask, connect, running, start
from tests.edge.conftest import SCRIPTS
from tests.edge.test_direct import answer, post
from tests.edge.test_resume import SSE, Server, get, left
from tests.feeds.stage import METHODS, Request, settled
from tests.operations.scrapes import check, parse, promtool, scrape, total, values
from tests.redis_server import RedisServer
from tests.whole.certificates import made

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "reference/operations.md").read_text()
PROCESSES = "".join(
    (Path(__file__).parents[1] / each).read_text()
    for each in (
        "edge/test_shared_limits.py",
        "operations/test_admin_listener.py",
        "upstreams/test_routes.py",
        "upstreams/test_retries.py",
        "upstreams/test_ejection.py",
    )
)
DURATION = "http_server_request_duration_seconds_count"
HANDLED = "grpc_client_handled_total"
READY = "protoway_ready"
CHECK = "/grpc.health.v1.Health/Check"
NDJSON = {"content-type": "application/x-ndjson"}
OPENMETRICS = "application/openmetrics-text; version=1.0.0"
KEPT = 4
"""Messages that the method of the slow reader keeps."""
MOVED: set[str] = set()
Test = TypeVar("Test", bound=Callable[..., Any])
MakeEcho = Callable[..., FastAPI]


def moves(*names: str) -> Callable[[Test], Test]:
    """Marks a test as one that sees series move."""
    MOVED.update(names)
    return lambda test: test


@pytest.fixture
def make_echo(tmp_path: Path) -> MakeEcho:
    """Makes an application that counts, over the scripts of the tests of the edge."""
    path = tmp_path / "echo.binpb"
    path.write_bytes(echo_descriptor_set())

    def make(*, policies: Any = (), **settings: Any) -> FastAPI:
        given = Settings(descriptor_set=path, admin_port=0, **settings)
        return create_app(given, ScriptedUpstream(SCRIPTS), policies=policies)

    return make


def id_of(body: bytes) -> str:
    """Returns the id of a stream of events."""
    found = re.search(rb"^id: (\w+)-1$", body, re.MULTILINE)
    assert found
    return found[1].decode()


@pytest.fixture
def server() -> Server:
    """A server that the test speaks for."""
    return Server()


@pytest.fixture
async def feeds(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[FastAPI]:
    """The edge over that server; its readers are woken without a clock."""
    monkeypatch.setattr("gateway.feeds.feed._BATCH_SECONDS", 0)
    path = tmp_path / "feeds.binpb"
    path.write_bytes(feeds_descriptor_set())
    app = create_app(Settings(descriptor_set=path, admin_port=0), server.upstream)
    async with running(app) as started:
        yield started


def test_the_page_has_the_series() -> None:
    """Each with its type and its labels, and no other."""
    section = PAGE.split("### The series of the edge")[1].split("\n### ")[0]
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \|([^|]*)\|", section, re.MULTILINE)

    assert [(name, kind, re.findall(r"`(\w+)`", labels)) for name, kind, labels in rows] == [
        (each.name, each.kind, list(each.labels)) for each in SERIES
    ]


def test_each_series_moves_in_a_test() -> None:
    """In this file, or in that of the processes."""
    elsewhere = re.findall(r'"(protoway_\w+)"', PROCESSES)
    assert {each.name for each in SERIES} - {*elsewhere} <= MOVED


@moves("http_server_request_duration_seconds")
async def test_requests_are_counted_by_what_the_contract_says(make_echo: MakeEcho) -> None:
    """By route template, HTTP method and HTTP status, with and without ASGI."""
    async with running(make_echo()) as app:
        await answer(app, post("x"))
        await ask(app, "POST", "/v1/echo", b"{}")
        await ask(app, "POST", "/v1/echo", b"{")
        await ask(app, "GET", "/v1/fail/5")
        await ask(app, "GET", "/v1/names/1")
    samples = scrape(app)

    echo = {"http_route": "/v1/echo", "http_request_method": "POST"}
    assert total(samples, DURATION, **echo, http_response_status_code=200) == 2
    assert total(samples, DURATION, **echo, http_response_status_code=400) == 1
    assert total(samples, DURATION, http_response_status_code=404) == 1
    assert total(samples, DURATION) == 5
    assert not any("names/1" in value for value in values(samples, DURATION, "http_route"))


async def test_labels_never_come_from_callers(make_echo: MakeEcho) -> None:
    """What no route takes is one label, and so are HTTP methods that nobody knows."""
    async with running(make_echo()) as app:
        for number in range(20):
            await ask(app, "GET", f"/no/{number}")
            await ask(app, f"VERB{number}", "/v1/echo")
            await ask(app, f"VERB{number}", f"/no/{number}")
        await ask(app, "GET", "/healthz")
    samples = scrape(app)

    assert values(samples, DURATION, "http_route") == {OTHER}
    assert values(samples, DURATION, "http_request_method") == {"GET", OTHER}
    assert total(samples, DURATION) == 61
    assert len([key for key in samples if key[0] == DURATION]) < 6


@moves("protoway_contract_reloads_total", "protoway_contract_in_force_timestamp_seconds")
async def test_reloads_are_counted_by_what_became_of_them(make_echo: MakeEcho) -> None:
    """And since when the contract is in force."""
    before = time.time()
    async with running(make_echo()) as app:
        await app.state.reloader.reload()
        samples = scrape(app)

    assert total(samples, "protoway_contract_reloads_total", result="unchanged") == 1
    assert total(samples, "protoway_contract_reloads_total") == 1
    assert before <= total(samples, "protoway_contract_in_force_timestamp_seconds") <= time.time()


@moves("protoway_ready")
async def test_readiness_is_told(make_echo: MakeEcho, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each check; a scrape has the upstream asked, and the next one tells what it said."""
    monkeypatch.setattr("gateway.operations.upstream_check._FRESH_SECONDS", 0)
    app = make_echo()
    upstream = app.state.metrics.calls.inner
    async with running(app):
        seen = []
        for status in (b"\x08\x01", b"\x08\x02"):
            upstream.scripts[CHECK] = [status]
            scrape(app)
            await settled()
            seen.append(scrape(app))
            await settled()
        app.state.readiness.draining = True
        drains = scrape(app)

    up, down = (
        {check: total(samples, READY, check=check) for check in ("contract", "upstream")}
        for samples in seen
    )
    assert up == {"contract": 1, "upstream": 1}
    assert down == {"contract": 1, "upstream": 0}
    assert total(drains, READY, check="shutdown") == 0


@moves(
    *("protoway_store_up", "protoway_store_command_duration_seconds"),
    *("protoway_store_commands_failed_total",),
)
async def test_the_store_is_told(make_echo: MakeEcho, redis_server: RedisServer) -> None:
    """Whether it is up, its commands and their failures, and in readiness, which does not depend on it."""
    app = make_echo(store={"url": redis_server.url})
    async with running(app):
        up = scrape(app)
        redis_server.kill()
        with pytest.raises(StoreError):
            await app.state.store.run("ping", lambda client: client.ping())
        down = scrape(app)
        ready = await ask(app, "GET", "/readyz")

    assert total(up, "protoway_store_up") == 1
    assert total(up, "protoway_store_command_duration_seconds_count", purpose="ping") == 1
    assert total(up, READY, check="store") == 1
    assert total(down, "protoway_store_up") == 0
    failed = "protoway_store_commands_failed_total"
    assert total(down, failed, purpose="ping", reason="connection") >= 1
    assert total(down, READY, check="store") == 0
    assert ready.status == 200
    assert ready.json["checks"]["store"] == {
        "status": "NOT_SERVING",
        "reason": "the store cannot be reached",
    }


@moves(
    *("protoway_shared_feeds", "protoway_shared_feed_takeovers_total"),
    *("protoway_shared_feed_restarts_total", "protoway_shared_feed_alone_total"),
    "protoway_shared_feed_refused_appends_total",
)
async def test_shared_feeds_are_told(make_echo: MakeEcho, redis_server: RedisServer) -> None:
    """What happened to them, and the role of this process; without a store there is nothing to tell."""
    app = make_echo(store={"url": redis_server.url})
    async with running(app):
        before = scrape(app)
        counts = app.state.edge.feeds.store_counts
        counts.takeovers, counts.restarts, counts.alone = 1, 2, 3
        counts.refused[Appended.STALE] = 4
        after = scrape(app)

    assert total(before, "protoway_shared_feeds", role="leader") == 0
    assert total(after, "protoway_shared_feed_takeovers_total") == 1
    assert total(after, "protoway_shared_feed_restarts_total") == 2
    assert total(after, "protoway_shared_feed_alone_total") == 3
    refused = "protoway_shared_feed_refused_appends_total"
    assert total(after, refused, reason="stale") == 4
    assert "protoway_shared" not in str(scrape(make_echo()))


@moves("protoway_access_log_lost_lines_total")
async def test_lost_lines_are_counted(make_echo: MakeEcho, tmp_path: Path) -> None:
    """Of an access log whose disk is full; one that is off has no such series."""
    lost, full = "protoway_access_log_lost_lines_total", tmp_path / "log"
    full.symlink_to("/dev/full")
    async with running(make_echo()) as app:
        assert lost not in {name for name, _ in scrape(app)}
    async with running(make_echo(access_log="json", access_log_path=full)) as app:
        await answer(app, post("x"))
        async with asyncio.timeout(10):
            while total(scrape(app), lost) != 1:
                await asyncio.sleep(0.01)


async def test_a_websocket_is_counted_when_it_ends(make_echo: MakeEcho) -> None:
    """With the status of its handshake."""
    async with running(make_echo()) as app:
        socket_ = connect(app, "/v1/bidi")
        await socket_.until_sent(1)
        assert total(scrape(app), "protoway_streams_open", wire="websocket") == 1
        socket_.arrives("websocket.disconnect", code=1000)
        await socket_.ended()

    assert total(scrape(app), DURATION, http_response_status_code=101) == 1


@moves(
    *("grpc_client_started_total", "grpc_client_handled_total", "grpc_client_handling_seconds"),
    *("grpc_client_msg_sent_total", "grpc_client_msg_received_total"),
)
async def test_calls_are_counted_where_they_go_upstream(make_echo: MakeEcho) -> None:
    """By method and status code, with their messages."""
    async with running(make_echo()) as app:
        await answer(app, post("x"))
        await ask(app, "GET", "/v1/fail/5")
        await ask(app, "GET", "/v1/fail-stream/5?after=2", headers={"accept": SSE})
        await ask(app, "POST", "/v1/upload", b'{"stringField":"1"}\n{}\n{}\n', NDJSON)
    samples = scrape(app)

    unary, client = ({"grpc_method": name} for name in ("Unary", "ClientStream"))
    assert total(samples, "grpc_client_started_total", **unary, grpc_type="unary") == 1
    assert total(samples, HANDLED, **unary, grpc_code="OK", grpc_service="echo.v1.Echo") == 1
    assert total(samples, HANDLED, grpc_method="Fail", grpc_code="NOT_FOUND") == 1
    assert total(samples, HANDLED, grpc_method="FailStream", grpc_code="NOT_FOUND") == 1
    assert total(samples, "grpc_client_msg_received_total", grpc_method="FailStream") == 2
    assert total(samples, "grpc_client_msg_received_total", grpc_method="Fail") == 0
    assert total(samples, "grpc_client_msg_sent_total", **client, grpc_type="client_stream") == 3
    assert total(samples, HANDLED, **client, grpc_code="OK") == 1
    assert total(samples, "grpc_client_handling_seconds_count") == 4
    assert total(samples, "grpc_client_started_total", grpc_method="Raw") == 0


async def test_calls_that_their_callers_leave_are_cancelled(make_echo: MakeEcho) -> None:
    """Unary calls and streams, on each door."""
    async with running(make_echo()) as app:
        for path in ("/v1/hang", "/v1/hang-stream"):
            request = start(app, "GET", path)
            await settled()
            request.arrives("http.disconnect")
            await request.ended()
        direct = app.state.direct.read(b"GET /v1/hang HTTP/1.1\r\nhost: x\r\n\r\n")
        direct.answer(lambda *_: None)
        await settled()
        direct.disconnect()
        await settled()
    samples = scrape(app)

    assert total(samples, HANDLED, grpc_method="Hang", grpc_code="CANCELLED") == 2
    assert total(samples, HANDLED, grpc_method="HangStream", grpc_code="CANCELLED") == 1
    assert total(samples, "grpc_client_started_total") == total(samples, HANDLED) == 3
    assert total(samples, DURATION, http_response_status_code=499) == 2


@moves("protoway_admission_refusals_total")
async def test_refusals_are_counted_by_policy(make_echo: MakeEcho) -> None:
    """By its class, and the code that it has answered."""

    class Closed:
        def admit(self, _request: Any) -> None:
            raise StatusError.of(PERMISSION_DENIED, "closed")

    class Waiting:
        def __init__(self, *, closed: bool) -> None:
            self._closed = closed

        async def admit(self, _request: Any) -> None:
            await asyncio.sleep(0)
            if self._closed:
                raise StatusError.of(PERMISSION_DENIED, "closed")

    for policies in ([Closed()], [Waiting(closed=False), Closed()], [Waiting(closed=True)]):
        async with running(make_echo(policies=policies)) as app:
            await answer(app, post("x"))
            await ask(app, "GET", "/v1/names/1")
        samples = scrape(app)
        refusals = {"policy": type(policies[-1]).__name__, "grpc_code": "PERMISSION_DENIED"}
        assert total(samples, "protoway_admission_refusals_total", **refusals) == 2
        assert total(samples, "protoway_admission_refusals_total") == 2
        assert total(samples, "grpc_client_started_total") == 0


@moves(
    *("protoway_streams_open", "protoway_feeds", "protoway_feed_readers"),
    *("protoway_feed_buffer_bytes", "protoway_feed_resumes_total"),
)
async def test_readers_of_a_shared_stream_make_one_call(feeds: FastAPI, server: Server) -> None:
    """The call, its readers and its memory are told apart; one that comes back is told how."""
    readers = [await get(feeds, "/drop-oldest/t") for _ in range(3)]
    await server.send(1, 2)
    samples = scrape(feeds)

    assert total(samples, "grpc_client_started_total") == 1
    assert total(samples, "grpc_client_msg_received_total") == 2
    assert total(samples, "protoway_streams_open", wire="sse") == 3
    assert total(samples, "protoway_feeds") == 1
    assert total(samples, "protoway_feed_readers") == 3
    assert total(samples, "protoway_feed_buffer_bytes") > 4096

    stream_id = id_of(await left(readers[0]))
    back = await get(feeds, "/drop-oldest/t", f"{stream_id}-1")
    lost = await get(feeds, "/drop-oldest/t", "fedcba9876543210-1")
    await server.send(3)
    await server.end()
    for request in (*readers[1:], back, lost):
        await request.ended()
    samples = scrape(feeds)
    assert total(samples, "protoway_feed_resumes_total", result="continued") == 1
    assert total(samples, "protoway_feed_resumes_total", result="restarted") == 1
    assert total(samples, "protoway_feed_gaps_total") == 1
    assert total(samples, "protoway_streams_open") == total(samples, "protoway_feed_readers") == 0
    assert total(samples, HANDLED, grpc_code="OK") == 1


@moves(
    *("protoway_feed_lag_messages", "protoway_feed_dropped_messages_total"),
    "protoway_feed_gaps_total",
)
async def test_a_slow_reader_is_seen(feeds: FastAPI, server: Server) -> None:
    """How far it is behind, then what it has missed; the median reader is as fast as it was."""
    method = METHODS["DropOldest"]
    request = StreamRequest(
        method=method,
        stream_spec=stream_spec(method),
        requests=Request(topic="t").SerializeToString(),
        metadata=(),
        timeout=None,
        last_event_id="",
    )
    others = [await get(feeds, "/drop-oldest/t") for _ in range(2)]
    async with feeds.state.edge.feeds.open(request) as slow:
        for number in range(1, 21):
            await server.send(number)
        samples = scrape(feeds)
        assert total(samples, "protoway_feed_lag_messages", reader="slowest") == 20
        assert total(samples, "protoway_feed_lag_messages", reader="median") == 0
        assert total(samples, "protoway_feed_dropped_messages_total") == 0
        await anext(slow)
    stream_id = id_of(await left(others[0]))
    samples = scrape(feeds)

    missed = total(samples, "protoway_feed_dropped_messages_total", policy="drop-oldest")
    assert missed == 20 - KEPT
    assert total(samples, "protoway_feed_gaps_total") == 1

    back = await get(feeds, "/drop-oldest/t", f"{stream_id}-1")
    assert b"event: gap" in await left(back)
    await left(others[1])
    assert total(scrape(feeds), "protoway_feed_resumes_total", result="gap") == 1
    assert total(scrape(feeds), "protoway_feed_gaps_total") == 2


@moves(
    *("protoway_connections_open", "protoway_connections_refused_total"),
    "protoway_accept_exhausted_total",
)
async def test_connections_are_counted(make_echo: MakeEcho) -> None:
    """Open ones, refused ones, and those that found no file descriptor left."""
    app = make_echo()
    metrics: Metrics = app.state.metrics

    class Full(socket.socket):
        full = False

        def accept(self) -> Any:
            if self.full:
                raise OSError(errno.EMFILE, "Too many open files")
            return super().accept()

    with Full() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        limits = AcceptLimits(max_connections_per_address=1)
        acceptor = Acceptor([listening], lambda *_: asyncio.Protocol(), limits)
        metrics.acceptor = acceptor
        acceptor.start()
        with socket.create_connection(listening.getsockname()) as first:
            while not acceptor.open:
                await asyncio.sleep(0.001)
            with socket.create_connection(listening.getsockname()):
                while not acceptor.refused:
                    await asyncio.sleep(0.001)
            listening.full = True
            with socket.create_connection(listening.getsockname()):
                while not acceptor.exhausted:
                    await asyncio.sleep(0.001)
            samples = scrape(app)
            del first
        acceptor.close()

    assert total(samples, "protoway_connections_open") == 1
    assert total(samples, "protoway_connections_refused_total") == 1
    assert total(samples, "protoway_accept_exhausted_total") == 1


@moves("protoway_head_cache_misses_total")
async def test_heads_that_are_new_are_counted(make_echo: MakeEcho) -> None:
    """Not those that repeat, nor those that differ in their message alone; a new header value is a miss."""
    async with running(make_echo()) as app:
        app.state.metrics.direct = app.state.direct
        misses = []
        for lines in (b"", b"", b"user-agent: a\r\n", b"user-agent: a\r\n", b"cookie: a=1\r\n"):
            assert (await answer(app, post("x", lines)))[0] == 200
            misses.append(total(scrape(app), "protoway_head_cache_misses_total"))

    assert misses == [1, 1, 2, 2, 2]


@moves("protoway_certificate_expiry_timestamp_seconds")
@pytest.mark.parametrize("party", ["core", "gateway"])
def test_the_end_of_a_certificate_is_read(make_echo: MakeEcho, tmp_path: Path, party: str) -> None:
    """As `cryptography` reads it."""
    folder = made(tmp_path / "tls") / party
    file = folder / "certificate.pem"
    end = x509.load_pem_x509_certificate(file.read_bytes()).not_valid_after_utc.timestamp()
    app = make_echo(tls_certificate=file, tls_key=folder / "key.pem")

    GatewayServer(app, app.state.settings)
    name = "protoway_certificate_expiry_timestamp_seconds"
    assert total(scrape(app), name, certificate="server") == end


@moves("protoway_build_info", "protoway_contract_info")
def test_program_and_contract_are_named(make_echo: MakeEcho) -> None:
    """Another contract, or the same one with other rules, has another fingerprint."""
    samples = scrape(make_echo())
    contract = echo_contract()

    assert total(samples, "protoway_build_info", version=__version__) == 1
    assert total(samples, "protoway_contract_info", fingerprint=fingerprint(contract)) == 1
    others = (feeds_contract(), auto_mapped(contract))
    assert len({fingerprint(each) for each in (contract, *others)}) == 3


@moves("protoway_event_loop_delay_seconds")
async def test_a_blocked_loop_is_seen(make_echo: MakeEcho) -> None:
    """In the bucket of its delay."""
    app = make_echo()
    metrics: Metrics = app.state.metrics
    metrics.loop_delay.start()
    await asyncio.sleep(0)
    time.sleep(0.4)  # noqa: ASYNC251 - it is what is seen
    while not metrics.loop_delays.count:
        await asyncio.sleep(0.01)
    metrics.loop_delay.stop()
    samples = scrape(app)

    name = "protoway_event_loop_delay_seconds_bucket"
    assert total(samples, name, le="0.25") < total(samples, name, le="0.5")


@moves(
    *("process_virtual_memory_bytes", "process_resident_memory_bytes", "process_cpu_seconds_total"),
    *("process_start_time_seconds", "process_open_fds", "process_max_fds"),
)
def test_the_process_is_measured(make_echo: MakeEcho) -> None:
    """Its memory, its time and its files."""
    samples = scrape(make_echo())

    for name in (each.name for each in SERIES if each.name.startswith("process_")):
        assert total(samples, name) > 0
    opened = [socket.socket() for _ in range(100)]
    more = scrape(make_echo())
    for each in opened:
        each.close()
    # other tests' sockets may be collected meanwhile
    assert total(more, "process_open_fds") > total(samples, "process_open_fds") + 50


def test_buckets_are_cumulative() -> None:
    """A duration that is a bound counts in its bucket."""
    histogram = Histogram()
    for seconds in (0.0, BUCKETS[0], BUCKETS[1], 11.0):
        histogram.observe(seconds)

    assert histogram.counts == [2, 1, *(0 for _ in BUCKETS[2:]), 1]
    assert (histogram.count, histogram.sum) == (4, BUCKETS[0] + BUCKETS[1] + 11.0)


_NEAR_BOUNDS: Final = [
    near for each in BUCKETS for near in (math.nextafter(each, 0), each, math.nextafter(each, 99))
]


@given(st.lists(st.floats(0, 20) | st.floats(0, 0.06) | st.sampled_from(_NEAR_BOUNDS)))
@example([*_NEAR_BOUNDS, *(step / 2000 for step in range(130)), 1e9])
def test_each_duration_is_in_its_bucket(durations: list[float]) -> None:
    """The first one whose bound is not below it, though bounds are not compared one by one."""
    histogram = Histogram()
    expected = [0] * (len(BUCKETS) + 1)
    for number, seconds in enumerate(durations):
        histogram.observe(seconds)
        expected[bisect_left(BUCKETS, seconds)] += 1
        assert histogram.count == number + 1

    assert histogram.value() == [expected, pytest.approx(sum(durations))]


@pytest.mark.skipif(promtool() is None, reason="no promtool: apt-get install prometheus")
@pytest.mark.parametrize("accept", ["", OPENMETRICS])
async def test_promtool_finds_nothing_wrong(make_echo: MakeEcho, accept: str) -> None:
    """Neither in the text format nor, in its names, in OpenMetrics."""
    async with running(make_echo()) as app:
        await answer(app, post("x"))
        snapshot = app.state.metrics.snapshot()
    text, media_type = render(SERIES, {"0": snapshot, "1": snapshot}, accept)

    assert media_type.startswith(accept.partition(";")[0] or "text/plain")
    if not accept:
        check(text)
    else:
        assert text.endswith(b"# EOF\n")


async def test_durations_have_the_trace_of_a_request(
    make_echo: MakeEcho, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last one of each bucket, for who asks for OpenMetrics, of workers too; none that is not sampled."""
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "none")
    traces = ["4bf92f3577b34da6a3ce929d0e0e473" + digit for digit in "6789"]
    async with running(make_echo(traces=True)) as app:
        for trace, flags in zip(traces, ("01", "03", "01", "00"), strict=True):
            line = f"traceparent: 00-{trace}-00f067aa0ba902b7-{flags}\r\n"
            await answer(app, post("x", line.encode()))
        mailed = json.loads(json.dumps(app.state.metrics.snapshot()))
        series: Any = next(iter(app.state.metrics.requests._by_labels.values()))
    text, _ = render(SERIES, {"0": mailed}, OPENMETRICS)
    plain, _ = render(SERIES, {"0": mailed}, "")

    kept = {trace: seconds for trace, seconds, _ in series.exemplars.values()}
    assert traces[2] in kept  # the last one that is sampled
    assert traces[3] not in kept
    found = {
        sample.exemplar.labels["trace_id"]: sample.exemplar.value
        for family in parse_openmetrics(text.decode())  # type: ignore[no-untyped-call]  # it has no types
        for sample in family.samples
        if sample.exemplar is not None
    }
    assert found == pytest.approx(kept)
    assert b"trace_id" not in plain
    assert total(parse(plain.decode()), DURATION) == 4


async def test_without_traces_there_are_no_exemplars(make_echo: MakeEcho) -> None:
    """A `traceparent` that goes through costs the counts nothing."""
    async with running(make_echo()) as app:
        await answer(app, post("x", b"traceparent: 00-" + b"a" * 32 + b"-00f067aa0ba902b7-01\r\n"))
        text, _ = render(SERIES, {"0": app.state.metrics.snapshot()}, OPENMETRICS)

    assert b"trace_id" not in text


def test_without_a_port_nothing_is_counted(make_echo: MakeEcho, tmp_path: Path) -> None:
    """And nothing is in the way of a request."""
    app = create_app(Settings(descriptor_set=tmp_path / "echo.binpb"), ScriptedUpstream(SCRIPTS))

    assert app.state.metrics is None
    assert app.state.edge.observation is None
    assert isinstance(app.state.edge.upstream, ScriptedUpstream)
