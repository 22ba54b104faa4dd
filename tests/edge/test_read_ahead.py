"""Uploads that nobody reads: an end of the client is noticed, and only so much is taken from it."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from fastapi import FastAPI

from gateway.exchange.read_ahead import ITEM_BYTES, READ_AHEAD_BYTES, ReadAhead
from gateway.exchange.websocket_client import size_in_memory
from gateway.testing import ScriptedCall, ScriptedUpstream
from tests.edge.asgi import Request, connect, start
from tests.edge.conftest import Everything, Summary, hang

CHUNK = b'{"stringField":"%s"}\n' % (b"x" * 1000)
TAKEN_AT_MOST = READ_AHEAD_BYTES // (len(CHUNK) + ITEM_BYTES) + 1
MANY = 200

Start = Callable[[FastAPI], Request]
Arrive = Callable[[Request], None]


def upload(app: FastAPI) -> Request:
    """Begins an upload over HTTP."""
    return start(app, "POST", "/v1/upload", None, {"content-type": "application/x-ndjson"})


def websocket(app: FastAPI) -> Request:
    """Begins an upload over a WebSocket."""
    return connect(app, "/v1/upload", subprotocols=("grpc-json.v1",))


def chunk(request: Request) -> None:
    """Lets a message of an upload over HTTP come in."""
    request.arrives("http.request", body=CHUNK, more_body=True)


def frame(request: Request) -> None:
    """Lets a message come in on a WebSocket."""
    request.arrives("websocket.receive", text=CHUNK.decode())


async def left(request: Request) -> int:
    """Waits until the application has taken all that it will; returns how many events it has left."""
    count = -1
    while count != request.waiting:
        count = request.waiting
        for _ in range(100):
            await asyncio.sleep(0)
    return count


@pytest.fixture(autouse=True)
def deaf(upstream: ScriptedUpstream) -> None:
    """The server never reads an upload."""
    upstream.scripts["/echo.v1.Echo/ClientStream"] = hang


@pytest.mark.parametrize(
    ("begin", "arrive", "end"),
    [(upload, chunk, "http.disconnect"), (websocket, frame, "websocket.disconnect")],
)
async def test_a_client_that_leaves_an_unread_upload_ends_the_call(
    app: FastAPI, upstream: ScriptedUpstream, begin: Start, arrive: Arrive, end: str
) -> None:
    """Nobody has to read for an end to be noticed."""
    request = begin(app)
    for _ in range(10):
        arrive(request)
    assert await left(request) == 0
    request.arrives(end, code=1006)
    await asyncio.wait_for(request.ended(), 5)

    assert upstream.calls[0].ended.is_set()
    assert not upstream.calls[0].finished


@pytest.mark.parametrize(
    ("begin", "arrive", "end"),
    [(upload, chunk, "http.disconnect"), (websocket, frame, "websocket.disconnect")],
)
async def test_an_unread_upload_is_read_ahead_so_far_and_no_further(
    app: FastAPI, upstream: ScriptedUpstream, begin: Start, arrive: Arrive, end: str
) -> None:
    """Back-pressure: what a server does not read stays with its client, but for 64 KiB.

    What remains: an end behind unread data is not seen before it. Here the shutdown finds the call.
    """
    request = begin(app)
    for _ in range(MANY):
        arrive(request)
    request.arrives(end, code=1006)

    assert 0 < MANY + 1 - await left(request) <= TAKEN_AT_MOST
    assert not upstream.calls[0].ended.is_set()
    app.state.edge.interrupt_streams()
    await request.ended()
    assert upstream.calls[0].ended.is_set()


async def test_an_upload_goes_on_when_the_server_reads(
    app: FastAPI, upstream: ScriptedUpstream
) -> None:
    """Nothing is lost or turned round by waiting."""
    read = asyncio.Event()

    async def late(call: ScriptedCall) -> AsyncIterator[bytes]:
        await read.wait()
        numbers = [Everything.FromString(one).int32_field async for one in call.requests]
        yield Summary(count=len(numbers), strings=map(str, numbers)).SerializeToString()

    upstream.scripts["/echo.v1.Echo/ClientStream"] = late
    request = upload(app)
    for number in range(1, MANY + 1):
        line = b'{"int32Field":%d}%s\n' % (number, b" " * 1000)
        request.arrives("http.request", body=line, more_body=number < MANY)
    await left(request)
    read.set()
    await request.ended()

    assert request.json["strings"] == [str(number) for number in range(1, MANY + 1)]


async def test_what_receive_raises_is_not_lost(app: FastAPI, upstream: ScriptedUpstream) -> None:
    """A middleware that refuses an upload half-way ends the call, and is heard."""
    request = upload(app)
    await left(request)
    chunk(request)
    request.fails(RuntimeError("enough"))
    await asyncio.wait_for(request.ended(), 5)

    assert request.status == 500
    assert upstream.calls[0].ended.is_set()


async def test_many_empty_items_are_bounded_too() -> None:
    """An item counts beside its own bytes, for it takes room without any."""
    ahead: ReadAhead[None] = ReadAhead()
    for _ in range(READ_AHEAD_BYTES // ITEM_BYTES):
        await asyncio.wait_for(ahead.room(), 1)
        ahead.append(None, 0)

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(ahead.room(), 0.01)
    await ahead.take()
    await asyncio.wait_for(ahead.room(), 1)


@pytest.mark.parametrize("text", ["", "a", "\N{SNOWMAN}", "😀" * 100])
def test_what_is_ahead_weighs_no_more_than_is_said(text: str) -> None:
    """Each frame is an event, a text and a place in the queue, whatever script the text is in."""
    ahead: ReadAhead[dict[str, Any]] = ReadAhead()
    data = text.encode()
    tracemalloc.start()
    try:
        for _ in range(100):
            event = {"type": "websocket.receive", "text": data.decode()}
            ahead.append(event, size_in_memory(event["text"]))
        real = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()

    assert real <= 100 * (ITEM_BYTES + size_in_memory(text))
