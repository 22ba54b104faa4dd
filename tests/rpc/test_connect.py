"""Connect over both versions of HTTP: unary calls by POST and GET, and streams."""

from __future__ import annotations

import asyncio
import gzip
from base64 import b64decode, urlsafe_b64encode

import httpx
import orjson
import pytest
from google.rpc.error_details_pb2 import ErrorInfo

from tests.doors.http2.conftest import Edge
from tests.echo_server import ALL_CODES, EchoServer, Everything, FailRequest, Summary
from tests.rpc.wire_client import COMPRESSED, connect_end, framed, post

_PROTO, _JSON = "application/proto", "application/json"
_STREAM, _STREAM_JSON = "application/connect+proto", "application/connect+json"
versions = pytest.mark.parametrize("http2", [False, True], ids=["http1", "http2"])


def _message(text: str, number: int = 0) -> bytes:
    return bytes(Everything(string_field=text, int32_field=number).SerializeToString())


@versions
async def test_a_unary_call(edge: Edge, http2: bool) -> None:
    """The body is the message itself; trailers are headers with a prefix."""
    async with edge() as port:
        response = await post(port, "Unary", _message("a"), _PROTO, http2=http2, x_given="1")

    assert (response.status_code, response.content) == (200, _message("a"))
    assert response.headers["content-type"] == _PROTO
    assert response.headers["x-given"] == "1"
    assert response.headers["trailer-cost"] == "3"


@versions
async def test_json(edge: Edge, http2: bool) -> None:
    """Its version tells it from REST: plain JSON has no method here."""
    body = b'{"stringField":"a"}'
    async with edge() as port:
        response = await post(port, "Unary", body, _JSON, http2=http2, connect_protocol_version="1")
        wrong = await post(port, "Unary", b'{"x":1}', _JSON, connect_protocol_version="1")
        plain = await post(port, "Unary", body, _JSON, http2=http2)

    assert response.json()["stringField"] == "a"
    assert response.headers["content-type"] == _JSON
    assert (wrong.status_code, wrong.json()["code"]) == (400, "invalid_argument")
    assert plain.status_code == 404


@versions
async def test_another_version_of_the_protocol(edge: Edge, http2: bool) -> None:
    """It is refused on each wire of Connect; nobody knows what such a client expects."""
    async with edge() as port:
        found = [
            await post(port, method, body, kind, http2=http2, connect_protocol_version=version)
            for version in ("2", "v1", "")
            for method, body, kind in (
                ("Unary", b"{}", _JSON),
                ("Unary", b"", _PROTO),
                ("ServerStream", framed(b"{}"), _STREAM_JSON),
            )
        ]

    unary = [(each.status_code, each.json()["code"]) for each in (*found[::3], *found[1::3])]
    streams = [connect_end(each.content)[1]["error"]["code"] for each in found[2::3]]
    assert unary == [(400, "invalid_argument")] * 6
    assert streams == ["invalid_argument"] * 3


@versions
async def test_json_beside_the_routes_of_auto_mapping(edge: Edge, http2: bool) -> None:
    """One path answers all: plain JSON by REST, proto by Connect, whoever came first."""
    body = b'{"stringField":"a"}'
    async with edge(auto_mapping=True) as port:
        for _ in range(2):
            plain = await post(port, "Unbound", body, _JSON, http2=http2)
            connect = await post(
                port, "Unbound", body, _JSON, http2=http2, connect_protocol_version="1"
            )
            proto = await post(port, "Unbound", b"", _PROTO, http2=http2)
            assert "code" in plain.json()
            assert isinstance(plain.json()["code"], int)
            assert connect.json()["code"] == "unimplemented"
            assert proto.json()["code"] == "unimplemented"


@pytest.mark.parametrize("code", ALL_CODES)
async def test_every_error(edge: Edge, code: int) -> None:
    """The HTTP status and the name of the code are Connect's, and the details are those of the server."""
    request = FailRequest(code=code, message="wish", details=True)
    async with edge() as port:
        response = await post(port, "Fail", request.SerializeToString(), _PROTO)

    error = response.json()
    info = ErrorInfo.FromString(b64decode(error["details"][0]["value"] + "=="))
    assert response.status_code == _HTTP[error["code"]]
    assert error["message"] == "wish"
    assert error["details"][0]["type"] == "google.rpc.ErrorInfo"
    assert info.reason == "WISH"


_HTTP = {
    "canceled": 499,
    "unknown": 500,
    "invalid_argument": 400,
    "deadline_exceeded": 504,
    "not_found": 404,
    "already_exists": 409,
    "permission_denied": 403,
    "resource_exhausted": 429,
    "failed_precondition": 400,
    "aborted": 409,
    "out_of_range": 400,
    "unimplemented": 501,
    "internal": 500,
    "unavailable": 503,
    "data_loss": 500,
    "unauthenticated": 401,
}
"""The Connect protocol, "Error codes"."""


async def test_metadata_of_an_error(edge: Edge) -> None:
    """Both kinds are headers."""
    request = FailRequest(code=9, message="metadata")
    async with edge() as port:
        response = await post(port, "Fail", request.SerializeToString(), _PROTO)

    assert response.headers["etag"] == '"e"'
    assert response.headers["trailer-cost"] == "3"


async def test_a_deadline(edge: Edge, echo: EchoServer) -> None:
    """`connect-timeout-ms` ends the call."""
    echo.cancelled.clear()
    async with edge() as port:
        response = await post(port, "Hang", b"", _PROTO, connect_timeout_ms="200")
        async with asyncio.timeout(20):
            await echo.cancelled.wait()
        wrong = await post(port, "Hang", b"", _PROTO, connect_timeout_ms="soon")

    assert (response.status_code, response.json()["code"]) == (504, "deadline_exceeded")
    assert (wrong.status_code, wrong.json()["code"]) == (400, "invalid_argument")


async def test_compressed_bodies(edge: Edge) -> None:
    """Gzip is read; another coding is unimplemented."""
    body = gzip.compress(_message("a" * 999))
    async with edge() as port:
        known = await post(port, "Unary", body, _PROTO, content_encoding="gzip")
        unknown = await post(port, "Unary", body, _PROTO, content_encoding="lz")

    assert known.content == _message("a" * 999)
    assert (unknown.status_code, unknown.json()["code"]) == (501, "unimplemented")


@pytest.mark.parametrize(
    "query",
    [
        {
            "encoding": "proto",
            "base64": "1",
            "message": urlsafe_b64encode(_message("ä?", 1)).decode(),
        },
        {"encoding": "json", "message": '{"stringField":"ä?","int32Field":1}'},
    ],
    ids=["proto", "json"],
)
async def test_get(edge: Edge, query: dict[str, str]) -> None:
    """A method without side effects may be asked by GET; another one has none."""
    async with edge() as port, httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        response = await client.get("/echo.v1.Echo/Unary", params={"connect": "v1", **query})
        unsafe = await client.get("/echo.v1.Echo/Fail", params={"connect": "v1", **query})

    if query["encoding"] == "json":
        assert response.json()["stringField"] == "ä?"
    else:
        assert response.content == _message("ä?", 1)
    assert (unsafe.status_code, unsafe.headers["allow"]) == (405, "OPTIONS, POST")


@versions
async def test_a_stream_of_the_server(edge: Edge, http2: bool) -> None:
    """Messages are frames, and so is the end."""
    async with edge() as port:
        body = framed(_message("a", 3))
        response = await post(port, "ServerStream", body, _STREAM, http2=http2)
        text = framed(b'{"stringField":"a","int32Field":2}')
        json = await post(port, "ServerStream", text, _STREAM_JSON, http2=http2)

    assert response.headers["content-type"] == _STREAM
    assert connect_end(response.content) == ([_message("a", 3)] * 3, {})
    messages, end = connect_end(json.content)
    assert [orjson.loads(message)["stringField"] for message in messages] == ["a", "a"]
    assert end == {}


@versions
async def test_streams_of_the_client(edge: Edge, http2: bool) -> None:
    """An upload, and a conversation of which the client says its part first."""
    body = framed(*(_message(text) for text in "xyz"))
    async with edge() as port:
        upload = await post(port, "ClientStream", body, _STREAM, http2=http2)
        both = await post(port, "Bidi", body, _STREAM, http2=http2)

    ((summary,), _) = connect_end(upload.content)
    assert Summary.FromString(summary).strings == ["x", "y", "z"]
    assert connect_end(both.content)[0] == [_message(text) for text in "xyz"]


async def test_a_stream_that_fails(edge: Edge) -> None:
    """Whether it has begun or not, the status of HTTP is 200 and the error is in the end."""
    async with edge() as port:
        found = []
        for after in (0, 2):
            request = FailRequest(code=8, message="full", after=after)
            body = framed(request.SerializeToString())
            response = await post(port, "FailStream", body, _STREAM)
            messages, end = connect_end(response.content)
            found.append((response.status_code, len(messages), end["error"]))

    error = {"code": "resource_exhausted", "message": "full"}
    assert found == [(200, 0, error), (200, 2, error)]


async def test_compressed_frames(edge: Edge) -> None:
    """Gzip is read; another coding is unimplemented."""
    body = framed(gzip.compress(_message("a", 1)), flags=COMPRESSED)
    async with edge() as port:
        known = await post(port, "ServerStream", body, _STREAM, connect_content_encoding="gzip")
        unknown = await post(port, "ServerStream", body, _STREAM, connect_content_encoding="br")

    assert connect_end(known.content)[0] == [_message("a", 1)]
    assert connect_end(unknown.content)[1]["error"]["code"] == "unimplemented"


async def test_methods_that_are_not_there(edge: Edge) -> None:
    """A stream's frames for a unary method, and a method that nobody has."""
    async with edge() as port:
        unary = await post(port, "Unary", framed(b""), _STREAM)
        missing = await post(port, "Missing", framed(b""), _STREAM)

    assert connect_end(unary.content)[1]["error"]["code"] == "unimplemented"
    assert connect_end(missing.content)[1]["error"]["code"] == "unimplemented"
