"""A server's stream read by one, a hundred and a thousand: what an event costs, and how late it is.

Each subscriber is sent ten events a second. A side is started anew for each round, for its rates must not
repeat: an event is known by them.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, Final

from google.protobuf.descriptor_pb2 import FileDescriptorSet

from bench import sides
from bench.lab import Lab
from bench.processes import Part
from bench.sides import Side
from gateway.v1 import options_pb2

GROUP: Final = "streams"
TARGET: Final = "/rates/USD?target_currencies=GBP&target_currencies=JPY"
TICK_PERIOD: Final = 0.2
_COUNTS: Final = (1, 100, 1_000)
_BY_HAND: Final = (1, 100)
"""A thousand subscribers, each with a call of its own through FastAPI, are more than two cores can do."""
_SECONDS: Final = 4
_ROUNDS: Final = 2

Start = Callable[[Part], AbstractAsyncContextManager[Side]]


async def run(lab: Lab) -> None:
    """Measures all."""
    unshared = with_option(unshare, lab.folder / "unshared.binpb")
    starts: dict[str, tuple[Start, tuple[int, ...]]] = {
        "ours, shared": (_ours("ours, shared", sides.DEMO_SET), _COUNTS),
        "ours, shared, wire": (_ours("ours, shared, wire", sides.DEMO_SET, sides.WIRE), _COUNTS),
    }
    if sides.envoy_path() is not None:
        starts["Envoy"] = (lambda core: sides.envoy(lab.folder, core), _COUNTS)
    if not lab.quick:
        starts["ours, not shared"] = (_ours("ours, not shared", unshared), _COUNTS)
        starts["by hand"] = (sides.by_hand, _BY_HAND)
    for turn in range(1 if lab.quick else min(_ROUNDS, lab.rounds)):
        for name, (start, counts) in starts.items():
            ticks = lab.folder / f"ticks-{turn}-{name}"
            await _one(lab, start, counts, ticks)
    for case in lab.results.groups[GROUP]:
        lab.say(GROUP, case)


def _ours(name: str, descriptor_set: Path, transport: str = sides.GRPCIO) -> Start:
    return lambda core: sides.ours(core, descriptor_set, name=name, transport=transport)


async def _one(lab: Lab, start: Start, counts: tuple[int, ...], ticks: Path) -> None:
    async with sides.core(TICK_PERIOD, ticks) as core, start(core) as side:
        measured = await lab.load.subscribers(
            side.part.port, TARGET, counts=counts, seconds=_SECONDS, ticks=ticks, pids=side.pids
        )
        for count, figures in zip(counts, measured, strict=True):
            case = f"{count} subscriber{'s' if count > 1 else ''}"
            lab.results.add(GROUP, case, side.name, figures)


def with_option(change: Callable[[Any], None], path: Path) -> Path:
    """Writes the demo's contract with the options of its streams changed."""
    contract = FileDescriptorSet.FromString(sides.DEMO_SET.read_bytes())
    for file in contract.file:
        for service in file.service:
            for method in service.method:
                options: Any = method.options
                if options.HasExtension(options_pb2.stream):
                    change(options)
    path.write_bytes(contract.SerializeToString())
    return path


def unshare(options: Any) -> None:
    """Gives each reader a call of its own."""
    options.ClearExtension(options_pb2.stream)
