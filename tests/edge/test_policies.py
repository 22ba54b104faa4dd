"""Policies decide about requests and observers watch them, on every door and for every wire."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest
from fastapi import FastAPI
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo

from gateway.exchange.observation import MAX_ENDS
from gateway.exchange.observer import EVENTS, EndedBy, Observer, RequestEnd
from gateway.exchange.request_info import RequestInfo, Wire
from gateway.testing import ScriptedUpstream
from gateway.transcoding.status import (
    INTERNAL,
    NOT_FOUND,
    OK,
    PERMISSION_DENIED,
    RESOURCE_EXHAUSTED,
    UNAUTHENTICATED,
    StatusError,
)
from tests.edge.asgi import ask, connect, running, start
from tests.edge.conftest import MakeApp
from tests.edge.test_direct import answer

OURS = ("grpc-json.v1",)
Ask = Callable[[FastAPI, str, dict[str, str]], Awaitable[tuple[int, Any]]]


async def by_asgi(app: FastAPI, path: str, headers: dict[str, str]) -> tuple[int, Any]:
    """Asks through the ASGI door."""
    request = await ask(app, "GET", path, headers=headers)
    return request.status, request.json if request.body else None


async def directly(app: FastAPI, path: str, headers: dict[str, str]) -> tuple[int, Any]:
    """Asks through the direct door, of what that answers."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    status, _, body = await answer(app, f"GET {path} HTTP/1.1\r\nhost: x\r\n{lines}\r\n".encode())
    return status, body


async def by_websocket(app: FastAPI, path: str, headers: dict[str, str]) -> tuple[int, Any]:
    """Asks by a handshake, which is refused."""
    del path
    request = await connect(app, "/v1/bidi", headers, OURS).ended()
    return request.status, request.json if request.body else None


class Tokens:
    """Lets callers with a token in, at once or after waiting, and tells upstream who they are."""

    def __init__(self, *, waits: bool = False) -> None:
        self.asked: list[RequestInfo] = []
        self._waits = waits

    def admit(self, request: RequestInfo) -> Awaitable[None] | None:
        """Decides."""
        self.asked.append(request)
        if self._waits:
            return self._wait(request)
        self._decide(request)
        return None

    async def _wait(self, request: RequestInfo) -> None:
        async with asyncio.timeout(10):
            await asyncio.sleep(0.001)
        self._decide(request)

    def _decide(self, request: RequestInfo) -> None:
        token = request.header(b"authorization")
        if token is None:
            raise StatusError.of(UNAUTHENTICATED, "no token")
        request.identity = token.decode().removeprefix("Bearer ")
        request.metadata.append(("x-user", str(request.identity)))


class Watching(Observer):
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.seen: list[Any] = []
        self.ends: list[RequestEnd] = []
        self.infos: list[RequestInfo] = []

    def request_started(self, request: RequestInfo) -> None:
        """Remembers."""
        self.infos.append(request)
        self.seen.append("started")

    def response_started(self, request: RequestInfo, http_status: int) -> None:
        """Remembers."""
        self.seen.append(http_status)

    def message_received(self, request: RequestInfo, size: int) -> None:
        """Remembers."""
        self.seen.append("in")

    def message_sent(self, request: RequestInfo, size: int) -> None:
        """Remembers."""
        self.seen.append("out")

    def request_ended(self, request: RequestInfo, end: RequestEnd) -> None:
        """Remembers."""
        self.seen.append("ended")
        self.ends.append(end)


@pytest.mark.parametrize("waits", [False, True])
@pytest.mark.parametrize("door", [by_asgi, directly, by_websocket])
async def test_a_policy_refuses_on_every_door(make_app: MakeApp, door: Ask, *, waits: bool) -> None:
    """With its status, before the body is read or a call is made."""
    policy = Tokens(waits=waits)
    async with running(make_app(policies=[policy])) as app:
        status, body = await asyncio.wait_for(door(app, "/v1/echo", {}), 10)

    assert (status, body["code"], body["message"]) == (401, UNAUTHENTICATED, "no token")
    assert policy.asked[0].method is not None


@pytest.mark.parametrize("waits", [False, True])
@pytest.mark.parametrize("door", [by_asgi, directly])
async def test_a_policy_adds_metadata_and_an_identity(
    make_app: MakeApp, upstream: ScriptedUpstream, door: Ask, *, waits: bool
) -> None:
    """What it adds replaces what the caller sent under the same key."""
    policy, observer = Tokens(waits=waits), Watching()
    app = make_app(policies=[policy], observers=[observer], request_headers=("x-user",))
    async with running(app):
        for user in ("ann", "bob"):
            headers = {"authorization": f"Bearer {user}", "x-user": "root"}
            status, _ = await asyncio.wait_for(door(app, "/v1/echo", headers), 10)

            assert status == 200
            assert upstream.calls[-1].metadata == (("x-user", user),)
    assert [info.identity for info in observer.infos] == ["ann", "bob"]


@pytest.mark.parametrize(
    "said", ["x-user", "X-User", "grpc-metadata-x-user", "Grpc-Metadata-X-User"]
)
async def test_no_caller_replaces_the_metadata_of_a_policy(
    make_app: MakeApp, upstream: ScriptedUpstream, said: str
) -> None:
    """Neither by a header under any name, nor by the first frame of a WebSocket, which comes later."""
    app = make_app(policies=[Tokens()], request_headers=("x-user",))
    forged = {said: "root", "authorization": "Bearer ann"}
    async with running(app):
        await ask(app, "GET", "/v1/echo", headers=forged)
        await directly(app, "/v1/echo", forged)
        socket = connect(app, "/v1/bidi", forged, ("grpc-json-envelope.v1",))
        frame = {"headers": {said: ["root", "admin"], "grpc-metadata-other": "1"}}
        socket.arrives("websocket.receive", text=json.dumps(frame))
        socket.arrives("websocket.receive", text='{"half_close":{}}')
        await socket.ended()

    assert [call.metadata for call in upstream.calls] == [
        (("x-user", "ann"),),
        (("x-user", "ann"),),
        (("other", "1"), ("x-user", "ann")),
    ]


async def test_keys_of_a_policy_are_lower_case_upstream(
    make_app: MakeApp, upstream: ScriptedUpstream
) -> None:
    """As gRPC's are; so they replace what a caller sent in any case."""

    class Capital:
        def admit(self, request: RequestInfo) -> None:
            request.metadata.append(("X-User", "ann"))

    app = make_app(policies=[Capital()], request_headers=("x-user",))
    async with running(app):
        await ask(app, "GET", "/v1/echo", headers={"x-user": "root"})

    assert upstream.calls[0].metadata == (("x-user", "ann"),)


async def test_a_path_without_a_method_is_decided_about_too(make_app: MakeApp) -> None:
    """So nobody without a right learns which paths there are."""
    policy = Tokens()
    async with running(make_app(policies=[policy])) as app:
        missing = await ask(app, "GET", "/v1/nothing-here")
        put = await ask(app, "PUT", "/v1/echo", headers={"authorization": "Bearer ann"})

    assert (missing.status, put.status) == (401, 405)
    assert [info.method for info in policy.asked] == [None, None]


async def test_policies_are_asked_in_order(make_app: MakeApp) -> None:
    """The first refusal counts, and the later ones are not asked."""

    class Closed:
        def admit(self, request: RequestInfo) -> None:
            raise StatusError.of(PERMISSION_DENIED, "closed")

    later = Tokens()
    async with running(make_app(policies=[Closed(), later])) as app:
        assert (await ask(app, "GET", "/v1/echo")).status == 403
    assert later.asked == []


async def test_a_refused_handshake_says_when_to_come_back(make_app: MakeApp) -> None:
    """As every other response does, where the server can send one with it."""

    class Busy:
        def admit(self, request: RequestInfo) -> None:
            retry = RetryInfo(retry_delay=Duration(seconds=30, nanos=1))
            raise StatusError.of(RESOURCE_EXHAUSTED, "later", retry)

    async with running(make_app(policies=[Busy()])) as app:
        request = await connect(app, "/v1/bidi", subprotocols=OURS).ended()

    assert (request.status, request.headers["retry-after"]) == (429, "31")


@pytest.mark.parametrize("door", [by_asgi, directly])
async def test_a_fault_in_a_policy_lets_nobody_in(
    make_app: MakeApp, door: Ask, caplog: pytest.LogCaptureFixture
) -> None:
    """It is a 500, and is logged."""

    class Faulty:
        def admit(self, request: RequestInfo) -> None:
            raise LookupError("a fault")

    async with running(make_app(policies=[Faulty()])) as app:
        status, body = await door(app, "/v1/echo", {})

    assert (status, body["code"]) == (500, INTERNAL)
    assert "a fault" in caplog.text


async def test_a_policy_sees_each_message_of_a_stream(make_app: MakeApp) -> None:
    """And may end the stream at one."""

    class TwoMessages:
        def admit(self, request: RequestInfo) -> None:
            left = iter(range(2))

            def check(_size: int) -> None:
                if next(left, None) is None:
                    raise StatusError.of(RESOURCE_EXHAUSTED, "two messages are enough")

            request.message_checks.append(check)

    async with running(make_app(policies=[TwoMessages()])) as app:
        upload = await ask(app, "POST", "/v1/upload", b"{}\n{}\n{}\n")
        socket = connect(app, "/v1/bidi", subprotocols=OURS)
        for _ in range(3):
            socket.arrives("websocket.receive", text="{}")
        await socket.ended()

    assert (upload.status, upload.json["message"]) == (429, "two messages are enough")
    assert socket.sent[-1]["code"] == 4000 + RESOURCE_EXHAUSTED


@pytest.mark.parametrize("door", [by_asgi, directly])
async def test_an_observer_sees_a_unary_request(make_app: MakeApp, door: Ask) -> None:
    """From its start to its end, with its status and who ended it."""
    observer = Watching()
    async with running(make_app(observers=[observer])) as app:
        await door(app, "/v1/echo?stringField=secret", {"x-request-id": "7"})
        await door(app, "/v1/fail/5", {})
        await door(app, "/v1/echo?nothing=1", {})

    unary = ["started", "in", 200, "out", "ended"]
    assert sorted(map(str, observer.seen[:5])) == sorted(map(str, unary))
    first, failed, bad = observer.ends
    assert (first.code, first.http_status, first.ended_by) == (OK, 200, EndedBy.UPSTREAM)
    assert (failed.code, failed.http_status) == (NOT_FOUND, 404)
    assert (bad.http_status, bad.ended_by) == (400, EndedBy.EDGE)
    assert all(0 <= end.seconds < 60 for end in observer.ends)
    info = observer.infos[0]
    assert (info.path, info.request_id, info.wire) == ("/v1/echo", "7", Wire.HTTP)


async def test_an_observer_sees_streams(make_app: MakeApp) -> None:
    """Each message either way, on every wire."""
    observer = Watching()
    async with running(make_app(observers=[observer])) as app:
        await ask(app, "GET", "/v1/fail-stream/5?after=2")
        assert observer.seen == ["started", "in", 200, "out", "out", "ended"] or observer.seen == [
            *("started", "in", "out", 200, "out", "ended")
        ]
        assert observer.ends[0].code == 5
        observer.seen.clear()
        await ask(app, "POST", "/v1/upload", b"{}\n{}\n")
        assert observer.seen == ["started", "in", "in", "out", 200, "ended"]
        observer.seen.clear()
        socket = connect(app, "/v1/bidi", subprotocols=OURS)
        socket.arrives("websocket.receive", text="{}")
        socket.arrives("websocket.receive", text="")
        await socket.ended()
        assert observer.seen == ["started", 101, "in", "out", "ended"]
        assert observer.infos[-1].wire is Wire.WEBSOCKET


async def test_an_observer_sees_a_client_that_leaves(make_app: MakeApp) -> None:
    """It ended the request, though nothing was sent to it."""
    observer = Watching()
    async with running(make_app(observers=[observer])) as app:
        request = start(app, "GET", "/v1/hang")
        await asyncio.sleep(0.05)
        request.arrives("http.disconnect")
        await request.ended()

    assert [end.ended_by for end in observer.ends] == [EndedBy.CLIENT]


async def test_a_fault_in_an_observer_reaches_nobody(
    make_app: MakeApp, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged; the others are told, and the request is answered."""

    class Faulty(Observer):
        def request_started(self, request: RequestInfo) -> None:
            raise LookupError("a fault")

    observer = Watching()
    async with running(make_app(observers=[Faulty(), observer])) as app:
        request = await ask(app, "GET", "/v1/echo")

    assert json.loads(request.body) == {}
    assert observer.seen[0] == "started"
    assert "a fault" in caplog.text


async def test_an_observer_is_told_only_what_it_overrides(make_app: MakeApp) -> None:
    """An event that no observer overrides is nobody's: it costs no call."""

    class Ends(Observer):
        def __init__(self) -> None:
            self.headers: list[Any] = []

        def request_ended(self, request: RequestInfo, end: RequestEnd) -> None:
            self.headers.append(request.headers)

    observer = Ends()
    async with running(make_app(observers=[Observer(), observer])) as app:
        await directly(app, "/v1/echo", {"X-Tag": "a"})
        observation = app.state.edge.observation

    assert observer.headers == [((b"host", b"x"), (b"x-tag", b"a"))]
    told = {event for event in EVENTS if getattr(observation, event)}
    assert told == {"request_ended"}


async def test_plain_events_need_no_request(make_app: MakeApp) -> None:
    """An observer of the end alone is told it in plain values, and no `RequestInfo` is made for it."""

    class Ends(Observer):
        def __init__(self) -> None:
            self.ends: list[RequestEnd] = []

        def exchange_ended(self, end: RequestEnd) -> None:
            self.ends.append(end)

    class Faulty(Observer):
        def exchange_ended(self, end: RequestEnd) -> None:
            raise LookupError("a fault")

    observer = Ends()
    async with running(make_app(observers=[Faulty(), observer])) as app:
        observation = app.state.edge.observation
        trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
        await directly(app, "/v1/echo", {"X-Request-ID": "ab", "Traceparent": trace})
        await ask(app, "GET", "/nowhere")
        app.state.edge.unobserve(observer)
        await ask(app, "GET", "/nowhere")
        found, missed = observer.ends

    assert not observation.needs_info
    assert (found.request_id, found.traceparent, found.path) == ("ab", trace, "/v1/echo")
    assert str(found.binding) == "GET /v1/echo"
    assert (found.http_status, found.code, found.ended_by) == (200, 0, EndedBy.UPSTREAM)
    assert found.counts is None
    assert (missed.binding, missed.http_status, missed.ended_by) == (None, 404, EndedBy.EDGE)


class Together(Observer):
    """Is told ends some at a time, and of heads that are no request."""

    def __init__(self) -> None:
        self.told: list[list[str]] = []

    def exchanges_ended(self, ends: Sequence[RequestEnd]) -> None:
        """Keeps their ids."""
        self.told.append([end.request_id for end in ends])

    def head_rejected(self, end: RequestEnd) -> None:
        """Keeps its id."""
        self.told.append([end.request_id])


async def echo_by_ids(app: FastAPI, ids: Sequence[int]) -> None:
    """Asks once with each id."""
    for each in ids:
        await directly(app, "/v1/echo", {"X-Request-ID": str(each)})


async def test_ends_are_told_some_at_a_time(
    make_app: MakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each once and in order: when there are many, and before the observer is told no more."""

    class Faulty(Observer):
        def exchanges_ended(self, ends: Sequence[RequestEnd]) -> None:
            raise LookupError("a fault")

    monkeypatch.setattr("gateway.exchange.observation._GATHER_SECONDS", 3600.0)
    observer = Together()
    async with running(make_app(observers=[Faulty(), observer])) as app:
        await echo_by_ids(app, range(MAX_ENDS + 1))
        at_once = [*observer.told]
        app.state.edge.unobserve(observer)
        await echo_by_ids(app, [100])

    assert at_once == [[str(each) for each in range(MAX_ENDS)]]
    assert observer.told[1:] == [[str(MAX_ENDS)]]


async def test_few_ends_are_told_soon(make_app: MakeApp) -> None:
    """Though no other comes."""
    observer = Together()
    async with running(make_app(observers=[observer])) as app:
        for each in (1, 2):
            await echo_by_ids(app, [each])
            async with asyncio.timeout(10):
                while len(observer.told) < each:
                    await asyncio.sleep(0.01)

    assert observer.told == [["1"], ["2"]]


async def test_what_is_told_at_once_is_told_behind_earlier_ends(
    make_app: MakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that the lines of a log are in order."""
    monkeypatch.setattr("gateway.exchange.observation._GATHER_SECONDS", 3600.0)
    observer = Together()
    async with running(make_app(observers=[observer])) as app:
        await echo_by_ids(app, [1, 2])
        app.state.edge.observation.reject(431, RESOURCE_EXHAUSTED, "3", "192.0.2.1")

    assert observer.told == [["1", "2"], ["3"]]


async def test_refusals_of_policies_are_told(make_app: MakeApp) -> None:
    """By the name of the policy's class, and the code."""

    class Told(Observer):
        def __init__(self) -> None:
            self.refusals: list[tuple[str, int]] = []

        def policy_refused(self, policy: str, code: int) -> None:
            self.refusals.append((policy, code))

    class Refusing:
        def admit(self, request: RequestInfo) -> None:
            raise StatusError.of(UNAUTHENTICATED, "no token")

    observer = Told()
    async with running(make_app(policies=[Refusing()], observers=[observer])) as app:
        await ask(app, "GET", "/v1/echo")

    assert observer.refusals == [("Refusing", UNAUTHENTICATED)]


async def test_the_address_of_a_direct_request_is_known(make_app: MakeApp) -> None:
    """Though its head may come from a cache, which has no address in it."""
    observer = Watching()
    async with running(make_app(observers=[observer])) as app:
        for client in ("192.0.2.1", "192.0.2.2"):
            request = app.state.direct.read(b"GET /v1/echo HTTP/1.1\r\nhost: x\r\n\r\n")
            done = asyncio.Event()
            request.answer(lambda *_, done=done: done.set(), client)
            await asyncio.wait_for(done.wait(), 10)

    assert [info.client for info in observer.infos] == ["192.0.2.1", "192.0.2.2"]
