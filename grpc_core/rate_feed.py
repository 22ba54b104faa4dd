"""The current rates, and the watchers that wait for newer ones.

Rule: one ticker for any number of watchers, and no queues: a slow watcher reads the newest rates.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from decimal import Decimal

from grpc_core.finance.rates import Snapshot
from grpc_core.finance.ticker import RandomWalk
from grpc_core.finance.watchlist import Watchlist


class FeedClosedError(Exception):
    """The feed was closed."""


class RateFeed:
    """Holds the current rates, and wakes the watchers when they are replaced.

    Attributes:
        current: The newest rates.
        watchers: Number of watchers.
    """

    def __init__(self, snapshot: Snapshot) -> None:
        self.current = snapshot
        self.watchers = 0
        self._closed = False
        self._replaced = asyncio.Event()

    def publish(self, snapshot: Snapshot) -> None:
        """Makes `snapshot` the current rates and wakes every watcher."""
        self.current = snapshot
        self._wake()

    def close(self) -> None:
        """Ends all current and future watches with a `FeedClosedError`."""
        self._closed = True
        self._wake()

    async def watch(self, watchlist: Watchlist) -> AsyncGenerator[tuple[str, Decimal]]:
        """Yields currency and rate: first for all targets, then for each rate that changes.

        Each rate is looked up when it is yielded, so a slow reader misses rates but never gets an old one.
        The generator does not end by itself; close it.

        Raises:
            FeedClosedError: The feed was closed.
        """
        self.watchers += 1
        try:
            sent: dict[str, Decimal] = {}
            while True:
                seen = self.current
                for target in watchlist.targets:
                    rate = self.current.rate(watchlist.base, target)
                    if sent.get(target) != rate:
                        sent[target] = rate
                        yield target, rate
                await self._newer_than(seen)
        finally:
            self.watchers -= 1

    async def _newer_than(self, seen: Snapshot) -> None:
        while self.current is seen and not self._closed:
            await self._replaced.wait()
        if self._closed:
            raise FeedClosedError

    def _wake(self) -> None:
        replaced, self._replaced = self._replaced, asyncio.Event()
        replaced.set()


class Ticks:
    """The times of a walk's steps: the first one now, then one every `period` seconds."""

    def __init__(self, period: float, clock: Callable[[], float]) -> None:
        """Starts now; the clock must be the same in all processes of the machine."""
        self._period = period
        self._clock = clock
        self._start = clock()

    def catch_up(self, walk: RandomWalk) -> None:
        """Takes all due steps except the newest one, whose rates will be published."""
        due = int((self._clock() - self._start) / self._period) + 1
        while walk.steps < due - 1:
            walk.skip()

    def remaining(self, walk: RandomWalk) -> float:
        """Returns the seconds until the next step of a walk."""
        return self._start + walk.steps * self._period - self._clock()


@asynccontextmanager
async def ticking(
    feed: RateFeed, walk: RandomWalk, ticks: Ticks, *, now: Callable[[], datetime]
) -> AsyncIterator[None]:
    """Publishes the newest step of the walk, then every further step, until the block is left."""
    _publish(feed, walk, ticks, now)
    async with asyncio.TaskGroup() as tasks:
        ticker = tasks.create_task(_tick(feed, walk, ticks, now), name="ticker")
        yield
        ticker.cancel()


async def _tick(
    feed: RateFeed, walk: RandomWalk, ticks: Ticks, now: Callable[[], datetime]
) -> None:
    while True:
        await asyncio.sleep(ticks.remaining(walk))
        _publish(feed, walk, ticks, now)


def _publish(feed: RateFeed, walk: RandomWalk, ticks: Ticks, now: Callable[[], datetime]) -> None:
    ticks.catch_up(walk)
    feed.publish(walk.step(now()))
