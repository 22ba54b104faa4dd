"""What may happen in one and the same turn of the loop, and in an order that nobody would choose."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import grpc
import pytest
from grpc import aio

from tests.wire.faults.scene import KINDS, one_of, pair
from tests.wire.server.stage import unary

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.parametrize("kind", KINDS)
async def test_all_is_well(kind: str) -> None:
    """Calls of all types work, and leave nothing."""
    async with pair() as (_, client):
        assert await one_of(client, kind)


async def test_an_endless_iterator_of_requests_that_cannot_be_sent() -> None:
    """The call ends for the first of them; the rest is not asked for, or the loop would never go on."""
    given: list[bytes] = []

    def endless() -> Any:
        for number in itertools.count():
            assert number < 1000
            given.append(b"x" * 100)
            yield given[-1]

    async with pair({}, ("grpc.max_send_message_length", 10)) as (_, client):
        call = client.collect(endless())
        with pytest.raises(aio.AioRpcError) as caught:
            await call
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        await asyncio.sleep(0)
    assert len(given) == 1


async def test_callbacks_that_fail() -> None:
    """One that raises, whatever it is, keeps neither the others nor the connection from going on."""
    called: list[str] = []
    told: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))

    def gone(_call: Any) -> None:
        called.append("gone")
        raise asyncio.CancelledError

    def wrong(_call: Any) -> None:
        called.append("wrong")
        raise ValueError

    async with pair() as (running, client):
        other = client.echo(name="Wait")
        await asyncio.sleep(0.02)
        call = client.echo()
        for callback in (gone, wrong, lambda _: called.append("well")):
            call.add_done_callback(callback)
        assert await call == b"hi"
        await asyncio.sleep(0.02)
        assert called == ["gone", "wrong", "well"]
        assert not other.done()
        assert len(running._transports) == 1
        other.cancel()
    assert len(told) == 2
    told.clear()  # what they hold, in their tracebacks


async def test_callbacks_of_a_servicer_that_fail(caplog: pytest.LogCaptureFixture) -> None:
    """Each of them is called, and the call ends as it would have."""
    called: list[str] = []

    def wrong(_context: Any) -> None:
        called.append("wrong")
        raise ValueError("no")

    async def answer(request: bytes, context: Any) -> bytes:
        context.add_done_callback(wrong)
        context.add_done_callback(lambda _: called.append("well"))
        if request == b"cancel":
            raise asyncio.CancelledError
        return request

    async with pair({"Answer": unary(answer)}) as (_, client):
        assert await client.echo(name="Answer") == b"hi"
        with pytest.raises(aio.AioRpcError) as caught:
            await client.echo(b"cancel", name="Answer")
        assert caught.value.code() is grpc.StatusCode.CANCELLED
    assert called == ["wrong", "well"] * 2
    assert "callback" in caplog.text
    caplog.clear()  # what it holds, in tracebacks


async def test_callbacks_that_call_again_and_close() -> None:
    """A callback may begin the next call; the channel may be closed in one, and takes no more then."""
    answers: list[Any] = []
    closing: list[asyncio.Task[None]] = []

    async with pair() as (_, client):

        def again(_call: Any) -> None:
            answers.append(None)
            if len(answers) == 20:
                closing.append(asyncio.create_task(client.channel.close()))
            try:
                client.echo().add_done_callback(again)
            except aio.UsageError:
                answers.append("closed")

        held = client.echo()
        held.add_done_callback(again)
        async with asyncio.timeout(5):
            while not closing:
                await asyncio.sleep(0)
            await closing[0]
