"""The core and the edge as processes of their own, and what they cost, as the kernel counts it."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

_ROOT: Final = Path(__file__).resolve().parent.parent
_START_SECONDS: Final = 60
_STOP_SECONDS: Final = 15
_SEED: Final = "10"
"""With this seed neither of two currencies has one rate twice in the first 300 moves."""
_TICKS: Final = os.sysconf("SC_CLK_TCK")


class Part:
    """One process, with the port that it said it serves on."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.port = 0

    @classmethod
    @asynccontextmanager
    async def running(cls, *arguments: str, **environment: str) -> AsyncIterator[Self]:
        """Runs `python -m` with some arguments, and serves within the block."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", *arguments),
            cwd=_ROOT,
            env=os.environ | environment,
            stdout=asyncio.subprocess.PIPE,
            start_new_session=True,  # Ctrl-C reaches the bench alone, which stops both in order
        )
        part = cls(process)
        try:
            part.port = int(await part.line("serving"))
            yield part
        finally:
            await part._stop()

    async def _stop(self) -> None:
        if self._process.returncode is None:
            self._process.terminate()
        try:
            await asyncio.wait_for(self._process.communicate(), _STOP_SECONDS)
        except (TimeoutError, asyncio.CancelledError):
            self._process.kill()
            raise

    async def line(self, word: str) -> str:
        """Waits for a line with a word; returns what stands behind its last colon."""
        stdout = self._process.stdout
        assert stdout is not None
        async with asyncio.timeout(_START_SECONDS):
            async for line in stdout:
                if word in (text := line.decode()):
                    return text.rpartition(":")[2].strip()
        raise RuntimeError(f"the process ended before it said {word!r}")

    async def watches(self) -> int:
        """Asks a counted core how many watches it has begun."""
        self._process.send_signal(signal.SIGUSR1)
        return int(await self.line("watches"))

    @property
    def resident(self) -> int:
        """Bytes of memory that it has."""
        status = self._read("status")
        return int(status.partition("VmRSS:")[2].split(maxsplit=1)[0]) * 1024

    @property
    def cpu(self) -> float:
        """Seconds of CPU that it has used, in user code and in the kernel."""
        fields = self._read("stat").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def _read(self, name: str) -> str:
        return Path("/proc", str(self._process.pid), name).read_text("ascii")


@dataclass(frozen=True, slots=True)
class System:
    """A core, and an edge before it."""

    core: Part
    edge: Part


@asynccontextmanager
async def running(
    descriptor_set: Path, tick_period: float, *, tight: bool
) -> AsyncIterator[System]:
    """Runs both on free ports.

    Args:
        descriptor_set: the contract that the edge serves.
        tick_period: seconds between two moves of the core's rates.
        tight: whether the edge's sockets hold little.
    """
    async with AsyncExitStack() as stack:
        core = await stack.enter_async_context(
            Part.running(
                "bench.counted_core",
                *("--port", "0"),
                CORE_TICK_PERIOD=str(tick_period),
                CORE_SEED=_SEED,
                CORE_LOG_LEVEL="warning",
            )
        )
        upstream = f"127.0.0.1:{core.port}"
        command = (
            ("bench.tight_edge", str(descriptor_set), upstream)
            if tight
            else (
                *("gateway", "serve", "--descriptor-set", str(descriptor_set)),
                *("--upstream", upstream, "--port", "0", "--log-level", "warning"),
            )
        )
        yield System(core, await stack.enter_async_context(Part.running(*command)))
