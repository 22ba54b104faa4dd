"""Processes of their own: each lives as long as a block, and is gone when the block is left."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, Self

from bench import accounts

ROOT: Final = Path(__file__).resolve().parent.parent
_START_SECONDS: Final = 60
_STOP_SECONDS: Final = 15
_LOOK_SECONDS: Final = 0.005
_LINE: Final = 2**24


class Part:
    """One process, and the port that it serves on."""

    def __init__(self, process: asyncio.subprocess.Process, began: float) -> None:
        self.process = process
        self.began = began
        """When it was started, by `time.perf_counter`."""
        self.port = 0

    @property
    def pid(self) -> int:
        """Its number."""
        return self.process.pid

    @property
    def address(self) -> str:
        """Where it serves."""
        return f"127.0.0.1:{self.port}"

    @classmethod
    @asynccontextmanager
    async def started(
        cls, command: Sequence[str], environment: Mapping[str, str] = {}, *, piped: bool = False
    ) -> AsyncIterator[Self]:
        """Runs a command within the block."""
        began = time.perf_counter()
        process = await asyncio.create_subprocess_exec(
            *command,
            cwd=ROOT,
            env=os.environ | dict(environment),
            stdin=asyncio.subprocess.PIPE if piped else asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            limit=_LINE,
            start_new_session=True,  # Ctrl-C reaches the bench alone, which stops all in order
        )
        part = cls(process, began)
        try:
            yield part
        finally:
            await part._stop()

    @classmethod
    @asynccontextmanager
    async def serving(cls, *arguments: str, **environment: str) -> AsyncIterator[Self]:
        """Runs `python -m` with some arguments, which says on which port it serves."""
        command = (sys.executable, "-m", *arguments)
        async with cls.started(command, environment) as part:
            part.port = int(await part.line("serving"))
            yield part

    @classmethod
    @asynccontextmanager
    async def listening(cls, port: int, command: Sequence[str]) -> AsyncIterator[Self]:
        """Runs a command that says nothing, until it listens on its port."""
        async with cls.started(command) as part:
            part.port = port
            async with asyncio.timeout(_START_SECONDS):
                while not await _answers(port):
                    if part.process.returncode is not None:
                        raise RuntimeError(f"{command[0]} ended before it listened")
                    await asyncio.sleep(_LOOK_SECONDS)
            yield part

    async def _stop(self) -> None:
        if self.process.returncode is None:
            self.process.terminate()
        try:
            await asyncio.wait_for(self.process.communicate(), _STOP_SECONDS)
        except (TimeoutError, asyncio.CancelledError):
            self.process.kill()
            raise

    async def line(self, word: str) -> str:
        """Waits for a line with a word; returns what stands behind its last colon."""
        stdout = self.process.stdout
        assert stdout is not None
        async with asyncio.timeout(_START_SECONDS):
            async for line in stdout:
                if word in (text := line.decode()):
                    return text.rpartition(":")[2].strip()
        raise RuntimeError(f"the process ended before it said {word!r}")

    @property
    def resident(self) -> int:
        """Bytes of memory that it has."""
        return accounts.resident(self.pid)

    @property
    def cpu(self) -> float:
        """Seconds of CPU that it has used."""
        return accounts.cpu(self.pid)


async def _answers(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except ConnectionError:
        return False
    writer.close()
    return True


def free_ports(count: int) -> list[int]:
    """Returns ports that nobody uses."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [taken.getsockname()[1] for taken in sockets]
    for taken in sockets:
        taken.close()
    return ports
