"""A terminal in which the commands of a page run.

Rule: it has nothing of this checkout: no variable of Python's or of ours, and no folder of an environment.
"""

from __future__ import annotations

import os
import re
import selectors
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Self

_STAYS = re.compile(r"(cd|\.|export) ")
"""Commands that change the terminal itself."""
_COMMAND_SECONDS = 120.0
_OUTPUT_SECONDS = 60.0
_STOP_SECONDS = 20.0


class Terminal:
    """Runs commands one after the other; leaving the block stops the one that goes on."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self._folder = folder
        self._environment = dict(environment)
        self._before: list[str] = []
        self._process: subprocess.Popen[bytes] | None = None
        self._unread = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.interrupt()

    def run(self, command: str) -> str:
        """Runs a command to its end; returns what it printed.

        Raises:
            AssertionError: Its exit status is not 0.
        """
        self.interrupt()
        done = subprocess.run(
            ["sh", "-c", "\n".join(["set -e", *self._before, command])],
            cwd=self._folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_COMMAND_SECONDS,
        )
        output = done.stdout.decode()
        assert done.returncode == 0, f"$ {command}\n{output}"
        if _STAYS.match(command):
            self._before.append(command)
        return output

    def start(self, command: str) -> None:
        """Starts a command that goes on."""
        self.interrupt()
        self._unread = ""
        self._process = subprocess.Popen(
            ["sh", "-c", "\n".join(["set -e", *self._before, f"exec {command}"])],
            cwd=self._folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def wait_for(self, pattern: re.Pattern[str]) -> None:
        """Waits until the command that goes on has printed next what matches a pattern.

        Raises:
            AssertionError: It ended, or did not within 60 seconds.
        """
        assert self._process is not None
        assert self._process.stdout is not None
        deadline = time.monotonic() + _OUTPUT_SECONDS
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            while (found := pattern.match(self._unread)) is None:
                assert selector.select(deadline - time.monotonic()), self._unread
                part = os.read(self._process.stdout.fileno(), 65536)
                assert part, f"it has ended: {self._unread}"
                self._unread += part.decode()
        self._unread = self._unread[found.end() :].lstrip("\n")

    def interrupt(self) -> None:
        """Presses Ctrl-C, if a command goes on, and waits for its end."""
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdout is not None
        try:
            os.killpg(process.pid, signal.SIGINT)
            process.wait(_STOP_SECONDS)
        finally:
            process.kill()
            process.wait()
            process.stdout.close()
