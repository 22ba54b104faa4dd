"""The sides that are compared, each started as those who run it would; every one within a block."""

from __future__ import annotations

import asyncio
import shutil
import sys
import sysconfig
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import yaml

from bench.processes import ROOT, Part, free_ports

DEMO_SET: Final = ROOT / "protos/descriptor_set.binpb"
_SEED: Final = "10"
"""With this seed neither of two currencies has one rate twice in the first 300 moves."""


@dataclass(frozen=True)
class Side:
    """What answers, under the name by which the tables call it, and what stands behind it."""

    name: str
    part: Part
    core: Part | None = None
    kind: str = "edge"
    """What its figures are called."""

    @property
    def pids(self) -> dict[str, int]:
        """Its processes, by what their figures are called."""
        pids = {self.kind: self.part.pid}
        return pids | {"core": self.core.pid} if self.core is not None else pids


@asynccontextmanager
async def core(tick_period: float | None = None, ticks: Path | None = None) -> AsyncIterator[Part]:
    """Runs the core.

    Args:
        tick_period: seconds between two moves of its rates; None is never.
        ticks: file that is told when they have moved.
    """
    moving = {"CORE_TICK_PERIOD": str(tick_period)} if tick_period else {"CORE_TICKER": "off"}
    told = {"BENCH_TICKS": str(ticks)} if ticks else {}
    async with Part.serving(
        *("bench.peers.ticking_core", "--port", "0"),
        **{"CORE_SEED": _SEED, "CORE_LOG_LEVEL": "warning"} | moving | told,
    ) as part:
        yield part


@asynccontextmanager
async def ours(
    upstream: Part, descriptor_set: Path = DEMO_SET, *, name: str = "ours", tight: bool = False
) -> AsyncIterator[Side]:
    """Runs our edge, as `protoway serve` does; `tight` has its sockets hold little."""
    if tight:
        command = ["bench.peers.tight_edge", str(descriptor_set), upstream.address]
    else:
        command = ["gateway", "serve", "--descriptor-set", str(descriptor_set)]
        command += ["--upstream", upstream.address, "--port", "0", "--log-level", "warning"]
    async with Part.serving(*command) as part:
        yield Side(name, part, upstream)


@asynccontextmanager
async def envoy(
    folder: Path, upstream: Part, descriptor_set: Path = DEMO_SET
) -> AsyncIterator[Side]:
    """Runs Envoy, with one worker and what `protoway envoy` renders but for the access log."""
    path = envoy_path()
    assert path is not None
    port, admin_port = free_ports(2)
    configuration = folder / f"envoy-{port}.yaml"
    rendered = yaml.safe_load(
        await _render(configuration, upstream, descriptor_set, port, admin_port)
    )
    for listener in rendered["static_resources"]["listeners"]:
        listener["filter_chains"][0]["filters"][0]["typed_config"].pop("access_log")
    configuration.write_text(yaml.safe_dump(rendered))
    command = [path, "-c", str(configuration), "--disable-hot-restart", "--concurrency", "1"]
    async with Part.listening(port, [*command, "-l", "off"]) as part:
        yield Side("Envoy", part, upstream)


async def _render(
    configuration: Path, upstream: Part, descriptor_set: Path, port: int, admin_port: int
) -> bytes:
    options = {
        "descriptor-set": descriptor_set,
        "descriptor-set-out": configuration.with_suffix(".binpb"),
        "upstream": upstream.address,
        "host": "127.0.0.1",
        "port": port,
        "admin-port": admin_port,
    }
    arguments = [str(part) for name, value in options.items() for part in (f"--{name}", value)]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway", "envoy", *arguments),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    text, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError("`protoway envoy` has failed")
    return text


def envoy_path() -> str | None:
    """Returns the Envoy of this environment, or that of the machine; None where there is none."""
    return shutil.which("envoy", path=sysconfig.get_path("scripts")) or shutil.which("envoy")


@asynccontextmanager
async def by_hand(upstream: Part) -> AsyncIterator[Side]:
    """Runs the edge that people write by hand."""
    async with Part.serving("bench.peers.by_hand", upstream.address) as part:
        yield Side("by hand", part, upstream)


@asynccontextmanager
async def stub() -> AsyncIterator[Side]:
    """Runs our edge over an upstream that answers at once."""
    async with Part.serving("bench.peers.stub_edge", str(DEMO_SET)) as part:
        yield Side("ours, no gRPC", part)


@asynccontextmanager
async def empty() -> AsyncIterator[Side]:
    """Runs uvicorn with an application that does nothing."""
    async with Part.serving("bench.peers.empty") as part:
        yield Side("empty uvicorn", part)


@asynccontextmanager
async def edges(
    folder: Path, upstream: Part, descriptor_set: Path = DEMO_SET, *, hand: bool = True
) -> AsyncIterator[list[Side]]:
    """Runs our edge, Envoy where there is one, and the one by hand, before the same server."""
    async with AsyncExitStack() as stack:
        sides = [await stack.enter_async_context(ours(upstream, descriptor_set))]
        if envoy_path() is not None:
            sides.append(await stack.enter_async_context(envoy(folder, upstream, descriptor_set)))
        if hand:
            sides.append(await stack.enter_async_context(by_hand(upstream)))
        yield sides
