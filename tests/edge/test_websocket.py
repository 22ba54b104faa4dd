"""WebSocket `grpc-json.v1`, over the scripted upstream."""

from __future__ import annotations

import asyncio
import logging
import re

import pytest
from fastapi import FastAPI
from pydantic import ValidationError

from gateway.admission.cors_settings import CorsSettings
from gateway.testing import ScriptedUpstream
from tests.edge.asgi import Request, connect, running
from tests.edge.conftest import MakeApp

OURS = ("grpc-json.v1",)


def texts(request: Request) -> list[str]:
    """Returns the text frames that were sent."""
    return [event["text"] for event in request.sent if event["type"] == "websocket.send"]


def close(request: Request) -> tuple[int, str]:
    """Returns code and reason of the close frame."""
    assert request.sent[-1]["type"] == "websocket.close"
    return request.sent[-1]["code"], request.sent[-1]["reason"]


def says(request: Request, *frames: str) -> None:
    """Lets text frames come in."""
    for frame in frames:
        request.arrives("websocket.receive", text=frame)


async def test_bidi_answers_each_message_and_closes_1000(app: FastAPI) -> None:
    """One text frame is one message; an empty one is the half-close; 1000 is OK."""
    request = connect(app, "/v1/bidi", subprotocols=OURS)
    says(request, '{"stringField":"a"}', '{"stringField":"b"}', "")
    await request.ended()

    assert request.sent[0] == {"type": "websocket.accept", "subprotocol": "grpc-json.v1"}
    assert texts(request) == ['{"stringField":"a"}', '{"stringField":"b"}']
    assert close(request) == (1000, "")


async def test_a_client_stream_answers_after_the_half_close(app: FastAPI) -> None:
    """The one answer of an upload comes when the client has said that it is done."""
    request = connect(app, "/v1/upload", subprotocols=OURS)
    says(request, '{"stringField":"a"}', '{"stringField":"b"}')
    await request.until_sent(1)
    assert texts(request) == []
    says(request, "")
    await request.ended()

    assert texts(request) == ['{"count":2,"strings":["a","b"]}']


async def test_a_server_stream_without_body_needs_no_frame(app: FastAPI) -> None:
    """Path and query alone make the request where the binding has no body."""
    request = await connect(app, "/v1/stream/x?int32Field=2", subprotocols=OURS).ended()

    assert texts(request) == ['{"int32Field":2,"stringField":"x"}'] * 2
    assert close(request) == (1000, "")


async def test_a_server_stream_with_body_takes_one_frame(app: FastAPI) -> None:
    """Where the binding has a body, the first frame is the request."""
    request = connect(app, "/v1/stream", subprotocols=OURS)
    says(request, '{"int32Field":1}')
    await request.ended()

    assert texts(request) == ['{"int32Field":1}']


async def test_a_status_is_the_close_code(app: FastAPI) -> None:
    """Anything but OK closes with 4000 + its code and the message."""
    request = await connect(app, "/v1/fail-stream/7?after=1&message=no", subprotocols=OURS).ended()

    assert texts(request) == ['{"int32Field":1}']
    assert close(request) == (4007, "no")


async def test_a_long_reason_is_cut_between_characters(app: FastAPI) -> None:
    """A close frame holds 123 bytes of UTF-8 (RFC 6455, 5.5.1)."""
    target = "/v1/fail-stream/7?message=" + "%C3%A9" * 100
    request = await connect(app, target, subprotocols=OURS).ended()

    assert close(request) == (4007, "é" * 61)


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        ("{", "[1]: malformed JSON at line 1 column 2: unexpected end of data"),
        ('{"int32Field":"x"}', "[1].int32Field: expected an integer (int32), got 'x'"),
    ],
)
async def test_a_bad_frame_closes_4003_with_its_number(
    app: FastAPI, frame: str, reason: str
) -> None:
    """What was wrong, and in which frame, is the reason."""
    request = connect(app, "/v1/bidi", subprotocols=OURS)
    says(request, "{}", frame)
    await request.ended()

    assert close(request) == (4003, reason)


async def test_a_binary_frame_closes_4003(app: FastAPI) -> None:
    """This subprotocol has text frames only."""
    request = connect(app, "/v1/bidi", subprotocols=OURS)
    request.arrives("websocket.receive", bytes=b"{}")
    await request.ended()

    assert close(request)[0] == 4003


async def test_a_client_that_leaves_ends_the_call(app: FastAPI, upstream: ScriptedUpstream) -> None:
    """Closing without a half-close cancels the call upstream."""
    request = connect(app, "/v1/bidi", subprotocols=OURS)
    says(request, "{}")
    await request.until_sent(2)
    request.arrives("websocket.disconnect", code=1001)
    await asyncio.wait_for(request.ended(), 5)

    assert upstream.calls[0].ended.is_set()
    assert not upstream.calls[0].finished


async def test_leaving_after_the_half_close_ends_the_call(
    app: FastAPI, upstream: ScriptedUpstream
) -> None:
    """The client is listened to after its half-close too."""
    request = connect(app, "/v1/hang-stream", subprotocols=OURS)
    await request.until_sent(2)
    request.arrives("websocket.disconnect", code=1001)
    await asyncio.wait_for(request.ended(), 5)

    assert upstream.calls[0].ended.is_set()


async def test_a_shutdown_closes_1001(app: FastAPI, upstream: ScriptedUpstream) -> None:
    """A server that goes away says so in WebSocket's own word for it."""
    request = connect(app, "/v1/hang-stream", subprotocols=OURS)
    await request.until_sent(2)
    app.state.edge.interrupt_streams()
    await request.ended()

    assert close(request) == (1001, "the server is shutting down")
    assert upstream.calls[0].ended.is_set()


async def test_a_client_without_subprotocol_is_let_in(app: FastAPI) -> None:
    """A person's tool that offers none speaks ours all the same."""
    request = connect(app, "/v1/bidi")
    says(request, "")
    await request.ended()

    assert request.sent[0] == {"type": "websocket.accept", "subprotocol": None}


async def test_a_client_of_another_subprotocol_is_refused(app: FastAPI) -> None:
    """Offered only what we do not speak, the handshake fails with a reason."""
    request = await connect(app, "/v1/bidi", subprotocols=("graphql-ws",)).ended()

    assert request.status == 400
    assert "grpc-json.v1" in request.json["message"]


@pytest.mark.parametrize(
    ("origins", "origin", "host", "allowed"),
    [
        ((), "https://edge.example", "edge.example", True),
        ((), "https://edge.example", "edge.example:443", True),
        ((), "https://edge.example", "Edge.Example", True),
        ((), "HTTP://EDGE.EXAMPLE:80", "edge.example", True),
        ((), "http://[::1]", "[0::1]:80", True),
        ((), "https://edge.example", "edge.example:80", False),
        ((), "https://evil.example", "edge.example", False),
        ((), "https://edge.example.evil.example", "edge.example", False),
        ((), "https://edge.example https://evil.example", "edge.example", False),
        ((), "null", "edge.example", False),
        ((), "null", "null", False),
        (("https://app.example",), "https://app.example", "edge.example", True),
        (("https://App.Example:443",), "https://app.example", "edge.example", True),
        (("https://app.example",), "https://APP.example:443", "edge.example", True),
        (("https://app.example",), "http://app.example", "edge.example", False),
        (("https://app.example",), "https://evil.example", "edge.example", False),
        (("https://*.app.example",), "https://a.b.app.example", "edge.example", True),
        (("https://*.app.example",), "https://app.example", "edge.example", False),
        (("*",), "https://evil.example", "edge.example", True),
        (("*",), "null", "edge.example", True),
    ],
)
async def test_the_origin_is_checked(
    make_app: MakeApp, origins: tuple[str, ...], origin: str, host: str, allowed: bool
) -> None:
    """A page of another site gets in only where the operator has named it."""
    async with running(make_app(cors=CorsSettings(origins=origins))) as app:
        request = connect(app, "/v1/bidi", {"host": host, "origin": origin}, OURS)
        says(request, "")
        await request.ended()

    assert (request.sent[0]["type"] == "websocket.accept") is allowed
    if not allowed:
        assert request.status == 403


@pytest.mark.parametrize(("scheme", "allowed"), [("ws", True), ("wss", False)])
async def test_a_page_without_tls_is_not_that_of_an_edge_with_it(
    app: FastAPI, scheme: str, allowed: bool
) -> None:
    """An edge that speaks TLS knows the scheme of its own pages."""
    headers = {"host": "edge.example", "origin": "http://edge.example"}
    request = connect(app, "/v1/bidi", headers, OURS, scheme=scheme)
    says(request, "")
    await request.ended()

    assert (request.sent[0]["type"] == "websocket.accept") is allowed


@pytest.mark.parametrize(
    "wrong", ["https://app.example/", "app.example", "https://app*.example.com", "null", ""]
)
def test_a_setting_that_is_no_origin_stops_the_start(make_app: MakeApp, wrong: str) -> None:
    """It would let nobody in, and the operator would not know why."""
    with pytest.raises(ValidationError, match=f"{re.escape(repr(wrong))} is not an origin"):
        make_app(cors=CorsSettings(origins=("https://app.example", wrong)))


@pytest.mark.parametrize(
    ("path", "headers", "reason"),
    [
        ("/nowhere", {}, "no streaming method is bound to this path"),
        ("/v1/bidy", {}, "no streaming method is bound to this path; did you mean /v1/bidi?"),
        ("/v1/echo", {}, "no streaming method is bound to this path: echo.v1.Echo.Unary is unary"),
        ("/healthz", {}, "no streaming method is bound to this path"),
        ("/v1/bidi", {"origin": "https://c0ffee.test"}, "PERMISSION_DENIED"),
        ("/v1/bidi", {"grpc-timeout": "c0ffee"}, "INVALID_ARGUMENT"),
    ],
)
async def test_why_a_handshake_is_refused_is_logged(
    app: FastAPI,
    caplog: pytest.LogCaptureFixture,
    path: str,
    headers: dict[str, str],
    reason: str,
) -> None:
    """At info, with id and path, since a browser does not show it; without the value of any header."""
    with caplog.at_level(logging.INFO, logger="gateway"):
        request = connect(app, path, headers | {"x-request-id": "mine"})
        await request.ended()

    lines = [record.getMessage() for record in caplog.records if record.name.startswith("gateway")]
    assert lines == [f"request mine WebSocket {path}: handshake refused: {reason}"]
    assert {record.levelname for record in caplog.records} == {"INFO"}
