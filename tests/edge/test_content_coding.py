"""Request bodies with a content coding, on every wire that takes a body."""

from __future__ import annotations

import asyncio
import gzip
import json
import zlib
from collections.abc import AsyncIterator, Callable

import pytest
from fastapi import FastAPI
from google.api.httpbody_pb2 import HttpBody

from gateway.testing import ScriptedCall, ScriptedUpstream
from tests.edge.asgi import ask, running, start
from tests.edge.conftest import MakeApp
from tests.edge.test_direct import answer

CODERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "deflate": zlib.compress,
}
MESSAGES = [{"stringField": text} for text in "abc"]
UPLOADS = {
    "application/x-ndjson": b"".join(json.dumps(m).encode() + b"\n" for m in MESSAGES),
    "application/json": json.dumps(MESSAGES).encode(),
    "application/json-seq": b"".join(b"\x1e%b\n" % json.dumps(m).encode() for m in MESSAGES),
    "": b"".join(json.dumps(m).encode() + b"\n" for m in MESSAGES),
}


def of(coding: str, **headers: str) -> dict[str, str]:
    """Returns the headers of a body of a coding."""
    named = {name.replace("_", "-"): value for name, value in headers.items() if value}
    return {"content-encoding": coding, **named}


SPACE = b"".join(b" " * (number % 97) + b"\t" for number in range(40_000))
"""Space between JSON texts, some two megabytes, which does not compress as a bomb does."""


@pytest.mark.parametrize("coding", CODERS)
async def test_a_compressed_body_is_decoded(app: FastAPI, coding: str) -> None:
    """JSON is JSON, whatever it was compressed by."""
    body = CODERS[coding](b'{"stringField":"a"}')
    answer = await ask(app, "POST", "/v1/echo", body, of(coding))

    assert (answer.status, answer.json) == (200, {"stringField": "a"})


@pytest.mark.parametrize("kind", UPLOADS)
@pytest.mark.parametrize("coding", CODERS)
async def test_a_compressed_upload_is_decoded(app: FastAPI, coding: str, kind: str) -> None:
    """In every framing, also where the first character decides."""
    body = CODERS[coding](UPLOADS[kind])
    answer = await ask(app, "POST", "/v1/upload", body, of(coding, content_type=kind))

    assert (answer.status, answer.json) == (200, {"count": 3, "strings": ["a", "b", "c"]})


@pytest.mark.parametrize("target", ["/v1/raw", "/v1/raw:upload"])
async def test_compressed_data_are_passed_on_as_what_they_are_said_to_be(
    app: FastAPI, upstream: ScriptedUpstream, target: str
) -> None:
    """An HttpBody of a type has data of that type, not their compressed form."""
    taken: list[HttpBody] = []

    async def take(call: ScriptedCall) -> AsyncIterator[bytes]:
        taken.extend([HttpBody.FromString(request) async for request in call.requests])
        yield b""

    for name in ("Raw", "RawUpload"):
        upstream.scripts[f"/echo.v1.Echo/{name}"] = take
    body = gzip.compress(b"a,b\n1,2\n")
    answer = await ask(app, "POST", target, body, of("gzip", content_type="text/csv"))

    assert answer.status == 200
    assert b"".join(part.data for part in taken) == b"a,b\n1,2\n"
    assert taken[0].content_type == "text/csv"


async def test_a_patch_is_decoded(app: FastAPI) -> None:
    """The mask is that of the fields in the decoded body."""
    body = gzip.compress(b'{"name":"n"}')
    answer = await ask(app, "PATCH", "/v1/patched/abc", body, of("gzip"))

    assert answer.json["nested"] == {"name": "n"}


async def test_a_compressed_body_comes_in_many_pieces(app: FastAPI) -> None:
    """Each is decoded when it comes."""
    request = start(app, "POST", "/v1/upload", None, of("gzip", content_type="application/json"))
    body = gzip.compress(UPLOADS["application/json"])
    for at in range(len(body)):
        request.arrives("http.request", body=body[at : at + 1], more_body=at + 1 < len(body))

    assert (await request.ended()).json["count"] == 3


@pytest.mark.parametrize("target", ["/v1/echo", "/v1/upload", "/v1/raw", "/v1/raw:upload"])
@pytest.mark.parametrize("coding", ["br", "zstd", "gzip, gzip"])
async def test_another_coding_is_415_before_any_call(
    app: FastAPI, upstream: ScriptedUpstream, target: str, coding: str
) -> None:
    """The answer says which would be taken."""
    answer = await ask(app, "POST", target, b"x", of(coding))

    assert (answer.status, answer.json["code"]) == (415, 3)
    assert answer.headers["accept-encoding"] == "gzip, deflate"
    assert upstream.calls == []


async def test_no_body_has_no_coding(app: FastAPI) -> None:
    """A client that says one all the same is answered."""
    for coding in ("gzip", "br", "identity"):
        assert (await ask(app, "GET", "/v1/echo", b"", of(coding))).status == 200


@pytest.mark.parametrize("target", ["/v1/echo", "/v1/upload", "/v1/raw", "/v1/raw:upload"])
@pytest.mark.parametrize(
    "body",
    [
        b'{"stringField":"a"}',
        gzip.compress(b"{}", mtime=0)[:-1],
        gzip.compress(b"{}", mtime=0) + b"more",
    ],
    ids=["plain", "cut", "more"],
)
async def test_a_body_that_is_not_of_its_coding_is_400(
    app: FastAPI, upstream: ScriptedUpstream, target: str, body: bytes
) -> None:
    """Whatever came before the fault."""
    upstream.scripts["/echo.v1.Echo/RawUpload"] = upstream.scripts["/echo.v1.Echo/ClientStream"]
    answer = await ask(app, "POST", target, body, of("gzip"))

    assert (answer.status, answer.json["code"]) == (400, 3)
    assert answer.json["details"][0]["fieldViolations"][0]["field"] == "content-encoding"


@pytest.mark.parametrize("target", ["/v1/echo", "/v1/raw", "/v1/upload"])
async def test_a_bomb_is_413(app: FastAPI, target: str) -> None:
    """What is too large decoded is too large, and is not decoded further."""
    bomb = gzip.compress(b'{"stringField":"' + b"x" * 2**24)
    answer = await ask(app, "POST", target, bomb, of("gzip"))

    assert (answer.status, answer.json["code"]) == (413, 8)


@pytest.mark.parametrize("kind", [*UPLOADS, "raw"])
@pytest.mark.parametrize("coding", CODERS)
async def test_an_upload_is_no_larger_than_its_size_allows(
    app: FastAPI, upstream: ScriptedUpstream, coding: str, kind: str
) -> None:
    """However small its messages, so that few bytes cannot ask for hours of work: 200 times, or 512 KiB."""
    taken = 0

    async def count(call: ScriptedCall) -> AsyncIterator[bytes]:
        nonlocal taken
        async for request in call.requests:
            taken += len(request)
        yield b""

    for name in ("ClientStream", "RawUpload"):
        upstream.scripts[f"/echo.v1.Echo/{name}"] = count
    target = "/v1/raw:upload" if kind == "raw" else "/v1/upload"
    first = {"application/json": b"[", "application/json-seq": b"\x1e"}.get(kind, b"")
    body = CODERS[coding](first + b"\n" * 2**24)
    answer = await ask(app, "POST", target, body, of(coding, content_type=kind))

    assert (answer.status, answer.json["code"]) == (413, 8)
    assert "200 times" in answer.json["message"]
    assert taken <= 201 * len(body)


async def test_what_an_upload_may_become_grows_with_it(app: FastAPI) -> None:
    """A long one that compresses well, but as texts and numbers do, is taken to its end."""
    lines = b"".join(b'{"int32Field":%d}\n' % number for number in range(60_000))
    assert len(lines) > 2**20
    answer = await ask(app, "POST", "/v1/upload", gzip.compress(lines), of("gzip"))

    assert answer.json["count"] == 60_000


async def test_what_is_too_large_compressed_is_413(make_app: MakeApp) -> None:
    """Though it says nothing."""
    async with running(make_app(max_message_bytes=100)) as app:
        body = gzip.compress(b"") * 10
        assert (await ask(app, "POST", "/v1/echo", body, of("gzip"))).status == 413


async def test_an_upload_may_be_larger_than_a_message(make_app: MakeApp) -> None:
    """The limit is that of each message, decoded."""
    async with running(make_app(max_message_bytes=1000)) as app:
        body = gzip.compress(b'{"stringField":"a"}\n' * 1000)
        answer = await ask(app, "POST", "/v1/upload", body, of("gzip"))

    assert answer.json["count"] == 1000


@pytest.mark.parametrize("target", ["/v1/echo", "/v1/upload"])
async def test_others_have_their_turns_while_a_body_is_decoded(app: FastAPI, target: str) -> None:
    """Nobody waits for the whole of what a few bytes stand for."""
    body = gzip.compress(SPACE + b"{}")
    turns = 0
    request = start(app, "POST", target, body, of("gzip"))
    while not request.task.done():
        turns += 1
        await asyncio.sleep(0)

    assert request.status == 200
    assert turns >= 50


async def test_a_compressed_body_is_decoded_on_the_direct_path_too(app: FastAPI) -> None:
    """A piece a turn of the loop; a request without a body has nothing to decode."""
    head = (
        b"POST /v1/echo HTTP/1.1\r\nhost: x\r\ncontent-encoding: gzip\r\ncontent-length: %d\r\n\r\n"
    )
    for body, decoded in ((gzip.compress(b'{"int32Field":1}'), {"int32Field": 1}), (b"", {})):
        assert (await answer(app, head % len(body) + body))[::2] == (200, decoded)
