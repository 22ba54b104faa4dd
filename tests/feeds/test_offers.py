"""What comes while a reader waits is offered to it first, and wakes nobody whom it need not wake."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from gateway.feeds.source import Gap, Item
from gateway.transcoding.status import NOT_FOUND, StatusError
from tests.feeds.stage import Reader, Seen, Stage, news, seen, settled, staged


class Taker:
    """Takes what it is offered, while it is told to."""

    def __init__(self) -> None:
        self.took: list[Seen] = []
        self.offered = 0
        self.refuses: bool | Exception = False

    def __call__(self, items: Sequence[Item]) -> bool:
        """Takes items."""
        self.offered += 1
        if isinstance(self.refuses, Exception):
            raise self.refuses
        if not self.refuses:
            self.took += seen(items)
        return not self.refuses


class Waiting:
    """A reader that waits for its next items, with a taker in front of it."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader
        self.taker = Taker()
        reader.source.set_direct_writer(self.taker)
        self.task = asyncio.ensure_future(reader.read())


@asynccontextmanager
async def waiting(method: str) -> AsyncIterator[tuple[Stage, Waiting]]:
    """Opens a stream, and waits behind its first message."""
    async with staged() as stage:
        reader = await stage.join(method)
        await stage.send(news(1))
        assert await reader.read() == [1]
        waits = Waiting(reader)
        await settled()
        yield stage, waits
        waits.task.cancel()
        await asyncio.wait([waits.task])


@pytest.mark.parametrize("method", ["DropOldest", "Conflated", "Lingering"])
async def test_what_is_taken_wakes_nobody(method: str) -> None:
    """A reader that waits goes on waiting, and its place moves with what was taken."""
    async with waiting(method) as (stage, waits):
        for number in range(2, 12):
            await stage.send(news(number))

        assert waits.taker.took == list(range(2, 12))
        assert not waits.task.done()


@pytest.mark.parametrize("refuses", [True, RuntimeError("no")])
async def test_what_is_refused_is_read_by_iteration(refuses: bool | Exception) -> None:
    """Nothing of it is lost or told twice; and no other reader hears of a fault."""
    async with waiting("DropOldest") as (stage, waits):
        other = Waiting(await stage.join("DropOldest"))
        await settled()
        waits.taker.refuses = refuses
        await stage.send(news(2), news(3))

        assert await waits.task == [2, 3]
        assert other.taker.took == [2, 3]
        other.task.cancel()


async def test_nothing_is_offered_to_who_does_not_wait() -> None:
    """A reader that is busy with what it has been given reads on by itself, and in order."""
    async with waiting("DropOldest") as (stage, waits):
        waits.taker.refuses = True
        await stage.send(news(2))
        assert await waits.task == [2]
        waits.taker.refuses = False
        await stage.send(news(3))

        assert (waits.taker.offered, waits.taker.took) == (1, [])
        assert await waits.reader.read() == [3]


async def test_the_end_is_told_by_iteration() -> None:
    """Taken messages are followed by the clean end, or by the failure, as if they had been read."""
    async with waiting("DropOldest") as (stage, waits):
        await stage.send(news(2))
        stage.line.end()
        with pytest.raises(StopAsyncIteration):
            await waits.task
    async with waiting("DropOldest") as (stage, other):
        stage.line.send(news(2))
        stage.line.fail(NOT_FOUND)
        with pytest.raises(StatusError) as failed:
            await other.task

    assert failed.value.code == NOT_FOUND
    assert (waits.taker.took, other.taker.took) == ([2], [2])


async def test_a_gap_is_offered_in_its_place() -> None:
    """That the call was made anew is told between the messages before and those after."""
    async with waiting("DropOldest") as (stage, waits):
        await stage.send(news(2))
        stage.line.fail(14)
        while len(stage.lines) < 2:
            await asyncio.sleep(0.01)
        await stage.send(news(3))

        assert waits.taker.took == [2, Gap(restarted=True), 3]
        assert not waits.task.done()


async def test_a_slow_reader_is_not_offered_what_comes_after_a_gap() -> None:
    """Of a reader that lags behind, the contract's policy decides, wherever it waits."""
    async with waiting("DropOldest") as (stage, waits):
        stage.line.send(*map(news, range(2, 12)))
        await settled()

        assert await waits.task == [Gap(missed=6), 8, 9, 10, 11]
        assert waits.taker.offered == 0


async def test_what_is_taken_makes_room() -> None:
    """A call that waits for its reader is not held back by one that takes what comes."""
    async with waiting("Lingering") as (stage, waits):
        await stage.send(*map(news, range(2, 22)))

        assert waits.taker.took == list(range(2, 22))
        assert stage.line.taken == 21
