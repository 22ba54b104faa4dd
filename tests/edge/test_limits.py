"""Limits on every door and every wire: who is counted, what is counted, and how a caller is refused."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple

import pytest
from fastapi import FastAPI

from gateway.admission.error import AdmissionError
from gateway.admission.identity import Identity
from gateway.admission.limits.gcra import Decision
from gateway.admission.limits.policy import limits_policies
from gateway.admission.limits.settings import LimitRule, LimitsSettings
from gateway.admission.limits.store import Wanted
from gateway.exchange.request_info import RequestInfo
from gateway.testing import ScriptedUpstream
from gateway.transcoding.status import PERMISSION_DENIED, RESOURCE_EXHAUSTED, StatusError
from tests.edge.asgi import Request, http_scope, running, websocket_scope
from tests.edge.conftest import MakeApp

SSE = {"accept": "text/event-stream"}
NDJSON = {"accept": "application/x-ndjson"}
UNARY = "echo.v1.Echo/Unary"
HOUR = 3600.0
"""A period in which no token comes back while a test runs."""


class Answered(NamedTuple):
    """What a caller was answered."""

    status: int
    headers: dict[str, str]
    json: Any


def begin(
    app: FastAPI, target: str, client: str = "", method: str = "GET", **headers: str
) -> Request:
    """Begins a request of a client, without its body."""
    scope = http_scope(method, target, headers)
    return Request(app, scope | ({"client": (client, 1)} if client else {}))


async def by_asgi(app: FastAPI, path: str, client: str = "", **headers: str) -> Answered:
    """Asks through the ASGI door."""
    request = begin(app, path, client, **headers)
    request.arrives("http.request", body=b"", more_body=False)
    await request.ended()
    return Answered(request.status, request.headers, json.loads(request.body or b"null"))


async def directly(app: FastAPI, path: str, client: str = "", **headers: str) -> Answered:
    """Asks through the direct door."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    data = f"GET {path} HTTP/1.1\r\nhost: x\r\n{lines}\r\n".encode()
    response: asyncio.Future[Answered] = asyncio.Future()

    def respond(status: int, lines: bytes, body: bytes) -> None:
        pairs = dict(line.split(": ", 1) for line in lines.decode().splitlines())
        response.set_result(Answered(status, pairs, json.loads(body or b"null")))

    app.state.direct.read(data).answer(respond, client)
    return await response


def handshake(app: FastAPI, client: str = "") -> Request:
    """Begins a WebSocket."""
    scope = websocket_scope("/v1/bidi") | {"subprotocols": ["grpc-json.v1"]}
    request = Request(app, scope | ({"client": (client, 1)} if client else {}))
    request.arrives("websocket.connect")
    return request


async def by_websocket(app: FastAPI, _path: str, client: str = "", **_: str) -> Answered:
    """Asks by a handshake, and half-closes at once."""
    request = handshake(app, client)
    request.arrives("websocket.receive", text="")
    await request.ended()
    if request.sent[0]["type"] == "websocket.accept":
        return Answered(101, {}, None)
    return Answered(request.status, request.headers, request.json)


async def by_upload(app: FastAPI, _path: str, client: str = "", **_: str) -> Answered:
    """Asks by an upload."""
    request = begin(app, "/v1/upload", client, "POST")
    request.arrives("http.request", body=b"{}\n", more_body=False)
    await request.ended()
    return Answered(request.status, request.headers, json.loads(request.body))


async def by_events(app: FastAPI, _path: str, client: str = "", **_: str) -> Answered:
    """Asks by a reader of events."""
    request = begin(app, "/v1/fail-stream/0?after=1", client, **SSE)
    request.arrives("http.request", body=b"", more_body=False)
    await request.ended()
    body = request.json if request.status >= 400 else None
    return Answered(request.status, request.headers, body)


Ask = Callable[..., Awaitable[Answered]]
DOORS = pytest.mark.parametrize("door", [by_asgi, directly])
WIRES = pytest.mark.parametrize("wire", [by_asgi, directly, by_websocket, by_upload, by_events])


def rules(*written: dict[str, Any], **others: Any) -> LimitsSettings:
    """Returns settings with rules, whose periods are an hour and whose name is `r` if they say no other."""
    made: list[LimitRule] = []
    for rule in written:
        concurrent = rule.get("counts") in ("calls", "streams")
        usual = {"name": "r"} | ({} if concurrent else {"seconds": HOUR})
        made.append(LimitRule(**(usual | rule)))
    return LimitsSettings(rules=tuple(made), **others)


def slots_of(app: FastAPI) -> int:
    """Returns how many keys hold slots."""
    policies = app.state.edge.served.policies
    found = [rule.slots for each in policies for rule, _ in getattr(each, "_rules", ())]
    return sum(len(slots) for slots in found if slots is not None)


@WIRES
async def test_a_caller_beyond_the_limit_is_refused(make_app: MakeApp, wire: Ask) -> None:
    """With 429, when to come back, and the limit's name, also in the details; others are not."""
    async with running(make_app(limits=rules({"limit": 2}))) as app:
        for _ in range(2):
            assert (await wire(app, "/v1/echo", "192.0.2.1")).status in (101, 200)
        refused = await wire(app, "/v1/echo", "192.0.2.1")
        other = await wire(app, "/v1/echo", "192.0.2.2")

    assert other.status in (101, 200)
    assert (refused.status, refused.json["code"]) == (429, RESOURCE_EXHAUSTED)
    assert refused.json["message"] == "too many requests; the limit is 'r'"
    retry, quota = refused.json["details"]
    assert retry == {
        "@type": "type.googleapis.com/google.rpc.RetryInfo",
        "retryDelay": f"{refused.headers['retry-after']}s",
    }
    assert quota["violations"] == [{"subject": "limit:r", "description": "too many requests"}]
    assert 1790 <= int(refused.headers["retry-after"]) <= 1800
    assert refused.headers["ratelimit-policy"] == '"r";q=2;w=3600'
    assert refused.headers["ratelimit"] == f'"r";r=0;t={refused.headers["retry-after"]}'


@DOORS
async def test_admitted_callers_are_told_what_is_left(make_app: MakeApp, door: Ask) -> None:
    """By the fields of the draft; and are not where the setting says so."""
    async with running(make_app(limits=rules({"limit": 5}))) as app:
        seen = [(await door(app, "/v1/echo")).headers["ratelimit"] for _ in range(2)]
        policy = (await door(app, "/v1/echo")).headers["ratelimit-policy"]
    async with running(make_app(limits=rules({"limit": 5}, headers=False))) as app:
        silent = await door(app, "/v1/echo")

    assert [each.partition(";t=")[0] for each in seen] == ['"r";r=4', '"r";r=3']
    assert policy == '"r";q=5;w=3600'
    assert "ratelimit" not in silent.headers


async def test_all_limits_of_a_request_are_told(make_app: MakeApp) -> None:
    """In one field, in the order of the rules."""
    both = rules({"name": "a", "limit": 5, "by": ("route",)}, {"name": "b", "limit": 7, "by": ()})
    async with running(make_app(limits=both)) as app:
        told = (await by_asgi(app, "/v1/echo")).headers

    assert told["ratelimit-policy"] == '"a";q=5;w=3600, "b";q=7;w=3600'
    assert told["ratelimit"] == '"a";r=4;t=720, "b";r=6;t=515'


async def test_the_simple_limit_is_by_address(make_app: MakeApp) -> None:
    """With a burst of a second's requests, if none is given."""
    async with running(make_app(limits=LimitsSettings(requests_per_second=3))) as app:
        seen = [(await directly(app, "/v1/echo", "192.0.2.1")).status for _ in range(4)]
        other = await directly(app, "/v1/echo", "192.0.2.2")

    assert seen == [200, 200, 200, 429]
    assert other.headers["ratelimit-policy"] == '"address";q=3;w=1'


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
        ("192.0.2.1", "192.0.2.2", False),
        ("fe80::1%eth0", "fe80::2%eth1", True),
        ("", "", True),
        ("no address", "another", False),
    ],
)
async def test_which_addresses_are_one_caller(
    make_app: MakeApp, one: str, other: str, *, same: bool
) -> None:
    """IPv6 by its first 64 bits, for a customer has as many; IPv4 by all of it, mapped or not."""
    async with running(make_app(limits=rules({"limit": 1}))) as app:
        first = await directly(app, "/v1/echo", one)
        second = await directly(app, "/v1/echo", other)

    assert (first.status, second.status) == (200, 429 if same else 200)


async def test_the_prefixes_are_settings(make_app: MakeApp) -> None:
    """For each family."""
    wide = rules({"limit": 1}, ipv4_prefix=24, ipv6_prefix=44)
    async with running(make_app(limits=wide)) as app:
        seen = [
            (await directly(app, "/v1/echo", client)).status
            for client in ("192.0.2.1", "192.0.2.2", "192.0.3.1", "2001:db8:0:1::", "2001:db8:f::")
        ]
        further = await directly(app, "/v1/echo", "2001:db8:10::")

    assert seen == [200, 429, 200, 200, 429]
    assert further.status == 200


class Callers:
    """Takes the caller from a header."""

    def __init__(self, kind: str = "jwt") -> None:
        self._kind = kind

    def admit(self, request: RequestInfo) -> None:
        """Sets the identity."""
        name = request.header(b"x-caller")
        if name is not None:
            issuer, _, subject = name.decode().rpartition("|")
            request.identity = Identity(subject, self._kind, {"iss": issuer})


@DOORS
async def test_identities_are_counted_apart(make_app: MakeApp, door: Ask) -> None:
    """The same name of another issuer is another; who has none is counted by address, and not with them."""
    policies = [
        Callers(),
        limits_policies(rules({"limit": 1, "by": ("identity",)}), frozenset())[1],
    ]
    async with running(make_app(policies=policies)) as app:
        seen = [
            (await door(app, "/v1/echo", address, **headers)).status
            for address, headers in (
                ("192.0.2.1", {"x-caller": "a|ann"}),
                ("192.0.2.2", {"x-caller": "a|ann"}),
                ("192.0.2.1", {"x-caller": "a|bob"}),
                ("192.0.2.1", {"x-caller": "b|ann"}),
                ("192.0.2.1", {"x-caller": "x" * 5000}),
                ("192.0.2.1", {"x-caller": "x" * 5001}),
                ("192.0.2.1", {}),
                ("192.0.2.1", {}),
                ("192.0.2.2", {}),
            )
        ]

    assert seen == [200, 429, 200, 200, 200, 200, 200, 429, 200]


@pytest.mark.parametrize(("kind", "refused"), [("api_key", 429), ("jwt", 200)])
async def test_api_keys_are_counted_by_their_names(
    make_app: MakeApp, kind: str, refused: int
) -> None:
    """Callers with another kind of identity, or none, are not counted by such a rule."""
    policies = [
        Callers(kind),
        limits_policies(rules({"limit": 1, "by": ("api_key",)}), frozenset())[1],
    ]
    async with running(make_app(policies=policies)) as app:
        for expected in (200, refused):
            answered = await directly(app, "/v1/echo", **{"x-caller": "ci"})
            assert answered.status == expected
        assert [(await directly(app, "/v1/echo")).status for _ in range(3)] == [200] * 3


async def test_routes_and_combinations_are_counted_apart(make_app: MakeApp) -> None:
    """Each caller on each route; other bindings of a method are the same route."""
    async with running(make_app(limits=rules({"limit": 1, "by": ("address", "route")}))) as app:
        seen = [
            (await directly(app, path, client)).status
            for path, client in (
                ("/v1/echo", "192.0.2.1"),
                ("/v1/echo/x", "192.0.2.1"),
                ("/v1/echo", "192.0.2.2"),
                ("/v1/fail/5", "192.0.2.1"),
                ("/v1/fail/5", "192.0.2.1"),
            )
        ]

    assert seen == [200, 429, 200, 404, 429]


async def test_methods_have_costs(make_app: MakeApp) -> None:
    """The method's own, its service's, or 1; one that costs nothing is not counted."""
    costs = {UNARY: 3, "echo.v1.Echo/Fail": 0, "echo.v1.Echo/*": 2}
    async with running(make_app(limits=rules({"limit": 10, "costs": costs}))) as app:
        left = [
            (await by_asgi(app, path)).headers.get("ratelimit", "").partition(";t=")[0]
            for path in ("/v1/echo", "/v1/fail/5", "/v1/raw:download", "/v1/nothing")
        ]

    assert left == ['"r";r=7', "", '"r";r=5', '"r";r=4']


async def test_a_rule_may_be_about_some_methods(make_app: MakeApp) -> None:
    """Others, and what is no method, are not counted."""
    for methods in ((UNARY,), (UNARY, "echo.v1.Echo/Raw")):
        async with running(make_app(limits=rules({"limit": 1, "methods": methods}))) as app:
            seen = [
                (await by_asgi(app, path)).status
                for path in ("/v1/echo", "/v1/echo", "/v1/fail/5", "/v1/fail/5", "/v1/nothing")
            ]
        assert seen == [200, 429, 404, 404, 404]


async def test_requests_without_a_method_are_counted_but_not_health_checks(
    make_app: MakeApp,
) -> None:
    """A scan for paths is a flood too; whoever looks whether the edge lives must not be refused."""
    async with running(make_app(limits=rules({"limit": 2}))) as app:
        seen = [(await by_asgi(app, path)).status for path in ("/v1/nothing", "/openapi.json")]
        refused = [(await by_asgi(app, path)).status for path in ("/docs", "/v1/nothing")]
        healthy = [(await by_asgi(app, "/healthz")).status for _ in range(3)]

    assert (seen, refused, healthy) == ([404, 200], [429, 429], [200] * 3)


async def test_preflights_are_counted_by_address_alone(make_app: MakeApp) -> None:
    """They have no credentials, so a limit by identity would count all browsers behind one proxy as one.

    CORS answers them first, but for those about a path that there is not.
    """
    asked = {"origin": "https://a.example", "access-control-request-method": "GET"}
    by_address = rules({"limit": 1})
    by_identity = rules({"limit": 1, "by": ("identity",)})
    for settings, refused in ((by_address, 429), (by_identity, 404)):
        async with running(make_app(limits=settings, cors={"origins": ("*",)})) as app:
            for path, expected in (
                *(("/v1/echo", 204), ("/v1/echo", 204)),
                *(("/v1/nothing", 404), ("/v1/nothing", refused)),
            ):
                request = begin(app, path, method="OPTIONS", **asked)
                request.arrives("http.request", body=b"", more_body=False)
                assert (await request.ended()).status == expected


async def test_what_a_stream_sends_is_counted(make_app: MakeApp) -> None:
    """An upload ends with 429, a WebSocket with 4008, and the tokens are the same."""
    async with running(make_app(limits=rules({"limit": 5, "counts": "messages"}))) as app:
        upload = begin(app, "/v1/upload", method="POST")
        upload.arrives("http.request", body=b"{}\n{}\n", more_body=False)
        assert (await upload.ended()).status == 200  # two, and the answer
        socket = handshake(app)
        for _ in range(3):
            socket.arrives("websocket.receive", text="{}")
        await socket.ended()
        late = begin(app, "/v1/upload", method="POST")
        late.arrives("http.request", body=b"{}\n", more_body=False)
        await late.ended()
        unary = await by_asgi(app, "/v1/echo")

    assert socket.sent[-1]["code"] == 4000 + RESOURCE_EXHAUSTED
    assert "too many messages" in socket.sent[-1]["reason"]
    assert (late.status, late.json["message"]) == (429, "too many messages; the limit is 'r'")
    assert unary.status == 200


@pytest.mark.parametrize(
    ("accept", "last"),
    [
        ("text/event-stream", b"event: error\ndata: "),
        ("application/x-ndjson", b'{"error":'),
        ("application/json-seq", b'{"error":'),
    ],
)
async def test_what_a_stream_is_sent_is_counted(
    make_app: MakeApp, accept: str, last: bytes
) -> None:
    """Those that were admitted arrive; then the stream ends in the way of its framing."""
    async with running(make_app(limits=rules({"limit": 4, "counts": "messages"}))) as app:
        request = begin(app, "/v1/stream/x?int32_field=9", accept=accept)
        request.arrives("http.request", body=b"", more_body=False)
        await request.ended()

    assert request.status == 200
    assert request.body.count(b'"int32Field":9') == 3  # the request is one
    assert last in request.body or b'"code":8' in request.body
    assert b"too many messages" in request.body


async def test_an_array_that_is_refused_is_cut(make_app: MakeApp) -> None:
    """It has no place for a status."""
    async with running(make_app(limits=rules({"limit": 4, "counts": "messages"}))) as app:
        request = begin(app, "/v1/stream/x?int32_field=9", accept="application/json")
        request.arrives("http.request", body=b"", more_body=False)
        await asyncio.gather(request.ended(), return_exceptions=True)

    assert request.body.count(b'"int32Field":9') == 3


@DOORS
async def test_bytes_are_counted_both_ways(make_app: MakeApp, door: Ask) -> None:
    """An answer that is larger than what is left arrives; who owes is refused until it is paid."""
    async with running(make_app(limits=rules({"limit": 100, "counts": "bytes"}))) as app:
        first = await door(app, f"/v1/echo/{'x' * 60}")
        refused = await door(app, "/v1/echo")

    assert first.status == 200  # 62 bytes of protobuf, twice
    assert first.headers["ratelimit-policy"] == '"r";q=100;qu="content-bytes";w=3600'
    assert (refused.status, refused.json["message"]) == (429, "too many bytes; the limit is 'r'")
    assert int(refused.headers["retry-after"]) == pytest.approx(25 * 36, abs=2)


async def test_bytes_of_a_stream_end_it(make_app: MakeApp) -> None:
    """At the message that finds nothing left."""
    async with running(make_app(limits=rules({"limit": 100, "counts": "bytes"}))) as app:
        socket = handshake(app)
        for _ in range(3):
            socket.arrives("websocket.receive", text=json.dumps({"stringField": "x" * 40}))
        await socket.ended()

    assert socket.sent[-1]["code"] == 4000 + RESOURCE_EXHAUSTED


async def test_calls_at_a_time_are_counted(make_app: MakeApp) -> None:
    """Streams are not; a call that has ended makes room."""
    settings = rules({"limit": 2, "counts": "calls"})
    async with running(make_app(limits=settings)) as app:
        hanging = [begin(app, "/v1/hang", "192.0.2.1") for _ in range(2)]
        for each in hanging:
            each.arrives("http.request", body=b"", more_body=False)
        await asyncio.sleep(0.02)
        refused = await directly(app, "/v1/echo", "192.0.2.1")
        stream = await by_events(app, "", "192.0.2.1")
        other = await directly(app, "/v1/echo", "192.0.2.2")
        hanging[0].arrives("http.disconnect")
        await hanging[0].ended()
        again = await directly(app, "/v1/echo", "192.0.2.1")
        hanging[1].arrives("http.disconnect")
        await hanging[1].ended()
        assert slots_of(app) == 0

    assert (refused.status, refused.headers["retry-after"]) == (429, "1")
    assert refused.headers["ratelimit-policy"] == '"r";q=2;qu="concurrent-requests"'
    assert refused.headers["ratelimit"] == '"r";r=0'
    assert (stream.status, other.status, again.status) == (200, 200, 200)
    assert again.headers["ratelimit"] == '"r";r=0'


async def test_streams_at_a_time_are_counted(make_app: MakeApp) -> None:
    """On every wire alike."""
    async with running(make_app(limits=rules({"limit": 2, "counts": "streams"}))) as app:
        events = begin(app, "/v1/hang-stream", **SSE)
        events.arrives("http.request", body=b"", more_body=False)
        socket = handshake(app)
        await events.until_sent(2)
        await socket.until_sent(1)
        refused = [(await wire(app, "")).status for wire in (by_upload, by_events, by_websocket)]
        unary = await by_asgi(app, "/v1/echo")
        events.arrives("http.disconnect")
        await events.ended()
        upload = await by_upload(app, "")
        socket.arrives("websocket.disconnect")
        await socket.ended()
        assert slots_of(app) == 0

    assert (refused, unary.status, upload.status) == ([429] * 3, 200, 200)


class Closing:
    """A policy behind the limits: refuses, fails, or leaves something that fails at the end."""

    def admit(self, request: RequestInfo) -> None:
        """Does what the query says."""
        if request.query == b"refuse":
            raise StatusError.of(PERMISSION_DENIED, "closed")
        if request.query == b"fault":
            raise LookupError("a fault")
        if request.query == b"late-fault":
            request.at_end.insert(0, _fault)


class Waiting:
    """A policy that waits, and never ends."""

    async def _wait(self) -> None:
        await asyncio.Event().wait()

    def admit(self, request: RequestInfo) -> Awaitable[None] | None:
        """Waits where the query says so."""
        return self._wait() if request.query == b"wait" else None


def _fault() -> None:
    raise LookupError("a late fault")


BOTH = rules(
    {"name": "calls", "limit": 1000, "counts": "calls"},
    {"name": "streams", "limit": 1000, "counts": "streams"},
)


@DOORS
async def test_no_end_of_a_call_keeps_its_slot(make_app: MakeApp, door: Ask) -> None:
    """An answer, a status, a bad request, a refusal or a fault of a later policy, and one at the end."""
    async with running(make_app(limits=BOTH, policies=[Closing()])) as app:
        seen = [
            (await door(app, path)).status
            for path in (
                *("/v1/echo", "/v1/fail/5", "/v1/echo?nothing=1", "/v1/echo?refuse"),
                *("/v1/echo?fault", "/v1/echo?late-fault"),
            )
        ]
        assert slots_of(app) == 0

    assert seen == [200, 404, 400, 403, 500, 400]


async def test_no_end_of_a_stream_keeps_its_slot(make_app: MakeApp) -> None:
    """Clean, an error before and behind the head, a refusal, a fault, a bad message."""
    async with running(make_app(limits=BOTH, policies=[Closing()])) as app:
        for target in (
            "0?after=2",
            "5?after=0",
            "5?after=2",
            "5?refuse",
            "5?fault",
            "5?late-fault",
        ):
            for headers in (SSE, NDJSON):
                request = begin(app, f"/v1/fail-stream/{target}", **headers)
                request.arrives("http.request", body=b"", more_body=False)
                await request.ended()
        for text in ("{}", "", "[", '{"nothing": 1}'):
            socket = handshake(app)
            socket.arrives("websocket.receive", text=text)
            socket.arrives("websocket.disconnect")
            await socket.ended()
        assert slots_of(app) == 0


@pytest.mark.parametrize("path", ["/v1/hang", "/v1/hang?wait", "/v1/hang-stream"])
async def test_no_client_that_leaves_keeps_a_slot(make_app: MakeApp, path: str) -> None:
    """Nor one whose task the server cancels, at any time."""
    async with running(make_app(limits=BOTH, policies=[Waiting()])) as app:
        for turns in range(12):
            request = begin(app, path)
            request.arrives("http.request", body=b"", more_body=False)
            for _ in range(turns):
                await asyncio.sleep(0)
            if "wait" in path:
                request.task.cancel()
            else:
                request.arrives("http.disconnect")
            await asyncio.gather(request.task, return_exceptions=True)
            cancelled = begin(app, path)
            for _ in range(turns):
                await asyncio.sleep(0)
            cancelled.task.cancel()
            await asyncio.gather(cancelled.task, return_exceptions=True)
        assert slots_of(app) == 0


async def test_a_client_of_the_direct_door_that_leaves_keeps_no_slot(make_app: MakeApp) -> None:
    """While it waits for its call, and while a policy waits."""
    async with running(make_app(limits=BOTH, policies=[Waiting()])) as app:
        for path in (b"/v1/hang", b"/v1/echo?wait"):
            for turns in range(5):
                data = b"GET %b HTTP/1.1\r\nhost: x\r\n\r\n" % path
                response = app.state.direct.read(data)
                response.answer(lambda *_: None)
                assert slots_of(app) == 1
                for _ in range(turns):
                    await asyncio.sleep(0)
                response.disconnect()
                while not response.over:
                    await asyncio.sleep(0)
                assert slots_of(app) == 0


async def test_a_shutdown_keeps_no_slot(make_app: MakeApp) -> None:
    """Streams are told, calls are cancelled."""
    async with running(make_app(limits=BOTH)) as app:
        stream = begin(app, "/v1/hang-stream", **SSE)
        call = begin(app, "/v1/hang")
        socket = handshake(app)
        for each in (stream, call):
            each.arrives("http.request", body=b"", more_body=False)
        await stream.until_sent(2)
        await socket.until_sent(1)
        assert slots_of(app) == 2
        app.state.edge.interrupt_streams()
        call.task.cancel()
        await asyncio.gather(stream.ended(), socket.ended(), call.task, return_exceptions=True)
        late = await by_events(app, "")
        assert slots_of(app) == 0

    assert late.status == 503


async def test_a_storm_of_readers_that_reconnect_is_counted_once_each(make_app: MakeApp) -> None:
    """A reader that was cut and comes again has one slot, however often it does."""
    async with running(make_app(limits=rules({"limit": 3, "counts": "streams"}))) as app:
        for number in range(200):
            readers = [
                begin(app, "/v1/hang-stream", **SSE, **{"last-event-id": f"x-{number}"})
                for _ in range(3)
            ]
            for each in readers:
                each.arrives("http.request", body=b"", more_body=False)
            for each in readers:
                await each.until_sent(1)
            assert [each.status for each in readers] == [200] * 3
            for each in readers:
                each.arrives("http.disconnect")
            await asyncio.gather(*(each.ended() for each in readers))
        assert slots_of(app) == 0


async def test_a_reader_that_reconnects_is_told_by_an_event(make_app: MakeApp) -> None:
    """A browser takes a 429 for the end, and never comes back; a first connection gets the status."""
    async with running(make_app(limits=rules({"limit": 1, "counts": "streams"}))) as app:
        first = begin(app, "/v1/hang-stream", **SSE)
        first.arrives("http.request", body=b"", more_body=False)
        await first.until_sent(2)
        new = await by_events(app, "")
        again = begin(app, "/v1/hang-stream", **SSE, **{"last-event-id": "x-1"})
        again.arrives("http.request", body=b"", more_body=False)
        await again.ended()
        lines = begin(app, "/v1/hang-stream", **NDJSON, **{"last-event-id": "x-1"})
        lines.arrives("http.request", body=b"", more_body=False)
        await lines.ended()
        first.arrives("http.disconnect")
        await first.ended()
        assert slots_of(app) == 0

    assert (new.status, lines.status, again.status) == (429, 429, 200)
    assert again.headers["ratelimit"] == '"r";r=0'
    assert b"event: error" in again.body
    assert b"retry: " in again.body.partition(b"event: error")[0]
    assert b"too many streams at a time" in again.body


@pytest.mark.parametrize(
    "accept", ["image/png", "text/event-stream;q=0", "text/event-stream;int64=word", "*/*;names=x"]
)
async def test_a_refusal_stays_where_no_framing_is_taken(make_app: MakeApp, accept: str) -> None:
    """What comes with an id of an event, and takes no events, is refused as any other request is."""
    async with running(make_app(limits=rules({"limit": 1, "counts": "requests"}))) as app:
        await by_asgi(app, "/v1/echo")
        refused = await by_asgi(
            app, "/v1/stream/a", accept=accept, **{"last-event-id": "0123456789abcdef-1"}
        )

    assert (refused.status, refused.json["code"]) == (429, RESOURCE_EXHAUSTED)
    assert "retry-after" in refused.headers


class FarStore:
    """A store that decides later, as one on a network does."""

    def __init__(self, *answers: Sequence[Decision] | None) -> None:
        """Takes what it decides, request by request; None: nothing in time."""
        self._answers = iter(answers)
        self.asked: list[list[str]] = []

    def take(self, wanted: Sequence[Wanted]) -> Awaitable[Sequence[Decision] | None]:
        """See `LimitStore`."""
        self.asked.append([each.rate.name for each in wanted])
        return self._decide(next(self._answers))

    async def _decide(self, answer: Sequence[Decision] | None) -> Sequence[Decision] | None:
        await asyncio.sleep(0)
        return answer


def told(answered: Answered) -> tuple[bool, str]:
    """Returns whether a request was admitted, and what it was told is left, without times."""
    text = answered.headers.get("ratelimit", "")
    return answered.status in (101, 200), re.sub(r";t=\d+", "", text)


@WIRES
async def test_a_store_may_decide_later(make_app: MakeApp, wire: Ask) -> None:
    """All rules of a request in one question; the first that refuses ends it."""
    left = Decision(3, 0.0, HOUR * 2 / 5)
    store = FarStore([left, left], [left, Decision(0, 60.0, HOUR)])
    written = rules({"name": "a", "limit": 5}, {"name": "b", "limit": 5})
    policies = [limits_policies(written, frozenset(), store=store)[0]]
    async with running(make_app(policies=policies)) as app:
        first = await asyncio.wait_for(wire(app, "/v1/echo"), 10)
        second = await asyncio.wait_for(wire(app, "/v1/echo"), 10)

    assert (told(first)[0], told(second)) == (True, (False, '"a";r=3, "b";r=0'))
    assert second.headers["retry-after"] == "60"
    assert store.asked == [["a", "b"], ["a", "b"]]


@DOORS
async def test_without_the_store_counting_goes_on_from_what_it_said(
    make_app: MakeApp, door: Ask
) -> None:
    """So who slows the store down gets no fresh tokens."""
    store = FarStore([Decision(1, 0.0, HOUR * 4 / 5)], None, None)
    policies = [limits_policies(rules({"limit": 5}), frozenset(), store=store)[0]]
    async with running(make_app(policies=policies)) as app:
        seen = [told(await door(app, "/v1/echo")) for _ in range(3)]

    assert seen == [(True, '"r";r=1'), (True, '"r";r=0'), (False, '"r";r=0')]


@DOORS
async def test_a_caller_that_is_known_to_be_refused_is_not_asked_about(
    make_app: MakeApp, door: Ask
) -> None:
    """A flood does not reach the store; the bucket cannot be fuller than it said."""
    store = FarStore([Decision(0, 60.0, HOUR)])
    policies = [limits_policies(rules({"limit": 5}), frozenset(), store=store)[0]]
    async with running(make_app(policies=policies)) as app:
        seen = [told(await door(app, "/v1/echo")) for _ in range(5)]

    assert seen == [(False, '"r";r=0')] * 5
    assert len(store.asked) == 1


async def test_a_refused_request_makes_no_call(
    make_app: MakeApp, upstream: ScriptedUpstream
) -> None:
    """The limit is there for the server."""
    async with running(make_app(limits=rules({"limit": 1}))) as app:
        for _ in range(5):
            await by_asgi(app, "/v1/echo")

    assert len(upstream.calls) == 1


def test_without_settings_there_is_no_policy(make_app: MakeApp) -> None:
    """So requests pay nothing."""
    assert limits_policies(LimitsSettings(), frozenset()) == (None, None)
    assert make_app().state.edge.served.policies == ()


def test_rules_stand_where_their_keys_are_known() -> None:
    """Those with an identity behind rights, all others before identity."""
    both = rules({"name": "a", "limit": 1}, {"name": "b", "limit": 1, "by": ("identity", "route")})
    before, behind = limits_policies(both, frozenset())
    assert before is not None
    assert behind is not None


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ({"limit": 0}, "greater than 0"),
        ({"limit": 1, "name": "a b"}, "match pattern"),
        ({"limit": 1, "by": ("adress",)}, "'address', 'identity', 'api_key' or 'route'"),
        ({"limit": 1, "by": ("route", "route")}, "names a key twice"),
        ({"limit": 1, "counts": "calls", "burst": 3}, "say nothing of calls"),
        ({"limit": 1, "counts": "bytes", "costs": {"*": 1}}, "only requests have `costs`"),
        ({"limit": 2, "costs": {UNARY: 3}}, "raise `burst`"),
        ({"limit": 2, "methods": ("Unary",)}, "match pattern"),
        ({"limit": 2, "burts": 3}, "burst"),
    ],
)
def test_a_rule_that_cannot_be_is_refused(rule: dict[str, Any], said: str) -> None:
    """At the start, with what is wrong."""
    with pytest.raises(ValueError, match=said.replace("(", "\\(")):
        LimitRule(**({"name": "r"} | rule))


@pytest.mark.parametrize("field", ["methods", "costs"])
def test_a_misspelt_method_stops_the_start(make_app: MakeApp, field: str) -> None:
    """It would limit nothing; the nearest method is named."""
    for pattern in ("echo.v1.Echo/Unray", "echo.v1.Ecko/*"):
        value = (pattern,) if field == "methods" else {pattern: 1}
        with pytest.raises(AdmissionError, match=f"limits.rules: {re.escape(pattern)} of r is no"):
            make_app(limits=rules({"limit": 1, field: value}))
    make_app(limits=rules({"limit": 1, "methods": ("echo.v1.Echo/*", "*")}))


def test_rules_have_names_of_their_own() -> None:
    """Also beside the simple limit."""
    for settings in (
        {"rules": ({"name": "r", "limit": 1}, {"name": "r", "limit": 2})},
        {"rules": ({"name": "address", "limit": 1},), "requests_per_second": 1},
    ):
        with pytest.raises(ValueError, match="two rules are named"):
            LimitsSettings(**settings)
    with pytest.raises(ValueError, match="needs `requests_per_second`"):
        LimitsSettings(burst=3)
