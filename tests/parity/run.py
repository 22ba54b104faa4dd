"""Asks both edges the whole table."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.parity.client import ask
from tests.parity.compare import Compared, seen
from tests.parity.edges import Ports, both_edges
from tests.parity.requests import Case, cases

_AT_ONCE = 8


async def run(folder: Path) -> dict[str, Compared]:
    """Returns what came of each request, by its name."""
    turn = asyncio.Semaphore(_AT_ONCE)
    async with both_edges(folder) as ports:

        async def compared(case: Case) -> Compared:
            async with turn:
                return await _compared(case, ports[case.server])

        table = cases()
        results = await asyncio.gather(*(compared(case) for case in table))
        return {case.name: result for case, result in zip(table, results, strict=True)}


async def _compared(case: Case, ports: Ports) -> Compared:
    request = (case.method, case.target, case.headers, case.body)
    ours, envoy = await asyncio.gather(ask(ports.ours, *request), ask(ports.envoy, *request))
    return Compared(seen(ours, case.compared), seen(envoy, case.compared))
