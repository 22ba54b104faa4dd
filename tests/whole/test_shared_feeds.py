"""Three edges and one Redis: readers roam while leaders are killed, halted and cut off, and Redis dies.

The sizes are those of `make test`; `make shared` raises them by the variables below.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple, TypeAlias

import pytest

from tests.faults.namespaces import why_not
from tests.redis_server import needs_redis
from tests.whole.news_server import Feed
from tests.whole.roaming import Report
from tests.whole.shared_stage import May, Sizes, Stage, feed_of, staged

pytestmark = [needs_redis, pytest.mark.timeout(3600)]


def _size(name: str, small: str) -> float:
    return float(os.environ.get(f"SHARED_{name}") or small)


SIZES = Sizes(
    readers=int(_size("READERS", "24")),
    feeds=int(_size("FEEDS", "2")),
    processes=int(_size("PROCESSES", "1")),
    tick=_size("TICK", "0.1"),
    lease=_size("LEASE", "2"),
    timeout=_size("TIMEOUT", "5"),
)
KILLS = int(_size("KILLS", "1"))
PAUSES = int(_size("PAUSES", "1"))
CUTS = int(_size("CUTS", "1"))
RESTARTS = int(_size("RESTARTS", "2"))
ROLLS = int(_size("ROLLS", "0"))
SOON = 120.0
_ROAMING = 0.1
_SHOWN = 20


class Broken(NamedTuple):
    """What was broken, and mended."""

    what: str
    may: May


Breaking: TypeAlias = Callable[[Stage, Sequence[Report]], Awaitable[Broken]]
"""Breaks something and mends it."""


async def test_readers_are_told_of_every_break(tmp_path: Path) -> None:
    """Leaders die, halt and are replaced, and Redis dies, with its data and without.

    One call a feed. With ids of the server's nothing is lost, repeated or told. Without, each break is told
    once, to those whom it concerns.
    """
    async with staged(tmp_path, SIZES) as stage, _judged(stage):
        for number in range(KILLS):
            await _broken(stage, f"kill {number}", _kill_leader)
        for number in range(PAUSES):
            await _broken(stage, f"pause {number}", _pause_leader)
        for number in range(RESTARTS):
            await _broken(stage, f"restart {number}", _restart_redis(data=number % 2 == 0))
        for number in range(ROLLS):
            await _broken(stage, f"roll {number}", _replace_edges)


@pytest.mark.skipif("SHARED_CUTS" not in os.environ, reason="`make shared` cuts networks")
@pytest.mark.skipif(bool(why_not()), reason=why_not())
async def test_readers_are_told_of_every_cut(tmp_path: Path) -> None:
    """Edges are cut off Redis, and neither off their readers nor off the upstream.

    Whoever is cut off goes on alone. Without ids of the server's its readers are told so once, unless it led
    the feed, and once when it follows again; other readers, if it led the feed.
    """
    async with staged(tmp_path, SIZES, networks=True) as stage, _judged(stage):
        for number in range(CUTS):
            await _broken(stage, f"cut {number}", _cut_leader)


async def test_workers_share_their_feeds(tmp_path: Path) -> None:
    """One call a feed, whichever worker a reader is led to, and comes back to."""
    small = Sizes(readers=24, feeds=2, edges=1)
    async with staged(tmp_path, small, workers="2") as stage:
        await stage.settled()
        await stage.readers.roam(1)
        await stage.settled()
        reports = await stage.readers.report()

        assert set(stage.server.calls.values()) == {1}
        assert [(each.restarts, each.missed, each.problems) for each in reports] == [
            (0, 0, []) for _ in reports
        ]
        assert all(each.connections == 2 for each in reports)


@asynccontextmanager
async def _judged(stage: Stage) -> AsyncIterator[None]:
    """Looks at calls and readers before the breaks of the block, and at all that was told after them."""
    began = time.monotonic()
    await stage.settled()
    assert set(stage.server.calls.values()) == {1}
    assert len(stage.server.calls) == stage.sizes.feeds
    assert not any(each.restarts or each.missed for each in await stage.readers.report())
    yield
    reports = await stage.readers.report()
    seconds = time.monotonic() - began
    gaps = Counter((feed_of(each)[0], each.restarts, each.missed) for each in reports)
    print(
        f"{len(reports)} readers of {len(stage.server.calls)} feeds, {sum(r.events for r in reports)} events"
        f" in {seconds:.0f} s, {sum(r.connections for r in reports)} connections,"
        f" {sum(stage.server.calls.values())} calls, {len(stage.problems)} problems;"
        f" CPU of the readers' processes: {[f'{each / seconds:.2f}' for each in stage.readers.cpu]};"
        f" method, restarts, missed: readers {dict(sorted(gaps.items()))}"
    )
    print(*stage.problems[:_SHOWN], sep="\n")
    assert not stage.problems


async def _broken(stage: Stage, name: str, breaking: Breaking) -> None:
    """Lets some readers roam, breaks something and mends it, and judges what was told meanwhile."""
    await stage.readers.roam(_ROAMING)
    calls = await stage.settled()
    before = await stage.readers.report()
    began = time.monotonic()
    what, may = await breaking(stage, before)
    name = f"{name} of {what}"
    after = await stage.judge(name, before, (calls, await stage.settled()), may)
    told = sum(each.restarts for each in after) - sum(each.restarts for each in before)
    print(
        f"{name}: {time.monotonic() - began:.1f} s, {told} restarts told,"
        f" {sum(each.events for each in after)} events so far, {len(stage.problems)} problems",
        flush=True,
    )


async def _kill_leader(stage: Stage, _before: Sequence[Report]) -> Broken:
    """Its feeds restart once for every reader, wherever it is; all others go on."""
    number = stage.leader()
    led, calls = stage.feeds_led_by(number), Counter(stage.server.calls)
    await stage.lead_to([each for each in stage.edges if each != number])
    await stage.edges[number].running.kill()
    await stage.end_edge(number)
    await stage.settled()
    stage.expect("calls after a kill", stage.server.calls - calls, Counter(led))
    await stage.start_edge(number)
    return Broken(_leader(number, led), lambda _report, feed, _went_on: {int(feed in led)})


async def _replace_edges(stage: Stage, _before: Sequence[Report]) -> Broken:
    """One after the other, as a deployment does; each feed restarts once for each leader that it loses."""
    lost: Counter[Feed] = Counter()
    for number in [*stage.edges]:
        lost.update(stage.feeds_led_by(number))
        await stage.end_edge(number)
        await stage.start_edge(number)
        await stage.settled()
    return Broken("all edges", lambda _report, feed, _went_on: {lost[feed]})


async def _pause_leader(stage: Stage, before: Sequence[Report]) -> Broken:
    """Beyond its lease; its own readers wait meanwhile. What it appends then is refused, once a feed."""
    number = stage.leader()
    led, calls = stage.feeds_led_by(number), Counter(stage.server.calls)
    taken = led & _read_by_others(before, number)
    refused = await stage.refused(number)
    pid = stage.edges[number].pid
    os.kill(pid, signal.SIGSTOP)
    try:
        await stage.until(lambda: taken <= (stage.server.calls - calls).keys())
        await asyncio.sleep(5 * stage.sizes.tick)
    finally:
        os.kill(pid, signal.SIGCONT)
    await stage.settled()
    stage.expect("calls after a pause", stage.server.calls - calls, Counter(taken))
    late = await stage.refused(number) - refused
    stage.expect("late appends that were refused", late, len(taken))
    return Broken(_leader(number, led), lambda _report, feed, _went_on: {int(feed in taken)})


async def _cut_leader(stage: Stage, before: Sequence[Report]) -> Broken:
    """Until it goes on alone with all its feeds, and others have taken those that it led."""
    number = stage.leader()
    led, calls = stage.feeds_led_by(number), Counter(stage.server.calls)
    cable = stage.sites[number].cable
    assert cable is not None
    taken = led & _read_by_others(before, number)
    await cable.pull()
    try:
        await stage.until(lambda: taken <= (stage.server.calls - calls).keys())
        async with asyncio.timeout(SOON):
            while (roles := await stage.roles(number))["alone"] < sum(roles.values()):
                await asyncio.sleep(0.1)
        await asyncio.sleep(5 * stage.sizes.tick)
    finally:
        await cable.plug()

    def may(report: Report, feed: Feed, went_on: bool) -> set[int]:
        if report.edge != number:
            return {int(feed in taken)}
        return {int(not went_on)} if feed in led else {2}

    return Broken(_leader(number, led), may)


def _leader(number: int, led: set[Feed]) -> str:
    return f"edge {number}, which led {len(led)} feeds"


def _read_by_others(reports: Sequence[Report], number: int) -> set[Feed]:
    """Returns the feeds that have readers at other edges."""
    return {feed_of(each) for each in reports if each.edge != number}


def _restart_redis(*, data: bool) -> Breaking:
    """Returns what kills Redis, and starts it with its data or without."""

    async def breaking(stage: Stage, _before: Sequence[Report]) -> Broken:
        """Once for every reader, except those of a leader whose call has gone on.

        An edge that has not found Redis within a lease has gone on alone with calls of its own: their readers
        are told twice, unless such a call brought nothing, or is that of the feed now.
        """
        leaders = {feed: number for number in stage.edges for feed in stage.feeds_led_by(number)}
        calls, alone = Counter(stage.server.calls), await stage.alone()
        stage.redis.kill()
        if not data:
            for file in (stage.redis.folder / "appendonlydir").iterdir():
                file.unlink()
        await asyncio.sleep(0.3)
        await asyncio.to_thread(stage.redis.start)
        await stage.settled()
        now = await stage.alone()
        calls = stage.server.calls - calls

        def may(report: Report, feed: Feed, went_on: bool) -> set[int]:
            if leaders[feed] == report.edge:
                return {int(not went_on)}
            return {1, 2} if calls[feed] and now[report.edge] > alone[report.edge] else {1}

        return Broken(f"Redis {'with' if data else 'without'} data", may)

    return breaking
