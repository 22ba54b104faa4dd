"""WebSocket `grpc-json-envelope.v1`, and what both subprotocols do in silence, over the scripted upstream."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
from fastapi import FastAPI

from gateway.testing import ScriptedCall, ScriptedUpstream
from gateway.transcoding.status import NOT_FOUND, StatusError
from tests.edge.asgi import Request, connect, running
from tests.edge.conftest import Everything, MakeApp
from tests.edge.test_websocket import close, says, texts

PLAIN, ENVELOPE = "grpc-json.v1", "grpc-json-envelope.v1"


def begin(app: FastAPI, target: str, headers: Any = None, **handshake: str) -> Request:
    """Begins a call: the handshake, with some headers of its own, and the headers frame."""
    named = {name.replace("_", "-"): value for name, value in handshake.items()}
    request = connect(app, target, named, (ENVELOPE,))
    tell(request, headers=headers or {})
    return request


def tell(request: Request, **frame: Any) -> None:
    """Lets a frame come in."""
    says(request, orjson.dumps(frame).decode())


def frames(request: Request) -> list[Any]:
    """Returns the frames that were sent, parsed."""
    return [orjson.loads(text) for text in texts(request)]


async def test_a_conversation(app: FastAPI) -> None:
    """Each frame says what it is, and the last one is the status."""
    request = begin(app, "/v1/bidi")
    tell(request, message={"stringField": "a"})
    tell(request, message={"int64Field": "9007199254740993"})
    tell(request, half_close={})
    await request.ended()

    assert request.sent[0] == {"type": "websocket.accept", "subprotocol": ENVELOPE}
    assert texts(request) == [
        '{"headers":{}}',
        '{"message":{"stringField":"a"}}',
        '{"message":{"int64Field":"9007199254740993"}}',
        '{"status":{"trailers":{}}}',
    ]
    assert close(request) == (1000, "")


@pytest.mark.parametrize(
    ("offered", "taken"),
    [
        ((PLAIN, ENVELOPE), PLAIN),
        ((ENVELOPE, PLAIN), ENVELOPE),
        (("graphql-ws", ENVELOPE), ENVELOPE),
    ],
)
async def test_the_first_known_subprotocol_is_taken(
    app: FastAPI, offered: tuple[str, ...], taken: str
) -> None:
    """The order is the client's."""
    request = connect(app, "/v1/bidi", subprotocols=offered)
    await request.until_sent(1)
    request.arrives("websocket.disconnect", code=1001)
    await request.ended()

    assert request.sent[0]["subprotocol"] == taken


async def test_the_call_waits_for_the_headers(app: FastAPI, upstream: ScriptedUpstream) -> None:
    """No call is made before its metadata are there, though path and query are all it needs."""
    request = connect(app, "/v1/stream/x?int32Field=1", subprotocols=(ENVELOPE,))
    await request.until_sent(1)
    assert upstream.calls == []
    tell(request, headers={})
    await request.ended()

    assert frames(request)[1] == {"message": {"int32Field": 1, "stringField": "x"}}


async def test_metadata_come_from_handshake_and_frame(
    app: FastAPI, upstream: ScriptedUpstream
) -> None:
    """The same keys pass as in HTTP headers; what the frame says anew replaces the handshake's."""
    said = {
        "Authorization": "Bearer new",
        "cookie": "not to be passed on",
        "grpc-metadata-tags": ["a", "b"],
        "grpc-metadata-key-bin": "/w==",
    }
    request = begin(
        app, "/v1/bidi", said, authorization="Bearer old", traceparent="00-1", x_request_id="r"
    )
    tell(request, half_close={})
    await request.ended()

    assert upstream.calls[0].metadata == (
        ("traceparent", "00-1"),
        ("x-request-id", "r"),
        ("authorization", "Bearer new"),
        ("tags", "a"),
        ("tags", "b"),
        ("key-bin", b"\xff"),
    )


@pytest.mark.parametrize("unusable", ["a b", "", "é€", "x" * 129, ["a b", "c\nd"]])
@pytest.mark.parametrize("of_handshake", ["mine", "not mine"])
async def test_an_id_that_cannot_travel_is_passed_over(
    app: FastAPI, upstream: ScriptedUpstream, of_handshake: str, unusable: str | list[str]
) -> None:
    """That of the frame leaves that of the handshake, and in place of that of the handshake one is made."""
    request = begin(app, "/v1/bidi", {"X-Request-ID": unusable}, x_request_id=of_handshake)
    tell(request, half_close={})
    await request.ended()

    (sent,) = [value for key, value in upstream.calls[0].metadata if key == "x-request-id"]
    assert re.fullmatch("mine" if of_handshake == "mine" else "[0-9a-f]{32}", str(sent))


@pytest.mark.parametrize(
    ("handshake", "headers", "seconds"),
    [
        ({}, {}, None),
        ({}, {"grpc-timeout": "30S"}, 30),
        ({}, {"grpc-timeout": "30S", "x-server-timeout": "10"}, 10),
        ({"grpc_timeout": "5S"}, {"grpc-timeout": "30S"}, 30),
        ({"grpc_timeout": "5S"}, {}, 5),
    ],
)
async def test_the_frame_may_say_a_timeout(
    app: FastAPI,
    upstream: ScriptedUpstream,
    handshake: dict[str, str],
    headers: dict[str, str],
    seconds: float | None,
) -> None:
    """What the frame says counts from the frame, and instead of what the handshake said."""
    request = begin(app, "/v1/bidi", headers, **handshake)
    tell(request, half_close={})
    await request.ended()

    assert upstream.calls[0].timeout == (seconds and pytest.approx(seconds, abs=0.5))


@pytest.mark.parametrize("code", [0, NOT_FOUND])
async def test_metadata_go_to_the_client(
    make_app: MakeApp, upstream: ScriptedUpstream, code: int
) -> None:
    """Of the initial metadata the listed keys, of the trailing all but gRPC's own; errors have them too."""

    async def tells(call: ScriptedCall) -> AsyncIterator[bytes]:
        call.initial = (("etag", '"e"'), ("internal", "x"))
        yield Everything(int32_field=1).SerializeToString()
        call.trailing = (("cost", "3"), ("key-bin", b"\xff"), ("grpc-status-details-bin", b""))
        if code:
            raise StatusError.of(code, "no")

    upstream.scripts["/echo.v1.Echo/Bidi"] = tells
    async with running(make_app()) as app:
        request = await begin(app, "/v1/bidi").ended()

    status = {"code": code, "message": "no"} if code else {}
    assert frames(request) == [
        {"headers": {"etag": '"e"'}},
        {"message": {"int32Field": 1}},
        {"status": {**status, "trailers": {"cost": "3", "key-bin": "/w=="}}},
    ]


async def test_a_call_that_fails_at_once_has_no_headers(app: FastAPI) -> None:
    """Initial metadata are left out where the call fails before its first message."""
    request = await begin(app, "/v1/fail-stream/7?message=no").ended()

    assert frames(request) == [{"status": {"code": 7, "message": "no", "trailers": {}}}]
    assert close(request) == (4007, "no")


async def test_a_call_without_messages_has_headers(app: FastAPI) -> None:
    """A stream that is empty, but OK, begins like any other."""
    request = await begin(app, "/v1/fail-stream/0").ended()

    assert frames(request) == [{"headers": {}}, {"status": {"trailers": {}}}]


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (('{"message":{}}',), "headers must be the first frame, and the only one of their kind"),
        (('{"headers":{}}',) * 2, "headers must be the first frame, and the only one of their kind"),
        (('{"headers":{"a":1}}',), "a: expected a string, or an array of strings"),
        (
            ('{"headers":{"grpc-timeout":"soon"}}',),
            "grpc-timeout: expected digits and one of H M S m u n, got 'soon'",
        ),
        (
            ('{"headers":{}}', '{"message":{}}', '{"message":{"int32Field":"x"}}'),
            "[1].int32Field: expected an integer (int32), got 'x'",
        ),
        (
            ('{"headers":{}}', '{"message":{"int32Field":1,"int32Field":2}}'),
            "[0]: malformed JSON: the key 'int32Field' is given twice in one object",
        ),
        (('{"headers":{}}', "{}"), "a frame is an object with one member: headers, message or half_close"),
    ],
)  # fmt: skip
async def test_a_wrong_frame_is_a_status_and_4003(
    app: FastAPI, sent: tuple[str, ...], reason: str
) -> None:
    """What is wrong is said in the status frame, with its details, and in the reason."""
    request = connect(app, "/v1/bidi", subprotocols=(ENVELOPE,))
    says(request, *sent)
    await request.ended()

    status = frames(request)[-1]["status"]
    assert (status["code"], status["message"]) == (3, reason)
    assert close(request) == (4003, reason)


async def test_a_shutdown_is_a_status_and_1001(app: FastAPI) -> None:
    """The status frame says it in gRPC's words, the close code in WebSocket's."""
    request = begin(app, "/v1/hang-stream")
    await request.until_sent(3)
    app.state.edge.interrupt_streams()
    await request.ended()

    message = "the server is shutting down"
    assert frames(request)[-1] == {"status": {"code": 14, "message": message, "trailers": {}}}
    assert close(request) == (1001, message)


@pytest.mark.parametrize(
    ("subprotocol", "sent", "frames_sent"),
    [
        (PLAIN, ('{"stringField":"%s"}',), []),
        (
            ENVELOPE,
            ('{"headers":{}}', '{"message":{"stringField":"%s"}}'),
            [
                {
                    "status": {
                        "code": 8,
                        "message": "a message is larger than 22 bytes",
                        "trailers": {},
                    }
                }
            ],
        ),
    ],
)
async def test_a_message_over_the_limit_closes_1009(
    make_app: MakeApp, subprotocol: str, sent: tuple[str, ...], frames_sent: list[Any]
) -> None:
    """The limit is the message's, whatever stands around it."""
    async with running(make_app(max_message_bytes=22)) as app:
        fits = connect(app, "/v1/bidi", subprotocols=(subprotocol,))
        says(fits, *sent[:-1], sent[-1] % "abcd")
        await fits.until_sent(2)
        fits.arrives("websocket.disconnect", code=1001)
        await fits.ended()
        request = connect(app, "/v1/bidi", subprotocols=(subprotocol,))
        says(request, *sent[:-1], sent[-1] % "abcde")
        await request.ended()

    assert "abcd" in texts(fits)[-1]
    assert frames(request) == frames_sent
    assert close(request) == (1009, "a message is larger than 22 bytes")


SILENCES = [
    ("/v1/bidi", PLAIN, ()),
    ("/v1/stream", PLAIN, ()),
    ("/v1/hang-stream", PLAIN, ()),
    ("/v1/bidi", ENVELOPE, ()),
    ("/v1/bidi", ENVELOPE, ('{"headers":{}}',)),
]


@pytest.mark.parametrize(("target", "subprotocol", "sent"), SILENCES)
async def test_silence_closes_4004(
    make_app: MakeApp,
    upstream: ScriptedUpstream,
    target: str,
    subprotocol: str,
    sent: tuple[str, ...],
) -> None:
    """Where nothing is said either way the WebSocket is given up, also before its call has begun."""
    async with running(make_app(websocket_idle_seconds=0.05)) as app:
        request = connect(app, target, subprotocols=(subprotocol,))
        says(request, *sent)
        await asyncio.wait_for(request.ended(), 5)

    assert close(request) == (4004, "no message for 0.05 seconds")
    assert all(call.ended.is_set() for call in upstream.calls)
    if subprotocol == ENVELOPE:
        assert frames(request)[-1]["status"]["code"] == 4


async def test_messages_either_way_put_the_end_off(
    make_app: MakeApp, upstream: ScriptedUpstream
) -> None:
    """A client that sends to a silent server is not idle, nor is one that only listens."""

    async def sends(_call: ScriptedCall) -> AsyncIterator[bytes]:
        for number in range(1, 10):
            await asyncio.sleep(0.05)
            yield Everything(int32_field=number).SerializeToString()

    upstream.scripts["/echo.v1.Echo/HangStream"] = sends
    async with running(make_app(websocket_idle_seconds=0.25)) as app:
        listens = connect(app, "/v1/hang-stream", subprotocols=(PLAIN,))
        uploads = connect(app, "/v1/upload", subprotocols=(PLAIN,))
        for _ in range(9):
            await asyncio.sleep(0.05)
            says(uploads, "{}")
        says(uploads, "")
        await asyncio.gather(listens.ended(), uploads.ended())

    assert close(listens) == close(uploads) == (1000, "")
