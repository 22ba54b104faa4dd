"""Calls of all four types, from clients of `grpc.aio`; each promise is first tried on grpc's own server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio
import pytest

from tests.wire.server.stage import (
    answering,
    both_ways,
    each,
    refused,
    serving,
    taking,
    unary,
)

LARGE = bytes(range(256)) * (4 * 1024 * 4 - 1)


async def echo(request: bytes, _context: Any) -> bytes:
    """Answers with the request."""
    return request


async def echo_all(requests: AsyncIterator[bytes], _context: Any) -> AsyncIterator[bytes]:
    """Answers with each request."""
    async for request in requests:
        yield request


async def join(requests: AsyncIterator[bytes], _context: Any) -> bytes:
    """Answers with all requests in one."""
    return b",".join([request async for request in requests])


async def letters(request: bytes, _context: Any) -> AsyncIterator[bytes]:
    """Answers with each byte."""
    for byte in request:
        yield bytes([byte])


async def written(requests: AsyncIterator[bytes], context: Any) -> None:
    """Answers with each request, by reading and writing."""
    while (request := await context.read()) is not grpc.aio.EOF:
        await context.write(request)
    assert await context.read() is grpc.aio.EOF


METHODS = {
    "Echo": unary(echo),
    "Letters": answering(letters),
    "Join": taking(join),
    "EchoAll": both_ways(echo_all),
    "Written": both_ways(written),
}


async def test_unary(make: Any) -> None:
    """One request is answered with one response, an empty one too."""
    async with serving(METHODS, make=make) as stage:
        assert await stage.call("Echo", b"one") == b"one"
        assert await stage.call("Echo", b"") == b""


async def test_server_stream(make: Any) -> None:
    """What a generator yields comes in order; one that yields nothing ends the stream."""
    async with serving(METHODS, make=make) as stage:
        assert [each async for each in stage.stream("Letters", b"abc")] == [b"a", b"b", b"c"]
        assert [each async for each in stage.stream("Letters", b"")] == []


async def test_client_stream(make: Any) -> None:
    """All requests are seen, none too."""
    async with serving(METHODS, make=make) as stage:
        assert await stage.upload("Join", each([b"a", b"", b"c"])) == b"a,,c"
        assert await stage.upload("Join", each([])) == b""


@pytest.mark.parametrize("name", ["EchoAll", "Written"])
async def test_bidi_takes_turns(make: Any, name: str) -> None:
    """A request is answered before the next is sent, by a generator and by reads and writes."""
    async with serving(METHODS, make=make) as stage:
        call = stage.talk(name)
        for number in range(5):
            await call.write(b"%d" % number)
            assert await call.read() == b"%d" % number
        await call.done_writing()
        assert await call.read() is grpc.aio.EOF
        assert await call.code() is grpc.StatusCode.OK


async def test_large_messages(make: Any) -> None:
    """Almost 4 MB go both ways, alone and in streams: windows grow for them."""
    async with serving(
        METHODS, make=make, client=[("grpc.max_receive_message_length", -1)]
    ) as stage:
        assert await stage.call("Echo", LARGE) == LARGE
        answers = [each async for each in stage.talk("EchoAll", each([LARGE, b"", LARGE]))]
        assert answers == [LARGE, b"", LARGE]


async def test_too_large_a_request(make: Any) -> None:
    """A request above the limit ends the call with RESOURCE_EXHAUSTED, alone and in a stream."""
    limit = [("grpc.max_receive_message_length", 1000)]
    async with serving(METHODS, make=make, options=limit) as stage:
        assert await stage.call("Echo", bytes(1000)) == bytes(1000)
        for call in (stage.call("Echo", bytes(1001)), stage.upload("Join", each([bytes(1001)]))):
            code, details = await refused(call)
            assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert details.endswith("Received message larger than max (1001 vs. 1000)")


async def test_too_large_a_response(make: Any) -> None:
    """A response above the limit ends the call with RESOURCE_EXHAUSTED."""
    limit = [("grpc.max_send_message_length", 1000)]
    async with serving(METHODS, make=make, options=limit) as stage:
        code, details = await refused(stage.call("Echo", bytes(1001)))
        assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert details.endswith("Sent message larger than max (1001 vs. 1000)")


@pytest.mark.parametrize("compression", list(grpc.Compression))
async def test_compressed_requests_and_responses(make: Any, compression: grpc.Compression) -> None:
    """What the client compresses is understood, and so is what the server does."""
    async with serving(METHODS, make=make, compression=compression) as stage:
        text = b"over and over " * 1000
        assert await stage.call("Echo", text, compression=compression) == text
        answers = stage.talk("EchoAll", each([text, b""]), compression=compression)
        assert [answer async for answer in answers] == [text, b""]


async def test_a_thousand_calls_at_once(make: Any) -> None:
    """A thousand calls on one connection are all answered, each with its own."""
    arrived = asyncio.Event()
    waiting = 0

    async def meet(request: bytes, _context: Any) -> bytes:
        nonlocal waiting
        waiting += 1
        if waiting == 1000:
            arrived.set()
        await arrived.wait()
        return request

    async with serving({"Meet": unary(meet)}, make=make) as stage:
        calls = [stage.call("Meet", b"%d" % number) for number in range(1000)]
        assert await asyncio.gather(*calls) == [b"%d" % number for number in range(1000)]


async def test_an_answer_before_the_end_of_the_request(make: Any) -> None:
    """A servicer may answer before the client has sent all: the client need not send the rest."""

    async def early(_requests: Any, _context: Any) -> bytes:
        return b"enough"

    async with serving({"Early": taking(early)}, make=make) as stage:
        call = stage.upload("Early")
        assert await call == b"enough"


async def test_no_such_method(make: Any) -> None:
    """A method that nobody has is UNIMPLEMENTED, also one of a type that streams."""
    async with serving(METHODS, make=make) as stage:
        expected = (grpc.StatusCode.UNIMPLEMENTED, "Method not found!")
        assert await refused(stage.call("Nothing")) == expected
        call = stage.talk(
            "Nothing"
        )  # a write that crosses the answer is INTERNAL in grpc.aio's client
        assert (await call.code(), await call.details()) == expected


async def test_registered_methods_come_before_generic_ones(make: Any) -> None:
    """Generated code registers each method twice; the one by its path is taken."""

    async def other(_request: bytes, _context: Any) -> bytes:
        return b"registered"

    running = make(options=[("grpc.so_reuseport", 0)])
    handlers = {"Echo": unary(echo)}
    running.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("a.B", handlers),))
    running.add_registered_method_handlers("a.B", {"Echo": unary(other)})
    port = running.add_insecure_port("127.0.0.1:0")
    await running.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        method: Any = channel.unary_unary("/a.B/Echo")
        assert await method(b"") == b"registered"
    await running.stop(None)


async def test_serializers(make: Any) -> None:
    """Requests are parsed and responses serialized by what the method names."""

    async def double(request: int, _context: Any) -> int:
        return request * 2

    async def count(request: int, _context: Any) -> AsyncIterator[int]:
        for number in range(request):
            yield number

    how = {"request_deserializer": int, "response_serializer": lambda number: b"%d" % number}
    methods = {"Double": unary(double, **how), "Count": answering(count, **how)}
    async with serving(methods, make=make) as stage:
        assert await stage.call("Double", b"21") == b"42"
        assert [each async for each in stage.stream("Count", b"3")] == [b"0", b"1", b"2"]
