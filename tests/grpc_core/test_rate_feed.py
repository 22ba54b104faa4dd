"""Who watches, and what they see."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from itertools import repeat

import pytest

from grpc_core.finance.errors import RatesUnavailableError
from grpc_core.finance.rates import Snapshot
from grpc_core.finance.watchlist import Watchlist
from grpc_core.rate_feed import FeedClosedError, RateFeed, ticking
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


async def test_no_rates_end_a_watch_with_the_reason(snapshot: Snapshot) -> None:
    """Rates that are withdrawn end watches and refuse new ones, until there are rates again."""
    feed = RateFeed(snapshot)
    watch = feed.watch(Watchlist("EUR", ("USD",)))
    await anext(watch)
    waiting = asyncio.ensure_future(anext(watch))
    await asyncio.sleep(0)

    turning = feed.turning()
    feed.withdraw("they are too old")

    assert turning.is_set()
    with pytest.raises(RatesUnavailableError, match="they are too old"):
        await waiting
    with pytest.raises(RatesUnavailableError, match="they are too old"):
        await anext(feed.watch(Watchlist("EUR", ("USD",))))
    turning = feed.turning()
    feed.withdraw("they still are")
    assert not turning.is_set()
    feed.publish(snapshot)
    assert turning.is_set()
    assert feed.current is snapshot
    assert feed.watchers == 0


def at(snapshot: Snapshot, tick: int, instant: datetime) -> Snapshot:
    """Returns the rates of a tick: the dollar is its number."""
    return replace(moved(snapshot, USD=Decimal(tick)), instant=instant)


async def test_the_ticker_publishes_at_once_and_until_it_is_left(snapshot: Snapshot) -> None:
    """Rates are of the tick from the start, move while the block lasts, and stand still after it."""
    feed, before = RateFeed(snapshot), datetime.now(UTC)

    async with ticking(feed, partial(at, snapshot), 0.001):
        first = feed.current
        assert before - timedelta(milliseconds=1) <= first.instant <= datetime.now(UTC)
        await until(lambda: feed.current.per_euro["USD"] >= first.per_euro["USD"] + 3)

    last = feed.current
    await asyncio.sleep(0.01)
    assert feed.current is last


async def test_whoever_begins_later_publishes_the_same(snapshot: Snapshot) -> None:
    """A tick is counted from 1970, and its time is a multiple of the period: it is no matter who looks."""
    feeds = [RateFeed(snapshot), RateFeed(snapshot)]
    for feed, now in zip(feeds, (1_800_000_000.5, 1_800_000_000.99), strict=True):
        async with ticking(feed, partial(at, snapshot), 0.5, repeat(now).__next__):
            pass

    assert feeds[0].current == feeds[1].current
    assert feeds[0].current.per_euro["USD"] == 3_600_000_001
    assert feeds[0].current.instant == datetime(2027, 1, 15, 8, 0, 0, 500_000, tzinfo=UTC)


async def test_rates_that_are_missing_are_withdrawn_and_come_back(snapshot: Snapshot) -> None:
    """A tick without rates withdraws the old ones; a later one that has rates publishes them."""
    feed, missing = RateFeed(snapshot), True

    def rates(tick: int, instant: datetime) -> Snapshot:
        if missing:
            raise RatesUnavailableError("none today")
        return at(snapshot, tick, instant)

    async with ticking(feed, rates, 0.001):
        with pytest.raises(RatesUnavailableError, match="none today"):
            _ = feed.current
        missing = False
        await until(lambda: feed.newest is not None)


async def test_a_ticker_that_fails_is_noticed(snapshot: Snapshot) -> None:
    """A server whose rates stopped moving must not go on as if they did."""
    times = iter([100.0, 100.0, 100.0])

    def now() -> float:
        try:
            return next(times)
        except StopIteration:
            raise RuntimeError("the clock broke") from None

    with pytest.raises(ExceptionGroup) as caught:
        async with ticking(RateFeed(snapshot), partial(at, snapshot), 0.001, now):
            await asyncio.Event().wait()

    assert caught.group_contains(RuntimeError, match="the clock broke")
