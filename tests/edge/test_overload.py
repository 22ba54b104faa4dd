"""Load shedding on every door and every wire."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from fastapi import FastAPI
from google.protobuf import descriptor_pb2, descriptor_pool

from gateway.admission.overload.policy import HEALTH_SERVICE, Overload
from gateway.admission.overload.settings import OverloadSettings
from gateway.contract.errors import Location
from gateway.contract.method import Method
from gateway.contract.stream_type import StreamType
from gateway.exchange.request_info import RequestInfo
from gateway.testing import ScriptedUpstream
from gateway.transcoding.status import UNAVAILABLE, StatusError
from tests.edge.asgi import Request, running
from tests.edge.conftest import MakeApp
from tests.edge.test_limits import (
    SSE,
    Ask,
    begin,
    by_asgi,
    by_events,
    by_upload,
    by_websocket,
    directly,
    handshake,
)


def overload_of(app: FastAPI) -> Overload:
    """Returns the policy."""
    found = app.state.edge.served.policies[0]
    assert isinstance(found, Overload)
    return found


async def hanging(app: FastAPI, count: int) -> list[Request]:
    """Begins calls that do not end, and waits until they are under way."""
    calls = [begin(app, "/v1/hang") for _ in range(count)]
    for each in calls:
        each.arrives("http.request", body=b"", more_body=False)
    while overload_of(app).calls < count:
        await asyncio.sleep(0)
    return calls


async def leave(*requests: Request) -> None:
    """Disconnects the clients."""
    for each in requests:
        each.arrives("http.disconnect")
        await each.ended()


@pytest.mark.parametrize("door", [by_asgi, directly])
async def test_calls_beyond_the_limit_are_refused_at_once(
    make_app: MakeApp, upstream: ScriptedUpstream, door: Ask
) -> None:
    """With 503 and when to come back, before a call is made; one that ends makes room."""
    async with running(make_app(overload={"max_calls": 2})) as app:
        calls = await hanging(app, 2)
        refused = await door(app, "/v1/echo")
        stream = await by_events(app, "")
        await leave(calls[0])
        again = await door(app, "/v1/echo")
        await leave(calls[1])
        assert overload_of(app).calls == 0

    assert (refused.status, refused.json["code"]) == (503, UNAVAILABLE)
    assert refused.headers["retry-after"] == "1"
    assert refused.json["message"] == "overloaded: too many calls are under way"
    assert refused.json["details"][0]["retryDelay"] == "1s"
    assert [call.method.descriptor.name for call in upstream.calls].count("Unary") == 1
    assert (stream.status, again.status) == (200, 200)


async def test_streams_beyond_the_limit_are_refused_at_once(make_app: MakeApp) -> None:
    """On every wire; calls are counted apart."""
    async with running(make_app(overload={"max_streams": 1})) as app:
        socket = handshake(app)
        await socket.until_sent(1)
        refused = [(await wire(app, "")) for wire in (by_events, by_upload, by_websocket)]
        unary = await by_asgi(app, "/v1/echo")
        socket.arrives("websocket.disconnect")
        await socket.ended()
        again = await by_events(app, "")
        assert overload_of(app).streams == 0

    assert [each.status for each in refused] == [503] * 3
    assert all(each.headers["retry-after"] == "1" for each in refused)
    assert (unary.status, again.status) == (200, 200)


async def test_a_reader_that_reconnects_is_told_by_an_event(make_app: MakeApp) -> None:
    """So a browser comes back when the edge has room."""
    async with running(make_app(overload={"max_streams": 1})) as app:
        socket = handshake(app)
        await socket.until_sent(1)
        again = begin(app, "/v1/hang-stream", **SSE, **{"last-event-id": "x-1"})
        again.arrives("http.request", body=b"", more_body=False)
        await again.ended()
        socket.arrives("websocket.disconnect")
        await socket.ended()

    assert again.status == 200
    assert b"event: error" in again.body


async def test_what_makes_no_call_is_never_refused(make_app: MakeApp) -> None:
    """The health check first of all; pages, preflights and unknown paths cost little."""
    async with running(make_app(overload={"max_calls": 1, "max_streams": 1})) as app:
        calls = await hanging(app, 1)
        paths = ("/healthz", "/openapi.json", "/v1/nothing")
        seen = [(await by_asgi(app, path)).status for path in paths]
        await leave(*calls)

    assert seen == [200, 200, 404]


def test_the_health_service_of_grpc_is_never_refused() -> None:
    """If the contract serves it."""
    file = descriptor_pb2.FileDescriptorProto(name="h.proto", package="grpc.health.v1")
    file.message_type.add(name="M")
    service = file.service.add(name="Health")
    names = {"input_type": ".grpc.health.v1.M", "output_type": ".grpc.health.v1.M"}
    service.method.add(name="Check", **names)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    descriptor: Any = pool.FindServiceByName(HEALTH_SERVICE).methods_by_name["Check"]
    method = Method(descriptor, StreamType.UNARY, None, Location(""), "")
    policy = Overload(OverloadSettings(max_calls=1))
    policy.calls = 1

    policy.admit(RequestInfo(method=method))

    assert policy.refused == 0


async def test_a_body_that_comes_slowly_takes_no_place(make_app: MakeApp) -> None:
    """Or a few slow clients would keep all others out; they are refused when their body is there."""
    async with running(make_app(overload={"max_calls": 1})) as app:
        slow = [begin(app, "/v1/echo", method="POST") for _ in range(20)]
        for each in slow:
            each.arrives("http.request", body=b"{", more_body=True)
        await asyncio.sleep(0.02)
        assert (await by_asgi(app, "/v1/echo")).status == 200
        calls = await hanging(app, 1)
        slow[0].arrives("http.request", body=b"}", more_body=False)
        await slow[0].ended()
        await leave(*slow[1:], *calls)
        assert overload_of(app).calls == 0

    assert slow[0].status == 503


class Faulty:
    """A policy behind that fails."""

    def admit(self, request: RequestInfo) -> None:
        """Fails, or refuses."""
        if request.query == b"fault":
            raise LookupError("a fault")
        if request.query == b"refuse":
            raise StatusError.of(UNAVAILABLE, "closed")


@pytest.mark.parametrize("adaptive", [False, True])
async def test_no_end_keeps_a_place(make_app: MakeApp, *, adaptive: bool) -> None:
    """Whatever ends a request, on both doors and every wire."""
    settings = {"max_calls": 50, "max_streams": 50, "adaptive": adaptive}
    async with running(make_app(overload=settings, policies=[Faulty()])) as app:
        paths = (
            "/v1/echo",
            "/v1/fail/5",
            "/v1/echo?nothing=1",
            "/v1/echo?fault",
            "/v1/echo?refuse",
        )
        for path in paths:
            for door in (by_asgi, directly):
                await door(app, path)
        for target in ("0?after=2", "5?after=0", "5?after=2", "5?refuse", "5?fault"):
            request = begin(app, f"/v1/fail-stream/{target}", **SSE)
            request.arrives("http.request", body=b"", more_body=False)
            await request.ended()
        for turns in range(10):
            for path in ("/v1/hang", "/v1/hang-stream"):
                request = begin(app, path)
                request.arrives("http.request", body=b"", more_body=False)
                for _ in range(turns):
                    await asyncio.sleep(0)
                request.arrives("http.disconnect")
                await request.ended()
                request = begin(app, path)
                for _ in range(turns):
                    await asyncio.sleep(0)
                request.task.cancel()
                await asyncio.gather(request.task, return_exceptions=True)
        overload = overload_of(app)
        assert (overload.calls, overload.streams, overload.refused) == (0, 0, 0)


async def test_the_adaptive_limit_learns_from_answers(make_app: MakeApp) -> None:
    """It begins with few calls, and rises when the first window has shown how long they take."""
    async with running(make_app(overload={"adaptive": True})) as app:
        overload = overload_of(app)
        before = overload.max_calls
        async with asyncio.timeout(20):
            while overload.max_calls == before:
                await directly(app, "/v1/echo")
        assert overload.adaptive is not None
        least = overload.adaptive.least_seconds
        for _ in range(200):
            await directly(app, "/v1/fail/5")

    assert before == 10
    assert 0 < least < 1
    assert overload.max_calls > before


def test_settings_that_cannot_be_are_refused() -> None:
    """With their names."""
    with pytest.raises(ValueError, match="`min_calls` is more than `max_calls`"):
        OverloadSettings(max_calls=2, min_calls=3, adaptive=True)
    assert Overload(OverloadSettings(max_calls=2, adaptive=True)).max_calls == 2
    assert not OverloadSettings().is_on
