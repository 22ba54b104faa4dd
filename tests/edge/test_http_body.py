"""`google.api.HttpBody`: bodies that are data, and are passed on as they are."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from fastapi import FastAPI
from google.api.httpbody_pb2 import HttpBody

from gateway.exchange.response import _VALUES, HttpResponse
from gateway.testing import ScriptedCall, ScriptedUpstream
from gateway.transcoding.status import StatusError
from tests.edge.asgi import ask, connect, running
from tests.edge.conftest import MakeApp

PNG = b"\x89PNG\x00\xff"


async def test_data_goes_up_and_comes_down(app: FastAPI, upstream: ScriptedUpstream) -> None:
    """Bytes and their type travel both ways untouched, whatever Accept says."""
    headers = {"content-type": "image/png", "accept": "image/*"}
    answer = await ask(app, "POST", "/v1/raw", PNG, headers)

    assert (answer.status, answer.body) == (200, PNG)
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["content-length"] == str(len(PNG))


async def test_no_data_has_a_type_too(app: FastAPI, upstream: ScriptedUpstream) -> None:
    """An empty body is a body of the type that it is said to be."""
    answer = await ask(app, "POST", "/v1/raw", b"", {"content-type": "text/csv"})

    assert (answer.status, answer.body) == (200, b"")
    assert answer.headers["content-type"] == "text/csv"


async def test_an_upload_of_data_is_cut_into_messages(
    make_app: MakeApp, upstream: ScriptedUpstream
) -> None:
    """Each piece that arrives is a message, the first of which says the type."""
    seen: list[HttpBody] = []

    async def take(call: ScriptedCall) -> AsyncIterator[bytes]:
        seen.extend([HttpBody.FromString(request) async for request in call.requests])
        yield b""

    upstream.scripts["/echo.v1.Echo/RawUpload"] = take
    async with running(make_app(max_message_bytes=4)) as app:
        answer = await ask(app, "POST", "/v1/raw:upload", b"abcdefghi", {"content-type": "a/b"})

    assert answer.status == 200
    assert [(body.content_type, body.data) for body in seen] == [
        ("a/b", b"abcd"),
        ("", b"efgh"),
        ("", b"i"),
    ]


async def test_a_download_of_data_is_one_body(
    make_app: MakeApp, upstream: ScriptedUpstream
) -> None:
    """The data of all messages is one body, of the type that the first one says."""

    async def give(_call: ScriptedCall) -> AsyncIterator[bytes]:
        for content_type, data in (("text/csv", b"a,b\n"), ("", b"1,2\n")):
            yield HttpBody(content_type=content_type, data=data).SerializeToString()

    upstream.scripts["/echo.v1.Echo/RawDownload"] = give
    async with running(make_app()) as app:
        answer = await ask(app, "GET", "/v1/raw:download", headers={"accept": "text/csv"})

    assert (answer.body, answer.headers["content-type"]) == (b"a,b\n1,2\n", "text/csv")
    assert answer.complete


async def test_a_download_that_fails_late_is_cut(
    make_app: MakeApp, upstream: ScriptedUpstream
) -> None:
    """Among data there is no room for a status, so the body must not seem complete."""

    async def give(_call: ScriptedCall) -> AsyncIterator[bytes]:
        yield HttpBody(content_type="text/csv", data=b"a,b\n").SerializeToString()
        raise StatusError.of(13, "disk")

    upstream.scripts["/echo.v1.Echo/RawDownload"] = give
    async with running(make_app()) as app:
        with pytest.raises(StatusError, match="disk"):
            await ask(app, "GET", "/v1/raw:download")


async def test_data_has_no_websocket(app: FastAPI) -> None:
    """Frames are messages in JSON, so a method of data takes no handshake."""
    assert (await connect(app, "/v1/raw:upload").ended()).status == 404


def test_media_types_are_kept_if_they_are_short() -> None:
    """An HttpBody may say anything; what is long is not kept beside the few that come again."""
    response = HttpResponse(200, b"", "text/" + "x" * 10_000)

    assert dict(response.all_headers())[b"content-type"] == response.content_type.encode()
    assert response.content_type not in _VALUES
