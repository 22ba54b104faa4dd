"""Metadata of a call that fails: they reach the caller as those of a call that does not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import orjson
import pytest
from fastapi import FastAPI
from google.protobuf.duration_pb2 import Duration
from google.rpc import code_pb2
from google.rpc.error_details_pb2 import RetryInfo

from gateway.testing import Script, ScriptedCall, ScriptedUpstream
from gateway.transcoding.metadata import Metadata
from gateway.transcoding.status import NOT_FOUND, UNAVAILABLE, StatusError
from tests.edge.asgi import Request, ask, connect, running
from tests.edge.conftest import Everything, MakeApp
from tests.edge.test_websocket import says, texts

UNAUTHENTICATED = code_pb2.UNAUTHENTICATED
CHALLENGE = 'Bearer realm="shelves"'
INITIAL: Metadata = (("www-authenticate", CHALLENGE), ("retry-after", "7"), ("internal", "no"))
NOTHING: tuple[bytes, ...] = ()
TRAILING: Metadata = (("cost", "3"), ("key-bin", b"\xff"), ("grpc-status-details-bin", b""))


def failing(
    code: int = UNAUTHENTICATED,
    initial: Metadata = INITIAL,
    trailing: Metadata = TRAILING,
    *details: Any,
) -> Script:
    """Returns a script that fails with metadata on either side."""

    async def fail(call: ScriptedCall) -> AsyncIterator[bytes]:
        call.initial, call.trailing = initial, trailing
        for message in NOTHING:
            yield message
        raise StatusError.of(code, "no", *details)

    return fail


def fails(upstream: ScriptedUpstream, script: Script | None = None) -> None:
    """Lets every method fail so."""
    for path in upstream.scripts:
        upstream.scripts[path] = script or failing()


def names(request: Request) -> list[str]:
    """Returns the names of all headers of an answer."""
    return [name.decode() for name, _ in request.sent[0]["headers"]]


@pytest.mark.parametrize(
    ("http_method", "target", "headers"),
    [
        ("POST", "/v1/echo", {}),
        ("GET", "/v1/echo/a", {}),
        ("HEAD", "/v1/echo/a", {}),
        ("GET", "/v1/echo/a", {"accept": "application/problem+json, application/json"}),
        ("POST", "/v1/raw", {}),
        ("POST", "/v1/upload", {"content-type": "application/x-ndjson"}),
        ("GET", "/v1/stream/a", {"accept": "text/event-stream"}),
        ("GET", "/v1/stream/a", {"accept": "application/json"}),
        ("POST", "/v1/bidi", {"content-type": "application/json-seq"}),
    ],
)
async def test_metadata_of_an_error_reach_the_caller(
    app: FastAPI,
    upstream: ScriptedUpstream,
    http_method: str,
    target: str,
    headers: dict[str, str],
) -> None:
    """Listed initial metadata are headers, trailing metadata headers behind a prefix, on every wire."""
    fails(upstream)
    answer = await ask(app, http_method, target, headers=headers)

    assert answer.status == 401
    assert answer.headers["www-authenticate"] == CHALLENGE
    assert answer.headers["retry-after"] == "7"
    assert answer.headers["grpc-trailer-cost"] == "3"
    assert answer.headers["grpc-trailer-key-bin"] == "/w=="
    assert "internal" not in answer.headers
    assert not [name for name in names(answer) if name.startswith("grpc-trailer-grpc")]
    assert len(set(names(answer))) == len(names(answer))


async def test_they_reach_it_without_a_task(app: FastAPI, upstream: ScriptedUpstream) -> None:
    """A request that comes whole is answered alike."""
    fails(upstream)
    told: asyncio.Future[tuple[int, bytes]] = asyncio.get_running_loop().create_future()
    asked = app.state.direct.read(b"GET /v1/echo HTTP/1.1\r\nhost: x\r\n\r\n")
    asked.answer(lambda status, lines, _body: told.set_result((status, lines)))
    status, lines = await told

    assert status == 401
    assert f"www-authenticate: {CHALLENGE}\r\n".encode() in lines
    assert b"grpc-trailer-cost: 3\r\n" in lines


async def test_a_trailers_only_answer_has_its_listed_metadata_as_headers(
    app: FastAPI, upstream: ScriptedUpstream
) -> None:
    """A call that fails at once often says all in one block, as trailing metadata: both names tell it."""
    fails(upstream, failing(initial=(), trailing=(*INITIAL, ("cost", "3"))))
    answer = await ask(app, "GET", "/v1/echo")

    assert answer.headers["www-authenticate"] == CHALLENGE
    assert answer.headers["grpc-trailer-www-authenticate"] == CHALLENGE
    assert answer.headers["grpc-trailer-internal"] == "no"
    assert "internal" not in answer.headers


async def test_initial_metadata_win_over_trailing(app: FastAPI, upstream: ScriptedUpstream) -> None:
    """Where both name a key the header has the initial one's value, once."""
    fails(upstream, failing(initial=(("etag", '"a"'),), trailing=(("etag", '"b"'),)))
    answer = await ask(app, "GET", "/v1/echo")

    assert names(answer).count("etag") == 1
    assert answer.headers["etag"] == '"a"'
    assert answer.headers["grpc-trailer-etag"] == '"b"'


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, "Bearer"),
        ({"www_authenticate": 'Basic realm="x"'}, 'Basic realm="x"'),
        ({"www_authenticate": ""}, None),
        ({"response_headers": ()}, "Bearer"),
    ],
)
async def test_every_401_has_a_challenge(
    make_app: MakeApp, upstream: ScriptedUpstream, settings: dict[str, Any], expected: str | None
) -> None:
    """One that the server gave none for has the operator's (RFC 9110, 15.5.2)."""
    fails(upstream, failing(initial=()))
    async with running(make_app(**settings)) as app:
        answer = await ask(app, "GET", "/v1/echo")

    assert answer.headers.get("www-authenticate") == expected


async def test_several_challenges_pass(app: FastAPI, upstream: ScriptedUpstream) -> None:
    """A server may offer more than one, each in a header (RFC 9110, 11.6.1)."""
    both = (("www-authenticate", "Bearer"), ("www-authenticate", 'Basic realm="x"'))
    fails(upstream, failing(initial=both))
    answer = await ask(app, "GET", "/v1/echo")

    found = [v for n, v in answer.sent[0]["headers"] if n == b"www-authenticate"]
    assert found == [b"Bearer", b'Basic realm="x"']


async def test_only_a_401_is_challenged(app: FastAPI) -> None:
    """Other errors have no challenge of the edge's."""
    answer = await ask(app, "GET", "/v1/fail/7")

    assert "www-authenticate" not in answer.headers


DATE = "Wed, 21 Oct 2037 07:28:00 GMT"


def _retry(seconds: int) -> RetryInfo:
    delay = Duration()
    delay.FromTimedelta(timedelta(seconds=seconds))
    return RetryInfo(retry_delay=delay)


@pytest.mark.parametrize(
    ("said", "info", "expected"),
    [
        ((), (), "1"),
        (("30",), (), "30"),
        (("30",), (_retry(5),), "30"),
        (("5",), (_retry(30),), "30"),
        (("5", "9"), (), "9"),
        ((DATE,), (_retry(5),), DATE),
        (("5", DATE, "Thu, 22 Oct 2037 07:28:00 GMT"), (), DATE),
        (("007",), (), "7"),
        (("9" * 400,), (), "86400"),
        (("soon",), (), "1"),
        (("soon", "-5", "1.5", "", "5, 6", "\u00b2"), (_retry(4),), "4"),
        ((b"30",), (), "1"),
    ],
)
async def test_there_is_one_retry_after(
    app: FastAPI,
    upstream: ScriptedUpstream,
    said: tuple[str | bytes, ...],
    info: tuple[Any, ...],
    expected: str,
) -> None:
    """Of the delays in metadata and details the longest; a date stands as it is (RFC 9110, 10.2.3).

    What is neither is passed over.
    """
    initial = tuple(("retry-after", value) for value in said)
    fails(upstream, failing(UNAVAILABLE, initial, (), *info))
    answer = await ask(app, "GET", "/v1/echo")

    assert [v.decode() for n, v in answer.sent[0]["headers"] if n == b"retry-after"] == [expected]


@pytest.mark.parametrize(
    ("initial", "trailing", "expected"),
    [
        ((), (("retry-after", "30"),), "30"),
        ((("retry-after", "5"),), (("retry-after", "30"),), "30"),
        ((), (("grpc-retry-pushback-ms", "2001"),), "3"),
        ((("retry-after", "2"),), (("grpc-retry-pushback-ms", "2001"),), "3"),
        ((), (("grpc-retry-pushback-ms", "0"),), "0"),
        ((), (("grpc-retry-pushback-ms", "-1"),), None),
        ((), (("retry-after", "soon"),), None),
    ],
)
@pytest.mark.parametrize("settings", [{}, {"response_headers": ()}])
async def test_a_server_says_when_to_come_back_in_any_of_its_ways(
    make_app: MakeApp,
    upstream: ScriptedUpstream,
    initial: Metadata,
    trailing: Metadata,
    expected: str | None,
    settings: dict[str, Any],
) -> None:
    """One rule for `Retry-After`, whatever the code, and whatever else passes."""
    fails(upstream, failing(NOT_FOUND, initial, trailing))
    async with running(make_app(**settings)) as app:
        answer = await ask(app, "GET", "/v1/echo")

    assert answer.headers.get("retry-after") == expected


@pytest.mark.parametrize("code", [0, NOT_FOUND])
async def test_metadata_cannot_replace_the_edges_own_headers(
    make_app: MakeApp, upstream: ScriptedUpstream, code: int
) -> None:
    """What frames the answer and names the request is the edge's to say, though the list names it."""
    own = (
        *("content-type", "content-length", "transfer-encoding", "connection", "x-request-id"),
        "x-content-type-options",
    )

    async def lies(call: ScriptedCall) -> AsyncIterator[bytes]:
        call.initial = tuple((name, "7") for name in own)
        if code:
            raise StatusError.of(code, "no")
        yield b""

    fails(upstream, lies)
    async with running(make_app(response_headers=own)) as app:
        answer = await ask(app, "GET", "/v1/echo", headers={"x-request-id": "mine"})

    assert sorted(names(answer)) == [
        *("content-length", "content-type", "x-content-type-options", "x-request-id")
    ]
    assert answer.headers["content-length"] == str(len(answer.body))
    assert answer.headers["x-request-id"] == "mine"


async def test_an_error_has_no_coding_of_the_servers(
    make_app: MakeApp, upstream: ScriptedUpstream
) -> None:
    """The body of an error is the edge's, whatever the server meant to send."""
    fails(upstream, failing(NOT_FOUND, (("content-encoding", "br"),), ()))
    async with running(make_app(response_headers=("content-encoding",))) as app:
        answer = await ask(app, "GET", "/v1/echo")

    assert "content-encoding" not in answer.headers


async def test_a_websocket_is_told_the_initial_metadata_of_a_call_that_fails_at_once(
    app: FastAPI, upstream: ScriptedUpstream
) -> None:
    """As the headers frame, and the trailing metadata in the status frame."""
    fails(upstream)
    request = connect(app, "/v1/bidi", subprotocols=("grpc-json-envelope.v1",))
    says(request, '{"headers":{}}')
    await request.ended()

    assert [orjson.loads(text) for text in texts(request)] == [
        {"headers": {"www-authenticate": CHALLENGE, "retry-after": "7"}},
        {
            "status": {
                "code": 16,
                "message": "no",
                "trailers": {"cost": "3", "key-bin": "/w=="},
            }
        },
    ]


async def test_a_reader_that_comes_back_is_told_the_initial_metadata(
    app: FastAPI, upstream: ScriptedUpstream
) -> None:
    """A failure that may pass is told in the stream, whose head has what the server said first."""
    fails(upstream, failing(UNAVAILABLE, (("etag", '"1"'),), ()))
    headers = {"accept": "text/event-stream", "last-event-id": "x"}
    answer = await ask(app, "GET", "/v1/stream/a", headers=headers)

    assert (answer.status, answer.headers["etag"]) == (200, '"1"')
    assert b"event: error" in answer.body


async def test_a_late_error_does_not_say_metadata_twice(
    app: FastAPI, upstream: ScriptedUpstream
) -> None:
    """What the head of a stream has said is said; the error stands in the stream alone."""

    async def late(call: ScriptedCall) -> AsyncIterator[bytes]:
        call.initial = (("etag", '"1"'),)
        yield Everything(int32_field=1).SerializeToString()
        call.trailing = TRAILING
        raise StatusError.of(NOT_FOUND, "no")

    fails(upstream, late)
    answer = await ask(app, "GET", "/v1/stream/a")

    assert (answer.status, names(answer).count("etag")) == (200, 1)
    assert orjson.loads(answer.body.splitlines()[-1])["code"] == NOT_FOUND
