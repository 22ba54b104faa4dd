"""What is held for those who are silent: connections that have asked once, and subscribers without news."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Final

from bench import sides
from bench.lab import Lab
from bench.streams import TARGET
from bench.unary import POST

GROUP: Final = "memory"
_COUNT: Final = 1_000


async def run(lab: Lab) -> None:
    """Measures all; each in processes of their own, for memory that was once used is not given back.

    Once, for nothing disturbs a count of bytes.
    """
    if not lab.quick:
        await _connections(lab)
    await _subscribers(lab)
    for case in lab.results.groups[GROUP]:
        lab.say(GROUP, case)


async def _connections(lab: Lab) -> None:
    async with AsyncExitStack() as stack:
        cores = await stack.enter_async_context(sides.cores())
        edges = await stack.enter_async_context(sides.edges(lab.folder, cores))
        floor = await stack.enter_async_context(sides.empty())
        for side in (*edges, floor):
            pids = {"edge": side.part.pid}
            figures = await lab.load.idle(side.part.port, POST, count=_COUNT, pids=pids)
            lab.results.add(GROUP, "an idle connection", side.name, figures)


async def _subscribers(lab: Lab) -> None:
    async with sides.cores() as cores, sides.edges(lab.folder, cores) as edges:
        for side in edges:
            _, figures = await lab.load.subscribers(
                side.part.port,
                TARGET,
                counts=(1, _COUNT + 1),
                seconds=0.5,
                ticks=None,
                pids={"edge": side.part.pid},
            )
            kept = {"edge_kb_each": figures["edge_kb_each"]}
            lab.results.add(GROUP, "an idle SSE subscriber", side.name, kept)
