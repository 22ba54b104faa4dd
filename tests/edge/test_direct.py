"""Whole requests that are answered without a task."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from fastapi import FastAPI

from gateway.doors.http1.direct import DirectDoor
from gateway.testing import ScriptedUpstream
from tests.edge.asgi import running
from tests.edge.conftest import MakeApp

_POST = b"POST /v1/echo HTTP/1.1\r\nhost: x\r\n%bcontent-length: %d\r\n\r\n%b"
_GET = b"GET /v1/names/1 HTTP/1.1\r\nhost: x\r\n%b\r\n"
_HANG = b"GET /v1/hang HTTP/1.1\r\nhost: x\r\n\r\n"


def post(text: str, lines: bytes = b"") -> bytes:
    """Returns a request with a message of one string."""
    body = json.dumps({"stringField": text}).encode()
    return _POST % (lines, len(body), body)


async def answer(app: FastAPI, data: bytes) -> tuple[int, dict[bytes, bytes], Any]:
    """Answers a request; returns status, headers and the JSON of the body."""
    request = app.state.direct.read(data)
    response: asyncio.Future[tuple[int, dict[bytes, bytes], Any]] = asyncio.Future()

    def respond(status: int, lines: bytes, body: bytes) -> None:
        pairs = (line.split(b": ", 1) for line in lines.splitlines())
        response.set_result((status, dict(pairs), json.loads(body or b"null")))

    request.answer(respond)
    return await response


async def test_each_request_has_its_own_body_and_id(app: FastAPI) -> None:
    """Though their heads are equal."""
    first, second = [await answer(app, post(text)) for text in ("one", "two")]

    assert (first[0], first[2], second[0], second[2]) == (
        200,
        {"stringField": "one"},
        200,
        {"stringField": "two"},
    )
    assert first[1][b"x-request-id"] != second[1][b"x-request-id"]


async def test_a_head_like_the_last_one_of_its_connection(app: FastAPI) -> None:
    """It is known by its bytes; its body is its own, and has to be as long as the head says."""
    door: DirectDoor = app.state.direct
    door.read(post("one"))  # its lines are new
    first = door.read(post("one"))
    assert first is not None
    last = first.shared
    again, other = door.read(post("two"), last=last), door.read(_GET % b"", last=last)

    assert last is not None
    assert again is not None
    assert again.whole_body == b'{"stringField": "two"}'
    assert again.shared is last
    assert other is not None
    assert other.shared is not last
    assert door.read(post("one")[:-1], last=last) is None
    assert door.read(post("one") + b" ", last=last) is None


@pytest.mark.parametrize("passing", [True, False])
async def test_the_trace_and_the_id_of_each_request_go_upstream(
    make_app: MakeApp, upstream: ScriptedUpstream, *, passing: bool
) -> None:
    """Where their headers pass; the caller is told the id in any case."""
    options: dict[str, Any] = {} if passing else {"request_headers": ("accept-language",)}
    async with running(make_app(**options)) as app:
        for number in range(3):
            lines = b"traceparent: %d\r\nX-Request-ID: id-%d\r\n" % (number, number)
            _, headers, _ = await answer(app, _GET % lines)

            assert headers[b"x-request-id"] == b"id-%d" % number
            sent = dict(upstream.calls[-1].metadata)
            traced = {"traceparent": str(number), "x-request-id": f"id-{number}"}
            assert sent == (traced if passing else {})


def test_a_part_of_a_cached_head_is_no_request(app: FastAPI) -> None:
    """However long the body is that it announces: nothing is taken for it but what follows the head."""
    head = b"POST /v1/echo HTTP/1.1\r\nhost: x\r\ncontent-length: %d"
    for length in range(100):
        data = head % length + b"\r\n\r\n"
        for _ in range(2):  # the second time it is cached
            assert app.state.direct.read(data + b" " * length) is not None
        cut = [app.state.direct.read(data[:size]) for size in range(len(data))]
        assert cut == [None] * len(data)


async def test_a_bad_head_is_refused_each_time(app: FastAPI) -> None:
    """With the same words."""
    answers = [await answer(app, _GET % b"grpc-timeout: soon\r\n") for _ in range(2)]

    assert [status for status, _, _ in answers] == [400, 400]
    assert answers[0][2] == answers[1][2]


async def test_head_has_no_body(app: FastAPI) -> None:
    """It would be read as the next response (RFC 9110, 9.3.2); its length is that of GET's."""
    seen: dict[bytes, tuple[bytes, bytes]] = {}
    for method in (b"GET", b"HEAD"):
        done: asyncio.Future[tuple[bytes, bytes]] = asyncio.Future()
        request = app.state.direct.read(method + b" /v1/echo HTTP/1.1\r\nhost: x\r\n\r\n")

        def respond(_: int, lines: bytes, body: bytes, done: Any = done) -> None:
            done.set_result((lines, body))

        request.answer(respond)
        seen[method] = await done
    (lines, body), (lines_of_head, nothing) = seen[b"GET"], seen[b"HEAD"]
    assert (body, nothing) == (b"{}", b"")
    for each in (lines, lines_of_head):
        assert b"content-length: 2\r\n" in each


async def test_no_task_is_made(app: FastAPI, monkeypatch: pytest.MonkeyPatch) -> None:
    """A request that waits for its call alone needs none; the scripted upstream makes one itself."""
    running_loop = asyncio.get_running_loop()
    made: list[str] = []
    create_task = running_loop.create_task

    def spy(coroutine: Any, **named: Any) -> Any:
        made.append(coroutine.__qualname__)
        return create_task(coroutine, **named)

    monkeypatch.setattr(running_loop, "create_task", spy)
    await answer(app, post("one"))

    assert made == ["start_unary_in_task.<locals>.call_once"]


async def test_long_json_is_answered_in_a_task(app: FastAPI) -> None:
    """It is decoded in a thread, which the request waits for."""
    values = b",".join([b"1"] * 20_000)
    body = b'{"listValueField":[%b]}' % values
    status, _, answered = await answer(app, _POST % (b"", len(body), body))

    assert (status, len(answered["listValueField"])) == (200, 20_000)


async def test_a_client_that_leaves_cancels_the_call(
    app: FastAPI, upstream: ScriptedUpstream
) -> None:
    """And is sent nothing."""
    sent: list[Any] = []
    response = app.state.direct.read(_HANG)
    response.answer(lambda *all: sent.append(all))
    await asyncio.sleep(0)
    assert not response.over
    response.disconnect()
    await asyncio.wait_for(upstream.calls[0].ended.wait(), 10)

    assert response.over
    assert sent == []


async def test_a_server_that_waits_no_longer_answers_503(
    app: FastAPI, upstream: ScriptedUpstream
) -> None:
    """As it does where the request has a task."""
    sent: list[Any] = []
    response = app.state.direct.read(_HANG)
    response.answer(lambda *all: sent.append(all))
    await asyncio.sleep(0)
    app.state.edge.interrupt_streams()
    response.cancel()
    await asyncio.wait_for(upstream.calls[0].ended.wait(), 10)

    assert response.over
    assert [status for status, _, _ in sent] == [503]
    assert b"shutting down" in sent[0][2]


@pytest.mark.parametrize("name", [b"x-a", b"host", b"cookie", b"x-none", b"x", b"content-length"])
def test_headers_are_found_as_they_are_cut(app: FastAPI, name: bytes) -> None:
    """A policy that looks for one finds what stands among all, in any spelling, and nothing of the body."""
    body = b"\r\nx-a: 9\r\nx-none: 1"
    head = (
        b"POST /v1/echo HTTP/1.1\r\nHost: x\r\nX-A: 1\r\ncookie:a=b \r\nx-a:  2\t\r\nX-AB: 3\r\nx-a:\r\n"
        b"Content-Length: %d\r\n\r\n" % len(body)
    )
    request = app.state.direct.read(head + body)

    assert list(request.values(name)) == [value for each, value in request.all() if each == name]


def test_a_header_of_which_one_line_is_cached_has_all_of_its_values(app: FastAPI) -> None:
    """Else whoever repeats a header could hide the first one from policies."""
    known, other = b"Origin: https://a.test\r\n", b"Origin: https://b.test\r\n"
    for lines in (known, known + other, other + known, known + other):
        head = b"GET /v1/echo HTTP/1.1\r\nHost: x\r\n%b\r\n" % lines
        request = app.state.direct.read(head)
        found = list(request.values(b"origin"))
        assert found == [value for name, value in request.all() if name == b"origin"]
