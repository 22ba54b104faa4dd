"""Calls on bytes, without the objects of `grpc.aio`."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from grpc import aio

from grpc_wire.call.status import RESOURCE_EXHAUSTED
from grpc_wire.client import Channel, ClientMethod, ClientStream, insecure_channel
from tests.echo_server import EchoServer, Everything, Summary
from tests.wire.client.test_calls import MESSAGE, SERVICE

SECONDS = 10


def register(channel: Channel, name: str, *, single_response: bool = True) -> ClientMethod:
    """Registers a method of the tests' own contract."""
    return channel.register_method(SERVICE + name, single_response=single_response)


async def test_a_unary_call_goes_to_its_callback(echo: EchoServer) -> None:
    """With message, metadata and status, once it has ended."""
    ends: asyncio.Queue[ClientStream] = asyncio.Queue()
    async with insecure_channel(echo.address) as channel:
        unary = register(channel, "Unary")
        channel.start_call(unary, MESSAGE, ends.put_nowait, metadata=(("x-one", "1"),), timeout=5.0)
        ended = await asyncio.wait_for(ends.get(), SECONDS)

    assert ended.status == (0, "", (("cost", "3"),))
    assert ended.initial is not None
    assert ("x-one", "1") in ended.initial
    assert ended.response == MESSAGE
    assert ends.empty()


async def test_a_call_may_end_at_once(echo: EchoServer) -> None:
    """Its callback is called before `start_call` returns."""
    ends: list[ClientStream] = []
    options = (("grpc.max_send_message_length", 3),)
    async with insecure_channel(echo.address, options) as channel:
        stream = channel.start_call(register(channel, "Unary"), b"1234", ends.append)
        assert ends == [stream]

    assert stream.status is not None
    assert stream.status.code == RESOURCE_EXHAUSTED


async def test_a_call_is_cancelled(echo: EchoServer) -> None:
    """Once, and the server notices."""
    ends: list[ClientStream] = []
    async with insecure_channel(echo.address) as channel:
        stream = channel.start_call(register(channel, "Hang"), MESSAGE, ends.append)
        await asyncio.wait_for(echo.started.wait(), SECONDS)
        assert stream.cancel()
        assert not stream.cancel()
        await asyncio.wait_for(echo.cancelled.wait(), SECONDS)

    assert ends == [stream]
    assert stream.cancelled_locally


async def test_responses_are_received_one_by_one(echo: EchoServer) -> None:
    """None follows the last; then the status is there."""
    request = Everything(int32_field=3).SerializeToString()
    async with insecure_channel(echo.address) as channel, asyncio.timeout(SECONDS):
        method = register(channel, "ServerStream", single_response=False)
        stream = channel.start_call(method, request, lambda _stream: None)
        received = [await stream.receive() for _ in range(4)]
        status = await stream.wait_for_end()

    assert received == [request] * 3 + [None]
    assert status.code == 0


async def test_requests_are_sent_one_by_one(echo: EchoServer) -> None:
    """After there is a connection; `half_close` ends them."""
    async with insecure_channel(echo.address) as channel, asyncio.timeout(SECONDS):
        stream = channel.start_call(register(channel, "ClientStream"), None, lambda _stream: None)
        await stream.wait_for_connection()
        for _ in range(2):
            if stream.send(Everything(string_field="a").SerializeToString()):
                await stream.wait_for_room()
        stream.half_close()
        await stream.wait_for_end()

    assert stream.response is not None
    assert Summary.FromString(stream.response).count == 2


async def test_metadata_that_are_not_allowed() -> None:
    """Raise at once."""
    async with insecure_channel("127.0.0.1:1") as channel:
        unary = register(channel, "Unary")
        with pytest.raises(ValueError, match="connection"):
            channel.start_call(unary, b"", print, metadata=(("connection", "close"),))


async def test_interceptors_are_not_bypassed() -> None:
    """A channel with interceptors starts no call that they do not see."""

    class Seeing(aio.UnaryUnaryClientInterceptor):
        async def intercept_unary_unary(self, continuation: Any, details: Any, request: Any) -> Any:
            """Passes it on."""
            return await continuation(details, request)

    async with insecure_channel("127.0.0.1:1", interceptors=[Seeing()]) as channel:
        with pytest.raises(aio.UsageError, match="interceptors"):
            channel.start_call(register(channel, "Unary"), MESSAGE, print)
