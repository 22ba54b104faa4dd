"""A stream for which there is no room, over each wire."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from fastapi import FastAPI

from gateway.app import create_app
from gateway.feeds.source import new_stream_id
from gateway.settings import Settings
from gateway.testing import ScriptedCall, ScriptedUpstream
from tests.contracts import feeds_descriptor_set
from tests.edge.asgi import Request, ask, connect, http_scope, running, start, websocket_scope
from tests.feeds.stage import METHODS, Line, settled

RETRY_INFO = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "5s"}


@pytest.fixture
async def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FastAPI]:
    """An edge that has room for two feeds, one of each caller, who is told by a key of his own."""

    def script(call: ScriptedCall) -> AsyncIterator[bytes]:
        return Line(call).answers()

    monkeypatch.setattr("gateway.feeds.feeds.new_stream_id", new_stream_id)
    path = tmp_path / "feeds.binpb"
    path.write_bytes(feeds_descriptor_set())
    settings = Settings(
        descriptor_set=path,
        max_feeds=2,
        max_caller_feeds=1,
        request_headers=("X-Api-Key",),
        caller_headers=("X-Api-Key",),
    )
    upstream = ScriptedUpstream({method.path: script for method in METHODS.values()})
    async with running(create_app(settings, upstream)) as started:
        for topic, key in (("a", "one"), ("b", "two")):
            start(app=started, http_method="GET", target=f"/last-two/{topic}", headers=_key(key))
        await settled()
        yield started


def _key(key: str, **headers: str) -> dict[str, str]:
    return {"x-api-key": key, **headers}


@pytest.mark.parametrize(
    ("key", "http_status", "setting"),
    [("one", 429, "max_caller_feeds is 1"), ("three", 503, "max_feeds is 2")],
)
@pytest.mark.parametrize(
    "accept",
    [
        *("application/x-ndjson", "application/json", "application/json-seq"),
        *("text/event-stream", "text/event-stream, application/problem+json"),
    ],
)
async def test_no_room_is_an_http_status(
    app: FastAPI, key: str, http_status: int, setting: str, accept: str
) -> None:
    """It says which limit, and when to come back."""
    answer = await ask(app, "GET", "/last-two/c", headers=_key(key, accept=accept))

    assert (answer.status, answer.headers["retry-after"]) == (http_status, "5")
    assert answer.json["code"] == 8
    text = answer.json.get("message") or answer.json["detail"]
    assert text == f"too many streams are open: {setting}"
    assert answer.json["details"] == [RETRY_INFO]


async def test_who_comes_back_where_there_is_no_room_may_come_again(app: FastAPI) -> None:
    """A browser takes an HTTP status for the end, so it is told in the stream."""
    headers = _key("one", accept="text/event-stream") | {"last-event-id": "0123456789abcdef-1"}
    answer = await ask(app, "GET", "/last-two/c", headers=headers)

    assert answer.status == 200
    (retry,) = re.findall(rb"retry: (\d+)\nevent: error\n", answer.body)
    assert 5_000 <= int(retry) <= 7_000


async def test_no_room_is_a_close_code(app: FastAPI) -> None:
    """A WebSocket's call is refused with the code of its status."""
    request = connect(app, "/last-two/c", headers=_key("one"))
    await request.ended()

    assert request.sent[-1]["code"] == 4008
    assert request.sent[-1]["reason"] == "too many streams are open: max_caller_feeds is 1"


async def test_what_keeps_nothing_is_not_counted(app: FastAPI) -> None:
    """A call of one's own is none of the feeds."""
    answer = start(app, "GET", "/plain/t", headers=_key("one", accept="text/event-stream"))
    await settled()

    assert answer.sent == []


async def test_a_client_is_told_by_its_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of callers without credentials one address has a share, over HTTP and WebSocket together."""
    monkeypatch.setattr("gateway.feeds.feeds.new_stream_id", new_stream_id)
    path = tmp_path / "feeds.binpb"
    path.write_bytes(feeds_descriptor_set())
    upstream = ScriptedUpstream(
        {method.path: lambda call: Line(call).answers() for method in METHODS.values()}
    )
    settings = Settings(descriptor_set=path, max_caller_feeds=1)
    async with running(create_app(settings, upstream)) as edge:
        first = _stream(edge, "/last-two/a", "10.0.0.1")
        other = _stream(edge, "/last-two/b", "10.0.0.2")
        await settled()
        refused = await _stream(edge, "/last-two/c", "10.0.0.1").ended()
        socket = Request(edge, websocket_scope("/last-two/d") | {"client": ("10.0.0.2", 2)})
        socket.arrives("websocket.connect")
        await socket.ended()

        assert (first.sent, other.sent) == ([], [])
        assert refused.status == 429
        assert socket.sent[-1]["code"] == 4008


def _stream(edge: FastAPI, target: str, address: str) -> Request:
    request = Request(edge, http_scope("GET", target) | {"client": (address, 1)})
    request.arrives("http.request", body=b"", more_body=False)
    return request
