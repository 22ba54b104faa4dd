"""Metadata that is too large for a server, or for its client: one call ends, the connection goes on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import grpc
import pytest

from grpc_wire.call.message import frame
from grpc_wire.http2.limits import DEFAULT
from tests.wire.server.stage import (
    SERVICE,
    Answer,
    RawClient,
    answering,
    both_ways,
    raw_client,
    refused,
    serving,
    unary,
    until,
)

LARGE: dict[str, dict[bytes, bytes]] = {
    "a value": {b"authorization": b"b" * 70_000},
    "a very large value": {b"authorization": b"b" * 1_000_000},
    "many values": {b"k%d" % n: b"b" * 4096 for n in range(18)},
    "many small ones": {b"k%d" % n: b"" for n in range(5_000)},
    "a name": {b"n" * 70_000: b"v"},
    "a path": {b":path": b"/" + b"p" * 70_000},
}
CALLED: list[str] = []


async def echo(request: bytes, _context: Any) -> bytes:
    """Answers what was asked."""
    return request


async def talk(requests: AsyncIterator[bytes], _context: Any) -> AsyncIterator[bytes]:
    """Answers each request."""
    async for request in requests:
        yield request


async def initial(request: bytes, context: Any) -> bytes:
    """Sends so many bytes of initial metadata, and then goes on."""
    await context.send_initial_metadata((("k", "v" * int(request)),))
    CALLED.append("went on")
    return b"answer"


async def initial_stream(request: bytes, context: Any) -> AsyncIterator[bytes]:
    """Does the same before a stream."""
    yield await initial(request, context)


async def trailing(request: bytes, context: Any) -> bytes:
    """Sends so many bytes of trailing metadata."""
    context.set_trailing_metadata((("k", "v" * int(request)),))
    return b"answer"


METHODS = {
    "Echo": unary(echo),
    "Talk": both_ways(talk),
    "Initial": unary(initial),
    "InitialStream": answering(initial_stream),
    "Trailing": unary(trailing),
}


async def begun(client: RawClient) -> list[int]:
    """Begins calls on a connection that take messages as they come."""
    streams = [client.begin({b":path": f"/{SERVICE}/Talk".encode()}) for _ in range(10)]
    for stream in streams:
        client.send(stream, frame(b"one"))
    return streams


async def finish(client: RawClient, streams: list[int]) -> None:
    """Sees that they have gone on all the while."""
    for stream in streams:
        client.send(stream, frame(b"two"), end=True)
        answer = await client.ended(stream)
        assert (answer.data, answer.status) == (frame(b"one") + frame(b"two"), (0, ""))


@pytest.mark.parametrize("kind", LARGE)
async def test_a_request_that_is_too_large(kind: str) -> None:
    """It is refused with a status, and no other stream of its connection notices."""
    async with serving(METHODS) as stage, raw_client(stage.address) as client:
        streams = await begun(client)
        for _ in range(3):
            code, message = (await client.ask(LARGE[kind])).status
            assert code == grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]
            assert message.startswith("Received metadata larger than max (")
        assert (await client.ask()).status == (0, "")
        await finish(client, streams)
        assert len(stage.server._transports) == 1
        assert client.going == []


async def test_requests_that_are_too_large_without_end() -> None:
    """Whoever sends them on and on, and is answered, is not cut for that: others share the connection."""
    async with serving(METHODS) as stage, raw_client(stage.address) as client:
        streams = await begun(client)
        for _ in range(4):
            refused = client.begin_together([{b"k": b"v" * 17_000}] * 400, frame(b"request"))
            assert {(await client.ended(stream)).status[0] for stream in refused} == {8}
        await finish(client, streams)


@pytest.mark.parametrize("size", [17_000, 1_000_000])
@pytest.mark.parametrize("name", ["Initial", "InitialStream"])
async def test_initial_metadata_larger_than_the_client_takes(name: str, size: int) -> None:
    """The client is told instead, and the servicer is stopped; other calls go on."""
    CALLED.clear()
    async with serving(METHODS) as stage, raw_client(stage.address) as client:
        streams = await begun(client)
        path = f"/{SERVICE}/{name}".encode()
        answer = await client.ask({b":path": path}, frame(b"%d" % size))
        assert answer.status[0] == grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]
        assert answer.status[1].startswith("Initial metadata larger than the client takes (")
        assert CALLED == []
        await finish(client, streams)


@pytest.mark.parametrize("name", ["Initial", "Trailing"])
async def test_metadata_to_the_byte(name: str) -> None:
    """What a client has announced is what it is sent, and not a byte more."""
    async with serving(METHODS) as stage, raw_client(stage.address) as client:
        path = f"/{SERVICE}/{name}".encode()
        answer = await client.ask({b":path": path}, frame(b"100"))
        part = answer.head | (answer.trailers if name == "Trailing" else {})
        own = sum(32 + len(n) + len(v) for n, v in part.items() if n != "grpc-accept-encoding")
        if name == "Initial":
            own += 32 + len("grpc-accept-encoding") + len(answer.head["grpc-accept-encoding"])
    limits = replace(DEFAULT, header_list=own)
    async with serving(METHODS) as stage, raw_client(stage.address, limits) as client:
        for size, code in ((100, 0), (101, 8)):
            answer = await client.ask({b":path": path}, frame(b"%d" % size))
            assert answer.status[0] == code


@pytest.mark.parametrize("limit", [256, 300, 400])
@pytest.mark.parametrize("name", ["Echo", "Initial", "Trailing", "Nothing"])
async def test_a_client_that_takes_hardly_anything(name: str, limit: int) -> None:
    """It is sent nothing that it forbids, and a status in any case."""
    limits = replace(DEFAULT, header_list=limit)
    async with serving(METHODS) as stage, raw_client(stage.address, limits) as client:
        path = f"/{SERVICE}/{name}".encode()
        answer: Answer = await client.ask({b":path": path}, frame(b"1000"))
        sections = [answer.head, answer.trailers]
        assert all(_size(each) <= limit for each in sections)
        assert answer.status[0] == {"Echo": 0, "Nothing": 12}.get(name, 8)
        assert not client.failed


@pytest.mark.parametrize("limit", [0, 255])
async def test_a_client_that_takes_nothing(limit: int) -> None:
    """No answer would be small enough: it is told so, and its connection closed."""
    limits = replace(DEFAULT, header_list=limit)
    async with serving(METHODS) as stage, raw_client(stage.address, limits) as client:
        await until(lambda: client.closed)
        assert [event.reason for event in client.going] == [
            "the peer said GOAWAY 0xb the client takes no headers"
        ]


def _size(headers: dict[str, str]) -> int:
    return sum(32 + len(name) + len(value) for name, value in headers.items())


async def test_both_limits_of_grpc() -> None:
    """Of the two options the absolute one holds, in whichever order they are said."""
    soft, hard = ("grpc.max_metadata_size", 2_000), ("grpc.absolute_max_metadata_size", 50_000)
    for options in ((soft, hard), (hard, soft)):
        async with serving(METHODS, options=options) as stage:
            assert await stage.call("Echo", metadata=(("k", "v" * 40_000),)) == b"request"
            code, _ = await refused(stage.call("Echo", metadata=(("k", "v" * 60_000),)))
            assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
