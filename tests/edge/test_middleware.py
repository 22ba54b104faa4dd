"""The edge among others: middleware around it, and applications that mount it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from fastapi import FastAPI, HTTPException, Request
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc.error_details_pb2 import DebugInfo
from google.rpc.status_pb2 import Status

from gateway.testing import ScriptedUpstream
from gateway.transcoding.codec import JsonOptions
from gateway.transcoding.error_body import ErrorBodies
from tests.contracts import echo_contract
from tests.edge.asgi import ask, connect, running, start
from tests.edge.conftest import MakeApp


class GivesTheBodyAgain:
    """The common idiom: read the body, and hand on a `receive` that gives it whenever it is asked."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Reads one event, and replays it for ever."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        event = await receive()

        async def again() -> Any:
            return event

        await self._app(scope, again, send)


class WorksAfterTheAnswer:
    """Middleware that has something to do when the answer is out."""

    done = 0

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Waits a little after the last event."""

        async def send_and_work(event: Any) -> None:
            await send(event)
            if event["type"] == "http.response.body" and not event.get("more_body"):
                await asyncio.sleep(0.01)
                WorksAfterTheAnswer.done += 1

        await self._app(scope, receive, send_and_work)


async def test_a_receive_that_repeats_itself_does_not_spin(make_app: MakeApp) -> None:
    """A middleware that gives the body again must not take the event loop for itself."""
    app = make_app()
    app.add_middleware(GivesTheBodyAgain)
    async with running(app):
        answer = await asyncio.wait_for(ask(app, "POST", "/v1/echo", b'{"int32Field":1}'), 10)

    assert answer.json == {"int32Field": 1}


@pytest.mark.parametrize("target", ["/v1/echo", "/v1/fail-stream/0?after=1"])
async def test_middleware_is_let_finish_after_a_whole_answer(
    make_app: MakeApp, target: str
) -> None:
    """That a server has no more to receive once the answer is complete is no client that left."""
    app = make_app()
    app.add_middleware(WorksAfterTheAnswer)
    WorksAfterTheAnswer.done = 0
    async with running(app):
        request = start(app, "GET", target)
        await request.until_sent(2)
        request.arrives("http.disconnect")
        await request.ended()

    assert WorksAfterTheAnswer.done == 1


async def test_a_send_that_finds_nobody_is_a_client_that_left(
    make_app: MakeApp, upstream: ScriptedUpstream, caplog: pytest.LogCaptureFixture
) -> None:
    """A server says by an OSError that the client is gone (ASGI 2.4); that is nothing to log."""
    app = make_app()

    async def send(event: Any) -> None:
        if event["type"] == "websocket.send":
            raise OSError("gone")

    async with running(app):
        request = connect(app, "/v1/hang-stream")
        request._send = send  # type: ignore[method-assign]  # what is sent is what fails
        await asyncio.wait_for(request.ended(), 10)

    assert upstream.calls[0].ended.is_set()
    assert caplog.records == []


@pytest.mark.parametrize("root", ["/api", "/a b"])
async def test_it_can_be_mounted(make_app: MakeApp, root: str) -> None:
    """Paths of the contract are below the root that the application has."""
    app, outer = make_app(), FastAPI()
    outer.mount(root, app)
    path = root.replace(" ", "%20")
    async with running(app):
        answer = await ask(outer, "GET", f"{path}/v1/echo/a%2Fb")
        handshake = connect(outer, f"{path}/v1/bidi")
        handshake.arrives("websocket.receive", text="")
        await handshake.ended()

    assert answer.json == {"stringField": "a/b"}
    assert handshake.sent[0]["type"] == "websocket.accept"


async def test_own_routes_beside_the_contract(make_app: MakeApp) -> None:
    """What a route of the user's raises keeps its status and its words, in the body that all errors have."""
    app = make_app()

    @app.get("/tea")
    async def tea(request: Request) -> str:
        if request.query_params:
            raise HTTPException(int(request.query_params["status"]), detail="the tea is out")
        return str(request.url_for("tea"))

    async with running(app):
        teapot = await ask(app, "GET", "/tea?status=418")
        forbidden = await ask(app, "GET", "/tea?status=403")
        unknown = await ask(app, "GET", "/tea?status=499")
        unchanged = await ask(app, "GET", "/tea?status=304")
        link = await ask(app, "GET", "/tea", headers={"host": "h"})

    assert (teapot.status, teapot.json) == (418, {"code": 2, "message": "the tea is out"})
    assert (forbidden.status, forbidden.json["code"]) == (403, 7)
    assert (unknown.status, unknown.json["code"]) == (499, 1)
    assert (unchanged.status, unchanged.body) == (304, b"")
    assert link.json == "http://h/tea"


async def test_own_routes_on_a_path_of_the_contract(make_app: MakeApp) -> None:
    """The contract's table comes first; what it leaves is another route's, and 405 is the contract's."""
    app = make_app()

    @app.api_route("/v1/echo", methods=["GET", "PUT"])
    async def mine() -> str:
        return "mine"

    async with running(app):
        get = await ask(app, "GET", "/v1/echo?int32Field=1")
        put = await ask(app, "PUT", "/v1/echo")
        patch = await ask(app, "PATCH", "/v1/echo")

    assert (get.json, put.json) == ({"int32Field": 1}, "mine")
    assert (patch.status, patch.headers["allow"]) == (405, "GET, HEAD, OPTIONS, POST")


async def test_a_stream_that_begins_during_a_shutdown_is_refused(
    app: FastAPI, upstream: ScriptedUpstream
) -> None:
    """A connection that is kept alive cannot begin a stream that nobody would end."""
    app.state.edge.interrupt_streams()
    answer = await ask(app, "GET", "/v1/hang-stream")
    socket = await connect(app, "/v1/bidi").ended()

    assert (answer.status, answer.json["code"]) == (503, 14)
    assert socket.sent[-1]["code"] == 1001
    assert upstream.calls == []


async def test_a_shutdown_reaches_a_websocket_that_waits_for_its_first_frame(app: FastAPI) -> None:
    """A client that has said nothing yet is told to go like any other."""
    request = connect(app, "/v1/stream")
    await request.until_sent(1)
    app.state.edge.interrupt_streams()
    await asyncio.wait_for(request.ended(), 10)

    assert request.sent[-1]["code"] == 1001


async def test_a_server_that_is_silent_from_the_start_shows_that_it_lives(
    make_app: MakeApp, upstream: ScriptedUpstream
) -> None:
    """The headers wait for the first message no longer than a heartbeat."""
    upstream.scripts["/echo.v1.Echo/HangStream"] = upstream.scripts["/echo.v1.Echo/Hang"]
    async with running(make_app(heartbeat_seconds=0.01)) as app:
        request = start(app, "GET", "/v1/hang-stream", headers={"accept": "text/event-stream"})
        await request.until_sent(3)
        request.arrives("http.disconnect")
        await request.ended()

    assert request.status == 200
    assert request.body.startswith(b"retry: 2000\n\n:\n\n")


async def test_every_answer_has_an_id(app: FastAPI) -> None:
    """Errors too, and refused handshakes, whatever else of the request makes no sense."""
    named = {"x-request-id": "mine", "grpc-timeout": "soon"}
    answers = [
        await ask(app, "GET", "/nowhere", headers={"x-request-id": "mine"}),
        await ask(app, "GET", "/v1/echo", headers=named),
        await connect(app, "/nowhere", {"x-request-id": "mine"}).ended(),
    ]

    assert [answer.headers["x-request-id"] for answer in answers] == ["mine"] * 3


@pytest.mark.parametrize(
    "url", ["type.googleapis.com/google.rpc.DebugInfo", "google.rpc.DebugInfo"]
)
def test_debug_info_is_hidden_wherever_it_is(url: str) -> None:
    """Under any URL, and inside other details, nothing of it is told."""
    secret = AnyMessage(type_url=url, value=DebugInfo(detail="SECRET").SerializeToString())
    inner = Status(code=1, details=[secret])
    nested = AnyMessage()
    nested.Pack(inner)
    wrapped = AnyMessage()
    wrapped.Pack(secret)
    status = Status(code=2, message="m", details=[secret, nested, wrapped])
    pool = echo_contract().pool

    assert b"SECRET" not in ErrorBodies(pool, JsonOptions(), debug=False).status(status)
    assert b"SECRET" in ErrorBodies(pool, JsonOptions(), debug=True).status(status)
