"""The whole: core and edge as two processes, started as a person starts them."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from random import SystemRandom

import pytest

from tests.contracts import echo_descriptor_set
from tests.whole.forking import forked

ROOT = Path(__file__).parents[2]
_LAST_LINE = "Ctrl-C ends both."
QUIET = {"PROTOWAY_ACCESS_LOG": "off", "CORE_ACCESS_LOG": "off"}
"""Environment of processes that write no access log."""


@pytest.fixture(scope="module", autouse=True)
def quiet(request: pytest.FixtureRequest) -> Iterator[None]:
    """Lets edges and cores write no access log, because few tests read on what a process prints.

    A pipe that is full keeps `wait` of asyncio's processes from returning. The tests of logs read theirs.
    """
    if request.path.stem in ("test_access_log", "test_logs"):
        yield
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PROTOWAY_ACCESS_LOG", "off")
        patch.setenv("CORE_ACCESS_LOG", "off")
        yield


@dataclass(frozen=True)
class Demo:
    """The running demo, and where it serves."""

    process: subprocess.Popen[str]
    core_port: int
    gateway_port: int

    @property
    def http(self) -> str:
        """The base URL of the edge."""
        return f"http://127.0.0.1:{self.gateway_port}"

    @property
    def websocket(self) -> str:
        """The base URL of the edge, for WebSockets."""
        return f"ws://127.0.0.1:{self.gateway_port}"

    @property
    def core(self) -> str:
        """The address of the core."""
        return f"127.0.0.1:{self.core_port}"


_LISTENED_ON = range(10_000, 32_768)
"""Ports that no system gives to the calling end of a connection; Linux begins at 32768."""


def free_ports(count: int) -> list[int]:
    """Returns ports that nobody uses, and that no connection takes before they are listened on."""
    free: list[int] = []
    with ExitStack() as taken:
        while len(free) < count:
            address = ("127.0.0.1", SystemRandom().choice(_LISTENED_ON))
            with suppress(OSError):
                taken.enter_context(socket.create_server(address))
                free.append(address[1])
    return free


def start_demo(core_port: int, gateway_port: int, **environment: str) -> Demo:
    """Starts the demo, and waits until it has said all that it says at the start."""
    command = [sys.executable, "scripts/demo.py"]
    process = subprocess.Popen(
        [*command, "--core-port", str(core_port), "--gateway-port", str(gateway_port)],
        cwd=ROOT,
        env=os.environ | QUIET | environment,  # nobody reads on
        text=True,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if _LAST_LINE in line:
            break
    return Demo(process, core_port, gateway_port)


def stop_demo(demo: Demo, number: int = signal.SIGTERM) -> int:
    """Stops the demo; returns its exit status."""
    assert demo.process.stdout is not None
    demo.process.send_signal(number)
    try:
        return demo.process.wait(30)
    finally:
        demo.process.kill()
        demo.process.stdout.close()


@asynccontextmanager
async def edge_process(folder: Path, upstream: str, *options: str) -> AsyncIterator[str]:
    """Runs an edge for the tests' own contract, as a process; the block is given its base URL."""
    descriptor_set = folder / "echo.binpb"
    descriptor_set.write_bytes(echo_descriptor_set())
    given = (
        *("serve", "--port", "0", "--log-level", "warning"),
        *("--descriptor-set", str(descriptor_set), "--upstream", upstream, *options),
    )
    edge = await forked("gateway", given, os.environ, 2)
    try:
        yield (await edge.stdout.readline()).decode().split()[-1]
    finally:
        with suppress(ProcessLookupError):
            edge.terminate()
        await edge.wait()
        edge.close()


@pytest.fixture(scope="session", autouse=True)
def curl(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Puts a stand-in for curl on the path of a machine that has none."""
    if shutil.which("curl"):
        return
    folder = tmp_path_factory.mktemp("bin")
    script = folder / "curl"
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m tests.whole.curl "$@"\n')
    script.chmod(0o755)
    os.environ["PATH"] = f"{folder}{os.pathsep}{os.environ['PATH']}"
    os.environ["PYTHONPATH"] = str(ROOT)


@pytest.fixture(scope="session")
def demo() -> Iterator[Demo]:
    """One demo for all tests that do not end it."""
    running = start_demo(*free_ports(2))
    yield running
    assert stop_demo(running) == 0
