"""What may happen in one and the same turn of the loop, and in an order that nobody would choose."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import grpc
import pytest
from grpc import aio

from tests.wire.faults.scene import KINDS, calling, one_of, pair, serving
from tests.wire.server.stage import answering, raw_client, unary, until

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


@pytest.mark.parametrize("kind", ["Collect", "Talk"])
async def test_an_iterator_that_hangs_of_a_call_that_never_began(kind: str) -> None:
    """Where nobody is there a call ends while it is made; nobody waits for its requests then."""
    async with calling("127.0.0.1:1") as client:
        with pytest.raises(aio.AioRpcError):
            await client.echo()  # from now on the channel knows
        before = asyncio.all_tasks()

        async def requests() -> Any:
            await asyncio.Event().wait()
            yield b""

        begin = client.collect if kind == "Collect" else client.talk
        call = begin(requests())
        assert await call.code() is grpc.StatusCode.UNAVAILABLE
        await until(lambda: asyncio.all_tasks() <= before)


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


async def test_a_call_that_is_dropped_in_another_thread() -> None:
    """The collector may run in any thread; the call is cancelled in its loop's."""
    loop = asyncio.get_running_loop()
    async with pair() as (server, client):
        held = [client.echo(name="Wait")]
        await until(lambda: bool(server._calls))
        loop.set_debug(True)  # which lets the loop complain of a foreign thread
        try:
            await asyncio.to_thread(held.clear)
            await until(lambda: not server._calls)
        finally:
            loop.set_debug(False)


async def test_two_readers_and_two_writers() -> None:
    """Two tasks may read one call, and two write: each message goes to one of them, none is lost."""
    async with pair() as (_, client):
        call = client.talk()

        async def write(first: int) -> None:
            for number in range(first, first + 200):
                await call.write(b"%d" % number)

        async def read() -> list[int]:
            seen: list[int] = []
            while (message := await call.read()) is not aio.EOF:
                seen.append(int(message))
            return seen

        reading = asyncio.gather(read(), read())
        async with asyncio.timeout(10):
            await asyncio.gather(write(0), write(200))
            await call.done_writing()
            seen = await reading
        assert sorted(seen[0] + seen[1]) == list(range(400))


@pytest.mark.parametrize("raises", [True, False])
async def test_requests_that_break_off_or_hang(raises: bool) -> None:
    """An iterator of requests that raises cancels its call; one that hangs is given up with it."""
    closed: list[None] = []

    async def requests() -> Any:
        try:
            yield b"x"
            if raises:
                raise ValueError
            await asyncio.Event().wait()
        finally:
            closed.append(None)

    async with pair() as (server, client):
        call = client.collect(requests(), timeout=None if raises else 0.05)
        async with asyncio.timeout(5):
            code = await call.code()
            expected = grpc.StatusCode.CANCELLED if raises else grpc.StatusCode.DEADLINE_EXCEEDED
            assert code is expected
            await until(lambda: bool(closed))
            await until(lambda: not server._calls)
        never = client.collect(requests())
        never.cancel()  # before its iterator was ever asked
        assert await never.code() is grpc.StatusCode.CANCELLED
        assert len(closed) == 1


async def test_a_servicer_that_never_waits() -> None:
    """One that yields without end, and waits for nothing else, lets others have their turns, and is ended."""

    async def pour(_request: bytes, _context: Any) -> Any:
        while True:
            yield b"x"

    async with pair({"Pour": answering(pour)}) as (server, client):
        call = client.count(0, name="Pour")
        async with asyncio.timeout(5):
            for _ in range(300):
                assert await call.read() == b"x"
            assert await client.echo() == b"hi"
            call.cancel()
            await until(lambda: not server._calls)


async def test_no_window_is_wider_than_one_can_be() -> None:
    """A message of 2 GiB and a bit that is waited for widens a window to 2^31-1 at most (RFC 9113, 6.9.1)."""
    no_limit = [("grpc.max_receive_message_length", -1)]
    async with serving(options=no_limit) as (_, address), raw_client(address) as client:
        stream = client.begin()
        client.send(stream, b"\x00\x80\x00\x10\x00" + b"x" * 10)
        opened = client.connection._streams.open[stream]
        await until(lambda: opened.send_window > 2**30 or bool(client.failed) or client.closed)
        assert not client.failed
        assert opened.send_window <= 2**31 - 1
