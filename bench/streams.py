"""What a subscriber and an event of a stream cost the edge: `python -m bench.streams`.

The same stream of events is read by many, from one call and from a call for each; then by many of whom one
does not read at all. What is counted of the processes is what the kernel knows of them.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.protobuf.descriptor_pb2 import FileDescriptorSet

from bench.processes import System, running
from bench.subscribers import DATA, ID, Tally, read_on, request, stalled, subscribe
from gateway.v1 import options_pb2

try:
    from uvloop import new_event_loop
except ImportError:
    from asyncio import new_event_loop  # type: ignore[assignment]

_SET = Path(__file__).resolve().parent.parent / "protos/descriptor_set.binpb"
_TARGET = "/rates/USD?target_currencies=GBP&target_currencies=JPY"
_TICK_PERIOD = 0.2
_SETTLE_SECONDS = 2
_KEEP = 64
"""How many messages are kept for the one who does not read, so that he soon lags behind them."""
_PAGES = 8
"""Answers that he asks for before the stream, which fill most of what a connection holds unread."""
_COLUMNS = ("readers", "kB each", "events/s", "a write", "edge µs", "core µs", "own µs", "edge CPU")


@dataclass(slots=True)
class Measured:
    """What some seconds of a stream have cost."""

    readers: int
    seconds: float
    tally: Tally
    edge_cpu: float
    core_cpu: float
    own_cpu: float
    memory: tuple[int, int]
    """Of the edge, at the begin and at the end."""

    def cost(self, name: str, connected: float, rpcs: int) -> str:
        """Returns the line of the table; costs are for each event that has reached a reader."""
        events, micro = self.tally.events, 1e6 / self.tally.events
        cells = (
            f"{self.readers:9}{connected / 1000:9.1f}{events / self.seconds:10.0f}"
            f"{events / self.tally.chunks:9.2f}{self.edge_cpu * micro:9.1f}"
            f"{self.core_cpu * micro:9.1f}{self.own_cpu * micro:9.1f}"
            f"{self.edge_cpu / self.seconds:9.0%}"
        )
        return f"{name:20}{cells}{_delays(self.tally)}{rpcs:6}"


def _delays(tally: Tally) -> str:
    return f"{tally.delay(0.5) * 1000:8.1f}{tally.delay(0.99) * 1000:8.1f}"


async def measure(system: System, tally: Tally, readers: int, seconds: float) -> Measured:
    """Counts for some seconds."""
    await asyncio.sleep(_SETTLE_SECONDS)
    memory = system.edge.resident
    tally.reset()
    edge, core, own, began = _now(system)
    await asyncio.sleep(seconds)
    assert not tally.lost, f"{tally.lost} readers were cut"
    edge_end, core_end, own_end, ended = _now(system)
    return Measured(
        readers=readers,
        seconds=ended - began,
        tally=tally,
        edge_cpu=edge_end - edge,
        core_cpu=core_end - core,
        own_cpu=own_end - own,
        memory=(memory, system.edge.resident),
    )


def _now(system: System) -> tuple[float, float, float, float]:
    return system.edge.cpu, system.core.cpu, time.process_time(), time.perf_counter()


async def many(
    name: str, descriptor_set: Path, readers: int, seconds: float, *, known_by: bytes
) -> None:
    """Prints the line of many readers."""
    tally = Tally(known_by)
    async with running(descriptor_set, _TICK_PERIOD, tight=False) as system:
        await subscribe(system.edge.port, _TARGET, 1, tally)  # what is made once is made now
        before = system.edge.resident
        await subscribe(system.edge.port, _TARGET, readers - 1, tally)
        measured = await measure(system, tally, readers, seconds)
        connected = (measured.memory[0] - before) / (readers - 1)
        print(measured.cost(name, connected, await system.core.watches()), flush=True)


async def one_stalled(descriptor_set: Path, readers: int, seconds: float) -> None:
    """Prints what one who does not read costs the edge, and the others."""
    tally = Tally(ID)
    async with running(descriptor_set, _TICK_PERIOD, tight=True) as system:
        await subscribe(system.edge.port, _TARGET, readers - 1, tally)
        with stalled(system.edge.port, request("/openapi.json") * _PAGES + request(_TARGET)) as it:
            measured = await measure(system, tally, readers, seconds)
            begin, end = (size / 1e6 for size in measured.memory)
            gap = await read_on(it, b"event: gap\ndata: ")
    print(f"1 of {readers} reads nothing for {measured.seconds:.0f} s, then reads on")
    print(f"  resident memory of the edge, MB, at begin and end  {begin:8.1f}{end:8.1f}")
    print(f"  delay of the others, ms, p50 and p99               {_delays(tally)}")
    print(f"  what it is told that it has missed                 {gap.decode()}", flush=True)


def with_option(change: Callable[[Any], None], path: Path) -> Path:
    """Writes the contract with the options of its shared streams changed."""
    contract = FileDescriptorSet.FromString(_SET.read_bytes())
    for file in contract.file:
        for service in file.service:
            for method in service.method:
                options: Any = method.options
                if options.HasExtension(options_pb2.stream):
                    change(options)
    path.write_bytes(contract.SerializeToString())
    return path


def _unshared(options: Any) -> None:
    options.ClearExtension(options_pb2.stream)


def _keeping_little(options: Any) -> None:
    options.Extensions[options_pb2.stream].keep = _KEEP


async def bench(options: argparse.Namespace, folder: Path) -> None:
    """Prints all."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    columns = "".join(f"{column:>9}" for column in _COLUMNS)
    print(f"{'':20}{columns}{'p50 ms':>8}{'p99 ms':>8}{'RPCs':>6}")
    await many("shared call", _SET, options.readers, options.seconds, known_by=ID)
    unshared = with_option(_unshared, folder / "unshared.binpb")
    await many(
        "a call for each", unshared, options.unshared_readers, options.seconds, known_by=DATA
    )
    keeping = with_option(_keeping_little, folder / "keeping.binpb")
    await one_stalled(keeping, options.readers, options.stalled_seconds)


def main() -> int:
    """Reads how many and how long, and runs; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--readers", type=int, default=1000, help="of one call")
    parser.add_argument("--unshared-readers", type=int, default=200, help="with a call for each")
    parser.add_argument("--seconds", type=float, default=10, help="that are measured")
    parser.add_argument("--stalled-seconds", type=float, default=60, help="that one does not read")
    options = parser.parse_args()
    try:
        with (
            tempfile.TemporaryDirectory() as folder,
            asyncio.Runner(loop_factory=new_event_loop) as runner,
        ):
            runner.run(bench(options, Path(folder)))
    except (KeyboardInterrupt, asyncio.CancelledError):
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
