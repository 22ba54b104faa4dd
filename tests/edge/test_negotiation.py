"""What callers say about the form of answers and bodies, and what they get."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from fastapi import FastAPI
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc import code_pb2
from google.rpc.error_details_pb2 import DebugInfo, ErrorInfo, RetryInfo

from gateway.testing import Script, ScriptedCall, ScriptedUpstream
from gateway.transcoding.status import StatusError
from tests.edge.asgi import ask, running
from tests.edge.conftest import MakeApp

BODY = b'{"int64Field":"7","enumField":"COLOR_RED","nested":{"name":"a"},"customName":"c"}'


@pytest.mark.parametrize(
    ("parameters", "changed"),
    [
        ("", {}),
        ("; int64=number", {"int64Field": 7}),
        ("; enums=number", {"enumField": 1}),
        ("; int64=string; enums=name; names=json; defaults=omit", {}),
    ],
)
async def test_accept_says_how_json_is_printed(
    app: FastAPI, parameters: str, changed: dict[str, object]
) -> None:
    """Parameters of the media type choose among the forms that ProtoJSON leaves open."""
    plain = {
        "int64Field": "7",
        "enumField": "COLOR_RED",
        "nested": {"name": "a"},
        "customName": "c",
    }
    headers = {"accept": f"application/json{parameters}"}
    answer = await ask(app, "POST", "/v1/echo", BODY, headers)

    assert answer.json == plain | changed


async def test_accept_can_ask_for_proto_names_and_defaults(app: FastAPI) -> None:
    """Names as the .proto has them, and fields that have no presence though they are unset."""
    headers = {"accept": "application/json; names=proto; defaults=all"}
    answer = await ask(app, "POST", "/v1/echo", BODY, headers)

    assert answer.json["renamed_field"] == "c"
    assert answer.json["nested"] == {"name": "a", "number": "0", "tags": []}
    assert "optional_int32" not in answer.json


async def test_accept_speaks_for_streams_too(app: FastAPI) -> None:
    """The parameters count in whichever framing they are given."""
    headers = {"accept": "text/event-stream; int64=number"}
    answer = await ask(app, "POST", "/v1/bidi", b'{"int64Field":"7"}', headers)

    assert b'\ndata: {"int64Field":7}\n\n' in answer.body


@pytest.mark.parametrize(
    "accept", ["text/html", "application/json;q=0", "application/json; int64=maybe"]
)
async def test_what_cannot_be_answered_is_406(
    app: FastAPI, upstream: ScriptedUpstream, accept: str
) -> None:
    """A caller that takes nothing that there is learns so before any call."""
    answer = await ask(app, "GET", "/v1/echo", headers={"accept": accept})

    assert (answer.status, upstream.calls) == (406, [])


@pytest.mark.parametrize(
    ("headers", "taken"),
    [
        ({}, True),
        ({"content-type": "application/json"}, True),
        ({"content-type": "application/json; charset=UTF-8"}, True),
        ({"content-type": "application/vnd.api+json"}, True),
        ({"content-type": "application/x-www-form-urlencoded"}, True),
        ({"content-type": "text/plain;charset=UTF-8"}, True),
        ({"content-type": "application/json; charset=utf-16"}, False),
        ({"content-type": "application/xml"}, False),
        ({"content-type": "multipart/form-data; boundary=x"}, False),
        ({"content-encoding": "br"}, False),
        ({"content-encoding": "identity"}, True),
    ],
)
@pytest.mark.parametrize(("target", "body"), [("/v1/echo", b"{}"), ("/v1/upload", b"[{}]")])
async def test_a_body_that_says_it_is_no_json_is_415(
    app: FastAPI, headers: dict[str, str], taken: bool, target: str, body: bytes
) -> None:
    """What many clients say of JSON is taken; what is surely something else is refused."""
    answer = await ask(app, "POST", target, body, headers)

    assert answer.status == (200 if taken else 415)


async def test_a_415_says_what_is_taken(app: FastAPI) -> None:
    """The answer names the type, or the encoding, that would have been taken (RFC 9110, 15.5.16)."""
    kind = await ask(app, "POST", "/v1/echo", b"{}", {"content-type": "text/xml"})
    coding = await ask(app, "POST", "/v1/echo", b"{}", {"content-encoding": "br"})

    assert kind.headers["accept"] == "application/json"
    assert coding.headers["accept-encoding"] == "gzip, deflate"
    assert "accept-encoding" not in kind.headers


async def test_errors_are_problem_details_to_those_who_ask(app: FastAPI) -> None:
    """A caller that names RFC 9457's media type gets it, with code and details as extensions."""
    headers = {"accept": "application/json, application/problem+json"}
    answer = await ask(app, "POST", "/v1/echo", b'{"nope":1}', headers)

    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json
    assert (problem["status"], problem["title"], problem["code"]) == (400, "Bad Request", 3)
    assert problem["detail"] == "nope: unknown field"
    assert problem["details"][0]["fieldViolations"][0]["field"] == "nope"


async def test_errors_are_the_status_to_others(app: FastAPI) -> None:
    """Less wanted than plain JSON, or not named at all: the JSON of google.rpc.Status."""
    for accept in ("*/*", "application/json, application/problem+json;q=0.5"):
        answer = await ask(app, "POST", "/v1/echo", b'{"nope":1}', {"accept": accept})

        assert answer.headers["content-type"] == "application/json"


def failing_with(*details: Message) -> Script:
    """Returns a script that fails with some details."""

    async def script(call: ScriptedCall) -> AsyncIterator[bytes]:
        if call.timeout is not None:
            raise StatusError.of(code_pb2.UNAVAILABLE, "later", *details)
        yield b""

    return script


@pytest.mark.parametrize(
    ("seconds", "nanos", "said"),
    [
        (0, 0, "0"),
        (0, 1, "1"),
        (59, 999_999_999, "60"),
        (-1, 0, "0"),
        (-(2**63), 0, "0"),
        (10**9, 0, "86400"),
        (2**63 - 1, 2**31 - 1, "86400"),
    ],
)
async def test_retry_after_is_a_time_that_makes_sense(
    make_app: MakeApp, upstream: ScriptedUpstream, seconds: int, nanos: int, said: str
) -> None:
    """Rounded up, from nothing to a day, whatever the server says; in problem details too."""
    detail = RetryInfo(retry_delay=Duration(seconds=seconds, nanos=nanos))
    upstream.scripts["/echo.v1.Echo/Unary"] = failing_with(detail)
    async with running(make_app()) as app:
        for accept in ("application/json", "application/json, application/problem+json"):
            answer = await ask(app, "GET", "/v1/echo", headers={"accept": accept})
            assert (answer.status, answer.headers["retry-after"]) == (503, said)


async def test_retry_info_is_retry_after(make_app: MakeApp, upstream: ScriptedUpstream) -> None:
    """The time that the server asks for is HTTP's own header too, in whole seconds."""
    detail = RetryInfo(retry_delay=Duration(seconds=1, nanos=1))
    upstream.scripts["/echo.v1.Echo/Unary"] = failing_with(detail)
    async with running(make_app()) as app:
        answer = await ask(app, "GET", "/v1/echo")

    assert (answer.status, answer.headers["retry-after"]) == (503, "2")
    assert answer.json["details"][0]["retryDelay"] == "1.000000001s"


async def test_every_503_is_to_be_tried_again(
    make_app: MakeApp, upstream: ScriptedUpstream
) -> None:
    """What is unavailable says when to come back, though the server, or who cannot reach it, does not."""
    upstream.scripts["/echo.v1.Echo/Unary"] = failing_with()
    async with running(make_app()) as app:
        answer = await ask(app, "GET", "/v1/echo")

    assert (answer.status, answer.headers["retry-after"]) == (503, "1")


@pytest.mark.parametrize("shown", [False, True])
async def test_debug_info_is_for_insiders(
    make_app: MakeApp, upstream: ScriptedUpstream, shown: bool
) -> None:
    """Stack entries of the server reach a caller only where the operator lets them."""
    details = (DebugInfo(detail="secret"), ErrorInfo(reason="R"))
    upstream.scripts["/echo.v1.Echo/Unary"] = failing_with(*details)
    async with running(make_app(show_debug_info=shown)) as app:
        answer = await ask(app, "GET", "/v1/echo")

    assert (b"secret" in answer.body) is shown
    assert answer.json["details"][-1]["reason"] == "R"
