"""The current rates, and the watchers that wait for newer ones.

Rule: one ticker for any number of watchers, and no queues: a slow watcher reads the newest rates.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from decimal import Decimal
from math import floor
from typing import TypeAlias

from grpc_core.finance.errors import RatesUnavailableError
from grpc_core.finance.rates import Snapshot
from grpc_core.finance.watchlist import Watchlist


class FeedClosedError(Exception):
    """The feed was closed."""


class RateFeed:
    """Holds the current rates, and wakes the watchers when they are replaced.

    Attributes:
        newest: The current rates; None: there are none.
        watchers: Number of watchers.
    """

    def __init__(self, snapshot: Snapshot | None) -> None:
        """Takes the first rates; None: there are none yet."""
        self.newest = snapshot
        self.watchers = 0
        self._why_none = "there are no rates yet"
        self._closed = False
        self._replaced = asyncio.Event()
        self._turned = asyncio.Event()

    @property
    def current(self) -> Snapshot:
        """The current rates.

        Raises:
            RatesUnavailableError: There are none.
        """
        if self.newest is None:
            raise RatesUnavailableError(self._why_none)
        return self.newest

    def publish(self, snapshot: Snapshot) -> None:
        """Makes `snapshot` the current rates and wakes every watcher."""
        if snapshot is not self.newest:
            self._replace(snapshot)

    def withdraw(self, why: str) -> None:
        """Has no current rates from now on; watches end with a `RatesUnavailableError` that says why."""
        self._why_none = why
        if self.newest is not None:
            self._replace(None)

    def turning(self) -> asyncio.Event:
        """Returns an event: there are rates where there were none, or the other way round."""
        return self._turned

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
            RatesUnavailableError: There are no rates, or no longer any.
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
        while self.newest is seen and not self._closed:
            await self._replaced.wait()
        if self._closed:
            raise FeedClosedError

    def _replace(self, snapshot: Snapshot | None) -> None:
        turned = (snapshot is None) is not (self.newest is None)
        self.newest = snapshot
        self._wake()
        if turned:
            event, self._turned = self._turned, asyncio.Event()
            event.set()

    def _wake(self) -> None:
        replaced, self._replaced = self._replaced, asyncio.Event()
        replaced.set()


RatesOfTick: TypeAlias = Callable[[int, datetime], Snapshot]
"""Returns the rates of a tick, by its number and time, or raises a `RatesUnavailableError`."""


@asynccontextmanager
async def ticking(
    feed: RateFeed, rates: RatesOfTick, period: float, now: Callable[[], float] = time.time
) -> AsyncIterator[None]:
    """Publishes the rates of the current tick, then those of each further one, until the block is left.

    A tick's number is the Unix time divided by the period, so that all cores count the same.

    Args:
        feed: Where they are published.
        rates: The rates of each tick.
        period: Seconds between two ticks.
        now: The Unix time.
    """
    tick = floor(now() / period)
    _publish(feed, rates, tick, period)
    async with asyncio.TaskGroup() as tasks:
        ticker = tasks.create_task(_tick(feed, rates, tick, period, now), name="ticker")
        yield
        ticker.cancel()


async def _tick(
    feed: RateFeed, rates: RatesOfTick, last: int, period: float, now: Callable[[], float]
) -> None:
    while True:
        await asyncio.sleep((floor(now() / period) + 1) * period - now())
        tick = floor(now() / period)
        if tick != last:  # a timer may be early
            last = tick
            _publish(feed, rates, tick, period)


def _publish(feed: RateFeed, rates: RatesOfTick, tick: int, period: float) -> None:
    try:
        snapshot = rates(tick, datetime.fromtimestamp(tick * period, UTC))
    except RatesUnavailableError as error:
        feed.withdraw(str(error))
    else:
        feed.publish(snapshot)
