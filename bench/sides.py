"""The sides that are compared, each started as those who run it would; every one within a block."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import sysconfig
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import yaml

from bench.processes import ROOT, Part, free_ports
from gateway.exchange import exchange

DEMO_SET: Final = ROOT / "protos/descriptor_set.binpb"
GRPCIO: Final = "grpcio"
WIRE: Final = "wire"
"""The two gRPCs of our edge and our core."""
POLICED: Final = "ours, wire, wire core, policies"
INTERPRETED: Final = "ours, wire, wire core, interpreted"
_FILE_LOG: Final = "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog"
_SEED: Final = "10"
"""With this seed neither of two currencies has one rate twice in the first 300 moves."""


@dataclass(frozen=True)
class Side:
    """What answers, under the name by which the tables call it, and what stands behind it."""

    name: str
    part: Part
    core: Part | None = None
    store: Part | None = None
    """The Redis of its feeds."""
    kind: str = "edge"
    """What its figures are called."""
    channel: str = ""
    """Who calls it, where it is called by gRPC: one of `bench.callers.CHANNELS`."""
    websockets: bool = True

    @property
    def pids(self) -> dict[str, int]:
        """Its processes, by what their figures are called."""
        parts = {"core": self.core, "store": self.store, self.kind: self.part}
        return {kind: part.pid for kind, part in parts.items() if part is not None}


@dataclass(frozen=True)
class Way:
    """One way through an edge to a core: what each of them speaks gRPC with."""

    name: str
    edge: str
    """`ours`, `Envoy` or `by hand`."""
    transport: str = GRPCIO
    """Of the edge, where it has a choice."""
    core: str = GRPCIO
    interpreted: bool = False
    """Whether it runs from this checkout, where all others have the compiled modules."""


WAYS: Final = (
    Way("ours", "ours"),
    Way("ours, wire", "ours", WIRE),
    Way("ours, wire, wire core", "ours", WIRE, WIRE),
    Way(INTERPRETED, "ours", WIRE, WIRE, interpreted=True),
    Way("Envoy", "Envoy"),
    Way("Envoy, wire core", "Envoy", core=WIRE),
    Way("by hand", "by hand"),
)
"""The edges that are measured, before each other on the same core."""


@asynccontextmanager
async def core(
    tick_period: float | None = None, ticks: Path | None = None, *, transport: str = GRPCIO
) -> AsyncIterator[Part]:
    """Runs the core.

    Args:
        tick_period: seconds between two moves of its rates; None is never.
        ticks: file that is told when they have moved.
        transport: which gRPC serves.
    """
    moving = {"CORE_TICK_PERIOD": str(tick_period)} if tick_period else {"CORE_TICKER": "off"}
    told = {"BENCH_TICKS": str(ticks)} if ticks else {}
    async with Part.serving(
        *("bench.peers.ticking_core", "--port", "0"),
        **{"CORE_SEED": _SEED, "CORE_LOG_LEVEL": "warning", "CORE_TRANSPORT": transport}
        | moving
        | told,
    ) as part:
        yield part


@asynccontextmanager
async def cores() -> AsyncIterator[dict[str, Part]]:
    """Runs a core on each gRPC."""
    async with core() as grpcio, core(transport=WIRE) as wire:
        yield {GRPCIO: grpcio, WIRE: wire}


@asynccontextmanager
async def ours(
    upstream: Part,
    descriptor_set: Path = DEMO_SET,
    *,
    name: str = "ours",
    transport: str = GRPCIO,
    tight: bool = False,
    config: Path | None = None,
    watched: bool = False,
    interpreted: bool = False,
    store: Part | None = None,
) -> AsyncIterator[Side]:
    """Runs our edge, as `protoway serve` does, perhaps with a settings file.

    Args:
        upstream: the core.
        descriptor_set: the contract.
        name: what the tables call it.
        transport: its gRPC.
        tight: whether its sockets hold little.
        config: a settings file.
        watched: whether it writes its access log and counts for an admin listener.
        interpreted: whether it runs from this checkout, where others have the compiled modules.
        store: the Redis in which its feeds are shared.
    """
    environment = {"PYTHONPATH": str(ROOT)} if interpreted else {}
    if tight:
        command = ["bench.peers.tight_edge", str(descriptor_set), upstream.address]
    else:
        command = ["gateway", "serve", "--descriptor-set", str(descriptor_set)]
        command += ["--upstream", upstream.address, "--port", "0", "--log-level", "warning"]
        command += ["--transport", transport]
        if watched:
            command += ["--access-log", "json", "--access-log-path", os.devnull]
            command += ["--admin-port", str(free_ports(1)[0])]
        else:
            command += ["--access-log", "off"]
        command += [] if config is None else ["--config", str(config)]
        command += [] if store is None else ["--feed-store", f"redis://{store.address}/0"]
    async with Part.serving(*command, **environment) as part:
        yield Side(name, part, upstream, store)


@asynccontextmanager
async def store() -> AsyncIterator[Part]:
    """Runs Redis, or Valkey, which keeps nothing on disk."""
    path = store_path()
    assert path is not None
    (port,) = free_ports(1)
    command = [path, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    async with Part.listening(port, [*command, "--loglevel", "warning"]) as part:
        yield part


def store_path() -> str | None:
    """Returns the Redis or Valkey of the machine; None where there is none."""
    return shutil.which("redis-server") or shutil.which("valkey-server")


@asynccontextmanager
async def policed(upstream: Part, descriptor_set: Path = DEMO_SET) -> AsyncIterator[Side]:
    """Runs our edge on `grpc_wire` with three policies and two observers that do nothing."""
    async with Part.serving(
        "bench.peers.policed_edge", str(descriptor_set), upstream.address
    ) as part:
        yield Side(POLICED, part, upstream)


@asynccontextmanager
async def envoy(
    folder: Path,
    upstream: Part,
    descriptor_set: Path = DEMO_SET,
    *,
    name: str = "Envoy",
    config: Path | None = None,
    watched: bool = False,
    only_router: bool = False,
) -> AsyncIterator[Side]:
    """Runs Envoy, with one worker and what `protoway envoy` renders.

    It writes its access log if it is `watched`. With `only_router` it has no other filter: it passes gRPC on.
    """
    path = envoy_path()
    assert path is not None
    port, admin_port = free_ports(2)
    configuration = folder / f"envoy-{port}.yaml"
    rendered = yaml.safe_load(
        await _render(configuration, upstream, descriptor_set, port, admin_port, config)
    )
    for listener in rendered["static_resources"]["listeners"]:
        connections = listener["filter_chains"][0]["filters"][0]["typed_config"]
        logs = connections.pop("access_log")
        if only_router:
            connections["http_filters"] = connections["http_filters"][-1:]
        if watched:
            form = logs[0]["typed_config"]["log_format"]
            file = {"@type": _FILE_LOG, "path": os.devnull, "log_format": form}
            connections["access_log"] = [{"name": "file", "typed_config": file}]
    configuration.write_text(yaml.safe_dump(rendered))
    command = [path, "-c", str(configuration), "--disable-hot-restart", "--concurrency", "1"]
    async with Part.listening(port, [*command, "-l", "off"]) as part:
        yield Side(name, part, upstream, websockets=False)


async def _render(
    configuration: Path,
    upstream: Part,
    descriptor_set: Path,
    port: int,
    admin_port: int,
    config: Path | None,
) -> bytes:
    options = {
        "descriptor-set": descriptor_set,
        "descriptor-set-out": configuration.with_suffix(".binpb"),
        "upstream": upstream.address,
        "host": "127.0.0.1",
        "port": port,
        "admin-port": admin_port,
    }
    if config is not None:
        options["config"] = config
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


def is_compiled() -> bool:
    """Returns whether our edges have compiled modules, as images have (`make bench`)."""
    return not exchange.__file__.endswith(".py")


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
    folder: Path,
    cores: Mapping[str, Part],
    descriptor_set: Path = DEMO_SET,
    *,
    without: Collection[str] = (),
) -> AsyncIterator[list[Side]]:
    """Runs all edges before the cores that there are.

    Args:
        folder: where Envoy's configuration is written.
        cores: by the gRPC that they serve with; a way to another is left out.
        descriptor_set: the contract.
        without: kinds of edges that are left out too, as Envoy is where there is none.
    """
    async with AsyncExitStack() as stack:
        sides = []
        for way in WAYS:
            if way.core not in cores or way.edge in without:
                continue
            if way.interpreted and not is_compiled():
                continue
            upstream = cores[way.core]
            if way.edge == "ours":
                edge = ours(
                    *(upstream, descriptor_set),
                    name=way.name,
                    transport=way.transport,
                    interpreted=way.interpreted,
                )
            elif way.edge == "by hand":
                edge = by_hand(upstream)
            elif envoy_path() is not None:
                edge = envoy(folder, upstream, descriptor_set, name=way.name)
            else:
                continue
            sides.append(await stack.enter_async_context(edge))
        yield sides
