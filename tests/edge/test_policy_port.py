"""What a policy can do beside refusing: on every door, for every wire, and for the framework's own routes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest
from fastapi import FastAPI

from gateway.exchange.observer import EndedBy
from gateway.exchange.policy import Answer
from gateway.exchange.request_info import RequestInfo
from gateway.transcoding.status import PERMISSION_DENIED, UNAUTHENTICATED, StatusError
from tests.edge.asgi import ask, connect, running, start
from tests.edge.conftest import MakeApp
from tests.edge.test_direct import answer
from tests.edge.test_policies import OURS, Ask, Watching, by_asgi, directly


class Doing:
    """Does what a test says."""

    def __init__(self, do: Callable[[RequestInfo], None]) -> None:
        self.asked: list[RequestInfo] = []
        self._do = do

    def admit(self, request: RequestInfo) -> None:
        """Does it."""
        self.asked.append(request)
        self._do(request)


def mark(request: RequestInfo) -> None:
    """Adds a header."""
    request.response_headers.append((b"x-mark", b"1"))


PATHS = (
    *("/v1/echo", "/v1/echo?nothing=1", "/v1/fail/5", "/v1/fail-stream/5?after=1", "/v1/nothing"),
    *("/healthz", "/openapi.json", "/docs", "/own"),
)


@pytest.mark.parametrize("path", PATHS)
async def test_headers_of_a_policy_are_on_every_response(make_app: MakeApp, path: str) -> None:
    """Of a success, an error, a stream, a page, and of what nobody takes; once."""
    app = make_app(policies=[Doing(mark)])

    @app.get("/own")
    async def own() -> dict[str, str]:
        return {}

    async with running(app):
        request = await ask(app, "GET", path)

    assert [name for name, _ in request.sent[0]["headers"]].count(b"x-mark") == 1


async def test_headers_of_a_policy_are_on_direct_responses(make_app: MakeApp) -> None:
    """Those that need no task."""
    async with running(make_app(policies=[Doing(mark)])) as app:
        for path in ("/v1/echo", "/v1/echo?nothing=1"):
            _, headers, _ = await answer(app, f"GET {path} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
            assert headers[b"x-mark"] == b"1"


async def test_headers_of_a_policy_are_on_a_refused_handshake(make_app: MakeApp) -> None:
    """Whoever refuses it."""

    def refuse(request: RequestInfo) -> None:
        mark(request)
        raise StatusError.of(PERMISSION_DENIED, "closed")

    async with running(make_app(policies=[Doing(refuse)])) as app:
        request = await connect(app, "/v1/bidi", subprotocols=OURS).ended()

    assert (request.status, request.headers["x-mark"]) == (403, "1")


@pytest.mark.parametrize("path", ["/healthz", "/docs", "/openapi.json", "/own", "/nowhere"])
async def test_a_policy_is_asked_once_about_the_frameworks_routes(
    make_app: MakeApp, path: str
) -> None:
    """The edge's pages, a route of the user's, and a path that nobody has; an observer sees each."""

    def refuse(request: RequestInfo) -> None:
        if request.query == b"closed":
            raise StatusError.of(UNAUTHENTICATED, "who are you?")

    policy, observer = Doing(refuse), Watching()
    app = make_app(policies=[policy], observers=[observer])

    @app.get("/own")
    async def own() -> dict[str, str]:
        return {}

    async with running(app):
        let_in = await ask(app, "GET", path)
        refused = await ask(app, "GET", f"{path}?closed")

    assert let_in.status == (404 if path == "/nowhere" else 200)
    assert (refused.status, refused.json["code"]) == (401, UNAUTHENTICATED)
    assert len(policy.asked) == 2
    assert [end.http_status for end in observer.ends] == [let_in.status, 401]


async def test_an_error_of_a_users_route_goes_to_the_framework(make_app: MakeApp) -> None:
    """As without a policy: its handlers see it, and an observer sees the end."""
    observer = Watching()
    app = make_app(policies=[Doing(mark)], observers=[observer])

    @app.get("/own")
    async def own() -> dict[str, str]:
        raise LookupError("a fault")

    async with running(app):
        with pytest.raises(LookupError):
            await ask(app, "GET", "/own")
    assert [end.ended_by for end in observer.ends] == [EndedBy.EDGE]


@pytest.mark.parametrize("door", [by_asgi, directly])
async def test_a_policy_answers_itself(make_app: MakeApp, door: Ask) -> None:
    """With a status and headers; no call is made."""

    def reply(request: RequestInfo) -> None:
        raise Answer(204, ((b"x-own", b"1"),))

    async with running(make_app(policies=[Doing(reply)])) as app:
        status, _ = await door(app, "/v1/echo", {})
    assert status == 204


@pytest.mark.parametrize("door", [by_asgi, directly])
@pytest.mark.parametrize(
    ("query", "taken", "left"),
    [
        ("ticket=a%2Bb+c&stringField=x", b"a+b c", b"stringField=x"),
        ("stringField=x&t%69cket=1&ticket=2", b"1", b"stringField=x"),
        ("ticket", b"", b""),
        ("stringField=ticket", None, b"stringField=ticket"),
    ],
)
async def test_a_policy_takes_a_parameter_out_of_the_query(
    make_app: MakeApp, door: Ask, query: str, taken: bytes | None, left: bytes
) -> None:
    """The method does not see it, in whatever spelling it comes."""
    seen: list[Any] = []

    def take(request: RequestInfo) -> None:
        seen.append((request.take_parameter(b"ticket"), request.query))

    async with running(make_app(policies=[Doing(take)])) as app:
        status, _ = await door(app, f"/v1/echo?{query}", {})

    assert (status, seen) == (200, [(taken, left)])


async def test_what_is_to_be_done_at_the_end_is_done_once(make_app: MakeApp) -> None:
    """However a request ends: answered, refused, or left by its client."""
    ends: list[str] = []

    def remember(request: RequestInfo) -> None:
        request.at_end.append(lambda: ends.append(request.path))
        if request.query == b"closed":
            raise StatusError.of(PERMISSION_DENIED, "closed")

    async with running(make_app(policies=[Doing(remember)])) as app:
        await ask(app, "GET", "/v1/echo")
        await ask(app, "GET", "/v1/echo?closed")
        hanging = start(app, "GET", "/v1/hang")
        while len(ends) < 2 or hanging.waiting:
            await asyncio.sleep(0)
        assert ends == ["/v1/echo", "/v1/echo"]
        hanging.arrives("http.disconnect")
        await hanging.ended()

    assert ends[2:] == ["/v1/hang"]


def expire(request: RequestInfo) -> None:
    """Lets the credentials end soon."""
    request.expires_at = time.time() + 0.05


async def test_a_stream_ends_when_its_credentials_do(make_app: MakeApp) -> None:
    """Each in its own framing, with UNAUTHENTICATED."""
    async with running(make_app(policies=[Doing(expire)])) as app:
        events = start(app, "GET", "/v1/hang-stream", headers={"accept": "text/event-stream"})
        lines = start(app, "GET", "/v1/hang-stream", headers={"accept": "application/x-ndjson"})
        socket = connect(app, "/v1/bidi", subprotocols=OURS)
        for each in (events, lines, socket):
            await asyncio.wait_for(each.ended(), 10)

    assert b"the credentials have expired" in events.body
    assert b"the credentials have expired" in lines.body
    assert socket.sent[-1]["code"] == 4000 + UNAUTHENTICATED


@pytest.mark.parametrize("origins", [(), ("https://a.example",)])
async def test_a_preflight_is_told_from_other_requests(
    make_app: MakeApp, origins: tuple[str, ...]
) -> None:
    """By all of its headers, and only where the policy of CORS answers it, but for a path without methods."""
    policy = Doing(lambda _: None)
    page = {"origin": "https://a.example"}
    asked = page | {"access-control-request-method": "POST"}
    async with running(make_app(policies=[policy], cors={"origins": origins})) as app:
        await ask(app, "OPTIONS", "/v1/nothing", headers=asked)
        await ask(app, "OPTIONS", "/v1/echo", headers=page)
        await ask(app, "POST", "/v1/nothing", headers=asked)
        answered = await ask(app, "OPTIONS", "/v1/echo", headers=asked)

    assert answered.status == 204
    assert [info.is_preflight for info in policy.asked[:3]] == [bool(origins), False, False]
    assert [info.allowed_methods != () for info in policy.asked[:3]] == [False, True, False]
    assert len(policy.asked) == (3 if origins else 4)


def test_the_app_has_no_policies_by_default(make_app: MakeApp) -> None:
    """So requests pay nothing for them."""
    app: FastAPI = make_app()
    assert app.state.edge.served.policies == ()


@pytest.mark.parametrize("door", ["asgi", "direct"])
@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (Answer(302, ((b"location", b"/login"),)), {"location": "/login", "content-length": "0"}),
        (
            Answer(403, body=b"<p>no</p>", content_type="text/html"),
            {"content-type": "text/html", "content-length": "9"},
        ),
        (Answer(), {}),
    ],
)
async def test_the_answer_of_a_policy_has_an_end(
    make_app: MakeApp, door: str, reply: Answer, expected: dict[str, str]
) -> None:
    """Its length is said, so that a client on a kept connection does not wait for more."""

    def refuse(_: RequestInfo) -> None:
        raise reply

    async with running(make_app(policies=[Doing(refuse)])) as app:
        if door == "asgi":
            request = await ask(app, "GET", "/v1/echo")
            headers = request.headers
            assert (request.status, request.body) == (reply.http_status, reply.body)
        else:
            got: asyncio.Future[tuple[int, bytes, bytes]] = asyncio.Future()
            head = app.state.direct.read(b"GET /v1/echo HTTP/1.1\r\nhost: x\r\n\r\n")
            head.answer(lambda *parts: got.set_result(parts))
            status, lines, body = await got
            pairs = (line.split(": ", 1) for line in lines.decode().splitlines())
            headers = dict(pairs)
            assert (status, body) == (reply.http_status, reply.body)

    assert {name: headers.get(name) for name in expected} == expected
    assert ("content-length" in headers) is ("content-length" in expected)
