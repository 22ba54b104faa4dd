"""gRPC-Web over both versions of HTTP, binary and in base64."""

from __future__ import annotations

import gzip
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator

import httpx
import pytest
from google.rpc.status_pb2 import Status

from tests.doors.http2.conftest import Edge
from tests.echo_server import Everything, FailRequest
from tests.rpc.wire_client import COMPRESSED, framed, post, web_trailers

_TYPES = ["application/grpc-web", "application/grpc-web+proto"]
_TEXT = "application/grpc-web-text"
versions = pytest.mark.parametrize("http2", [False, True], ids=["http1", "http2"])


def _message(text: str, number: int = 0) -> bytes:
    return bytes(Everything(string_field=text, int32_field=number).SerializeToString())


@versions
@pytest.mark.parametrize("content_type", _TYPES)
async def test_a_unary_call(edge: Edge, content_type: str, http2: bool) -> None:
    """The message is a frame, the end another; metadata are headers and lines."""
    async with edge() as port:
        response = await post(
            port, "Unary", framed(_message("a")), content_type, http2=http2, x_given="1"
        )

    messages, trailers = web_trailers(response.content)
    assert response.status_code == 200
    assert response.headers["content-type"] == content_type
    assert response.headers["x-given"] == "1"
    assert messages == [_message("a")]
    assert trailers == {"grpc-status": "0", "cost": "3"}


@versions
@pytest.mark.parametrize("content_type", [*_TYPES, _TEXT])
async def test_a_unary_answer_says_its_length(edge: Edge, content_type: str, http2: bool) -> None:
    """Also where the message comes behind the head, and the call needs a task."""
    body = framed(_message("a" * 999))
    body = b64encode(body) if content_type == _TEXT else body

    async def parts() -> AsyncIterator[bytes]:
        yield body[:8]
        yield body[8:]

    async with edge() as port, httpx.AsyncClient(http1=not http2, http2=http2) as client:
        url, headers = f"http://127.0.0.1:{port}/echo.v1.Echo/Unary", {"content-type": content_type}
        whole = await client.post(url, content=body, headers=headers)
        late = await client.post(url, content=parts(), headers=headers)

    assert late.content == whole.content
    lengths = [each.headers["content-length"] for each in (whole, late)]
    assert lengths == [str(len(whole.content))] * 2


@versions
async def test_a_stream_of_the_server(edge: Edge, http2: bool) -> None:
    """Each message is a frame."""
    async with edge() as port:
        body = framed(_message("a", 3))
        response = await post(port, "ServerStream", body, _TYPES[0], http2=http2)

    messages, trailers = web_trailers(response.content)
    assert messages == [_message("a", 3)] * 3
    assert trailers["grpc-status"] == "0"


@versions
async def test_text(edge: Edge, http2: bool) -> None:
    """Base64 either way; padding may stand behind any part."""
    body = framed(_message("a", 2))
    text = b64encode(body[:4]) + b64encode(body[4:])
    async with edge() as port:
        response = await post(port, "ServerStream", text, _TEXT, http2=http2)

    quartets = (response.content[at : at + 4] for at in range(0, len(response.content), 4))
    messages, trailers = web_trailers(b"".join(b64decode(q, validate=True) for q in quartets))
    assert response.headers["content-type"] == _TEXT
    assert messages == [_message("a", 2)] * 2
    assert trailers["grpc-status"] == "0"


async def test_a_failure(edge: Edge) -> None:
    """The status, its message and its details stand in the trailers' frame."""
    request = FailRequest(code=5, message="nöt here", details=True)
    async with edge() as port:
        response = await post(port, "Fail", framed(request.SerializeToString()), _TYPES[0])

    messages, trailers = web_trailers(response.content)
    details = trailers["grpc-status-details-bin"]
    status = Status.FromString(b64decode(details + "=" * (-len(details) % 4)))
    assert (response.status_code, messages, trailers["grpc-status"]) == (200, [], "5")
    assert trailers["grpc-message"] == "n%C3%B6t here"
    assert len(status.details) == 1


async def test_compressed_messages(edge: Edge) -> None:
    """A frame may be compressed as `grpc-encoding` says; an unknown encoding is UNIMPLEMENTED."""
    body = framed(gzip.compress(_message("a" * 999)), flags=COMPRESSED)
    async with edge() as port:
        known = await post(port, "Unary", body, _TYPES[0], grpc_encoding="gzip")
        unknown = await post(port, "Unary", body, _TYPES[0], grpc_encoding="br")

    assert web_trailers(known.content)[0] == [_message("a" * 999)]
    assert web_trailers(unknown.content)[1]["grpc-status"] == "12"
    assert "gzip" in unknown.headers["grpc-accept-encoding"]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "12"),
        (framed(b"", b""), "12"),
        (framed(b"abc")[:-1], "3"),
        (b"\x07\x00\x00\x00\x00", "13"),
    ],
    ids=["no message", "two messages", "half a message", "unknown flags"],
)
async def test_bodies_that_are_wrong(edge: Edge, body: bytes, code: str) -> None:
    """Each is a status, and nothing goes upstream."""
    async with edge() as port:
        response = await post(port, "Unary", body, _TYPES[0])

    assert web_trailers(response.content)[1]["grpc-status"] == code


async def test_no_more_is_decompressed_than_is_looked_at(edge: Edge) -> None:
    """A unary call has one message; of a body with many, all behind the second are left as they are."""
    body = framed(_message("a"), _message("b")) + framed(b"no gzip", flags=COMPRESSED)
    async with edge() as port:
        response = await post(port, "Unary", body, _TYPES[0], grpc_encoding="gzip")

    trailers = web_trailers(response.content)[1]
    assert (trailers["grpc-status"], "more than one" in trailers["grpc-message"]) == ("12", True)


async def test_text_that_is_no_base64(edge: Edge) -> None:
    """It is INVALID_ARGUMENT."""
    async with edge() as port:
        response = await post(port, "Unary", b"!!!!", _TEXT)

    assert web_trailers(b64decode(response.content))[1]["grpc-status"] == "3"


async def test_pages_of_a_listed_origin(edge: Edge) -> None:
    """A preflight request finds the method; the page may read the status, also of a refusal."""
    origin = "https://app.example"
    async with edge(cors={"origins": [origin]}) as port:
        async with httpx.AsyncClient() as client:
            preflight = await client.options(
                f"http://127.0.0.1:{port}/echo.v1.Echo/Unary",
                headers={
                    "origin": origin,
                    "access-control-request-method": "POST",
                    "access-control-request-headers": "content-type,x-grpc-web,x-user-agent",
                },
            )
        response = await post(port, "Unary", framed(_message("a")), _TYPES[0], origin=origin)

    assert preflight.status_code == 204
    assert "POST" in preflight.headers["access-control-allow-methods"]
    assert "x-grpc-web" in preflight.headers["access-control-allow-headers"]
    assert response.headers["access-control-allow-origin"] == origin
    assert "grpc-status" in response.headers["access-control-expose-headers"]


async def test_grpc_over_http_1(edge: Edge) -> None:
    """GRPC itself needs trailers, which HTTP/1.1 has not here: the status says what to use instead."""
    async with edge() as port:
        response = await post(port, "Unary", framed(_message("a")), "application/grpc")

    assert response.headers["grpc-status"] == "12"
    assert "HTTP/2" in response.headers["grpc-message"]
