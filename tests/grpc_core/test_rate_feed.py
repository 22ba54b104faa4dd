"""Who watches, and what they see."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from itertools import count
from random import Random

import pytest

from grpc_core.finance.rates import Snapshot
from grpc_core.finance.ticker import RandomWalk
from grpc_core.finance.watchlist import Watchlist
from grpc_core.rate_feed import FeedClosedError, RateFeed, Ticks, ticking
from tests.grpc_core.loopback import until

DOLLAR_AND_YEN = Watchlist("EUR", ("USD", "JPY"))


def moved(snapshot: Snapshot, **per_euro: Decimal) -> Snapshot:
    """Returns the snapshot with other rates for some currencies."""
    return replace(snapshot, per_euro={**snapshot.per_euro, **per_euro})


async def take(
    watch: AsyncGenerator[tuple[str, Decimal]], number: int
) -> list[tuple[str, Decimal]]:
    """Returns the next updates of a watch."""
    return [await anext(watch) for _ in range(number)]


async def test_a_watch_begins_with_everything_and_goes_on_with_what_changed(
    snapshot: Snapshot,
) -> None:
    """Each target is sent at once; later only those that have another rate."""
    feed = RateFeed(snapshot)
    async with aclosing(feed.watch(DOLLAR_AND_YEN)) as watch:
        first = await take(watch, 2)
        feed.publish(moved(snapshot, JPY=Decimal(161)))
        second = await take(watch, 1)
        feed.publish(moved(snapshot, JPY=Decimal(161), USD=Decimal(2), GBP=Decimal(3)))
        third = await take(watch, 1)

    assert first == [("USD", Decimal("1.25")), ("JPY", Decimal(160))]
    assert second == [("JPY", Decimal(161))]
    assert third == [("USD", Decimal(2))]


async def test_a_slow_watcher_gets_the_newest_rate(snapshot: Snapshot) -> None:
    """Whoever was busy during a thousand ticks sees the last one, and no other."""
    feed = RateFeed(snapshot)
    async with aclosing(feed.watch(DOLLAR_AND_YEN)) as watch:
        await take(watch, 1)
        for units in range(1, 1001):
            feed.publish(moved(snapshot, USD=Decimal(units), JPY=Decimal(units)))
        updates = await take(watch, 2)

        waiting = asyncio.ensure_future(anext(watch))
        await asyncio.sleep(0)
        assert not waiting.done()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    assert updates == [("JPY", Decimal(1000)), ("USD", Decimal(1000))]


async def test_one_watcher_that_leaves_takes_nobody_along(snapshot: Snapshot) -> None:
    """Cancelling one of those who wait leaves the others waiting."""
    feed = RateFeed(snapshot)
    dollar = Watchlist("EUR", ("USD",))
    watches = [feed.watch(dollar) for _ in range(3)]
    for watch in watches:
        await anext(watch)
    waiting = [asyncio.ensure_future(anext(watch)) for watch in watches]
    await asyncio.sleep(0)

    waiting[1].cancel()
    await until(waiting[1].done)
    feed.publish(moved(snapshot, USD=Decimal(2)))

    assert [await waiting[0], await waiting[2]] == [("USD", Decimal(2))] * 2
    assert feed.watchers == 2
    for watch in watches:
        await watch.aclose()
    assert feed.watchers == 0


async def test_a_closed_feed_ends_its_watches(snapshot: Snapshot) -> None:
    """Closing ends a watch that waits, and one that begins later once it has had the rates."""
    feed = RateFeed(snapshot)
    watch = feed.watch(Watchlist("EUR", ("USD",)))
    await anext(watch)
    waiting = asyncio.ensure_future(anext(watch))
    await asyncio.sleep(0)

    feed.close()

    with pytest.raises(FeedClosedError):
        await waiting
    with pytest.raises(FeedClosedError):
        await take(feed.watch(Watchlist("EUR", ("USD",))), 2)
    assert feed.watchers == 0


async def test_the_ticker_publishes_at_once_and_until_it_is_left(snapshot: Snapshot) -> None:
    """Rates are of now from the start, move while the block lasts, and stand still after it."""
    feed, years = RateFeed(snapshot), count(2030)
    walk = RandomWalk(snapshot, Random(1))

    async with ticking(
        feed,
        walk,
        Ticks(0.001, time.monotonic),
        now=lambda: datetime(next(years), 1, 1, tzinfo=UTC),
    ):
        assert feed.current.instant.year == 2030
        await until(lambda: feed.current.instant.year >= 2033)

    last = feed.current
    await asyncio.sleep(0.01)
    assert feed.current is last


async def test_a_ticker_that_fails_is_noticed(snapshot: Snapshot) -> None:
    """A server whose rates stopped moving must not go on as if they did."""
    times = iter([datetime(2030, 1, 1, tzinfo=UTC)])

    def now() -> datetime:
        try:
            return next(times)
        except StopIteration:
            raise RuntimeError("the clock broke") from None

    with pytest.raises(ExceptionGroup) as caught:
        async with ticking(
            RateFeed(snapshot),
            RandomWalk(snapshot, Random(1)),
            Ticks(0.001, time.monotonic),
            now=now,
        ):
            await asyncio.Event().wait()

    assert caught.group_contains(RuntimeError, match="the clock broke")


async def test_whoever_begins_later_publishes_the_same(snapshot: Snapshot) -> None:
    """One tick has one rate: a walk that is begun late, or was followed for a while, catches up."""
    clock = iter([100.0, 100.0, 102.4, 104.5, 104.5]).__next__
    ticks, walks = Ticks(0.5, clock), [RandomWalk(snapshot, Random(7)) for _ in range(3)]
    punctual, late, followed = walks
    steps = [punctual.step(snapshot.instant) for _ in range(10)]
    feeds = [RateFeed(snapshot), RateFeed(snapshot)]

    ticks.catch_up(followed)
    assert followed.steps == 0
    ticks.catch_up(followed)
    assert followed.steps == 4
    for feed, walk in zip(feeds, (late, followed), strict=True):
        async with ticking(feed, walk, ticks, now=lambda: snapshot.instant):
            pass

    assert [feed.current for feed in feeds] == [steps[9], steps[9]]


def test_steps_are_due_at_even_distances(snapshot: Snapshot) -> None:
    """A tick that came late does not delay those after it."""
    clock = iter([100.0, 100.4, 101.7]).__next__
    ticks, walk = Ticks(0.5, clock), RandomWalk(snapshot, Random(7))
    walk.step(snapshot.instant)

    assert ticks.remaining(walk) == pytest.approx(0.1)
    walk.step(snapshot.instant)
    assert ticks.remaining(walk) == pytest.approx(-0.7)
