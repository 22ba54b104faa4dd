"""Core and edge as processes of their own, each for as long as a block (`tests.whole.forking` says how)."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from tests.whole.conftest import ROOT
from tests.whole.forking import ForkedProcess, forked

DESCRIPTOR_SET = ROOT / "protos/descriptor_set.binpb"
_START_SECONDS = 60
_STOP_SECONDS = 30


@dataclass(frozen=True)
class Running:
    """A process, and where it serves."""

    process: asyncio.subprocess.Process | ForkedProcess
    address: str
    """`host:port`."""

    @property
    def port(self) -> int:
        """The port."""
        return int(self.address.rpartition(":")[2])

    @property
    def http(self) -> str:
        """The base URL of an edge."""
        return f"http://{self.address}"

    @property
    def websocket(self) -> str:
        """The base URL of an edge, for WebSockets."""
        return f"ws://{self.address}"

    def resident(self) -> int:
        """Returns the bytes of memory that the process has."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise AssertionError("a process without memory")

    def open_files(self) -> int:
        """Returns how many file descriptors the process has."""
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    async def kill(self) -> None:
        """Ends the process without a word."""
        self.process.kill()
        await self.process.wait()


@asynccontextmanager
async def core(
    port: int = 0, *, namespace: str = "", stderr: str = "", **environment: str
) -> AsyncIterator[Running]:
    """Runs a core, as `edge` does; the environment is given without `CORE_`."""
    # nobody reads on behind the first line
    environment = {"access_log": "off"} | environment
    settings = {f"CORE_{name.upper()}": value for name, value in environment.items()}
    async with _running(
        *("grpc_core", "--port", str(port)), namespace=namespace, stderr=stderr, **settings
    ) as started:
        yield started


@asynccontextmanager
async def edge(
    upstream: str,
    *,
    descriptor_set: Path | None = DESCRIPTOR_SET,
    port: int = 0,
    namespace: str = "",
    stderr: str = "",
    **settings: str,
) -> AsyncIterator[Running]:
    """Runs an edge.

    Args:
        upstream: its address.
        descriptor_set: the contract; None: the settings have another source.
        port: that it serves on; 0: a free one.
        namespace: of the network that it is in; empty: that of the tests.
        stderr: path that its log lines go to; empty: where those of the tests go.
        settings: others, by their names.
    """
    # nobody reads on behind the first line: a full pipe would hold the end of the process
    settings = {"access_log": "off", "log_level": "warning"} | settings
    environment = {f"PROTOWAY_{name.upper()}": value for name, value in settings.items()}
    contract = ("--descriptor-set", str(descriptor_set)) if descriptor_set else ()
    async with _running(
        *("gateway", "serve", "--port", str(port), "--upstream", upstream, *contract),
        namespace=namespace,
        stderr=stderr,
        **environment,
    ) as started:
        yield started


@asynccontextmanager
async def _running(
    *arguments: str, namespace: str = "", stderr: str = "", **environment: str
) -> AsyncIterator[Running]:
    process: asyncio.subprocess.Process | ForkedProcess
    with open(stderr, "ab") if stderr else nullcontext() as log:  # noqa: ASYNC230 - a file of this machine
        if namespace:
            process = await asyncio.create_subprocess_exec(
                *("ip", "netns", "exec", namespace, sys.executable, "-m", *arguments),
                cwd=ROOT,
                env=os.environ | environment,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
            )
        else:
            module, *others = arguments
            everything = os.environ | environment
            process = await forked(module, others, everything, log.fileno() if log else 2)
    assert process.stdout is not None
    try:
        line = await asyncio.wait_for(process.stdout.readline(), _START_SECONDS)
        assert b"serving" in line, line
        yield Running(process, line.decode().split()[-1].rpartition("/")[2])
    finally:
        if process.returncode is None:
            process.terminate()
            try:
                await asyncio.wait_for(process.wait(), _STOP_SECONDS)
            finally:
                if process.returncode is None:
                    process.kill()
                    await process.wait()
        if isinstance(process, ForkedProcess):
            process.close()
