"""A cold start: from the start of a process to its first answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Final

from bench import sides
from bench.contracts import path_of
from bench.lab import Lab
from bench.processes import Part
from bench.routes import COUNTS, written
from bench.sides import Side
from bench.turns import http_request
from bench.unary import POST

GROUP: Final = "starts"
Start = Callable[[], AbstractAsyncContextManager[Side]]


async def run(lab: Lab) -> None:
    """Measures all."""
    async with sides.core() as core, Part.serving("bench.peers.fast_core") as fast:
        cases: dict[str, tuple[dict[str, Start], bytes]] = {"the demo": (_demo(lab, core), POST)}
        for count in COUNTS:
            asked = http_request("GET", path_of(0))
            cases[f"{count} bindings"] = (_many(lab, fast, count), asked)
        for _ in range(lab.rounds):
            for case, (starts, request) in cases.items():
                for name, start in starts.items():
                    lab.results.add(GROUP, case, name, await _started(start, request))
    for case in cases:
        lab.say(GROUP, case)


def _demo(lab: Lab, core: Part) -> dict[str, Start]:
    starts: dict[str, Start] = {"ours": lambda: sides.ours(core)}
    if sides.envoy_path() is not None:
        starts["Envoy"] = lambda: sides.envoy(lab.folder, core)
    return starts | {"by hand": lambda: sides.by_hand(core), "empty uvicorn": sides.empty}


def _many(lab: Lab, core: Part, count: int) -> dict[str, Start]:
    contract = written(lab.folder, count)
    starts: dict[str, Start] = {"ours": lambda: sides.ours(core, contract)}
    if sides.envoy_path() is not None:
        starts["Envoy"] = lambda: sides.envoy(lab.folder, core, contract)
    return starts


async def _started(start: Start, request: bytes) -> dict[str, float]:
    async with start() as side:
        reader, writer = await asyncio.open_connection("127.0.0.1", side.part.port)
        writer.write(request)
        line = await reader.readline()
        assert b" 200" in line, line
        figures = {
            "seconds": time.perf_counter() - side.part.began,
            "cpu_seconds": side.part.cpu,
            "edge_mb": side.part.resident / 1e6,
        }
        writer.close()
        return figures
