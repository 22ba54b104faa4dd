"""The task of a servicer: what it may do with it, and that no other call sees any of that.

Calls come together, in one read, on both event loops. (That this is one task of asyncio for each call is
not looked at but where a servicer can see it.)
"""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
import time
import weakref
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextvars import ContextVar
from typing import Any, TypeAlias

import grpc
import pytest
import uvloop

from grpc_wire.call.message import frame
from grpc_wire.call.status import CANCELLED, DEADLINE_EXCEEDED, OK, UNAVAILABLE, UNKNOWN
from tests.wire.faults.scene import serving
from tests.wire.server.stage import (
    SERVICE,
    Answer,
    RawClient,
    answering,
    raw_client,
    taking,
    unary,
    until,
)

Servicer: TypeAlias = Callable[[bytes, Any], Coroutine[Any, Any, bytes]]
Ask: TypeAlias = Callable[..., list[Answer]]
Act: TypeAlias = Callable[[Any], None]

SECONDS = 5.0
VARIABLE: ContextVar[str] = ContextVar("VARIABLE")


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def runner(request: pytest.FixtureRequest) -> Iterator[asyncio.Runner]:
    """A loop of the test's own, of either kind."""
    with asyncio.Runner(loop_factory=request.param) as opened:
        yield opened


@pytest.fixture
def ask(runner: asyncio.Runner) -> Iterator[Ask]:
    """Makes calls of servicers; no call nor deadline of one is left, and the loop is told of nothing."""
    told: list[dict[str, Any]] = []
    runner.get_loop().set_exception_handler(lambda _, context: told.append(context))
    yield lambda *waves, within=None: runner.run(_ask(waves, within))
    assert told == []


async def _ask(waves: Sequence[Sequence[Servicer]], within: bytes | None) -> list[Answer]:
    """Makes the calls of each wave together, when those of the one before have ended."""
    methods: dict[str, Any] = {}
    answers: list[Answer] = []
    async with (
        asyncio.timeout(SECONDS),
        serving(methods) as (server, address),
        raw_client(address) as client,
    ):
        for number, wave in enumerate(waves):
            named = {f"M{number}_{each}": method(servicer) for each, servicer in enumerate(wave)}
            server.add_registered_method_handlers(SERVICE, named)
            answers += [await client.ended(stream) for stream in send(client, named, within)]
            await until(lambda: not server._calls)
        assert [each for each in server._deadlines._heap if each[2] is not None] == []
    return answers


def method(servicer: Any) -> Any:
    """Returns a unary method of this servicer, unless it is a method already."""
    return servicer if isinstance(servicer, grpc.RpcMethodHandler) else unary(servicer)


def send(client: RawClient, names: Any, within: bytes | None = None) -> list[int]:
    """Sends requests of methods in one write; returns their streams."""
    paths = (f"/{SERVICE}/{name}".encode() for name in names)
    requests = [{b":path": path, b"grpc-timeout": within} for path in paths]
    return client.begin_together(requests, frame(b"request"))


def codes(answers: Sequence[Answer]) -> list[int]:
    """Returns how they have ended."""
    return [answer.status[0] for answer in answers]


def current_task() -> asyncio.Task[Any]:
    """Returns the task that asks."""
    task = asyncio.current_task()
    assert task is not None
    return task


def failing(error: BaseException) -> asyncio.Future[None]:
    """Returns what fails when it is waited for."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[None] = loop.create_future()
    loop.call_soon(future.set_exception, error)
    return future


async def echo(request: bytes, _context: Any) -> bytes:
    """Waits for nothing."""
    return request


async def wait(request: bytes, _context: Any) -> bytes:
    """Waits for a few turns."""
    for _ in range(5):
        await asyncio.sleep(0)
    return request


async def look(request: bytes, context: Any) -> bytes:
    """Fails where it sees something of another call, before it waits or behind that."""
    for _ in range(2):
        assert not current_task().cancelling()
        assert VARIABLE.get(None) is None
        await wait(request, context)
    return request


def cancel(_context: Any) -> None:
    """Cancels the task."""
    current_task().cancel()


def waver(_context: Any) -> None:
    """Cancels it, and takes that back; before Python 3.13 `uncancel` takes back no more than the count."""
    current_task().cancel()
    current_task().uncancel()


def set_variable(_context: Any) -> None:
    """Sets a context variable."""
    VARIABLE.set("own")


def cut(context: Any) -> None:
    """Cuts the call, as a server does that stops."""
    context._call.abort()


def cut_all(context: Any) -> None:
    """Cuts all calls."""
    for call in tuple(context._call.transport._owner._calls):
        call.abort()


def lose(context: Any) -> None:
    """Loses the connection."""
    context._call.transport.abort("lost")


def test_a_servicer_has_a_task_to_itself(ask: Ask) -> None:
    """It has one, before and after it waits, that is no other's, of those that come later neither."""
    tasks: list[asyncio.Task[Any]] = []

    async def note(request: bytes, context: Any) -> bytes:
        task = current_task()
        tasks.append(task)
        await (echo, wait)[len(tasks) % 2](request, context)
        assert current_task() is task
        return request

    assert codes(ask(*[[note] * 4] * 2)) == [OK] * 8
    assert len(set(tasks)) == 8


def test_calls_are_begun_in_the_order_in_which_they_came(ask: Ask) -> None:
    """One that waits holds up none behind it: it may wait for what one of those does."""
    opened, begun = asyncio.Event(), []

    async def pass_through(request: bytes, _context: Any) -> bytes:
        begun.append("waits")
        await opened.wait()
        return request

    async def open_up(request: bytes, _context: Any) -> bytes:
        begun.append("opens")
        opened.set()
        return request

    assert codes(ask([pass_through, pass_through, echo, open_up, pass_through])) == [OK] * 5
    assert begun == ["waits", "waits", "opens", "waits"]


@pytest.mark.parametrize(
    ("act", "then", "code"),
    [
        (cancel, echo, OK),
        (cancel, wait, CANCELLED),
        (waver, echo, OK),
        (set_variable, echo, OK),
        (set_variable, wait, OK),
        (cut, echo, UNAVAILABLE),
        (cut, wait, UNAVAILABLE),
    ],
)
def test_what_a_servicer_does_to_its_task(ask: Ask, act: Act, then: Servicer, code: int) -> None:
    """It alone sees that: no call that came before, together with it or later does; no deadline is left."""

    async def mark(request: bytes, context: Any) -> bytes:
        act(context)
        return await then(request, context)

    answers = ask([look, mark, look, echo, mark, mark, look], [look], within=b"1H")
    assert codes(answers) == [OK, code, OK, OK, code, code, OK, OK]


@pytest.mark.parametrize("times", [1, 3])
def test_a_servicer_that_catches_that_it_is_cancelled(ask: Ask, times: int) -> None:
    """It may wait again, also for what has a result, as often as it is cancelled."""

    async def stubborn(_request: bytes, _context: Any) -> bytes:
        loop = asyncio.get_running_loop()
        caught = 0
        for _ in range(times):
            loop.call_soon(current_task().cancel)
            try:
                await loop.create_future()
            except asyncio.CancelledError:
                caught += 1
        await asyncio.sleep(0)
        return await asyncio.sleep(0.005, b"%d" % caught)

    answers = ask([stubborn, look])
    assert codes(answers) == [OK, OK]
    assert answers[0].data == frame(b"%d" % times)


@pytest.mark.parametrize("before", [echo, wait])
def test_a_timeout_of_a_servicer(ask: Ask, before: Servicer) -> None:
    """In its first step or later it ends what the servicer waits for, and nothing else."""

    async def use(request: bytes, context: Any) -> bytes:
        await before(request, context)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await asyncio.Event().wait()
        return await look(request, context)

    assert codes(ask([use, use, look])) == [OK] * 3


@pytest.mark.parametrize("before", [echo, wait])
def test_a_group_of_tasks_of_a_servicer(ask: Ask, before: Servicer) -> None:
    """In its first step or later: a task that fails cancels the servicer within the group, no further."""

    async def use(request: bytes, context: Any) -> bytes:
        await before(request, context)
        with pytest.raises(ExceptionGroup):
            async with asyncio.TaskGroup() as group:
                group.create_task(fail())
                await asyncio.Event().wait()
        async with asyncio.TaskGroup() as group:
            task = group.create_task(look(request, context))
        return task.result()

    async def fail() -> None:
        raise LookupError

    assert codes(ask([use, use, look])) == [OK] * 3


def test_what_a_servicer_has_caught_is_over(ask: Ask) -> None:
    """Behind its `except` no exception is being handled, nor is one the context of what it raises then."""

    async def recover(request: bytes, _context: Any) -> bytes:
        for _ in range(2):  # what it waits for first, and then
            with pytest.raises(LookupError):
                await failing(LookupError())
            assert sys.exc_info()[0] is None
            with pytest.raises(ValueError, match="own") as raised:
                raise ValueError("own")
            assert raised.value.__context__ is None
        return request

    assert codes(ask([echo, recover, look])) == [OK] * 3


def test_what_a_servicer_has_waited_for_is_not_kept(ask: Ask) -> None:
    """The result of what it waited for first goes when the servicer lets it go, and not with the call."""

    async def use(request: bytes, _context: Any) -> bytes:
        result = weakref.ref(await asyncio.sleep(0.001, Answer()))
        await asyncio.sleep(0.001)
        assert result() is None
        return request

    assert codes(ask([use])) == [OK]


@pytest.mark.parametrize(("error", "code"), [(LookupError, OK), (ValueError, UNKNOWN)])
def test_nothing_of_a_call_waits_for_the_collector(
    ask: Ask, caplog: pytest.LogCaptureFixture, error: type[Exception], code: int
) -> None:
    """When what a servicer waits for first has failed, its context goes with the call, caught or not."""
    caplog.set_level(logging.CRITICAL, "grpc_wire")  # a record holds the error
    contexts: list[weakref.ref[Any]] = []

    async def fail(request: bytes, context: Any) -> bytes:
        contexts.append(weakref.ref(context))
        try:
            await failing(error())
        except LookupError:
            return request
        raise AssertionError

    async def collected(request: bytes, _context: Any) -> bytes:
        assert contexts[0]() is None
        return request

    gc.collect()
    gc.disable()
    try:  # the second time, what has seen the first is forgotten
        assert codes(ask([fail], [fail], [collected])) == [code, code, OK]
    finally:
        gc.enable()


@pytest.mark.parametrize("seconds", [0, 0.08])
def test_a_deadline_passes(ask: Ask, seconds: float) -> None:
    """While a servicer waits, or before it does: it is cancelled, once; if it has not begun it never does."""
    seen: list[str] = []

    async def work(_request: bytes, _context: Any) -> bytes:
        time.sleep(seconds)  # noqa: ASYNC251 - nothing else may go on meanwhile
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            seen.append("cancelled")
        return await asyncio.sleep(0, b"response")

    async def late(request: bytes, _context: Any) -> bytes:
        seen.append("begun")
        return request

    answers = ask([work, late] if seconds else [work], within=b"50m")
    assert codes(answers) == [DEADLINE_EXCEEDED] * len(answers)
    assert seen == ["cancelled"]


@pytest.mark.parametrize("end", [lose, cut_all])
def test_calls_end_in_the_first_step_of_one(ask: Ask, end: Act) -> None:
    """Its servicer goes on, and is cancelled when it waits, once; those that have not begun never do."""
    seen: list[str] = []

    async def go_on(request: bytes, context: Any) -> bytes:
        end(context)
        seen.append("went on")
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            seen.append("cancelled")
        await wait(request, context)
        seen.append("waited again")
        return request

    async def late(_request: Any, _context: Any) -> bytes:
        seen.append("begun")
        return b"response"

    answers = ask([go_on, late, taking(late)])
    assert end is lose or codes(answers) == [UNAVAILABLE] * 3
    assert seen == ["went on", "cancelled", "waited again"]


def test_a_servicer_that_goes_on_when_its_client_has_read_its_end(runner: asyncio.Runner) -> None:
    """It is cut when the server stops, which waits for it."""
    ended, never, seen = asyncio.Event(), asyncio.Event(), []

    async def go_on(_request: bytes, context: Any) -> None:
        await context.write(bytes(70_000))  # more than the client's window
        try:
            await context.abort(grpc.StatusCode.ABORTED, "no")
        finally:
            ended.set()
            try:
                await never.wait()
            except asyncio.CancelledError:
                seen.append("cancelled")
                raise

    async def act() -> None:
        async with serving({"GoOn": answering(go_on)}) as (server, address):
            try:
                async with asyncio.timeout(SECONDS), raw_client(address) as client:
                    client.reads = False
                    (stream,) = send(client, ["GoOn"])
                    await ended.wait()
                    client.reads = True
                    client.consume()
                    assert (await client.ended(stream)).status[1] == "no"
                    async with asyncio.timeout(1):
                        await server.stop(None)
                assert seen == ["cancelled"]
            finally:
                never.set()

    runner.run(act())


def test_a_task_that_is_cancelled_before_it_has_begun(runner: asyncio.Runner) -> None:
    """As by one who cancels all tasks of the loop: later calls are answered, and the server stops."""

    async def act() -> None:
        test = asyncio.current_task()

        async def cancel_others(request: bytes, _context: Any) -> bytes:
            for task in asyncio.all_tasks() - {test, asyncio.current_task()}:
                task.cancel()
            return request

        methods = {"M0": unary(cancel_others), "M1": unary(echo), "M2": unary(echo)}
        async with (
            asyncio.timeout(SECONDS),
            serving(methods) as (server, address),
            raw_client(address) as client,
        ):
            first, second, third = send(client, methods)
            assert (await client.ended(first)).status[0] == OK
            (later,) = send(client, ["M1"])
            assert (await client.ended(later)).status[0] == OK
            await server.stop(None)
            for cancelled in (second, third):
                assert (await client.ended(cancelled)).status[0] == UNAVAILABLE

    runner.run(act())
