"""Many readers of one stream: how many are given a message in one turn of the event loop."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from tests.feeds.stage import News, settled, staged
from tests.feeds.test_offers import Taker, Waiting

READERS = 200
MEGABYTE = 1024 * 1024


class _Counting(Taker):
    """Counts what is taken in each turn of the loop."""

    def __init__(self, turns: Counter[int], turn: list[int]) -> None:
        super().__init__()
        self._turns, self._turn = turns, turn

    def __call__(self, items: object) -> bool:
        """Takes items."""
        self._turns[self._turn[0]] += 1
        return super().__call__(items)  # type: ignore[arg-type] # items of a stream


@pytest.mark.parametrize(("size", "most"), [(MEGABYTE, 4), (4 * MEGABYTE, 1), (100, READERS)])
@pytest.mark.parametrize("method", ["DropOldest", "Conflated"])
async def test_a_turn_has_its_share_of_bytes(method: str, size: int, most: int) -> None:
    """Large messages reach all readers, a few in a turn; small ones all at once."""
    turns: Counter[int] = Counter()
    turn = [0]

    async def count() -> None:
        while True:
            turn[0] += 1
            await asyncio.sleep(0)

    async with staged() as stage:
        waiting = []
        for _ in range(READERS):
            reader = await stage.join(method)
            one = Waiting(reader)
            one.taker = _Counting(turns, turn)
            reader.source.set_direct_writer(one.taker)
            waiting.append(one)
        await settled()
        counting = asyncio.ensure_future(count())
        for number in (1, 2):
            await stage.send(News(number=number, padding=bytes(size)).SerializeToString())
            while sum(len(one.taker.took) for one in waiting) < number * READERS:
                await asyncio.sleep(0)
        counting.cancel()

        assert max(turns.values()) <= most
        assert all(one.taker.took == [1, 2] for one in waiting)
        for one in waiting:
            one.task.cancel()


async def test_the_end_reaches_all_readers() -> None:
    """Also those whose turn for the last message has not come."""
    async with staged() as stage:
        waiting = [Waiting(await stage.join("DropOldest")) for _ in range(READERS)]
        await settled()
        stage.line.send(News(number=1, padding=bytes(MEGABYTE)).SerializeToString())
        stage.line.end()
        ends = await asyncio.gather(*(one.task for one in waiting), return_exceptions=True)

        read = [one.taker.took or end for one, end in zip(waiting, ends, strict=True)]
        assert read == [[1]] * READERS
