"""Calls without an edge: what a client of `grpc.aio` and what each core costs."""

from __future__ import annotations

from typing import Final

from bench import sides
from bench.lab import Lab, Turns, in_turn
from bench.processes import Part
from bench.sides import Side
from grpc_core._generated.finance_pb2 import ConvertRequest

GROUP: Final = "calls"
_COUNTS: Final = (1, 32, 256)
_PATH: Final = "/finance.CurrencyConverter/Convert"


async def run(lab: Lab) -> None:
    """Measures all."""
    request = ConvertRequest(from_currency="USD", to_currency="EUR", amount=100)
    counts = (32,) if lab.quick else _COUNTS
    cases = {
        f"Convert, {count}": Turns(request.SerializeToString(), count, _PATH) for count in counts
    }
    async with (
        sides.core() as core,
        Part.serving("bench.peers.bare_core") as bare,
        Part.serving("bench.peers.fast_core") as fast,
    ):
        cores = [
            Side(name, part, kind="core")
            for name, part in (("our core", core), ("bare servicer", bare), ("fast core", fast))
        ]
        await in_turn(lab, GROUP, cores, cases)
