"""Whole requests that are answered without a task, and what is kept of their heads."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from fastapi import FastAPI

from gateway.edge import known_heads

_POST = b"POST /v1/echo HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%b"
_CHUNKED = (
    b"POST /v1/echo HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n"
)


def post(text: str, form: bytes = _POST) -> bytes:
    """Returns a request with a message of one string."""
    body = json.dumps({"stringField": text}).encode()
    return form % (len(body), body)


async def answer(app: FastAPI, data: bytes) -> tuple[int, dict[bytes, bytes], Any]:
    """Answers a request; returns status, headers and the JSON of the body."""
    asked = app.state.direct.read(data)
    told: asyncio.Future[tuple[int, dict[bytes, bytes], Any]] = asyncio.Future()

    def respond(status: int, lines: bytes, body: bytes) -> None:
        pairs = (line.split(b": ", 1) for line in lines.splitlines())
        told.set_result((status, dict(pairs), json.loads(body)))

    app.state.direct.begin(*asked, respond)
    return await told


async def test_a_head_is_read_once(app: FastAPI) -> None:
    """What comes with the same head again has a body and an id of its own, and the same meaning."""
    direct_answers = app.state.direct
    first, again = [await answer(app, post(text)) for text in ("one", "two")]

    assert (first[0], first[2], again[0], again[2]) == (
        200,
        {"stringField": "one"},
        200,
        {"stringField": "two"},
    )
    assert first[1][b"x-request-id"] != again[1][b"x-request-id"]
    assert direct_answers.read(post("one"))[0] is direct_answers.read(post("two"))[0]


@pytest.mark.parametrize("missing", [1, 5])
def test_a_known_head_waits_for_its_body(app: FastAPI, missing: int) -> None:
    """What is less than the request that its head announces is none; nor is what is more."""
    direct_answers = app.state.direct
    assert direct_answers.read(post("one")) is not None

    assert direct_answers.read(post("one")[:-missing]) is None
    assert direct_answers.read(post("one") + b"x" * missing) is None
    assert direct_answers.read(post("one")) is not None


def test_half_a_known_head_is_no_request(app: FastAPI) -> None:
    """However much of it is there."""
    direct_answers = app.state.direct
    get = b"GET /v1/names/1 HTTP/1.1\r\nhost: x\r\n\r\n"
    assert direct_answers.read(get) is not None

    assert [direct_answers.read(get[:size]) for size in range(1, len(get))] == [None] * (
        len(get) - 1
    )


async def test_a_body_in_chunks_is_parsed_each_time(app: FastAPI) -> None:
    """Its head does not say how long it is."""
    answers = [await answer(app, post(text, _CHUNKED)) for text in ("one", "three", "")]

    assert [body for _, _, body in answers] == [
        {"stringField": "one"},
        {"stringField": "three"},
        {},
    ]


async def test_what_is_wrong_with_a_head_is_said_each_time(app: FastAPI) -> None:
    """And is not kept."""
    data = b"GET /v1/names/1 HTTP/1.1\r\nhost: x\r\ngrpc-timeout: soon\r\n\r\n"
    answers = [await answer(app, data) for _ in range(2)]

    assert [status for status, _, _ in answers] == [400, 400]
    assert answers[0][2] == answers[1][2]
    assert app.state.direct.read(data)[0] is not app.state.direct.read(data)[0]


def test_what_is_kept_is_bounded(app: FastAPI, monkeypatch: pytest.MonkeyPatch) -> None:
    """By number, and a long head is not kept at all."""
    monkeypatch.setattr(known_heads, "_MOST", 4)
    direct_answers = app.state.direct
    get = b"GET /v1/names/%b HTTP/1.1\r\nhost: x\r\n\r\n"
    kept = direct_answers.read(get % b"0")[0]
    for number in range(1, 5):
        direct_answers.read(get % b"%d" % number)

    assert direct_answers.read(get % b"0")[0] is not kept
    long = get % (b"x" * 1024)
    assert direct_answers.read(long)[0] is not direct_answers.read(long)[0]


async def test_head_has_no_body(app: FastAPI) -> None:
    """It would be read as the next answer (RFC 9110, 9.3.2); its length is that of GET's."""
    told: dict[bytes, asyncio.Future[tuple[bytes, bytes]]] = {}
    for method in (b"GET", b"HEAD"):
        done = told[method] = asyncio.get_running_loop().create_future()
        asked = app.state.direct.read(method + b" /v1/echo HTTP/1.1\r\nhost: x\r\n\r\n")
        app.state.direct.begin(
            *asked, lambda _status, lines, body, done=done: done.set_result((lines, body))
        )
    (lines, body), (lines_of_head, nothing) = await told[b"GET"], await told[b"HEAD"]
    assert (body, nothing) == (b"{}", b"")
    for each in (lines, lines_of_head):
        assert b"content-length: 2\r\n" in each
