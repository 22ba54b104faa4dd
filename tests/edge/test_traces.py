"""The traces of the edge, as a receiver of OTLP gets them: each door, each kind of request, each variable."""

from __future__ import annotations

import asyncio
import os
import re
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import (
    TraceServiceServicer,
    add_TraceServiceServicer_to_server,
)

from gateway import __version__
from gateway.app import create_app
from gateway.policy import Observer, RequestEnd, RequestInfo
from gateway.settings import Settings
from gateway.testing import ScriptedUpstream
from gateway.transcoding.status import CANCELLED, UNAUTHENTICATED, StatusError
from server_process import otel
from server_process.log_lines import trace_id
from server_process.tracing import TracingError
from tests.contracts import feeds_descriptor_set
from tests.edge.asgi import ask, connect, running, start
from tests.edge.conftest import STREAM_ID, FailRequest, MakeApp
from tests.edge.test_policies import directly
from tests.edge.test_resume import Server, get, left
from tests.feeds.stage import settled
from tests.operations.span_receiver import (
    CLIENT,
    ERROR,
    SERVER,
    SpanReceiver,
    events,
    plain,
    receiving,
)

TRACE, CALLER = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SAMPLED = f"00-{TRACE}-{CALLER}-01"
UNSAMPLED = f"00-{TRACE}-{CALLER}-00"
UNARY = "echo.v1.Echo/Unary"


@pytest.fixture(autouse=True)
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[SpanReceiver]:
    """A receiver, to which the variables point; what this environment says else is unset."""
    for name in [each for each in os.environ if each.startswith("OTEL_")]:
        monkeypatch.delenv(name)
    with receiving() as made:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", made.url)
        yield made


def parent_sent(upstream: ScriptedUpstream) -> tuple[str, str, bool]:
    """Returns trace and parent that the server got last, and whether they are sampled."""
    (found,) = [value for key, value in upstream.calls[-1].metadata if key == "traceparent"]
    match = re.fullmatch(r"00-(\w{32})-(\w{16})-(\w\w)", str(found))
    assert match
    return match[1], match[2], bool(int(match[3], 16) & 1)


@pytest.mark.parametrize("door", ["direct", "asgi"])
async def test_a_request_and_its_call_are_one_trace(
    make_app: MakeApp, upstream: ScriptedUpstream, receiver: SpanReceiver, door: str
) -> None:
    """The caller's span is the parent of the request's, that the parent of the call's, that the server's."""
    headers = {"traceparent": SAMPLED, "tracestate": "a=b", "baggage": "k=v"}
    async with running(make_app(traces=True)) as app:
        if door == "direct":
            status, _ = await directly(app, "/v1/echo?stringField=secret", headers)
        else:
            given = headers | {"host": "x"}
            status = (await ask(app, "GET", "/v1/echo?stringField=secret", b"", given)).status
    assert status == 200

    request, call = receiver.one(SERVER, "GET /v1/echo"), receiver.one(CLIENT, UNARY)
    assert request.trace_id.hex() == call.trace_id.hex() == TRACE
    assert request.parent_span_id.hex() == CALLER
    assert call.parent_span_id == request.span_id
    assert parent_sent(upstream) == (TRACE, call.span_id.hex(), True)
    sent = dict(upstream.calls[-1].metadata)
    assert (sent["tracestate"], sent["baggage"]) == ("a=b", "k=v")
    found = plain(request.attributes)
    assert found.pop("client.address", "127.0.0.1")
    assert found == {
        "http.request.method": "GET",
        "http.route": "/v1/echo",
        "http.response.status_code": 200,
        "url.scheme": "http",
        "server.address": "x",
    }
    assert plain(call.attributes) == {
        "rpc.system": "grpc",
        "rpc.service": "echo.v1.Echo",
        "rpc.method": "Unary",
        "rpc.grpc.status_code": 0,
    }
    assert receiver.resource["service.name"] == "protoway"
    assert not request.events
    assert b"secret" not in b"".join(each.SerializeToString() for each in receiver.spans)


async def test_a_caller_without_a_trace_gets_one(
    make_app: MakeApp, upstream: ScriptedUpstream, receiver: SpanReceiver
) -> None:
    """What is no `traceparent` is none, and its `tracestate` goes nowhere."""
    async with running(make_app(traces=True)) as app:
        await directly(app, "/v1/echo", {"traceparent": "00-zz", "tracestate": "a=b"})

    request = receiver.one(SERVER, "GET /v1/echo")
    assert not request.parent_span_id
    assert parent_sent(upstream)[0] == request.trace_id.hex()
    assert "tracestate" not in dict(upstream.calls[-1].metadata)


async def test_a_trace_of_strangers_is_not_followed(
    make_app: MakeApp, upstream: ScriptedUpstream, receiver: SpanReceiver
) -> None:
    """Where `traceparent` is none of `request_headers`, a trace begins at the edge and goes upstream."""
    async with running(make_app(traces=True, request_headers="none, authorization")) as app:
        await directly(app, "/v1/echo", {"traceparent": SAMPLED})

    request = receiver.one(SERVER, "GET /v1/echo")
    assert request.trace_id.hex() != TRACE
    assert parent_sent(upstream)[0] == request.trace_id.hex()


async def test_the_access_log_names_the_trace(make_app: MakeApp, receiver: SpanReceiver) -> None:
    """Of a request without a trace of its own, and of one that a policy refuses."""
    ends: list[RequestEnd] = []

    class Ends(Observer):
        def exchange_ended(self, end: RequestEnd) -> None:
            ends.append(end)

    class Refusing:
        def admit(self, request: RequestInfo) -> None:
            if request.path != "/v1/echo":
                raise StatusError.of(UNAUTHENTICATED, "no token")

    async with running(make_app(traces=True, observers=[Ends()], policies=[Refusing()])) as app:
        await directly(app, "/v1/echo", {})
        assert (await ask(app, "GET", "/nowhere")).status == 401

    asked, refused = receiver.one(SERVER, "GET /v1/echo"), receiver.one(SERVER, "GET")
    assert [trace_id(end.traceparent) for end in ends] == [
        asked.trace_id.hex(),
        refused.trace_id.hex(),
    ]
    assert "http.route" not in plain(refused.attributes)
    assert not refused.status.code


async def test_errors(make_app: MakeApp, receiver: SpanReceiver) -> None:
    """A fault of the server's is an error of both spans, a mistake of the caller's one of the call alone."""
    async with running(make_app(traces=True)) as app:
        assert (await ask(app, "GET", "/v1/fail/14")).status == 503
        assert (await ask(app, "GET", "/v1/fail/5")).status == 404

    first, second = [each for each in receiver.spans if each.kind == SERVER]
    calls = [each for each in receiver.spans if each.kind == CLIENT]
    assert first.status.code == ERROR
    assert plain(first.attributes)["error.type"] == "503"
    assert not second.status.code
    assert "error.type" not in plain(second.attributes)
    assert [each.status.code for each in calls] == [ERROR, ERROR]
    assert [plain(each.attributes)["error.type"] for each in calls] == ["UNAVAILABLE", "NOT_FOUND"]


async def test_a_unary_call_that_nobody_waits_for_has_ended(
    make_app: MakeApp, receiver: SpanReceiver
) -> None:
    """A caller that leaves cancels the call, whose span says so."""
    async with running(make_app(traces=True)) as app:
        request = start(app, "GET", "/v1/hang")
        await settled()
        request.arrives("http.disconnect")
        await request.ended()

    call = receiver.one(CLIENT, "echo.v1.Echo/Hang")
    assert plain(call.attributes)["rpc.grpc.status_code"] == CANCELLED
    assert (
        plain(receiver.one(SERVER, "GET /v1/hang").attributes)["http.response.status_code"] == 499
    )


async def test_a_stream_has_events_and_no_span_for_each_message(
    make_app: MakeApp, receiver: SpanReceiver
) -> None:
    """Its begin and its end, with what it carried."""
    async with running(make_app(traces=True)) as app:
        body = b'{"int32Field": 40}'
        assert (await ask(app, "POST", "/v1/stream", body)).status == 200

    assert len(receiver.spans) == 2
    (request,) = [each for each in receiver.spans if each.kind == SERVER]
    told = {"protoway.ended_by": "server", "protoway.messages_in": 1, "protoway.messages_out": 40}
    assert events(request) == [("stream.begin", {}), ("stream.end", told)]


async def test_a_stream_that_fails_is_an_error(make_app: MakeApp, receiver: SpanReceiver) -> None:
    """Though its HTTP status was sent when all was well."""
    async with running(make_app(traces=True)) as app:
        assert (await ask(app, "GET", "/v1/fail-stream/13?after=1")).status == 200

    (request,) = [each for each in receiver.spans if each.kind == SERVER]
    assert request.status.code == ERROR
    assert plain(request.attributes)["error.type"] == "INTERNAL"


async def test_a_websocket(
    make_app: MakeApp, upstream: ScriptedUpstream, receiver: SpanReceiver
) -> None:
    """Is one request and one call."""
    async with running(make_app(traces=True)) as app:
        request = connect(app, "/v1/bidi", {"traceparent": SAMPLED})
        await request.until_sent(1)
        request.arrives("websocket.receive", text="{}")
        await request.until_sent(2)
        request.arrives("websocket.disconnect", code=1000)
        await request.ended()

    call = receiver.one(CLIENT, "echo.v1.Echo/Bidi")
    (served,) = [each for each in receiver.spans if each.kind == SERVER]
    assert parent_sent(upstream) == (TRACE, call.span_id.hex(), True)
    assert call.parent_span_id == served.span_id
    assert [name for name, _ in events(served)] == ["stream.begin", "stream.end"]
    assert plain(served.attributes)["http.response.status_code"] == 101


@pytest.mark.parametrize(
    ("last", "told"),
    [
        (f"{STREAM_ID}-1", ["stream.begin", "stream.resume", "stream.end"]),
        ("fedcba9876543210-7", ["stream.gap", "stream.begin", "stream.resume", "stream.end"]),
    ],
)
async def test_readers_come_back_and_miss_messages(
    tmp_path: Path,
    receiver: SpanReceiver,
    monkeypatch: pytest.MonkeyPatch,
    last: str,
    told: list[str],
) -> None:
    """Both are events of the reader's span; the call of a stream that goes on is the first reader's."""
    monkeypatch.setattr("gateway.feeds.feed._BATCH_SECONDS", 0)
    server, path = Server(), tmp_path / "feeds.binpb"
    path.write_bytes(feeds_descriptor_set())
    goes_on = last.startswith(STREAM_ID)
    made = create_app(Settings(descriptor_set=path, traces=True), server.upstream)
    async with running(made) as app:
        if goes_on:
            first = await get(app, "/lingering/t")
            await server.send(1, 2)
            await left(first)
        back = await get(app, "/lingering/t", last)
        await server.send(3)
        await server.end()
        await back.ended()

    served = [each for each in receiver.spans if each.kind == SERVER]
    (call,) = [each for each in receiver.spans if each.kind == CLIENT]
    assert [name for name, _ in events(served[-1])] == told
    assert len(served) == 1 + goes_on
    assert call.parent_span_id == served[0].span_id
    assert last not in str(receiver.spans)


async def test_health_checks_have_no_span(make_app: MakeApp, receiver: SpanReceiver) -> None:
    """They would be most of all spans."""
    async with running(make_app(traces=True)) as app:
        for path in ("/healthz", "/livez", "/readyz", "/startupz"):
            await ask(app, "GET", path)
        assert (await ask(app, "GET", "/openapi.json")).status == 200

    assert [each.name for each in receiver.spans] == ["GET /openapi.json"]


async def test_methods_that_only_a_caller_names(make_app: MakeApp, receiver: SpanReceiver) -> None:
    """Are one method, so that no caller makes names of spans."""
    async with running(make_app(traces=True)) as app:
        await ask(app, "BREW", "/v1/echo")

    (request,) = receiver.spans
    assert request.name == "HTTP"
    assert plain(request.attributes)["http.request.method"] == "_OTHER"


async def test_the_sampling_of_the_variables(
    make_app: MakeApp,
    upstream: ScriptedUpstream,
    receiver: SpanReceiver,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A ratio decides about new traces, the parent about its own; one that is dropped goes upstream too."""
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0")
    async with running(make_app(traces=True)) as app:
        await directly(app, "/v1/echo", {})
        assert not parent_sent(upstream)[2]
        await directly(app, "/v1/echo", {"traceparent": UNSAMPLED})
        assert parent_sent(upstream)[::2] == (TRACE, False)
        await directly(app, "/v1/echo", {"traceparent": SAMPLED})
        assert parent_sent(upstream)[::2] == (TRACE, True)

    assert {each.trace_id.hex() for each in receiver.spans} == {TRACE}
    assert len(receiver.spans) == 2


async def test_the_variables_of_service_and_headers(
    make_app: MakeApp, receiver: SpanReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They win over what we say ourselves."""
    monkeypatch.setenv("OTEL_SERVICE_NAME", "shop-edge")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=prod")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-key=abc")
    async with running(make_app(traces=True)) as app:
        await directly(app, "/v1/echo", {})

    assert receiver.resource["service.name"] == "shop-edge"
    assert receiver.resource["deployment.environment.name"] == "prod"
    assert receiver.resource["service.version"] == __version__
    assert receiver.headers["x-key"] == "abc"


async def test_otlp_over_grpc(make_app: MakeApp, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the variable says so."""
    came: list[ExportTraceServiceRequest] = []

    class Service(TraceServiceServicer):
        def Export(  # noqa: N802 - the name is the contract's
            self, request: Any, context: Any
        ) -> ExportTraceServiceResponse:
            came.append(request)
            return ExportTraceServiceResponse()

    server = grpc.server(ThreadPoolExecutor(1))
    add_TraceServiceServicer_to_server(Service(), server)  # type: ignore[no-untyped-call]  # generated code has no types
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{port}")
    try:
        async with running(make_app(traces=True)) as app:
            await directly(app, "/v1/echo", {})
    finally:
        await asyncio.to_thread(server.stop(1).wait, 10)

    spans = came[0].resource_spans[0].scope_spans[0].spans
    assert sorted(each.name for each in spans) == ["GET /v1/echo", UNARY]


async def test_without_traces_a_traceparent_goes_through(
    make_app: MakeApp,
    upstream: ScriptedUpstream,
    receiver: SpanReceiver,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And no policy and no observer stand there; so too where `OTEL_SDK_DISABLED` says so."""
    for settings in ({}, {"traces": True}):
        monkeypatch.setenv("OTEL_SDK_DISABLED", "true" if settings else "")
        async with running(make_app(**settings)) as app:
            await directly(app, "/v1/echo", {"traceparent": UNSAMPLED})
            assert parent_sent(upstream) == (TRACE, CALLER, False)
            assert not app.state.edge.served.policies
            assert app.state.edge.observation is None
            assert app.state.edge.upstream is upstream
    assert not receiver.spans


async def test_a_receiver_that_does_not_answer_holds_nobody_up(
    make_app: MakeApp, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The loop turns while the last spans are sent, and the end comes after a bounded time."""
    monkeypatch.setattr(otel, "_FLUSH_SECONDS", 0.2)
    answered = threading.Event()
    with receiving(delay=answered) as silent:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", silent.url)
        async with asyncio.timeout(10):
            async with running(make_app(traces=True)) as app:
                await directly(app, "/v1/echo", {})
        assert "the last spans could not be sent within 0.2 s" in caplog.text
        answered.set()
        for thread in threading.enumerate():
            if thread.name == "last spans":
                await asyncio.to_thread(thread.join, 10)


@pytest.mark.parametrize(
    ("variable", "value", "text"),
    [
        ("OTEL_TRACES_EXPORTER", "zipkin", "'zipkin' is none of otlp, console, none"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json", "'http/json' is none of http/protobuf, grpc"),
        ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "x", "'x' is none of http/protobuf, grpc"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "zip", "'zip' is none of none, gzip, deflate"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "soon", "'soon' is not a number of seconds"),
        ("OTEL_TRACES_SAMPLER", "some", "'some' is none of parentbased_always_on, "),
        ("OTEL_TRACES_SAMPLER_ARG", "1%", "'1%' is not a number from 0 to 1"),
        ("OTEL_TRACES_SAMPLER_ARG", "10", "'10' is not a number from 0 to 1"),
        ("OTEL_BSP_SCHEDULE_DELAY", "0", "'0' is not a number from 1 on"),
        (
            "OTEL_BSP_MAX_EXPORT_BATCH_SIZE",
            "4096",
            "is more than OTEL_BSP_MAX_QUEUE_SIZE, which is 2048",
        ),
    ],
)
def test_a_variable_that_cannot_be_obeyed_stops_the_start(
    make_app: MakeApp, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, text: str
) -> None:
    """And is named with its value."""
    if variable == "OTEL_TRACES_SAMPLER_ARG":
        monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
    monkeypatch.setenv(variable, value)

    with pytest.raises(TracingError, match=re.escape(f"{variable}: {text}")):
        make_app(traces=True)


def test_without_the_extra_the_start_is_refused(
    make_app: MakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With what to install; without traces nobody needs it."""
    monkeypatch.delitem(sys.modules, "server_process.otel", raising=False)
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.resources", None)

    make_app()
    with pytest.raises(TracingError, match=r"traces need .*pip install 'protoway\[otel\]'"):
        make_app(traces=True)


@pytest.mark.parametrize(("code", "is_fault"), [(5, False), (13, True)])
async def test_a_method_called_by_its_own_path(
    make_app: MakeApp, upstream: ScriptedUpstream, receiver: SpanReceiver, code: int, is_fault: bool
) -> None:
    """A call of gRPC-Web has a span as any request; its HTTP status says nothing, so its code does."""
    message = FailRequest(code=code).SerializeToString()
    body = b"\0" + len(message).to_bytes(4, "big") + message
    headers = {"content-type": "application/grpc-web+proto", "traceparent": SAMPLED}
    async with running(make_app(traces=True)) as app:
        answer = await ask(app, "POST", "/echo.v1.Echo/Fail", body, headers)
        assert answer.status == 200

    request = receiver.one(SERVER, "POST /echo.v1.Echo/Fail")
    call = receiver.one(CLIENT, "echo.v1.Echo/Fail")
    assert parent_sent(upstream) == (TRACE, call.span_id.hex(), True)
    assert call.parent_span_id == request.span_id
    assert (request.status.code == ERROR) is is_fault
    assert plain(call.attributes)["rpc.grpc.status_code"] == code
