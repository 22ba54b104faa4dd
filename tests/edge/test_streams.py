"""Streams over HTTP, over the scripted upstream: exact bytes, and every kind of end."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
from fastapi import FastAPI

from gateway.doors.types import Receive
from gateway.exchange.edge import Edge
from gateway.testing import ScriptedCall, ScriptedUpstream
from tests.edge.asgi import ask, http_scope, running, start
from tests.edge.conftest import Everything, MakeApp

NDJSON, SSE, ARRAY = "application/x-ndjson", "text/event-stream", "application/json"
SEQ = "application/json-seq"


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        ("", NDJSON),
        ("*/*", NDJSON),
        ("text/event-stream", SSE),
        ("application/json", ARRAY),
        ("application/json-seq", SEQ),
        ("application/json;q=0.5, text/event-stream;q=0.9", SSE),
        ("text/html, */*;q=0.1", NDJSON),
    ],
)
async def test_accept_chooses_the_framing(app: FastAPI, accept: str, chosen: str) -> None:
    """The caller's quality values decide; without a preference it is NDJSON."""
    headers = {"accept": accept} if accept else {}
    answer = await ask(app, "GET", "/v1/fail-stream/0?after=1", headers=headers)

    assert answer.headers["content-type"] == chosen


async def test_no_framing_that_is_taken_is_406(app: FastAPI, upstream: ScriptedUpstream) -> None:
    """A caller that takes none of the framings is told which there are, before any call."""
    answer = await ask(app, "GET", "/v1/fail-stream/0", headers={"accept": "image/png"})

    assert answer.status == 406
    assert upstream.calls == []


async def test_proxies_are_asked_not_to_hold_a_stream_back(app: FastAPI) -> None:
    """An answer that trickles must not be cached, nor buffered."""
    answer = await ask(app, "GET", "/v1/fail-stream/0?after=1")

    assert answer.headers["cache-control"] == "no-cache"
    assert answer.headers["x-accel-buffering"] == "no"


async def test_each_message_leaves_at_once(app: FastAPI) -> None:
    """A message is sent when it comes, not when the next one does."""
    request = start(app, "GET", "/v1/hang-stream")
    await request.until_sent(2)

    assert request.body == b'{"stringField":"first"}\n'
    request.arrives("http.disconnect")
    await request.ended()


async def test_silence_shows_that_it_lives(make_app: MakeApp) -> None:
    """A stream without messages writes its framing's sign of life."""
    async with running(make_app(heartbeat_seconds=0.01)) as app:
        request = start(app, "GET", "/v1/hang-stream", headers={"accept": SSE})
        await request.until_sent(4)
        request.arrives("http.disconnect")
        await request.ended()

    assert b'data: {"stringField":"first"}\n\n:\n\n' in request.body


async def test_a_client_that_leaves_ends_the_call(app: FastAPI, upstream: ScriptedUpstream) -> None:
    """Leaving a stream cancels it upstream."""
    request = start(app, "GET", "/v1/hang-stream")
    await request.until_sent(2)
    request.arrives("http.disconnect")
    await request.ended()

    assert upstream.calls[0].ended.is_set()
    assert not upstream.calls[0].finished


@pytest.mark.parametrize(
    ("media_type", "last"),
    [
        (SSE, r'retry: [234]\d{3}\nevent: error\ndata: {"code":14,"message":"%s"}\n\n'),
        (NDJSON, r'{"@type":"type.googleapis.com/google.rpc.Status","code":14,"message":"%s"}\n'),
    ],
)
async def test_a_shutdown_ends_streams_with_a_status(
    app: FastAPI, upstream: ScriptedUpstream, media_type: str, last: str
) -> None:
    """Streams are told to go, in their own words, and their calls are cancelled."""
    request = start(app, "GET", "/v1/hang-stream", headers={"accept": media_type})
    await request.until_sent(2)
    edge: Edge = app.state.edge
    assert edge.interrupt_streams() == {request.task}
    await request.ended()

    assert re.search(last % "the server is shutting down" + "$", request.body.decode())
    assert request.complete
    assert upstream.calls[0].ended.is_set()


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        (NDJSON, b'{"stringField":"a"}\n{"stringField":"b"}\n'),
        (NDJSON, b'\n{"stringField":"a"}\r\n\n{"stringField":"b"}'),
        (ARRAY, b' [ {"stringField":"a"} , {"stringField":"b"} ] '),
        (SEQ, b'\x1e{"stringField":"a"}\n\x1e\x1e{"stringField":"b"}\n'),
        ("application/x-www-form-urlencoded", b'{"stringField":"a"}\n{"stringField":"b"}'),
        ("application/x-www-form-urlencoded", b'[{"stringField":"a"},{"stringField":"b"}]'),
        ("application/x-www-form-urlencoded", b'\x1e{"stringField":"a"}\x1e{"stringField":"b"}'),
    ],
)
async def test_an_upload_has_any_framing(app: FastAPI, content_type: str, body: bytes) -> None:
    """All framings of an upload mean the same; what `curl -d` sends is looked at."""
    answer = await ask(app, "POST", "/v1/upload", body, {"content-type": content_type})

    assert answer.json == {"count": 2, "strings": ["a", "b"]}


@pytest.mark.parametrize("content_type", [NDJSON, "", ARRAY])
async def test_an_empty_upload_has_no_messages(app: FastAPI, content_type: str) -> None:
    """No frame is no message; of an array there must at least be the brackets."""
    body = b"[]" if content_type == ARRAY else b""
    answer = await ask(app, "POST", "/v1/upload", body, {"content-type": content_type})

    assert answer.json == {}


async def test_path_and_query_speak_in_the_first_message(app: FastAPI) -> None:
    """Path variables and query parameters are part of the first message alone."""
    body = b'{"name":"n"}\n{"name":"m"}'
    answer = await ask(app, "POST", "/v1/upload/path", body, {"content-type": NDJSON})

    assert answer.json == {"count": 2, "strings": ["path", ""]}


@pytest.mark.parametrize(
    ("content_type", "body", "field"),
    [
        (NDJSON, b'{}\n{}\n{"int32Field":"x"}\n', "[2].int32Field"),
        (NDJSON, b"{}\n{]\n", "[1]"),
        (ARRAY, b'[{},{"nested":{"number":{}}}]', "[1].nested.number"),
        (ARRAY, b"[{},,{}]", "[1]"),
        (ARRAY, b"[{}", "[0]"),
        (ARRAY, b"{}", "[0]"),
        (SEQ, b"\x1e{}\n{}\n", "[0]"),
        (SEQ, b"{}", "[0]"),
    ],
)
async def test_a_bad_frame_is_400_with_its_number(
    app: FastAPI, content_type: str, body: bytes, field: str
) -> None:
    """The violation's path begins with the number of the frame, from 0."""
    answer = await ask(app, "POST", "/v1/upload", body, {"content-type": content_type})

    assert answer.status == 400
    assert [v["field"] for v in answer.json["details"][0]["fieldViolations"]] == [field]


_FORM = "application/x-www-form-urlencoded"
_FLAT = b'{"stringField":"a"}{"stringField":"b"}'
_FLAT_ERROR = "malformed JSON at line 1 column 20: unexpected content after document"
_LINE_BREAKS = "; one message a line (curl: --data-binary keeps line breaks)"


@pytest.mark.parametrize(
    ("content_type", "body", "says"),
    [
        (_FORM, _FLAT, f"[0]: {_FLAT_ERROR}{_LINE_BREAKS}"),
        ("application/x-ndjson", _FLAT, f"[0]: {_FLAT_ERROR}{_LINE_BREAKS}"),
        ("application/jsonl", b"{}\n" + _FLAT, f"[1]: {_FLAT_ERROR}{_LINE_BREAKS}"),
        ("application/json-seq", b"\x1e" + _FLAT, f"[0]: {_FLAT_ERROR}"),
        ("application/json", b"[" + _FLAT + b"]", f"[0]: {_FLAT_ERROR}"),
        (_FORM, b"[" + _FLAT + b"]", f"[0]: {_FLAT_ERROR}"),
        (_FORM, b'{"nope":1}', "[0].nope: unknown field"),
    ],
)
async def test_messages_on_one_line_are_told_of_line_breaks(
    app: FastAPI, content_type: str, body: bytes, says: str
) -> None:
    """`curl -d @FILE` removes the line breaks of NDJSON; the other framings need none."""
    answer = await ask(app, "POST", "/v1/upload", body, {"content-type": content_type})

    assert (answer.status, answer.json["message"]) == (400, says)
    (violation,) = answer.json["details"][0]["fieldViolations"]
    assert f"{violation['field']}: {violation['description']}" == says


async def test_a_frame_over_the_limit_is_413(make_app: MakeApp) -> None:
    """No frame may be longer than a message; the upload as a whole may."""
    async with running(make_app(max_message_bytes=20)) as app:
        long = await ask(app, "POST", "/v1/upload", b'{"stringField":"abcdefghi"}')
        many = await ask(app, "POST", "/v1/upload", b'{"int32Field":1}\n' * 10)

    assert long.status == 413
    assert many.json == {"count": 10, "strings": [""] * 10}


@pytest.mark.parametrize(
    ("target", "field"),
    [
        ("/v1/upload/x?int32Field=y", "int32Field"),
        ("/v1/upload/x?unknown=1", "unknown"),
        ("/v1/upload/x?nested.number=1", "nested.number"),
    ],
)
@pytest.mark.parametrize(("content_type", "body"), [(NDJSON, b""), ("application/json", b"[]")])
async def test_a_wrong_query_is_refused_though_nothing_is_uploaded(
    app: FastAPI, target: str, field: str, content_type: str, body: bytes
) -> None:
    """Path and query speak in the first message; where there is none they are checked nevertheless."""
    answer = await ask(app, "POST", target, body, {"content-type": content_type})

    assert answer.status == 400
    assert answer.json["details"][0]["fieldViolations"][0]["field"] == field


async def test_an_upload_arrives_as_it_is_sent(app: FastAPI, upstream: ScriptedUpstream) -> None:
    """A bidi call over HTTP answers each line before the next one is there."""
    request = start(app, "POST", "/v1/bidi", None, {"content-type": NDJSON})
    request.arrives("http.request", body=b'{"stringField":"a"}\n{"stri', more_body=True)
    await request.until_sent(2)
    first = request.body
    request.arrives("http.request", body=b'ngField":"b"}', more_body=False)
    await request.ended()

    assert first == b'{"stringField":"a"}\n'
    assert request.body == first + b'{"stringField":"b"}\n'


async def test_an_early_answer_ends_the_upload(
    make_app: MakeApp, upstream: ScriptedUpstream
) -> None:
    """What the server answers before the upload's end is the answer; the rest is not read."""

    async def first_only(call: ScriptedCall) -> AsyncIterator[bytes]:
        yield Everything.FromString(await anext(call.requests)).SerializeToString()

    upstream.scripts["/echo.v1.Echo/ClientStream"] = first_only
    async with running(make_app()) as app:
        request = start(app, "POST", "/v1/upload", None, {"content-type": NDJSON})
        request.arrives("http.request", body=b'{"int32Field":3}\n', more_body=True)
        await request.ended()

    assert request.status == 200


async def test_a_client_that_leaves_an_upload_ends_the_call(
    app: FastAPI, upstream: ScriptedUpstream
) -> None:
    """An upload that is cut is cancelled upstream, not taken for a short one."""
    request = start(app, "POST", "/v1/upload", None, {"content-type": NDJSON})
    request.arrives("http.request", body=b"{}\n", more_body=True)
    request.arrives("http.disconnect")
    await asyncio.wait_for(request.ended(), 5)

    assert upstream.calls[0].ended.is_set()
    assert not upstream.calls[0].finished
    assert (request.status, request.body) == (499, b"")


@pytest.mark.parametrize("media_type", [NDJSON, SSE])
async def test_signs_of_life_come_every_heartbeat(make_app: MakeApp, media_type: str) -> None:
    """One each time, after a message as after the one before it; a message puts the next one off."""
    loop = asyncio.get_running_loop()
    async with running(make_app(heartbeat_seconds=0.1)) as app:
        request = start(app, "GET", "/v1/hang-stream", headers={"accept": media_type})
        await request.until_sent(2)
        began = loop.time()
        await request.until_sent(2 + 5)
        took = loop.time() - began
        request.arrives("http.disconnect")
        await request.ended()

    assert 0.45 < took < 0.9


async def test_a_last_event_id_is_for_events_alone(app: FastAPI) -> None:
    """Another framing has no ids, so there is nothing to come back to, nor a gap to be told."""
    headers = {"accept": NDJSON, "last-event-id": "zz"}
    answer = await ask(app, "GET", "/v1/fail-stream/0?after=1", headers=headers)

    assert answer.body == b'{"int32Field":1}\n'


async def test_a_stream_that_ends_at_once_says_that_it_restarted(app: FastAPI) -> None:
    """Whoever comes back is told so, though there is no message before which it could be told."""
    headers = {"accept": SSE, "last-event-id": "zz"}
    answer = await ask(app, "GET", "/v1/fail-stream/0", headers=headers)

    assert answer.body.startswith(
        b'retry: 2000\n\nevent: gap\ndata: {"restarted":true}\n\nid: end\n'
    )


@pytest.mark.parametrize("messages", [0, 1])
async def test_a_beat_and_a_message_keep_their_order(
    make_app: MakeApp, upstream: ScriptedUpstream, messages: int
) -> None:
    """The head goes first, though whoever sends it has to wait and a message comes meanwhile."""
    sent: list[str] = []
    arrived = asyncio.Event()

    async def after_the_beat(_call: ScriptedCall) -> AsyncIterator[bytes]:
        await arrived.wait()
        for _ in range(messages):
            yield Everything(int32_field=1).SerializeToString()

    async def slow_send(event: Any) -> None:
        if event["type"] == "http.response.start":
            arrived.set()
            await asyncio.sleep(0.05)
        sent.append(event["type"])

    upstream.scripts["/echo.v1.Echo/HangStream"] = after_the_beat
    async with running(make_app(heartbeat_seconds=0.01)) as app:
        scope = http_scope("GET", "/v1/hang-stream", {"accept": SSE})
        await app(scope, _whole_request(), slow_send)

    assert sent[0] == "http.response.start"
    assert "http.response.start" not in sent[1:]


def _whole_request() -> Receive:
    """Returns a `receive` of a request without a body, whose client stays."""
    events = [{"type": "http.request", "body": b"", "more_body": False}]

    async def receive() -> Any:
        if events:
            return events.pop()
        return await asyncio.get_running_loop().create_future()

    return receive
