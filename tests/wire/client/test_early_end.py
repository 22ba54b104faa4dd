"""grpc/grpc#36066: a server that ends a call while its caller still writes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from grpc import aio

from grpc_wire.client import Channel, insecure_channel
from grpc_wire.server import server
from tests.wire.client.peer import HEAD, Peer, Wire, running

AT_ONCE = 50


@pytest.fixture(params=[aio.server, server], ids=["grpcio", "wire"])
async def channel(request: pytest.FixtureRequest) -> AsyncIterator[Channel]:
    """A channel to a server that reads one request, and aborts: grpc's, and ours."""

    async def upload(requests: AsyncIterator[bytes], context: Any) -> bytes:
        await anext(requests)
        await context.abort(grpc.StatusCode.FAILED_PRECONDITION, "enough", (("why", "it is"),))
        return b""

    async def chat(requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        yield await anext(requests)
        await context.abort(grpc.StatusCode.FAILED_PRECONDITION, "enough", (("why", "it is"),))

    aborting = request.param(options=[("grpc.so_reuseport", 0)])
    methods: dict[str, Any] = {
        "Upload": grpc.stream_unary_rpc_method_handler(upload),
        "Chat": grpc.stream_stream_rpc_method_handler(chat),
    }
    handlers = grpc.method_handlers_generic_handler("early.Early", methods)
    aborting.add_generic_rpc_handlers((handlers,))
    port = aborting.add_insecure_port("127.0.0.1:0")
    await aborting.start()
    async with insecure_channel(f"127.0.0.1:{port}") as opened:
        yield opened
    await aborting.stop(None)


async def endless(size: int = 1000) -> AsyncIterator[bytes]:
    """Never stops to write."""
    while True:
        yield bytes(size)
        await asyncio.sleep(0)


async def failure_of_upload(channel: Channel, size: int = 1000) -> aio.AioRpcError:
    """Returns how an upload ends."""
    with pytest.raises(aio.AioRpcError) as caught:
        await channel.stream_unary("/early.Early/Upload")(endless(size))
    return caught.value


async def failure_of_large_upload(channel: Channel) -> aio.AioRpcError:
    """Returns how an upload ends whose writer waits for the window."""
    return await failure_of_upload(channel, 100_000)


async def failure_of_chat(channel: Channel) -> aio.AioRpcError:
    """Returns how a chat ends."""
    call = channel.stream_stream("/early.Early/Chat")(endless())
    with pytest.raises(aio.AioRpcError) as caught:
        async for _ in call:
            pass
    return caught.value


async def failure_of_writes(channel: Channel) -> aio.AioRpcError:
    """Returns how a chat ends whose requests are written one by one."""
    call = channel.stream_stream("/early.Early/Chat")()
    with pytest.raises((aio.AioRpcError, asyncio.InvalidStateError)):
        while True:
            await call.write(bytes(1000))
    assert await call.code() is grpc.StatusCode.FAILED_PRECONDITION
    await call.read()
    with pytest.raises(aio.AioRpcError) as caught:
        await call.read()
    return caught.value


@pytest.mark.parametrize(
    ("failure", "calls"),
    [
        (failure_of_upload, 1000),
        (failure_of_chat, 1000),
        (failure_of_writes, 200),
        (failure_of_large_upload, 100),
    ],
)
async def test_the_status_that_came_is_told(channel: Channel, failure: Any, calls: int) -> None:
    """Of a thousand calls that a server aborts, each tells the server's status and nothing else."""
    seen = set()
    for _ in range(calls // AT_ONCE):
        for error in await asyncio.gather(*(failure(channel) for _ in range(AT_ONCE))):
            trailing = tuple(error.trailing_metadata())
            seen.add((error.code(), error.details(), trailing))

    assert seen == {(grpc.StatusCode.FAILED_PRECONDITION, "enough", (("why", "it is"),))}


async def test_an_early_ok() -> None:
    """An answer that is complete before the requests are is an answer; the rest of them is given up."""

    def answer(wire: Wire, stream: int) -> None:
        wire.answer(stream)

    async with running(Peer(answer, early=True)) as peer, insecure_channel(peer.target) as channel:
        assert await channel.stream_unary("/a/b")(endless()) == b"hi"
        await asyncio.wait_for(peer.reset.wait(), 5)

    assert peer.wires[0].resets == {1: 0}


async def test_a_reset_behind_the_status() -> None:
    """What comes behind the status changes nothing, though it comes in one piece with it."""

    def answer(wire: Wire, stream: int) -> None:
        wire.h2.send_headers(stream, HEAD)
        wire.h2.send_headers(
            stream, (("grpc-status", "9"), ("grpc-message", "no")), end_stream=True
        )
        reset = b"\x00\x00\x04\x03\x00" + stream.to_bytes(4, "big") + b"\x00\x00\x00\x08"
        wire.raw(reset)

    async with running(Peer(answer, early=True)) as peer, insecure_channel(peer.target) as channel:
        for _ in range(20):
            with pytest.raises(aio.AioRpcError, match="no") as caught:
                await channel.stream_unary("/a/b")(endless())
            assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
