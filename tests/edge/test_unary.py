"""One request, one answer, over the scripted upstream."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from fastapi import FastAPI
from google.rpc import code_pb2

from gateway.testing import ScriptedCall, ScriptedUpstream
from gateway.transcoding.status import HTTP_STATUS
from tests.edge.asgi import ask, running, start
from tests.edge.conftest import MakeApp


async def test_answers_a_post(app: FastAPI) -> None:
    """A body of JSON becomes the request, and the answer comes back as JSON with its length."""
    answer = await ask(app, "POST", "/v1/echo", b'{"stringField":"a","int64_field":"5"}')

    assert (answer.status, answer.json) == (200, {"stringField": "a", "int64Field": "5"})
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["content-length"] == str(len(answer.body))


async def test_answers_a_get(app: FastAPI) -> None:
    """Path variables and query parameters become the request."""
    answer = await ask(app, "GET", "/v1/echo/a%2Fb?nested.name=n&int32List=1&int32_list=2")

    assert answer.json == {"stringField": "a/b", "nested": {"name": "n"}, "int32List": [1, 2]}


@pytest.mark.parametrize("code", [code for code in HTTP_STATUS if code])
async def test_every_status_has_its_http_status_and_body(app: FastAPI, code: int) -> None:
    """Each code of an RPC is the HTTP status of the one table, with the Status as JSON."""
    answer = await ask(app, "GET", f"/v1/fail/{code}?message=sorry")

    assert answer.status == HTTP_STATUS[code]
    assert answer.json == {"code": code, "message": "sorry"}


async def test_all_violations_come_before_any_call(
    app: FastAPI, upstream: ScriptedUpstream
) -> None:
    """A bad request is told everything that is wrong with it, and upstream never hears of it."""
    body = b'{"int32Field":"x","nested":{"number":1.5},"strangField":1}'
    answer = await ask(app, "POST", "/v1/echo", body)

    assert (answer.status, answer.json["code"]) == (400, code_pb2.INVALID_ARGUMENT)
    fields = [item["field"] for item in answer.json["details"][0]["fieldViolations"]]
    assert fields == ["int32Field", "nested.number", "strangField"]
    assert upstream.calls == []


async def test_a_body_over_the_limit_is_413(make_app: MakeApp) -> None:
    """The limit of a message is the limit of a unary body, and the error says so."""
    async with running(make_app(max_message_bytes=10)) as app:
        answer = await ask(app, "POST", "/v1/echo", b'{"stringField":"abc"}')

    assert answer.status == 413
    assert "10 bytes" in answer.json["message"]


async def test_metadata_passes_by_the_allow_list(app: FastAPI, upstream: ScriptedUpstream) -> None:
    """Listed and prefixed headers become metadata, and nothing else does."""
    headers = {
        "Authorization": "Bearer x",
        "Grpc-Metadata-Tenant": "t",
        "Grpc-Metadata-Blob-Bin": "AAE=",
        "Cookie": "secret",
    }
    await ask(app, "GET", "/v1/echo", headers=headers)

    metadata = dict(upstream.calls[0].metadata)
    assert metadata.pop("x-request-id")
    assert metadata == {
        "authorization": "Bearer x",
        "tenant": "t",
        "blob-bin": b"\x00\x01",
    }


async def test_initial_and_trailing_metadata_become_headers(
    make_app: MakeApp, upstream: ScriptedUpstream
) -> None:
    """Listed initial metadata are headers; trailing metadata are headers behind a prefix."""

    async def speak(call: ScriptedCall) -> AsyncIterator[bytes]:
        call.initial = (("etag", '"1"'), ("internal", "no"))
        call.trailing = (("cost", "3"),)
        yield b""

    upstream.scripts["/echo.v1.Echo/Unary"] = speak
    async with running(make_app()) as app:
        answer = await ask(app, "GET", "/v1/echo")

    assert answer.headers["etag"] == '"1"'
    assert answer.headers["grpc-trailer-cost"] == "3"
    assert "internal" not in answer.headers


@pytest.mark.parametrize(
    ("headers", "least", "most"),
    [
        ({}, 59, 60),
        ({"grpc-timeout": "500m"}, 0.4, 0.5),
        ({"x-server-timeout": "2.5"}, 2.4, 2.5),
        ({"grpc-timeout": "2H"}, 59, 60),
    ],
)
async def test_the_deadline_travels_upstream(
    app: FastAPI,
    upstream: ScriptedUpstream,
    headers: dict[str, str],
    least: float,
    most: float,
) -> None:
    """Upstream is told the time that is left of the shorter of caller's and operator's limit."""
    await ask(app, "GET", "/v1/echo", headers=headers)

    timeout = upstream.calls[0].timeout
    assert timeout is not None
    assert least <= timeout <= most


async def test_a_bad_timeout_is_named(app: FastAPI) -> None:
    """A header that makes no sense is a 400 which names it."""
    answer = await ask(app, "GET", "/v1/echo", headers={"grpc-timeout": "soon"})

    assert answer.status == 400
    assert answer.json["details"][0]["fieldViolations"][0]["field"] == "grpc-timeout"


async def test_a_body_that_does_not_arrive_in_time_is_504(app: FastAPI) -> None:
    """The deadline counts from the head of the request, so a body cannot trickle for ever."""
    request = start(app, "POST", "/v1/echo", None, {"grpc-timeout": "20m"})
    request.arrives("http.request", body=b"{", more_body=True)

    assert (await request.ended()).status == 504


async def test_a_client_that_leaves_ends_the_call(app: FastAPI, upstream: ScriptedUpstream) -> None:
    """Leaving in the middle of a call cancels it upstream; middleware learns of it by a bare 499."""
    request = start(app, "GET", "/v1/hang")
    while not upstream.calls:
        await asyncio.sleep(0)
    request.arrives("http.disconnect")
    await request.ended()

    assert upstream.calls[0].ended.is_set()
    assert not upstream.calls[0].finished
    assert (request.status, request.body) == (499, b"")


async def test_a_cancelled_request_ends_the_call(app: FastAPI, upstream: ScriptedUpstream) -> None:
    """A server that cancels the request's task gets its CancelledError, and the call has ended."""
    request = start(app, "GET", "/v1/hang")
    while not upstream.calls:
        await asyncio.sleep(0)
    request.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request.task

    assert upstream.calls[0].ended.is_set()


async def test_a_call_that_outlives_the_drain_is_told_why(
    app: FastAPI, upstream: ScriptedUpstream
) -> None:
    """What a shutdown can wait for no longer ends with UNAVAILABLE, in the body that all errors have."""
    request = start(app, "GET", "/v1/hang")
    while not upstream.calls:
        await asyncio.sleep(0)
    app.state.edge.interrupt_streams()
    request.task.cancel()
    await request.ended()

    assert (request.status, request.json["code"]) == (503, 14)
    assert upstream.calls[0].ended.is_set()


async def test_a_bug_is_logged_and_tells_nothing(
    make_app: MakeApp, upstream: ScriptedUpstream, caplog: pytest.LogCaptureFixture
) -> None:
    """An unexpected exception is in the log with its traceback, and in the answer not at all."""

    async def broken(_call: ScriptedCall) -> AsyncIterator[bytes]:
        if _call.timeout is not None:
            raise RuntimeError("the password is 123")
        yield b""

    upstream.scripts["/echo.v1.Echo/Unary"] = broken
    async with running(make_app()) as app:
        answer = await ask(app, "GET", "/v1/echo")

    assert (answer.status, answer.json) == (500, {"code": 13, "message": "internal error"})
    assert "the password is 123" in caplog.text


async def test_an_answer_that_is_not_the_contracts_is_internal(
    make_app: MakeApp, upstream: ScriptedUpstream
) -> None:
    """Bytes that are no message of the method's type are the server's fault, so 500."""

    async def garbage(_call: ScriptedCall) -> AsyncIterator[bytes]:
        yield b"\xff\xff"

    upstream.scripts["/echo.v1.Echo/Unary"] = garbage
    async with running(make_app()) as app:
        answer = await ask(app, "GET", "/v1/echo")

    assert (answer.status, answer.json["code"]) == (500, code_pb2.INTERNAL)
