"""A program beside others in one terminal: each of its lines has its name before it."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Final

STOP_SECONDS: Final = 15.0
"""Maximum time that a program has to end after SIGTERM; then it is killed."""
_CHUNK: Final = 65536


class Program:
    """A program that can be started again; its process group is its own, so Ctrl-C does not reach it.

    Attributes:
        name: it stands before each line.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        say: Callable[[str, str], None],
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Takes the command, and where lines go: `say(name, line)`."""
        self.name = name
        self._command = command
        self._say = say
        self._environment = environment
        self._process: asyncio.subprocess.Process | None = None
        self._output: asyncio.Task[None] | None = None

    @property
    def ended(self) -> int | None:
        """The exit status of a program that has ended by itself; None for others."""
        return None if self._process is None else self._process.returncode

    async def start(self) -> None:
        """Starts it.

        Raises:
            OSError: the command does not exist, or cannot be run.
        """
        self._process = await asyncio.create_subprocess_exec(
            *self._command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=None if self._environment is None else os.environ | dict(self._environment),
            start_new_session=True,
        )
        if (output := self._process.stdout) is not None:
            self._output = asyncio.create_task(self._pass_on(output))

    async def wait(self) -> None:
        """Waits for the end of what was started."""
        if self._process is not None:
            await self._process.wait()

    async def stop(self) -> None:
        """Terminates it and what it has started, and waits; kills what is left after `STOP_SECONDS`."""
        process, self._process = self._process, None
        if process is None:
            return
        for number in (signal.SIGTERM, signal.SIGKILL):
            if process.returncode is not None:
                break
            with suppress(ProcessLookupError):
                os.killpg(process.pid, number)
            with suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), STOP_SECONDS)
        if self._output is not None:  # what the program has left running may keep the pipe open
            await asyncio.wait({self._output}, timeout=1)
            self._output.cancel()

    async def _pass_on(self, output: asyncio.StreamReader) -> None:
        rest = b""
        while chunk := await output.read(_CHUNK):
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                self._say(self.name, line.decode(errors="replace"))
        if rest:
            self._say(self.name, rest.decode(errors="replace"))
