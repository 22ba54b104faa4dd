"""A call that fails under its readers: who is told, and who has a new one."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator

import pytest
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status

from gateway.feeds.backoff import Backoff
from gateway.feeds.source import Gap
from gateway.testing import ScriptedCall
from gateway.transcoding.status import (
    INTERNAL,
    NOT_FOUND,
    UNAVAILABLE,
    StatusError,
)
from tests.feeds.stage import METHODS, news, settled, staged

RESTARTED = Gap(restarted=True)


async def test_a_shared_call_is_made_anew() -> None:
    """Readers that have begun wait, and are told once that the stream has begun anew."""
    async with staged() as stage:
        reader = await stage.join("DropOldest")
        await stage.send(news(1))
        assert await reader.read() == [1]
        for _ in range(3):
            stage.line.fail(UNAVAILABLE)
            await settled()
        assert len(stage.lines) == 4
        await stage.send(news(1), news(2))

        assert await reader.read() == [RESTARTED, 1, 2]
        await stage.send(news(3))
        late = await stage.join("DropOldest")
        assert await reader.read() == [3]
        await stage.send(news(4))
        assert await late.read() == [4]


async def test_the_wait_before_a_new_call_grows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits grow from 0.1 to 5 s, with jitter, and begin anew after a message."""
    monkeypatch.undo()
    backoff = Backoff()
    waits = [backoff.next() for _ in range(20)]
    backoff.reset()

    assert 0.08 <= waits[0] <= 0.12
    assert all(4 <= wait <= 6 for wait in waits[10:])
    assert len(set(waits[10:])) > 1
    assert 0.08 <= backoff.next() <= 0.12


def later(seconds: float, code: int = UNAVAILABLE) -> StatusError:
    """Returns a failure that says when to come back."""
    delay = Duration()
    delay.FromNanoseconds(round(seconds * 1e9))
    return StatusError.of(code, "later", RetryInfo(retry_delay=delay))


@pytest.mark.parametrize("said", [0.5, 30, 59.9])
async def test_the_wait_before_a_new_call_is_what_the_server_says(
    monkeypatch: pytest.MonkeyPatch, said: float
) -> None:
    """At least that, whichever try it is; jitter only adds."""
    monkeypatch.undo()
    waits = [Backoff().next(said) for _ in range(50)]

    assert min(waits) >= said
    assert max(waits) <= said * 1.2
    assert len(set(waits)) > 1


async def test_a_shared_call_is_not_made_anew_too_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the server says reaches the wait."""
    said: list[float] = []

    def wait(_self: Backoff, least: float) -> float:
        said.append(least)
        return 0

    monkeypatch.setattr(Backoff, "next", wait)
    async with staged() as stage:
        reader = await stage.join("DropOldest")
        await stage.send(news(1))
        await reader.read()
        pushback = StatusError(
            Status(code=UNAVAILABLE), trailing=(("grpc-retry-pushback-ms", "7000"),)
        )
        for failure in (later(30), later(-1), pushback, UNAVAILABLE):
            stage.line.fail(failure)
            await settled()

        assert (said, len(stage.lines)) == ([30, 0, 7, 0], 5)


async def test_readers_are_not_left_to_wait_for_long() -> None:
    """Where the server wants them to stay away for minutes they are told so, and no call is made."""
    async with staged() as stage:
        reader = await stage.join("DropOldest")
        await stage.send(news(1))
        await reader.read()
        stage.line.fail(later(61))

        assert (await reader.failure()).status == later(61).status
        assert len(stage.lines) == 1


async def test_who_has_not_begun_is_told_of_a_failure_at_once() -> None:
    """An HTTP status can still say it; those that have begun wait on."""
    async with staged() as stage:
        begun = await stage.join("DropOldest")
        await stage.send(news(1))
        await begun.read()
        fresh = await stage.join("DropOldest")
        stage.line.fail(UNAVAILABLE)

        assert (await fresh.failure()).code == UNAVAILABLE
        assert await begun.waits()
        assert len(stage.lines) == 2


async def test_who_joins_while_the_call_is_down_is_told_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It does not wait for the next try; one that comes back does, for it would take a status for the end."""
    monkeypatch.setattr(Backoff, "next", lambda _self, _least: 60)
    async with staged() as stage:
        begun = await stage.join("DropOldest")
        await stage.send(news(1))
        await begun.read()
        stage.line.fail(UNAVAILABLE)
        await settled()
        fresh = await stage.join("DropOldest")
        back = await stage.join("DropOldest", last_event_id=begun.ids[-1])
        stranger = await stage.join("DropOldest", last_event_id="fedcba9876543210-1")

        assert (await fresh.failure()).code == UNAVAILABLE
        assert [await reader.waits() for reader in (begun, back, stranger)] == [True] * 3


async def test_without_readers_that_have_begun_there_is_no_new_call() -> None:
    """All can be told, so all are."""
    async with staged() as stage:
        readers = [await stage.join("DropOldest") for _ in range(2)]
        stage.line.fail(UNAVAILABLE)

        assert [(await reader.failure()).code for reader in readers] == [UNAVAILABLE] * 2
        assert len(stage.lines) == 1


@pytest.mark.parametrize(
    ("method", "code"),
    [("DropOldest", NOT_FOUND), ("DropOldest", INTERNAL), ("Lingering", UNAVAILABLE)],
)
async def test_what_is_not_made_anew(method: str, code: int) -> None:
    """Other codes will not pass, and who reads alone is told and comes back himself."""
    async with staged() as stage:
        reader = await stage.join(method)
        await stage.send(news(1))
        await reader.read()
        stage.line.fail(code)

        assert (await reader.failure()).code == code
        assert len(stage.lines) == 1


async def test_every_reader_is_told_the_metadata_of_the_call_that_failed() -> None:
    """One call has failed for all of them."""
    async with staged() as stage:
        readers = [await stage.join("DropOldest") for _ in range(2)]
        await settled()
        stage.line.call.initial = (("www-authenticate", "Bearer"),)
        stage.line.call.trailing = (("cost", "3"),)
        stage.line.fail(NOT_FOUND)

        for reader in readers:
            error = await reader.failure()
            assert (error.initial, error.trailing) == (
                (("www-authenticate", "Bearer"),),
                (("cost", "3"),),
            )


async def test_who_joins_while_the_call_is_down_is_told_of_no_restart() -> None:
    """It has seen nothing that could be repeated, so nothing has begun anew for it."""
    async with staged() as stage:
        for method in ("DropOldest", "LastTwo", "Conflated"):
            begun = await stage.join(method)
            await stage.send(news(1, "a"))
            await begun.read()
            stage.line.fail(UNAVAILABLE)
            await settled()
            joiner = await stage.join(method)
            await stage.send(news(1, "a"))

            assert await joiner.read() == [1]
            assert await begun.read() == [RESTARTED, 1]


async def test_who_comes_back_too_late_before_a_restart_is_told_once() -> None:
    """What it was to be told before its first message, and what happens there, is one gap."""
    async with staged() as stage:
        await stage.join("DropOldest")
        await stage.send(news(1))
        back = await stage.join("DropOldest", last_event_id="0123456789abcdef-7")
        stage.line.fail(UNAVAILABLE)
        await settled()
        await stage.send(news(1), news(2))

        assert await back.read() == [RESTARTED, 1, 2]


@pytest.mark.parametrize(("method", "first"), [("LastTwo", [1]), ("Conflated", [1])])
async def test_who_joins_after_a_restart_is_given_nothing_older(
    method: str, first: list[int]
) -> None:
    """Messages of the call before may be repeated by the new one, so nobody gets both unawares."""
    async with staged() as stage:
        begun = await stage.join(method)
        await stage.send(news(1, "a"), news(2, "b"))
        await begun.read()
        stage.line.fail(UNAVAILABLE)
        await settled()
        await stage.send(news(1, "a"))
        late = await stage.join(method)

        assert await late.read() == first


@pytest.mark.parametrize("sent", [1, 4, 5])
async def test_who_comes_back_after_a_restart_is_told_of_it(sent: int) -> None:
    """Whether or not what stands at the restart is still kept."""
    async with staged() as stage:
        keeper, reader = await stage.join("DropOldest"), await stage.join("DropOldest")
        await stage.send(news(1))
        assert await reader.read() == await keeper.read() == [1]
        await reader.leave()
        stage.line.fail(UNAVAILABLE)
        await settled()
        await stage.send(*map(news, range(1, sent + 1)))
        back = await stage.join("DropOldest", last_event_id=reader.ids[-1])

        first = RESTARTED if sent <= 4 else Gap(missed=1, restarted=True)
        assert await back.read() == [first, *range(max(1, sent - 3), sent + 1)]


async def test_a_reader_that_lags_over_a_restart_is_told_both_at_once() -> None:
    """What is missing is counted, and the restart is not forgotten with it."""
    async with staged() as stage:
        keeper, slow = await stage.join("DropOldest"), await stage.join("DropOldest")
        await stage.send(news(1))
        assert await slow.read() == await keeper.read() == [1]
        stage.line.fail(UNAVAILABLE)
        await settled()
        await stage.send(*map(news, range(1, 7)))

        assert await slow.read() == [Gap(missed=2, restarted=True), 3, 4, 5, 6]


async def test_a_restart_costs_a_reader_no_message() -> None:
    """All that may be kept are messages: one that is exactly so far behind misses none."""
    async with staged() as stage:
        for method in ("DropOldest", "SharedDisconnect"):
            reader = await stage.join(method)
            await stage.send(news(1))
            await reader.read()
            await stage.send(news(2), news(3))
            stage.line.fail(UNAVAILABLE)
            await settled()
            await stage.send(news(2), news(3))

            assert await reader.read() == [2, 3, RESTARTED, 2, 3]


async def test_a_fault_of_ours_is_internal_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Readers are told nothing of it but that it happened."""
    async with staged() as stage:
        reader = await stage.join("DropOldest")
        with caplog.at_level(logging.ERROR, logger="gateway.feeds.feed"):
            stage.line.fail(ZeroDivisionError("secret"))
            failure = await reader.failure()

    assert (failure.code, failure.status.message) == (INTERNAL, "internal error")
    (record,) = caplog.records
    assert record.exc_info is not None
    assert record.exc_info[0] is ZeroDivisionError


async def test_a_call_that_is_cancelled_from_elsewhere_ends_its_readers() -> None:
    """Nobody waits for a call that will say no more."""
    async with staged() as stage:
        reader = await stage.join("DropOldest")
        stage.line.fail(asyncio.CancelledError())

        assert (await reader.failure()).code == UNAVAILABLE


async def test_a_failure_that_many_are_told_does_not_grow() -> None:
    """Each reader raises it; nothing of one reader is kept in it for the next."""
    async with staged() as stage:
        readers = [await stage.join("DropOldest") for _ in range(10)]
        stage.line.fail(NOT_FOUND)
        depths = []
        for reader in readers:
            traceback, depth = (await reader.failure()).__traceback__, 0
            while traceback is not None:
                traceback, depth = traceback.tb_next, depth + 1
            depths.append(depth)

    assert len(set(depths)) == 1


async def test_metadata_of_a_stream_without_messages() -> None:
    """What the server says at the start is told though no message follows."""

    async def nothing(call: ScriptedCall) -> AsyncIterator[bytes]:
        call.initial, call.trailing = (("etag", "1"),), (("x", "2"),)
        messages: tuple[bytes, ...] = ()
        for message in messages:
            yield message

    async with staged() as stage:
        stage.upstream.scripts[METHODS["DropOldest"].path] = nothing
        reader = await stage.join("DropOldest")
        assert await reader.rest() == []

        assert await reader.source.initial_metadata() == (("etag", "1"),)
        assert await reader.source.trailing_metadata() == (("x", "2"),)


async def test_what_the_server_says_last_is_told_of_a_failure_too() -> None:
    """Trailing metadata belongs to the end, whichever it is."""

    async def failing(call: ScriptedCall) -> AsyncIterator[bytes]:
        call.trailing = (("x", "2"),)
        yield news(1)
        raise StatusError.of(NOT_FOUND, "gone")

    async with staged() as stage:
        stage.upstream.scripts[METHODS["DropOldest"].path] = failing
        reader = await stage.join("DropOldest")
        assert await reader.read() == [1]
        assert (await reader.failure()).code == NOT_FOUND

        assert await reader.source.trailing_metadata() == (("x", "2"),)
