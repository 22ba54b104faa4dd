"""A reader that comes back with the id of what it has seen last."""

from __future__ import annotations

import asyncio

import pytest

from gateway.feeds.feed import Feed
from gateway.feeds.source import Gap
from gateway.feeds.subscription import Subscription
from gateway.transcoding.status import (
    NOT_FOUND,
    UNAVAILABLE,
)
from tests.feeds.stage import Reader, news, settled, staged

RESTARTED = Gap(restarted=True)


def feed_of(reader: Reader) -> Feed:
    """Returns the feed that a reader reads."""
    assert isinstance(reader.source, Subscription)
    return reader.source.feed


@pytest.mark.parametrize("method", ["DropOldest", "Lingering"])
async def test_a_reader_comes_back_without_loss_or_duplicate(method: str) -> None:
    """After the id it has seen last it goes on, whether or not the call had a reader meanwhile."""
    async with staged() as stage:
        reader = await stage.join(method)
        await stage.send(news(1))
        assert await reader.read() == [1]
        await reader.leave()
        await stage.send(news(2), news(3))
        back = await stage.join(method, last_event_id=reader.ids[-1])
        assert await back.read() == [2, 3]
        await stage.send(news(4))

        assert await back.read() == [4]
        assert len(stage.upstream.calls) == 1


async def test_a_reader_that_comes_back_too_late_is_told_how_many_it_missed() -> None:
    """Of four that are kept and six that came, two are missing."""
    async with staged() as stage:
        reader = await stage.join("DropOldest")
        await stage.send(news(1))
        await reader.read()
        await reader.leave()
        await stage.send(*map(news, range(2, 8)))
        back = await stage.join("DropOldest", last_event_id=reader.ids[-1])

        assert await back.read() == [Gap(missed=2), 4, 5, 6, 7]


async def test_a_reader_that_comes_back_too_late_is_not_sent_away() -> None:
    """A reader that was cut is not slow: it is told what it missed, even where the slow are cut."""
    async with staged() as stage:
        reader = await stage.join("SharedDisconnect")
        await stage.send(news(1))
        await reader.read()
        await reader.leave()
        await stage.send(*map(news, range(2, 8)))
        back = await stage.join("SharedDisconnect", last_event_id=reader.ids[-1])

        assert await back.read() == [Gap(missed=2), 4, 5, 6, 7]


async def test_a_conflated_reader_comes_back_to_the_newest_of_each_key() -> None:
    """What it missed is counted but for the newest of each key, and those it gets in order."""
    async with staged() as stage:
        reader = await stage.join("Conflated")
        await stage.send(news(1, "a"))
        await reader.read()
        await reader.leave()
        await stage.send(*(news(n, "ab"[n % 2]) for n in range(2, 10)))
        back = await stage.join("Conflated", last_event_id=reader.ids[-1])

        assert await back.read() == [Gap(missed=6), 8, 9]


@pytest.mark.parametrize("method", ["DropOldest", "Lingering", "Plain"])
@pytest.mark.parametrize("last", ["x", "0123456789abcdef-1", "0123456789abcdef-٣", "-1", "end"])
async def test_an_id_that_nobody_knows_is_a_restart(method: str, last: str) -> None:
    """The reader is told before its first message that the stream is another one."""
    async with staged() as stage:
        reader = await stage.join(method, last_event_id=last)
        await stage.send(news(1))

        assert await reader.read() == [RESTARTED, 1]


@pytest.mark.parametrize("method", ["DropOldest", "Lingering", "Plain"])
async def test_a_restart_that_fails_at_once_is_a_failure_alone(method: str) -> None:
    """The news of a restart goes with a message: without one an answer keeps its HTTP status."""
    async with staged() as stage:
        reader = await stage.join(method, last_event_id="x")
        stage.line.fail(NOT_FOUND)

        assert (await reader.failure()).code == NOT_FOUND


@pytest.mark.parametrize("other", [{"topic": "other"}, {"metadata": (("authorization", "other"),)}])
async def test_ids_of_other_requests_are_refused(other: dict[str, object]) -> None:
    """An id gives nobody what another one reads."""
    async with staged() as stage:
        reader = await stage.join("Lingering", metadata=(("authorization", "mine"),))
        await stage.send(news(1), news(2))
        await reader.read()
        thief = await stage.join("Lingering", last_event_id=reader.ids[0], **other)
        await stage.send(news(3))

        assert await thief.read() == [RESTARTED, 3]
        assert len(stage.upstream.calls) == 2
        assert await reader.waits()


async def test_an_id_from_the_future_is_a_restart() -> None:
    """A number that the stream has not come to was not given by it."""
    async with staged() as stage:
        reader = await stage.join("DropOldest")
        await stage.send(news(1))
        await reader.read()
        stream, _, number = reader.ids[0].partition("-")
        liar = await stage.join("DropOldest", last_event_id=f"{stream}-{int(number) + 1}")
        await stage.send(news(2))

        assert await liar.read() == [RESTARTED, 2]


@pytest.mark.parametrize("method", ["DropOldest", "Lingering"])
async def test_a_stream_that_has_ended_is_read_to_its_end(method: str) -> None:
    """What was kept is still there within the linger, and so is the clean end."""
    async with staged() as stage:
        reader = await stage.join(method)
        await stage.send(news(1), news(2), news(3))
        await reader.read()
        stage.line.end()
        await reader.leave()
        await settled()
        back = await stage.join(method, last_event_id=reader.ids[0])
        again = await stage.join(method, last_event_id=reader.ids[2])

        if method == "DropOldest":
            assert await back.rest() == [2, 3]
        assert await again.rest() == []
        assert len(stage.upstream.calls) == 1


@pytest.mark.parametrize("code", [NOT_FOUND, UNAVAILABLE])
async def test_a_stream_that_has_failed_gives_the_rest_and_the_same_failure(code: int) -> None:
    """Who has not read all is given what is left, and then told the failure."""
    async with staged() as stage:
        reader = await stage.join("Lingering")
        await stage.send(news(1), news(2))
        await reader.read()
        stage.line.fail(code)
        await reader.leave()
        back = await stage.join("Lingering", last_event_id=reader.ids[0])

        assert await back.read() == [2]
        assert (await back.failure()).code == code
        assert len(stage.upstream.calls) == 1


@pytest.mark.parametrize(("code", "calls"), [(NOT_FOUND, 1), (UNAVAILABLE, 2)])
async def test_after_a_failure_that_may_pass_a_new_call_is_made(code: int, calls: int) -> None:
    """Who has read all, and comes back after a failure that may pass, is answered anew."""
    async with staged() as stage:
        reader = await stage.join("Lingering")
        await stage.send(news(1))
        await reader.read()
        stage.line.fail(code)
        await settled()
        await reader.leave()
        back = await stage.join("Lingering", last_event_id=reader.ids[-1])
        assert len(stage.upstream.calls) == calls
        await stage.send(news(7))

        if calls == 2:
            assert await back.read() == [RESTARTED, 7]
        else:
            assert (await back.failure()).code == code


async def test_who_comes_just_after_the_end_has_a_new_call() -> None:
    """A call that has ended is joined by nobody, not even in the moment in which it ends."""
    async with staged() as stage:
        first = await stage.join("DropOldest")
        feed = feed_of(first)
        stage.line.end()
        while not feed.ended:
            await asyncio.sleep(0)
        second = Reader(stage.feeds.open(stage.request("DropOldest")))
        stage.readers.append(second)
        await second.join()

        assert feed_of(second) is not feed


async def test_a_private_stream_has_one_reader() -> None:
    """Who comes back while its old connection still seems to live takes the place of that one."""
    async with staged() as stage:
        old = await stage.join("Lingering")
        await stage.send(news(1))
        await old.read()
        new = await stage.join("Lingering", last_event_id=old.ids[-1])
        await stage.send(news(2))

        assert (await old.failure()).code == UNAVAILABLE
        assert await new.read() == [2]
        assert len(stage.upstream.calls) == 1


async def test_one_that_waits_is_told_that_its_place_is_taken() -> None:
    """The old reader does not have to wait for a message to learn it."""
    async with staged() as stage:
        old = await stage.join("Lingering")
        await stage.send(news(1))
        await old.read()
        waiting = asyncio.ensure_future(old.failure())
        await settled()
        await stage.join("Lingering", last_event_id=old.ids[-1])

        assert (await waiting).code == UNAVAILABLE


async def test_an_evicted_reader_that_leaves_late_ends_nothing() -> None:
    """Whose place was taken has no part in the stream any more, so its leaving starts no clock."""
    async with staged() as stage:
        old = await stage.join("Lingering")
        await stage.send(news(1))
        await old.read()
        new = await stage.join("Lingering", last_event_id=old.ids[-1])
        await new.leave()
        feed = feed_of(new)
        timer = stage.feeds._entries[feed].linger_timer
        assert timer is not None
        await old.leave()

        assert stage.feeds._entries[feed].linger_timer is timer
