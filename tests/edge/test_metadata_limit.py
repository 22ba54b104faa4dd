"""The largest metadata that a request may forward: on each wire the same, to the byte.

Sources: RFC 6585, section 5 (431); RFC 9113, section 6.5.2 (name, value, and 32 for each field).
"""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import orjson
import pytest
from fastapi import FastAPI
from google.api.httpbody_pb2 import HttpBody
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status

from gateway.testing import ScriptedUpstream
from gateway.transcoding.metadata import (
    DEFAULT_REQUEST_HEADERS,
    DEFAULT_RESPONSE_HEADERS,
    MetadataFilter,
)
from gateway.transcoding.metadata_size import metadata_size
from gateway.transcoding.status import StatusError
from tests.edge.asgi import Request, ask, connect, running, start
from tests.edge.conftest import MakeApp
from tests.edge.test_websocket import close, says

LIMIT = 1000
ID = {"x-request-id": "i" * 10}
ID_SIZE = 12 + 10 + 32
MADE_ID_SIZE = 12 + 32 + 32
"""An id that the edge makes has 32 characters."""
ENVELOPE = "grpc-json-envelope.v1"
WIRES = {
    "unary": ("POST", "/v1/echo", {}),
    "events": ("GET", "/v1/stream/a?int32_field=1", {"accept": "text/event-stream"}),
    "lines": ("GET", "/v1/stream/a?int32_field=1", {"accept": "application/x-ndjson"}),
    "array": ("GET", "/v1/stream/a?int32_field=1", {"accept": "application/json"}),
    "sequence": ("GET", "/v1/stream/a?int32_field=1", {"accept": "application/json-seq"}),
    "upload": ("POST", "/v1/upload", {}),
    "both ways": ("POST", "/v1/bidi", {}),
    "head of a stream": ("HEAD", "/v1/stream/a?int32_field=1", {}),
}


def authorization(size: int) -> dict[str, str]:
    """Returns a header that counts so many bytes."""
    return {"authorization": "b" * (size - len("authorization") - 32)}


@pytest.fixture
async def app(make_app: MakeApp) -> Any:
    """The application with a small limit."""
    async with running(make_app(max_metadata_bytes=LIMIT)) as started:
        yield started


def is_refusal(request: Request, *, head: bool = False) -> None:
    """Sees that an answer is 431 with a Status."""
    assert request.status == 431
    if not head:
        assert request.json["code"] == 8
        assert f"of at most {LIMIT}" in request.json["message"]


@pytest.mark.parametrize("wire", WIRES)
async def test_the_limit_over_http(app: FastAPI, upstream: ScriptedUpstream, wire: str) -> None:
    """Metadata may be as large as the limit; with one byte more the request is 431, and no call is made."""
    http_method, target, headers = WIRES[wire]
    fits, too_large = (authorization(LIMIT - ID_SIZE + more) for more in (0, 1))

    body = b"{}" if http_method == "POST" else b""
    refused = await ask(app, http_method, target, body, {**headers, **ID, **too_large})
    is_refusal(refused, head=http_method == "HEAD")
    assert upstream.calls == []
    answer = await ask(app, http_method, target, body, {**headers, **ID, **fits})
    assert answer.status == 200


async def test_the_id_that_the_edge_makes_counts(app: FastAPI, upstream: ScriptedUpstream) -> None:
    """What the edge itself adds is metadata like any other."""
    fits, too_large = (authorization(LIMIT - MADE_ID_SIZE + more) for more in (0, 1))

    is_refusal(await ask(app, "GET", "/v1/echo", headers=too_large))
    assert (await ask(app, "GET", "/v1/echo", headers=fits)).status == 200
    assert metadata_size(upstream.calls[0].metadata) == LIMIT


@pytest.mark.parametrize(
    "headers",
    [
        {f"grpc-metadata-{n}": "" for n in range(40)},
        {"grpc-metadata-token-bin": base64.b64encode(bytes(700)).decode()},
        {"grpc-metadata-" + "n" * 1000: "v"},
        {"traceparent": "t" * 1000},
        {"baggage": "b" * 500, "tracestate": "t" * 500},
    ],
    ids=["many small", "bytes", "a name", "a trace", "two together"],
)
async def test_what_counts(
    app: FastAPI, upstream: ScriptedUpstream, headers: dict[str, str]
) -> None:
    """All that is forwarded does, however it is named, and in base64 where it is bytes."""
    is_refusal(await ask(app, "GET", "/v1/echo", headers=headers))
    assert upstream.calls == []


async def test_what_does_not_count(app: FastAPI, upstream: ScriptedUpstream) -> None:
    """Headers that are not forwarded are not the upstream's to bear."""
    headers = {"cookie": "c" * 5000, "user-agent": "u" * 5000}
    assert (await ask(app, "GET", "/v1/echo", headers=headers)).status == 200
    assert len(upstream.calls) == 1


def test_how_it_is_counted() -> None:
    """As the header fields that go out: RFC 9113, 6.5.2, and base64 without padding."""
    assert metadata_size(()) == 0
    assert metadata_size((("a", "bc"), ("d", ""))) == 32 + 3 + 32 + 1
    for size in range(7):
        encoded = base64.b64encode(bytes(size)).rstrip(b"=")
        assert metadata_size((("k-bin", bytes(size)),)) == 32 + 5 + len(encoded)


async def test_a_websocket_handshake_over_the_limit(
    app: FastAPI, upstream: ScriptedUpstream
) -> None:
    """It is refused with 431, as any other request."""
    request = await connect(app, "/v1/bidi", authorization(LIMIT)).ended()

    assert request.sent[0]["type"] == "websocket.http.response.start"
    is_refusal(request)
    assert upstream.calls == []


@pytest.mark.parametrize("said", ["at once", "in the handshake too", "often"])
async def test_a_headers_frame_over_the_limit(
    app: FastAPI, upstream: ScriptedUpstream, said: str
) -> None:
    """What the frame says, with what the handshake has said, is held to the same limit; the close says so."""
    handshake = authorization(LIMIT - MADE_ID_SIZE) if said == "in the handshake too" else {}
    frames: dict[str, dict[str, Any]] = {
        "at once": {"authorization": "b" * LIMIT},
        "in the handshake too": {"baggage": "b"},
        "often": {"baggage": ["b"] * 100},
    }
    request = connect(app, "/v1/bidi", handshake, (ENVELOPE,))
    says(request, orjson.dumps({"headers": frames[said]}).decode())
    await request.ended()

    code, reason = close(request)
    assert code == 4008
    assert "metadata" in reason
    status = orjson.loads(request.sent[-2]["text"])["status"]
    assert (status["code"], upstream.calls) == (8, [])


async def test_a_frame_that_replaces_what_the_handshake_said(
    app: FastAPI, upstream: ScriptedUpstream
) -> None:
    """A key that is said anew counts once."""
    request = connect(app, "/v1/bidi", authorization(LIMIT - MADE_ID_SIZE), (ENVELOPE,))
    says(request, orjson.dumps({"headers": authorization(LIMIT - MADE_ID_SIZE)}).decode())
    says(request, '{"half_close":{}}')
    await request.ended()

    assert close(request)[0] == 1000
    assert len(upstream.calls) == 1


async def direct(app: FastAPI, *headers: str) -> tuple[int, Any]:
    """Answers a whole request without a task; returns the status and the JSON of the body."""
    data = "\r\n".join(("GET /v1/names/1 HTTP/1.1", "host: x", *headers, "", "")).encode()
    told: asyncio.Future[tuple[int, Any]] = asyncio.Future()
    app.state.direct.read(data).answer(lambda status, _, body: told.set_result((status, body)))
    status, body = await told
    return status, orjson.loads(body)


async def test_the_limit_of_direct_answers(app: FastAPI) -> None:
    """It is the same to the byte, with an id of the caller's and with one that is made."""
    for own, size in (((), MADE_ID_SIZE), (("x-request-id: " + "i" * 10,), ID_SIZE)):
        for more, expected in ((0, 200), (1, 431)):
            (value,) = authorization(LIMIT - size + more).values()
            status, body = await direct(app, *own, f"authorization: {value}")
            assert status == expected
            assert status == 200 or body["code"] == 8


async def test_a_head_that_is_known_with_a_longer_id(app: FastAPI) -> None:
    """Heads that differ in their trace alone are looked at once, but not for what is longer in one."""
    (value,) = authorization(LIMIT - ID_SIZE).values()
    for length, expected in ((10, 200), (10, 200), (11, 431), (64, 431), (10, 200)):
        headers = (f"authorization: {value}", "x-request-id: " + "i" * length)
        assert (await direct(app, *headers))[0] == expected


async def test_an_unknown_path_is_404_whatever_else_it_says(app: FastAPI) -> None:
    """Nothing is forwarded for a path that there is not."""
    assert (await ask(app, "GET", "/v1/nowhere", headers=authorization(LIMIT + 1))).status == 404


async def test_the_default_limit(make_app: MakeApp) -> None:
    """It is 8 KiB, which gRPC suggests for a server's."""
    async with running(make_app()) as app:
        fits, too_large = (authorization(8 * 1024 - MADE_ID_SIZE + more) for more in (0, 1))
        assert (await ask(app, "GET", "/v1/echo", headers=fits)).status == 200
        assert (await ask(app, "GET", "/v1/echo", headers=too_large)).status == 431


FILTER = MetadataFilter(
    DEFAULT_REQUEST_HEADERS, DEFAULT_RESPONSE_HEADERS, max_response_header_bytes=100
)


@pytest.mark.parametrize(
    ("sizes", "kept"),
    [
        ([50, 50], [50, 50]),
        ([50, 51], [50]),
        ([101], []),
        ([101, 100], [100]),
        ([40, 70, 60], [40, 60]),
        ([], []),
    ],
)
def test_headers_that_fit_into_an_answer(sizes: list[int], kept: list[int]) -> None:
    """In their order, as long as there is room; one that does not fit keeps no smaller one out."""
    headers = tuple((b"name", b"v" * (size - len("name: \r\n"))) for size in sizes)

    fitting = FILTER.fitting(headers)

    assert [len(b"%b: %b\r\n" % header) for header in fitting] == kept


async def test_metadata_of_the_server_that_does_not_fit(
    make_app: MakeApp, upstream: ScriptedUpstream
) -> None:
    """A head that a proxy would refuse is not sent: what is too much is left out, of answers and streams."""

    async def talkative(call: Any) -> Any:
        call.initial = (("etag", "e" * 50), ("location", "l" * 500))
        call.trailing = (("detail", "d" * 5000), ("cost", "3"))
        yield await anext(call.requests)

    upstream.scripts["/echo.v1.Echo/Unary"] = talkative
    upstream.scripts["/echo.v1.Echo/ServerStream"] = talkative
    async with running(make_app(max_answer_header_bytes=200)) as app:
        answer = await ask(app, "GET", "/v1/echo")
        stream = await ask(app, "GET", "/v1/stream/a?int32_field=1")
        told: asyncio.Future[bytes] = asyncio.Future()
        app.state.direct.read(b"GET /v1/echo HTTP/1.1\r\nhost: x\r\n\r\n").answer(
            lambda _, lines, __: told.set_result(lines),
        )
        lines = await told

    for names in (answer.headers, dict(line.split(": ") for line in lines.decode().splitlines())):
        assert {"etag", "grpc-trailer-cost"} <= names.keys()
        assert not {"location", "grpc-trailer-detail"} & names.keys()
    assert "etag" in stream.headers
    assert "location" not in stream.headers


async def test_metadata_of_an_error_that_does_not_fit(
    make_app: MakeApp, upstream: ScriptedUpstream
) -> None:
    """An error is bounded likewise, and has what it must have: a challenge, and when to come back."""

    async def refuse(call: Any) -> Any:
        if await anext(call.requests):
            yield b"for its type: the request of this test is empty"
        status = Status(code=16, message="no")
        status.details.add().Pack(RetryInfo(retry_delay=Duration(seconds=7)))
        raise StatusError(
            status,
            initial=(("www-authenticate", "w" * 500), ("etag", "e")),
            trailing=(("detail", "d" * 5000), ("cost", "3")),
        )

    upstream.scripts["/echo.v1.Echo/Unary"] = refuse
    async with running(make_app(max_answer_header_bytes=100)) as app:
        answer = await ask(app, "GET", "/v1/echo")

    assert answer.status == 401
    assert len(answer.headers["www-authenticate"]) < 100
    assert answer.headers["retry-after"] == "7"
    assert answer.headers["etag"] == "e"
    assert answer.headers["grpc-trailer-cost"] == "3"
    assert "grpc-trailer-detail" not in answer.headers


@pytest.mark.parametrize(("size", "expected"), [(100, 302), (300, 200)])
async def test_a_redirect_whose_location_does_not_fit(
    make_app: MakeApp, upstream: ScriptedUpstream, size: int, expected: int
) -> None:
    """Without its location it would lead nowhere, so it is none."""

    async def redirect(call: Any) -> Any:
        call.initial = (("x-http-code", "302"), ("location", "/" * size))
        yield await anext(call.requests)

    upstream.scripts["/echo.v1.Echo/Unary"] = redirect
    async with running(make_app(max_answer_header_bytes=200)) as app:
        assert (await ask(app, "GET", "/v1/echo")).status == expected


async def test_a_content_type_of_the_server_that_does_not_fit(
    make_app: MakeApp, upstream: ScriptedUpstream
) -> None:
    """The type of an HttpBody becomes a header, and so has a bound; beyond it the answer is INTERNAL."""

    async def strange(call: Any) -> Any:
        await anext(call.requests)
        yield HttpBody(content_type="x" * 1025, data=b"data").SerializeToString()

    upstream.scripts["/echo.v1.Echo/Raw"] = strange
    async with running(make_app()) as app:
        request = start(app, "POST", "/v1/raw", b"data", {"content-type": "text/csv"})
        await request.ended()

    assert (request.status, request.json["code"]) == (500, 13)
