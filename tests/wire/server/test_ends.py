"""How calls end before their time; each promise is first tried on grpc's own server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio

from tests.wire.server.stage import answering, both_ways, refused, serving, unary


class Witness:
    """Servicers that wait for ever, and what they see when they are stopped."""

    def __init__(self) -> None:
        self.started = asyncio.Event()
        self.ended = asyncio.Event()
        self.called_back = asyncio.Event()
        self.seen: list[Any] = []

    async def hang(self, _request: Any, context: Any) -> bytes:
        """Never answers."""
        context.add_done_callback(lambda _: self.called_back.set())
        self.started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.seen.append((context.done(), context.cancelled(), context.code()))
            raise
        finally:
            self.ended.set()
        return b""

    async def hang_after_one(self, request: Any, context: Any) -> AsyncIterator[bytes]:
        """Answers once."""
        yield b"one"
        await self.hang(request, context)

    async def read_for_ever(self, requests: Any, context: Any) -> AsyncIterator[bytes]:
        """Waits for another request."""
        self.started.set()
        try:
            async for request in requests:
                yield request
        finally:
            self.ended.set()

    def methods(self) -> dict[str, Any]:
        """Returns them by name."""
        return {
            "Hang": unary(self.hang),
            "HangAfterOne": answering(self.hang_after_one),
            "Read": both_ways(self.read_for_ever),
        }


async def test_a_client_that_cancels(make: Any) -> None:
    """A client that gives a call up cancels its servicer, in all types; callbacks are called."""
    for name in ("Hang", "HangAfterOne", "Read"):
        witness = Witness()
        async with serving(witness.methods(), make=make) as stage, asyncio.timeout(10):
            begin = {"Hang": stage.call, "HangAfterOne": stage.stream}.get(name, stage.talk)
            call = begin(name)
            if name == "Read":
                await call.write(b"one")
                await call.read()
            await witness.started.wait()
            call.cancel()
            await witness.ended.wait()
            if name != "Read":
                await witness.called_back.wait()
                assert witness.seen == [(False, False, None)]


async def test_a_client_that_vanishes(make: Any) -> None:
    """A connection that is lost cancels the servicers of its calls."""
    witness = Witness()
    async with serving(witness.methods(), make=make) as stage, asyncio.timeout(10):
        call = stage.call("Hang")
        await witness.started.wait()
        await stage.channel.close()
        await witness.ended.wait()
        assert call.cancelled()


async def test_a_deadline(make: Any) -> None:
    """The server itself ends a call at its deadline: the servicer is cancelled."""
    witness = Witness()
    async with serving(witness.methods(), make=make) as stage, asyncio.timeout(10):
        code, _ = await refused(stage.call("Hang", timeout=0.1))
        assert code is grpc.StatusCode.DEADLINE_EXCEEDED
        await witness.ended.wait()
        await witness.called_back.wait()
    assert witness.seen == [(False, False, None)]


async def test_a_servicer_that_outlives_its_client(make: Any) -> None:
    """A servicer that ignores its cancellation cannot send any more, and does no harm."""
    raised: list[Exception] = []
    started, ended = asyncio.Event(), asyncio.Event()

    async def stubborn(request: bytes, context: Any) -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            try:
                for _ in range(100):  # grpc notices a little later
                    await context.write(request)
                    await asyncio.sleep(0.002)
            except grpc.aio.BaseError as error:
                raised.append(error)
            ended.set()

    async def echo(request: bytes, _context: Any) -> bytes:
        return request

    methods = {"Stubborn": answering(stubborn), "Echo": unary(echo)}
    async with serving(methods, make=make) as stage, asyncio.timeout(10):
        call = stage.stream("Stubborn")
        await started.wait()
        call.cancel()
        await ended.wait()
        assert len(raised) == 1
        assert await stage.call("Echo") == b"request"


async def test_an_endless_generator_is_closed() -> None:
    """A generator that waits at a `yield` is closed when its client has gone, not when it is collected."""
    closed = asyncio.Event()

    async def endless(request: bytes, _context: Any) -> AsyncIterator[bytes]:
        try:
            while True:
                yield request * 10_000
        finally:
            closed.set()

    async with serving({"Endless": answering(endless)}) as stage, asyncio.timeout(10):
        call = stage.stream("Endless")
        await call.read()
        call.cancel()
        await closed.wait()


async def test_a_servicer_that_cancels_itself() -> None:
    """A servicer that raises CancelledError by itself ends its call as CANCELLED: nobody waits on."""

    async def give_up(_request: bytes, _context: Any) -> bytes:
        raise asyncio.CancelledError

    async with serving({"GiveUp": unary(give_up)}) as stage:
        code, details = await refused(stage.call("GiveUp", timeout=10))
        assert (code, details) == (grpc.StatusCode.CANCELLED, "the servicer was cancelled")
