"""Compressed answers: for callers that ask, where it pays (RFC 9110, 8.4, 12.5.3 and 12.5.5)."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import orjson
import pytest
from fastapi import FastAPI
from google.api.httpbody_pb2 import HttpBody
from starlette.middleware.gzip import GZipMiddleware

from gateway.testing import ScriptedCall, ScriptedUpstream
from gateway.transcoding.status import NOT_FOUND, StatusError
from tests.edge.asgi import Request, ask, http_scope, running, start
from tests.edge.conftest import Everything, MakeApp

GZIP = {"accept-encoding": "gzip"}
LONG = "abc" * 1000
LONG_BODY = b'{"stringField":"%b"}' % LONG.encode()
DECODERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.decompress,
    "deflate": zlib.decompress,
    "": bytes,
}


def decoded(answer: Request) -> bytes:
    """Returns the body of an answer without its coding."""
    return DECODERS[answer.headers.get("content-encoding", "")](answer.body)


def names(answer: Request) -> list[str]:
    """Returns the names of all headers."""
    return [name.decode() for name, _ in answer.sent[0]["headers"]]


def says(upstream: ScriptedUpstream, message: bytes, *initial: tuple[str, str]) -> None:
    """Lets unary methods answer so."""

    async def say(call: ScriptedCall) -> AsyncIterator[bytes]:
        call.initial = initial
        yield message

    for name in ("Unary", "Raw"):
        upstream.scripts[f"/echo.v1.Echo/{name}"] = say


@pytest.mark.parametrize(
    ("accept_encoding", "coding"),
    [
        ("gzip", "gzip"),
        ("GZIP", "gzip"),
        ("x-gzip", "gzip"),
        ("deflate", "deflate"),
        ("gzip, deflate, br, zstd", "gzip"),
        ("deflate;q=1.0, gzip;q=0.5", "deflate"),
        ("gzip;q=0, deflate", "deflate"),
        ("*", "gzip"),
        ("*;q=0.1", "gzip"),
        ("gzip;q=0, *", "deflate"),
        ("br, identity;q=0, *;q=0.5", "gzip"),
        ("gzip, identity", "gzip"),
        ("gzip;q=0.5, identity", ""),
        ("gzip;q=0.5, identity;q=0.6", ""),
        ("identity", ""),
        ("br", ""),
        ("gzip;q=0", ""),
        ("*;q=0", ""),
        ("*;q=0, identity", ""),
        ("gzip;q=2", ""),
        ("gzip;q=x", ""),
        ("", ""),
        (None, ""),
    ],
)
async def test_the_caller_chooses(app: FastAPI, accept_encoding: str | None, coding: str) -> None:
    """By weights; of equals gzip comes first, and what cannot be read counts for nothing."""
    headers = {} if accept_encoding is None else {"accept-encoding": accept_encoding}
    answer = await ask(app, "POST", "/v1/echo", LONG_BODY, headers)

    assert answer.headers.get("content-encoding", "") == coding
    assert decoded(answer) == LONG_BODY
    assert answer.headers["content-length"] == str(len(answer.body))
    assert answer.headers["vary"] == "Accept-Encoding"
    assert len(set(names(answer))) == len(names(answer))


async def test_several_headers_are_one_list(app: FastAPI) -> None:
    """As RFC 9110, 5.3, says; one that is longer than anybody means asks for nothing."""
    twice = [(b"accept-encoding", b"br"), (b"accept-encoding", b"gzip")]
    request = Request(app, http_scope("POST", "/v1/echo") | {"headers": twice})
    request.arrives("http.request", body=LONG_BODY, more_body=False)
    long = await ask(app, "POST", "/v1/echo", LONG_BODY, {"accept-encoding": "gzip," * 1000})

    assert (await request.ended()).headers["content-encoding"] == "gzip"
    assert (long.status, "content-encoding" in long.headers) == (200, False)


@pytest.mark.parametrize("size", [0, 1])
async def test_a_small_answer_is_as_it_is(make_app: MakeApp, size: int) -> None:
    """It says nothing of codings, for it has none whatever is asked; at the limit it is not small."""
    async with running(make_app(min_compression_bytes=len(LONG_BODY) + size)) as app:
        answer = await ask(app, "POST", "/v1/echo", LONG_BODY, GZIP)

    assert ("content-encoding" in answer.headers) is (size == 0)
    assert ("vary" in answer.headers) is (size == 0)


@pytest.mark.parametrize("accept_encoding", ["gzip, identity;q=0", "gzip, *;q=0"])
async def test_who_refuses_identity_gets_small_answers_compressed(
    app: FastAPI, accept_encoding: str
) -> None:
    """Where there is something else that is taken."""
    answer = await ask(app, "GET", "/v1/echo/a", headers={"accept-encoding": accept_encoding})

    assert answer.headers["content-encoding"] == "gzip"
    assert decoded(answer) == b'{"stringField":"a"}'


async def test_who_takes_nothing_gets_the_answer(app: FastAPI) -> None:
    """Better one that was refused than none (RFC 9110, 15.5.7)."""
    headers = {"accept-encoding": "br, identity;q=0"}
    answer = await ask(app, "POST", "/v1/echo", LONG_BODY, headers)

    assert (answer.status, answer.body) == (200, LONG_BODY)


async def test_a_setting_turns_it_off(make_app: MakeApp) -> None:
    """Then nothing varies either."""
    async with running(make_app(compression=False)) as app:
        answer = await ask(app, "POST", "/v1/echo", LONG_BODY, GZIP)

    assert answer.body == LONG_BODY
    assert "vary" not in answer.headers


@pytest.mark.parametrize(
    ("content_type", "coding"),
    [
        ("text/csv; charset=utf-8", "gzip"),
        ("image/svg+xml", "gzip"),
        ("application/vnd.api+json", "gzip"),
        ("image/png", ""),
        ("application/zip", ""),
        ("application/octet-stream", ""),
        ("video/mp4", ""),
    ],
)
async def test_data_of_some_types_are_compressed(
    app: FastAPI, upstream: ScriptedUpstream, content_type: str, coding: str
) -> None:
    """Those of an HttpBody are what their type says."""
    data = LONG.encode()
    says(upstream, HttpBody(content_type=content_type, data=data).SerializeToString())
    answer = await ask(app, "POST", "/v1/raw", b"", GZIP)

    assert answer.headers.get("content-encoding", "") == coding
    assert decoded(answer) == data
    assert ("vary" in answer.headers) is bool(coding)


@pytest.mark.parametrize(
    ("initial", "coded"),
    [
        (("etag", 'W/"1"'), True),
        (("etag", '"1"'), False),
        (("cache-control", "max-age=60"), True),
        (("cache-control", "max-age=60, No-Transform"), False),
        (("content-encoding", "br"), False),
        (("content-range", "bytes 0-9/10"), False),
    ],
)
async def test_what_the_server_says_of_its_answer_holds(
    make_app: MakeApp, upstream: ScriptedUpstream, initial: tuple[str, str], coded: bool
) -> None:
    """A strong tag stands for one sequence of bytes; what has a coding is not given another."""
    says(
        upstream, HttpBody(content_type="text/csv", data=LONG.encode()).SerializeToString(), initial
    )
    async with running(make_app(response_headers=(initial[0],))) as app:
        answer = await ask(app, "POST", "/v1/raw", b"", GZIP)

    assert answer.headers[initial[0]] == initial[1]
    assert (answer.body != LONG.encode()) is coded
    assert names(answer).count("content-encoding") == int(coded or initial[0] == "content-encoding")


@pytest.mark.parametrize(
    ("said", "count"),
    [("accept-encoding", 1), ("Origin, Accept-Encoding", 1), ("*", 1), ("origin", 2)],
)
async def test_vary_is_said_once(
    make_app: MakeApp, upstream: ScriptedUpstream, said: str, count: int
) -> None:
    """Beside what the server says that the answer depends on."""
    message = Everything(string_field=LONG).SerializeToString()
    says(upstream, message, ("vary", said))
    async with running(make_app(response_headers=("vary",))) as app:
        answer = await ask(app, "GET", "/v1/echo", headers=GZIP)

    assert names(answer).count("vary") == count


async def test_head_says_what_get_would(app: FastAPI, upstream: ScriptedUpstream) -> None:
    """With the length of the compressed body, and without it."""
    says(upstream, Everything(string_field=LONG).SerializeToString())
    get = await ask(app, "GET", "/v1/echo", headers=GZIP)
    head = await ask(app, "HEAD", "/v1/echo", headers=GZIP)

    told = [{k: v for k, v in each.headers.items() if k != "x-request-id"} for each in (get, head)]
    assert told[0] == told[1]
    assert (head.body, head.headers["content-encoding"]) == (b"", "gzip")


@pytest.mark.parametrize("code", ["204", "205"])
async def test_no_content_has_no_coding(
    app: FastAPI, upstream: ScriptedUpstream, code: str
) -> None:
    """Whatever the caller asks for."""
    says(upstream, b"", ("x-http-code", code))
    answer = await ask(app, "GET", "/v1/echo", headers={"accept-encoding": "gzip, identity;q=0"})

    assert (answer.status, answer.body) == (int(code), b"")
    assert {"content-encoding", "vary"}.isdisjoint(answer.headers)


@pytest.mark.parametrize(
    "accept", ["application/json", "application/problem+json, application/json"]
)
async def test_errors_are_compressed_too(
    app: FastAPI, upstream: ScriptedUpstream, accept: str
) -> None:
    """In either form."""

    async def fail(call: ScriptedCall) -> AsyncIterator[bytes]:
        if call.timeout is not None:
            raise StatusError.of(NOT_FOUND, LONG)
        yield b""

    upstream.scripts["/echo.v1.Echo/Unary"] = fail
    answer = await ask(app, "GET", "/v1/echo", headers={"accept": accept, **GZIP})

    assert (answer.status, answer.headers["content-encoding"]) == (404, "gzip")
    assert LONG.encode() in decoded(answer)


async def test_the_direct_path_compresses_alike(app: FastAPI) -> None:
    """Its heads are kept with what they accept."""

    async def direct(accept_encoding: bytes) -> tuple[bytes, bytes]:
        told: asyncio.Future[tuple[bytes, bytes]] = asyncio.get_running_loop().create_future()
        head = b"POST /v1/echo HTTP/1.1\r\nhost: x\r\naccept-encoding: %b\r\ncontent-length: %d\r\n\r\n"
        asked = app.state.direct.read(head % (accept_encoding, len(LONG_BODY)) + LONG_BODY)
        asked.answer(lambda _status, lines, body: told.set_result((lines, body)))
        return await told

    for _ in range(2):
        lines, body = await direct(b"gzip")
        assert gzip.decompress(body) == LONG_BODY
        assert b"content-encoding: gzip\r\n" in lines
        assert b"content-length: %d\r\n" % len(body) in lines
        lines, body = await direct(b"brot")
        assert body == LONG_BODY
        assert b"content-encoding" not in lines
        assert b"vary: Accept-Encoding\r\n" in lines


STREAMS = {
    "application/x-ndjson": b'{"int32Field":3,"stringField":"a"}\n' * 3,
    "application/json": b"[" + b",".join([b'{"int32Field":3,"stringField":"a"}'] * 3) + b"]",
    "application/json-seq": b'\x1e{"int32Field":3,"stringField":"a"}\n' * 3,
}


@pytest.mark.parametrize("kind", STREAMS)
@pytest.mark.parametrize("coding", ["gzip", "deflate"])
async def test_a_stream_is_compressed_where_that_is_set(
    make_app: MakeApp, kind: str, coding: str
) -> None:
    """The whole is one body of the coding, to its end."""
    async with running(make_app(stream_compression=True)) as app:
        headers = {"accept": kind, "accept-encoding": coding}
        answer = await ask(app, "GET", "/v1/stream/a?int32Field=3", headers=headers)

    assert (answer.headers["content-encoding"], answer.headers["vary"]) == (
        coding,
        "Accept-Encoding",
    )
    assert decoded(answer) == STREAMS[kind]


async def test_a_stream_is_not_compressed_by_default(app: FastAPI) -> None:
    """Nor does it vary."""
    answer = await ask(app, "GET", "/v1/stream/a?int32Field=3", headers=GZIP)

    assert {"content-encoding", "vary"}.isdisjoint(answer.headers)
    assert answer.body == STREAMS["application/x-ndjson"]


async def test_what_was_written_of_a_stream_can_be_read(
    make_app: MakeApp, upstream: ScriptedUpstream
) -> None:
    """A reader need not wait for the next message; signs of life are compressed too."""
    headers = {"accept": "text/event-stream", **GZIP}
    async with running(make_app(stream_compression=True, heartbeat_seconds=0.01)) as app:
        request = start(app, "GET", "/v1/hang-stream", headers=headers)
        reader = zlib.decompressobj(31)
        await request.until_sent(2)
        seen = b"".join(reader.decompress(event.get("body", b"")) for event in request.sent)
        assert b'data: {"stringField":"first"}\n\n' in seen
        await request.until_sent(3)
        assert reader.decompress(request.sent[2]["body"]) == b":\n\n"
        request.arrives("http.disconnect")
        await request.ended()


async def test_a_compressed_stream_that_fails_says_so(make_app: MakeApp) -> None:
    """The status is its last frame, before the end of the coding."""
    async with running(make_app(stream_compression=True)) as app:
        answer = await ask(app, "GET", "/v1/fail-stream/5?after=1&message=no", headers=GZIP)

    assert b'"code":5' in decoded(answer).splitlines()[-1]


async def test_head_of_a_stream_says_its_coding(make_app: MakeApp) -> None:
    """And has no body."""
    async with running(make_app(stream_compression=True)) as app:
        answer = await ask(app, "HEAD", "/v1/stream/a", headers=GZIP)

    assert (answer.headers["content-encoding"], answer.body) == ("gzip", b"")


@pytest.mark.parametrize("settings", [{}, {"stream_compression": True}, {"compression": False}])
@pytest.mark.parametrize("target", ["/v1/echo?stringField=" + LONG, "/v1/stream/a?int32Field=100"])
async def test_a_users_middleware_does_not_compress_again(
    make_app: MakeApp, settings: dict[str, Any], target: str
) -> None:
    """What has a coding keeps it; what has none is the middleware's to compress."""
    app = make_app(**settings)
    app.add_middleware(GZipMiddleware, minimum_size=100)
    async with running(app):
        answer = await ask(app, "GET", target, headers=GZIP)

    assert names(answer).count("content-encoding") == 1
    assert gzip.decompress(answer.body)[:1] == b"{"
    assert names(answer).count("vary") == 1


class Slow:
    """A client that takes as many events as the test says; the others wait, as for a socket that is full."""

    def __init__(self, app: FastAPI, target: str, headers: dict[str, str]) -> None:
        self.body = b""
        self.waiting = 0
        self.complete = False
        self._takes = asyncio.Semaphore(0)
        self._comes: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._comes.put_nowait({"type": "http.request", "body": b"", "more_body": False})
        scope = http_scope("GET", target, headers)
        self.task = asyncio.ensure_future(app(scope, self._comes.get, self._send))

    async def _send(self, event: Any) -> None:
        self.waiting += 1
        try:
            await self._takes.acquire()
        finally:
            self.waiting -= 1
        self.body += event.get("body", b"")
        self.complete = event["type"] == "http.response.body" and not event.get("more_body")

    async def takes(self, count: int) -> None:
        """Takes so many events; returns when another waits."""
        for _ in range(count):
            self._takes.release()
        async with asyncio.timeout(10):
            while not self.waiting or not self._takes.locked():
                await asyncio.sleep(0)

    async def takes_all(self) -> None:
        """Takes all that is still to come."""
        for _ in range(100):
            self._takes.release()
        await self.task


@pytest.mark.parametrize("code", [0, NOT_FOUND])
async def test_a_sign_of_life_that_waits_is_not_lost_to_the_coding(
    make_app: MakeApp, upstream: ScriptedUpstream, code: int
) -> None:
    """A stream that ends while its last heartbeat waits for a slow client can be decoded to its end."""
    goes_on = asyncio.Event()

    async def pause(_call: ScriptedCall) -> AsyncIterator[bytes]:
        yield Everything(string_field=LONG).SerializeToString()
        await goes_on.wait()
        if code:
            raise StatusError.of(code, "no")

    upstream.scripts["/echo.v1.Echo/HangStream"] = pause
    headers = {"accept": "text/event-stream", **GZIP}
    async with running(make_app(stream_compression=True, heartbeat_seconds=0.05)) as app:
        client = Slow(app, "/v1/hang-stream", headers)
        await client.takes(2)  # head and message; what waits is a heartbeat
        goes_on.set()
        for _ in range(10):  # to the end of the call
            await asyncio.sleep(0)
        await client.takes_all()

    assert client.complete
    assert (b"event: error" if code else b"event: end") in gzip.decompress(client.body)


@pytest.mark.parametrize("accept", ["text/event-stream", *STREAMS])
@pytest.mark.parametrize("coding", ["gzip", ""])
@pytest.mark.parametrize("taken", [1, 2])
async def test_a_write_that_a_shutdown_ends_is_made_before_the_status(
    make_app: MakeApp, accept: str, coding: str, taken: int
) -> None:
    """A slow client is sent the message that waited, and then the status; with a coding it can read both."""
    headers = {"accept": accept, "accept-encoding": coding}
    app = make_app(stream_compression=True)
    async with running(app):
        client = Slow(app, "/v1/stream/a?int32Field=5", headers)
        await client.takes(taken)
        app.state.edge.interrupt_streams()
        await client.takes_all()

    body = DECODERS[coding](client.body)
    assert client.complete
    assert b'"code":14' in body
    assert body.count(b'"stringField":"a"') == taken
    if accept == "application/json":
        assert len(orjson.loads(body)) == taken + 1
