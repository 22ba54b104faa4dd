"""A shared stream by a store, beside the same in the memory of one process: CPU, latency and commands.

The edge leads the feed: it makes the call, and appends to the store. Or it follows: another edge leads, and
this one reads the store. All its readers are of this one edge.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

from bench import sides
from bench.lab import Lab
from bench.processes import Part
from bench.sides import WIRE, Side
from bench.streams import TARGET, TICK_PERIOD
from bench.subscribers import DATA, Tally, subscribed

GROUP: Final = "shared"
MEMORY: Final = "in memory"
LEADER: Final = "by a store, the leader"
FOLLOWER: Final = "by a store, a follower"
COUNTS: Final = (10, 1_000)
_SECONDS: Final = 4


def case(count: int) -> str:
    """Returns the name of the case with so many readers."""
    return f"{count:,} readers"


async def run(lab: Lab) -> None:
    """Measures all; without a Redis nothing."""
    if sides.store_path() is None:
        print(f"{GROUP}: no redis-server here; it is left out")
        return
    for turn in range(lab.rounds):
        for name in (MEMORY, LEADER, FOLLOWER):
            await _one(lab, name, lab.folder / f"ticks-{GROUP}-{turn}-{name}")
    for each in COUNTS:
        lab.say(GROUP, case(each))


async def _one(lab: Lab, name: str, ticks: Path) -> None:
    async with sides.core(TICK_PERIOD, ticks, transport=WIRE) as core, _edge(name, core) as side:
        measured = await lab.load.subscribers(
            side.part.port,
            TARGET,
            counts=COUNTS,
            seconds=_SECONDS,
            ticks=ticks,
            pids=side.pids,
            store=None if side.store is None else side.store.port,
        )
    for count, figures in zip(COUNTS, measured, strict=True):
        lab.results.add(GROUP, case(count), name, figures)


@asynccontextmanager
async def _edge(name: str, core: Part) -> AsyncIterator[Side]:
    """Runs the edge that is measured, and what it needs beside it."""
    async with AsyncExitStack() as stack:
        store = None if name == MEMORY else await stack.enter_async_context(sides.store())
        if name == FOLLOWER:
            leader = await stack.enter_async_context(
                sides.ours(core, name="the leader", transport=WIRE, store=store)
            )
            (reader,) = await subscribed(leader.part.port, TARGET, 1, Tally(DATA))
            stack.callback(reader.abort)  # type: ignore[attr-defined] # a socket has it
        yield await stack.enter_async_context(
            sides.ours(core, name=name, transport=WIRE, store=store)
        )
