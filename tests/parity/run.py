"""Asks both edges the whole table."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.doors.http2.client import ask as ask_http2
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
    sent = ask_http2 if case.http2 else ask
    ours, envoy = await asyncio.gather(sent(ports.ours, *request), sent(ports.envoy, *request))
    return Compared(seen(ours, case.compared), seen(envoy, case.compared))
