"""How calls end before their time; each promise is first tried on grpc's own server."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import weakref
from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio
import pytest

from tests.wire.server.stage import answering, both_ways, refused, serving, taking, unary, until


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
    """A generator that waits at a `yield` is closed when its client has gone."""
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


@pytest.mark.parametrize("how", ["cancel", "deadline", "return"])
async def test_tasks_beside_a_servicer_are_released(how: str) -> None:
    """A task that a servicer has left behind, and that waits to read or to write, does not wait for ever."""
    released: list[str] = []
    started, over = asyncio.Event(), asyncio.Event()

    async def read(context: Any) -> None:
        try:
            while await context.read() is not grpc.aio.EOF:
                pass
        except grpc.aio.BaseError as error:
            released.append(type(error).__name__)

    async def write(context: Any) -> None:
        try:
            while True:
                await context.write(bytes(100_000))
        except grpc.aio.BaseError:
            released.append("write")

    async def careless(_requests: Any, context: Any) -> None:
        left = [asyncio.create_task(act(context)) for act in (read, write)]
        context.add_done_callback(lambda _: over.set())
        tasks.extend(left)
        await asyncio.sleep(0)  # they begin
        started.set()
        if how != "return":
            await asyncio.Event().wait()

    tasks: list[asyncio.Task[None]] = []
    async with serving({"Careless": both_ways(careless)}) as stage, asyncio.timeout(10):
        call = stage.talk("Careless", timeout=0.2 if how == "deadline" else None)
        await started.wait()
        if how == "cancel":
            call.cancel()
        await over.wait()
        await asyncio.gather(*tasks)
    assert set(released) == {"UsageError" if how == "return" else "InternalError", "write"}


@pytest.mark.parametrize("how", ["cancel", "deadline"])
@pytest.mark.parametrize("threaded", [False, True], ids=["a task", "a thread"])
async def test_an_upload_that_breaks_off_is_not_whole(how: str, threaded: bool) -> None:
    """Who reads the requests beside the servicer's own task does not take their breaking off for their end.

    `grpc.aio` ends the iterator either way, so that half an upload looks like a whole one.
    """
    seen: list[bytes] = []
    said: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def keep(outcome: str) -> None:
        said.get_loop().call_soon_threadsafe(said.set_result, outcome)

    def in_thread(requests: Any, _context: Any) -> bytes:
        try:
            seen.extend(requests)
        except grpc.aio.BaseError:
            keep("broken off")
            raise
        keep("whole")
        return b""

    async def in_task(requests: Any, _context: Any) -> bytes:
        async def read() -> None:
            try:
                async for request in requests:
                    seen.extend([request])
            except grpc.aio.BaseError:
                keep("broken off")
            else:
                keep("whole")

        await asyncio.shield(asyncio.create_task(read()))
        return b""

    upload = taking(in_thread if threaded else in_task)
    async with serving({"Upload": upload}) as stage, asyncio.timeout(10):
        call = stage.upload("Upload", timeout=0.3 if how == "deadline" else None)
        await call.write(b"half")
        if how == "cancel":
            await until(lambda: seen == [b"half"])
            call.cancel()
        assert await said == "broken off"
    assert seen == [b"half"]


async def test_nothing_is_left_of_calls() -> None:
    """Whatever way calls end, the server keeps nothing of them."""

    async def echo(requests: Any, context: Any) -> AsyncIterator[bytes]:
        async for request in requests:
            if request == b"abort":
                await context.abort(grpc.StatusCode.ABORTED)
            yield request * 100_000

    async with serving({"Echo": both_ways(echo)}) as stage, asyncio.timeout(20):
        for number in range(40):
            call = stage.talk("Echo", timeout=0.01 if number % 4 == 3 else None)
            with contextlib.suppress(asyncio.CancelledError, grpc.aio.AioRpcError):
                await call.write(b"abort" if number % 4 == 1 else b"request")
                if number % 4 == 2:
                    call.cancel()
                if number % 4 == 0:
                    await call.done_writing()
                while await call.read() is not grpc.aio.EOF:
                    pass
        transports = stage.server._transports
        await until(lambda: not stage.server._calls)
        await until(lambda: all(not each.connection.open_streams for each in transports))
        assert [each.stream_count for each in transports] == [0]


@pytest.mark.parametrize("nested", [False, True], ids=["alone", "within except"])
async def test_an_abort_leaves_nothing_to_collect(nested: bool) -> None:
    """A context that was aborted is gone with its call, without the garbage collector: no cycle keeps it."""
    contexts: list[weakref.ref[Any]] = []

    async def abort(_request: bytes, context: Any) -> bytes:
        contexts.append(weakref.ref(context))
        if nested:
            try:
                raise ValueError
            except ValueError:
                await context.abort(grpc.StatusCode.ABORTED, "within")
        await context.abort(grpc.StatusCode.ABORTED, "alone")
        raise AssertionError

    async with serving({"Abort": unary(abort)}) as stage:
        gc.disable()
        try:
            assert (await refused(stage.call("Abort")))[0] is grpc.StatusCode.ABORTED
            await until(lambda: not stage.server._calls)
            await asyncio.sleep(0)
            assert [context() for context in contexts] == [None]
        finally:
            gc.enable()


async def test_paths_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A generic handler that answers every path is kept ready for some; others are served all the same."""
    monkeypatch.setattr("grpc_wire.server.methods._MAX_CACHED", 10)

    async def echo(request: bytes, _context: Any) -> bytes:
        return request

    class Every(grpc.GenericRpcHandler):
        def service(self, _details: Any) -> Any:
            return unary(echo)

    async with serving({}, handlers=[Every()]) as stage:
        for number in range(20):
            assert await stage.channel.unary_unary(f"/any/{number}")(b"x") == b"x"
        assert len(stage.server._methods._compiled) == 10
