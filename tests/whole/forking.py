"""Edge and core as processes that begin as forks of one which has imported the program.

A start takes 0.9 s of CPU with its import, a fork 0.1 s, and the tests start hundreds. Workers of edge and
core begin as forks too. `test_demo`, `test_first_hour`, `test_readme`, `test_systemd` and others begin with a
new interpreter, as a person does.

Rule: the process that is forked has no threads and no event loop; here nothing but the standard library is
imported above, because it runs this module too.
"""

from __future__ import annotations

import asyncio
import atexit
import gc
import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from tempfile import TemporaryFile
from threading import Lock
from typing import Any

_ROOT = Path(__file__).parents[2]
_SECONDS = 60
_MAX_REQUEST = 2**17
"""Maximum bytes of a request, which is one packet."""


class ForkedProcess:
    """A process; it has what tests use of an `asyncio.subprocess.Process`.

    Attributes:
        pid: its number.
        stdout: what it prints.
        returncode: its exit status, as that of `subprocess`; None while it runs.
    """

    def __init__(
        self, module: str, pid: int, stdout: asyncio.StreamReader, pipe: asyncio.BaseTransport
    ) -> None:
        """Takes what has begun, in the event loop that is told of its end."""
        self._module = module
        self.pid = pid
        self.stdout = stdout
        self.returncode: int | None = None
        self._pipe = pipe
        self._ended = asyncio.Event()
        self._descriptor = os.pidfd_open(pid)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._descriptor, self._end)

    def _end(self) -> None:
        self._loop.remove_reader(self._descriptor)
        os.close(self._descriptor)
        self.returncode = _forks(self._module).ask({"ended": self.pid})
        self._ended.set()

    async def wait(self) -> int:
        """Waits until it has ended; returns its exit status."""
        await self._ended.wait()
        assert self.returncode is not None
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Sends a signal.

        Raises:
            ProcessLookupError: it has ended.
        """
        if self.returncode is not None:
            raise ProcessLookupError
        os.kill(self.pid, number)  # it is a zombie at most, until `_end` asks for its status

    def terminate(self) -> None:
        """Asks it to end, as `send_signal` does."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Ends it, as `send_signal` does."""
        self.send_signal(signal.SIGKILL)

    def close(self) -> None:
        """Reads no more of what it prints."""
        self._pipe.close()


async def forked(
    module: str, arguments: Sequence[str], environment: Mapping[str, str], stderr: int
) -> ForkedProcess:
    """Starts `python -m MODULE ARGUMENTS` in the folder of the checkout; standard output is a pipe.

    Args:
        module: `gateway` or `grpc_core`.
        arguments: its own.
        environment: all of it.
        stderr: descriptor of standard error.
    """
    read, write = os.pipe()
    request = {"arguments": arguments, "environment": dict(environment), "folder": str(_ROOT)}
    try:
        pid = _forks(module).ask(request, (0, write, stderr))
    finally:
        os.close(write)
    stdout = asyncio.StreamReader()
    pipe, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(stdout), os.fdopen(read, "rb", 0)
    )
    return ForkedProcess(module, pid, stdout, pipe)


def run(
    module: str, *arguments: str, folder: Path = _ROOT, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Runs `python -m MODULE ARGUMENTS` to its end, which comes within a minute.

    Args:
        module: `gateway` or `grpc_core`.
        arguments: its own.
        folder: its working folder.
        environment: beside that of the tests.
    """
    request = {
        "arguments": arguments,
        "environment": os.environ | (environment or {}),
        "folder": str(folder),
    }
    with TemporaryFile() as stdout, TemporaryFile() as stderr:
        pid = _forks(module).ask(request, (0, stdout.fileno(), stderr.fileno()))
        descriptor = os.pidfd_open(pid)
        try:
            waiting = select.poll()
            waiting.register(descriptor, select.POLLIN)
            has_ended = bool(waiting.poll(_SECONDS * 1000))
        finally:
            os.close(descriptor)
        if not has_ended:
            os.kill(pid, signal.SIGKILL)
        status = _forks(module).ask({"ended": pid})
        assert has_ended, f"{module} {' '.join(arguments)} does not end"
        stdout.seek(0)
        stderr.seek(0)
        out, err = stdout.read().decode(), stderr.read().decode()
    return subprocess.CompletedProcess(arguments, status, out, err)


class _Forks:
    """The process that is forked, seen from the tests; it ends with the connection."""

    def __init__(self, module: str) -> None:
        self._lock = Lock()
        self._connection, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.whole.forking", module, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                cwd=_ROOT,
            )

    def ask(self, request: Mapping[str, Any], descriptors: Sequence[int] = ()) -> int:
        """Sends a request, perhaps with descriptors; returns the answer."""
        with self._lock:
            socket.send_fds(self._connection, [json.dumps(request).encode()], descriptors)
            return int(self._connection.recv(64))

    def close(self) -> None:
        """Ends it."""
        self._connection.close()
        self._process.wait()


@cache
def _forks(module: str) -> _Forks:
    made = _Forks(module)
    atexit.register(made.close)
    return made


def _fork_as_asked(program: Any, connection: socket.socket) -> None:
    """Forks for each request, until the tests have ended; a fork does not return from here."""
    while True:
        text, descriptors, _, _ = socket.recv_fds(connection, _MAX_REQUEST, 3)
        if not text:
            return
        request = json.loads(text)
        if "ended" in request:
            answer = os.waitstatus_to_exitcode(os.waitpid(request["ended"], 0)[1])
        else:
            answer = os.fork()
        if not answer and descriptors:
            connection.close()
            _become(program, request, descriptors)
        for descriptor in descriptors:
            os.close(descriptor)
        connection.send(str(answer).encode())


def _become(program: Any, request: Mapping[str, Any], descriptors: Sequence[int]) -> None:
    """Runs the program that was asked for, and ends as it does."""
    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.argv = [program.__file__, *request["arguments"]]
    sys.exit(program.main())


if __name__ == "__main__":
    imported = importlib.import_module(f"{sys.argv[1]}.cli")
    gc.freeze()  # a fork that ends looks through no object of the import, which took it 0.2 s
    with socket.socket(fileno=int(sys.argv[2])) as given:
        _fork_as_asked(imported, given)
