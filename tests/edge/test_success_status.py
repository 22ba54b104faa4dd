"""The HTTP status of a success, which the server may name in its initial metadata."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
from fastapi import FastAPI

from gateway.testing import Script, ScriptedCall, ScriptedUpstream
from gateway.transcoding.metadata import Metadata
from gateway.transcoding.status import NOT_FOUND, StatusError
from tests.edge.asgi import ask, connect, running
from tests.edge.conftest import Everything, MakeApp
from tests.edge.test_websocket import says, texts

KEY = "x-http-code"
MESSAGE: bytes = Everything(string_field="a").SerializeToString()
LINES = {"content-type": "application/x-ndjson"}


def saying(*initial: tuple[str, str | bytes], messages: int = 1, code: int = 0) -> Script:
    """Returns a script that says something first."""

    async def say(call: ScriptedCall) -> AsyncIterator[bytes]:
        call.initial = initial
        for _ in range(messages):
            yield MESSAGE if call.method.descriptor.name != "ClientStream" else b""
        if code:
            raise StatusError.of(code, "no")

    return say


def says_first(
    upstream: ScriptedUpstream, *initial: tuple[str, str | bytes], messages: int = 1, code: int = 0
) -> None:
    """Lets every method say so."""
    for path in upstream.scripts:
        upstream.scripts[path] = saying(*initial, messages=messages, code=code)


@pytest.mark.parametrize("code", ["200", "201", "202", "203", "207", "299"])
@pytest.mark.parametrize(
    ("http_method", "target", "headers"),
    [
        ("POST", "/v1/echo", {}),
        ("HEAD", "/v1/echo", {}),
        ("POST", "/v1/raw", {}),
        ("POST", "/v1/upload", LINES),
        ("GET", "/v1/stream/a", {}),
        ("GET", "/v1/stream/a", {"accept": "application/json"}),
        ("POST", "/v1/bidi", LINES),
    ],
)
async def test_the_server_names_the_status_of_a_success(
    app: FastAPI,
    upstream: ScriptedUpstream,
    http_method: str,
    target: str,
    headers: dict[str, str],
    code: str,
) -> None:
    """On every wire whose answer has not begun; the key itself is no header."""
    says_first(upstream, (KEY, code))
    answer = await ask(app, http_method, target, b"", headers)

    assert answer.status == int(code)
    assert KEY not in answer.headers
    assert answer.complete


@pytest.mark.parametrize("code", ["201", "202", "203", "205", "206", "299"])
@pytest.mark.parametrize("messages", [0, 1])
async def test_events_are_answered_200(
    app: FastAPI,
    upstream: ScriptedUpstream,
    code: str,
    messages: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A browser takes any other success for a failure, and does not come back (HTML, "EventSource")."""
    says_first(upstream, (KEY, code), messages=messages)
    for last_event_id in ({}, {"last-event-id": "x"}):
        headers = {"accept": "text/event-stream", **last_event_id}
        answer = await ask(app, "GET", "/v1/stream/a", headers=headers)

        assert answer.status == 200
        assert answer.body.endswith(b"id: end\nevent: end\ndata: {}\n\n")
    assert len(caplog.records) == 1


async def test_events_without_messages_may_be_204(app: FastAPI, upstream: ScriptedUpstream) -> None:
    """By which a browser learns not to come back; and it follows redirects."""
    headers = {"accept": "text/event-stream"}
    says_first(upstream, (KEY, "204"), messages=0)
    assert (await ask(app, "GET", "/v1/stream/a", headers=headers)).status == 204

    says_first(upstream, (KEY, "307"), ("location", "/elsewhere"))
    assert (await ask(app, "GET", "/v1/stream/a", headers=headers)).status == 307


@pytest.mark.parametrize("code", ["301", "302", "303", "307", "308"])
@pytest.mark.parametrize(
    ("http_method", "target"),
    [("GET", "/v1/echo"), ("HEAD", "/v1/echo"), ("POST", "/v1/upload"), ("GET", "/v1/stream/a")],
)
async def test_a_redirect_says_where(
    app: FastAPI, upstream: ScriptedUpstream, http_method: str, target: str, code: str
) -> None:
    """By `location`, which is among the metadata that pass."""
    says_first(upstream, (KEY, code), ("location", "/elsewhere"))
    answer = await ask(app, http_method, target)

    assert (answer.status, answer.headers["location"]) == (int(code), "/elsewhere")


@pytest.mark.parametrize("http_method", ["POST", "HEAD"])
@pytest.mark.parametrize(("code", "length"), [("204", None), ("205", "0")])
async def test_a_status_without_content_has_no_body(
    app: FastAPI, upstream: ScriptedUpstream, http_method: str, code: str, length: str | None
) -> None:
    """Nor a type; a 205 has to say that nothing follows (RFC 9110, 15.3.5 and 15.3.6; RFC 9112, 6.3)."""
    says_first(upstream, (KEY, code), ("etag", '"1"'))
    answer = await ask(app, http_method, "/v1/echo")

    assert (answer.status, answer.body) == (int(code), b"")
    assert "content-type" not in answer.headers
    assert answer.headers.get("content-length") == length
    assert answer.headers["etag"] == '"1"'
    assert answer.headers["x-request-id"]


@pytest.mark.parametrize("target", ["/v1/raw", "/v1/upload"])
async def test_data_and_uploads_may_end_without_content(
    app: FastAPI, upstream: ScriptedUpstream, target: str
) -> None:
    """As any answer of one message."""
    says_first(upstream, (KEY, "204"))
    answer = await ask(app, "POST", target)

    assert (answer.status, answer.body) == (204, b"")


@pytest.mark.parametrize("accept", ["text/event-stream", "application/json", "*/*"])
async def test_a_stream_without_messages_may_have_no_content(
    app: FastAPI, upstream: ScriptedUpstream, accept: str
) -> None:
    """No framing says anything then; a 204 is what keeps a browser's EventSource away."""
    says_first(upstream, (KEY, "204"), messages=0)
    answer = await ask(app, "GET", "/v1/stream/a", headers={"accept": accept})

    assert (answer.status, answer.body, answer.complete) == (204, b"", True)
    assert "content-type" not in answer.headers


@pytest.mark.parametrize(
    ("headers", "status"), [({"grpc-metadata-if-none-match": '"1"'}, 304), ({}, 200)]
)
async def test_not_modified_answers_a_condition(
    app: FastAPI, upstream: ScriptedUpstream, headers: dict[str, str], status: int
) -> None:
    """That the server was told of (RFC 9110, 15.4.5); nobody else has what was not modified."""
    says_first(upstream, (KEY, "304"), ("etag", '"1"'))
    answer = await ask(app, "GET", "/v1/echo", headers=headers)

    assert (answer.status, answer.headers["etag"]) == (status, '"1"')
    assert bool(answer.body) is (status == 200)


@pytest.mark.parametrize(
    ("target", "headers", "said", "status"),
    [
        ("/v1/raw", {"range": "bytes=0-1"}, (("content-range", "bytes 0-1/9"),), 206),
        ("/v1/raw", {"range": "bytes=0-1"}, (), 200),
        ("/v1/raw", {}, (("content-range", "bytes 0-1/9"),), 200),
        ("/v1/echo", {"range": "bytes=0-1"}, (("content-range", "bytes 0-1/9"),), 200),
    ],
)
async def test_partial_content_is_a_range_of_data(
    make_app: MakeApp,
    upstream: ScriptedUpstream,
    target: str,
    headers: dict[str, str],
    said: tuple[tuple[str, str], ...],
    status: int,
) -> None:
    """That the caller asked for, and that the server names (RFC 9110, 15.3.7)."""
    says_first(upstream, (KEY, "206"), *said)
    settings = {"request_headers": ("range",), "response_headers": ("content-range",)}
    async with running(make_app(**settings)) as app:
        answer = await ask(app, "POST", target, headers=headers)

    assert answer.status == status


SENSELESS: dict[str, tuple[tuple[str, str | bytes], ...]] = {
    "informational": ((KEY, "100"),),
    "switching": ((KEY, "101"),),
    "client error": ((KEY, "404"),),
    "server error": ((KEY, "503"),),
    "letters": ((KEY, "abc"),),
    "empty": ((KEY, ""),),
    "space": ((KEY, " 201"),),
    "sign": ((KEY, "+201"),),
    "fraction": ((KEY, "201.0"),),
    "other digits": ((KEY, "\u0662\u0660\u0661"),),
    "too long": ((KEY, "2010"),),
    "bytes": ((KEY, b"201"),),
    "several": ((KEY, "201"), (KEY, "202")),
    "the same twice": ((KEY, "201"), (KEY, "201")),
    "redirect to nowhere": ((KEY, "302"),),
    "redirect to nothing": ((KEY, "302"), ("location", "")),
    "redirect to two places": ((KEY, "302"), ("location", "/a"), ("location", "/b")),
    "not modified": ((KEY, "304"),),
    "use proxy": ((KEY, "305"), ("location", "/a")),
    "partial": ((KEY, "206"),),
}


@pytest.mark.parametrize("name", SENSELESS)
@pytest.mark.parametrize("target", ["/v1/echo", "/v1/stream/a"])
async def test_a_status_that_makes_no_sense_is_passed_over(
    app: FastAPI,
    upstream: ScriptedUpstream,
    caplog: pytest.LogCaptureFixture,
    target: str,
    name: str,
) -> None:
    """The log says once, of which method and why, and no value; the caller has its 200."""
    says_first(upstream, *SENSELESS[name])
    with caplog.at_level(logging.WARNING):
        answers = [await ask(app, "GET", target) for _ in range(3)]

    assert [answer.status for answer in answers] == [200] * 3
    assert KEY not in answers[0].headers
    (record,) = caplog.records
    assert KEY in record.getMessage()
    assert "echo.v1.Echo." in record.getMessage()
    assert "abc" not in record.getMessage()


async def test_a_stream_with_messages_has_content(
    app: FastAPI, upstream: ScriptedUpstream, caplog: pytest.LogCaptureFixture
) -> None:
    """So it cannot be a 204."""
    says_first(upstream, (KEY, "204"), messages=2)
    answer = await ask(app, "GET", "/v1/stream/a")

    assert (answer.status, len(answer.body.splitlines())) == (200, 2)
    assert len(caplog.records) == 1


@pytest.mark.parametrize("target", ["/v1/echo", "/v1/stream/a"])
async def test_an_error_has_the_status_of_its_code(
    app: FastAPI, upstream: ScriptedUpstream, target: str
) -> None:
    """Whatever the server meant to answer."""
    says_first(upstream, (KEY, "201"), messages=0, code=NOT_FOUND)
    answer = await ask(app, "GET", target)

    assert (answer.status, answer.json["code"]) == (404, NOT_FOUND)
    assert KEY not in answer.headers


@pytest.mark.parametrize(
    ("settings", "said", "status"),
    [
        ({"http_status_key": "x-status"}, "x-status", 201),
        ({"http_status_key": "X-Status"}, "x-status", 201),
        ({"http_status_key": "x-status"}, KEY, 200),
        ({"http_status_key": ""}, KEY, 200),
        ({"response_headers": (KEY,)}, KEY, 201),
    ],
)
async def test_a_setting_names_the_key(
    make_app: MakeApp, upstream: ScriptedUpstream, settings: dict[str, Any], said: str, status: int
) -> None:
    """Empty is none; the key is never a header, though the list of those names it."""
    says_first(upstream, (said, "201"))
    async with running(make_app(**settings)) as app:
        answer = await ask(app, "GET", "/v1/echo")

    assert answer.status == status
    assert said not in answer.headers


async def test_the_key_in_trailing_metadata_is_nothing(
    app: FastAPI, upstream: ScriptedUpstream
) -> None:
    """It says nothing there, and is no header either."""

    async def late(call: ScriptedCall) -> AsyncIterator[bytes]:
        call.trailing = ((KEY, "201"), ("cost", "3"))
        yield b""

    upstream.scripts["/echo.v1.Echo/Unary"] = late
    answer = await ask(app, "GET", "/v1/echo")

    assert (answer.status, answer.headers["grpc-trailer-cost"]) == (200, "3")
    assert f"grpc-trailer-{KEY}" not in answer.headers


async def test_a_websocket_has_no_status_to_name(app: FastAPI, upstream: ScriptedUpstream) -> None:
    """Its handshake is over; the key is not among the metadata that it is told."""
    says_first(upstream, (KEY, "201"), ("etag", '"1"'))
    request = connect(app, "/v1/bidi", subprotocols=("grpc-json-envelope.v1",))
    says(request, '{"headers":{}}')
    await request.ended()

    assert orjson.loads(texts(request)[0]) == {"headers": {"etag": '"1"'}}


@pytest.mark.parametrize(
    ("initial", "expected"),
    [
        (((KEY, "201"),), (201, b"content-type: application/json\r\ncontent-length: 19\r\n", 19)),
        (((KEY, "302"), ("location", "/a")), (302, b"location: /a\r\n", 19)),
        (((KEY, "204"),), (204, b"", 0)),
        (((KEY, "205"),), (205, b"content-length: 0\r\n", 0)),
    ],
)
async def test_the_direct_path_has_the_same_status(
    app: FastAPI,
    upstream: ScriptedUpstream,
    initial: Metadata,
    expected: tuple[int, bytes, int],
) -> None:
    """And an answer without content has no type there."""
    says_first(upstream, *initial)
    told: asyncio.Future[tuple[int, bytes, bytes]] = asyncio.get_running_loop().create_future()
    asked = app.state.direct.read(b"GET /v1/echo HTTP/1.1\r\nhost: x\r\n\r\n")
    asked.answer(lambda status, lines, body: told.set_result((status, lines, body)))
    status, lines, body = await told

    assert (status, len(body)) == (expected[0], expected[2])
    assert expected[1] in lines
    assert (b"content-type" in lines) is bool(body)
    assert (b"content-length" in lines) is (status != 204)
