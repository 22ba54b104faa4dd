"""Core and edge as systemd runs them: what they tell it, the sockets that it opens, and PID 1."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from server_process import systemd
from tests.whole import processes
from tests.whole.conftest import ROOT
from tests.worker_processes import workers_of

WITHIN = 30.0


@pytest.fixture
def told(tmp_path: Path) -> Iterator[socket.socket]:
    """What systemd listens on."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.setblocking(False)
        yield listening


@asynccontextmanager
async def _program(
    *command: str, passed: tuple[int, ...] = (), **environment: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=ROOT,
        env=os.environ | environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        pass_fds=passed,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def _next(told: socket.socket) -> str:
    data = await asyncio.wait_for(asyncio.get_running_loop().sock_recv(told, 4096), WITHIN)
    return data.decode()


EDGE = ("gateway", "serve", "--port", "0", "--descriptor-set", str(processes.DESCRIPTOR_SET))
CORE = ("grpc_core", "--port", "0")


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("program", [EDGE, CORE], ids=["edge", "core"])
async def test_it_says_when_it_serves_and_when_it_stops(
    told: socket.socket, program: tuple[str, ...], workers: str
) -> None:
    """READY once calls are answered, WATCHDOG while the loop lives, STOPPING at the signal."""
    command = (sys.executable, "-m", *program, "--workers", workers)
    environment = {"NOTIFY_SOCKET": told.getsockname(), "WATCHDOG_USEC": "300000"}
    async with _program(*command, **environment) as process:
        seen = [await _next(told)]
        while seen.count("WATCHDOG=1") < 4 or "READY=1" not in seen:
            seen.append(await _next(told))
        process.terminate()
        while "STOPPING=1" not in seen:
            seen.append(await _next(told))
        assert await asyncio.wait_for(process.wait(), WITHIN) == 0

    assert seen.count("READY=1") == seen.count("STOPPING=1") == 1
    assert set(seen) == {"READY=1", "WATCHDOG=1", "STOPPING=1"}


async def test_a_loop_that_hangs_feeds_no_watchdog(told: socket.socket) -> None:
    """So systemd restarts it."""
    environment = {"NOTIFY_SOCKET": told.getsockname(), "WATCHDOG_USEC": "300000"}
    async with _program(sys.executable, "-m", *EDGE, **environment) as process:
        while await _next(told) != "WATCHDOG=1":
            pass
        process.send_signal(signal.SIGSTOP)
        with pytest.raises(TimeoutError):
            while True:
                await asyncio.wait_for(_next(told), 1)


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_it_serves_on_sockets_that_systemd_opened(workers: str) -> None:
    """A client that connects before the start is answered; both sockets are served."""
    with (
        socket.create_server(("127.0.0.1", 0)) as one,
        socket.create_server(("127.0.0.1", 0)) as two,
    ):
        numbers = (one.fileno(), two.fileno())
        urls = [f"http://127.0.0.1:{each.getsockname()[1]}/livez" for each in (one, two)]
        line = " ".join(EDGE) + f" --host systemd --workers {workers}"
        script = f"exec 93<&{numbers[0]} 94<&{numbers[1]} 3<&93 4<&94; export LISTEN_FDS=2;"
        script += f" LISTEN_PID=$$ exec {sys.executable} -m {line}"
        async with httpx.AsyncClient(timeout=WITHIN) as client:
            waiting = asyncio.create_task(client.get(urls[0]))
            async with _program("bash", "-c", script, passed=numbers) as process:
                assert (await waiting).is_success
                assert (await client.get(urls[1])).is_success
                process.terminate()
                assert await asyncio.wait_for(process.wait(), WITHIN) == 0


async def test_no_socket_was_opened() -> None:
    """One line says what is missing."""
    command = (sys.executable, "-m", *EDGE, "--host", "systemd")
    async with _program(*command, LISTEN_FDS="1", LISTEN_PID="1") as process:
        _, error = await asyncio.wait_for(process.communicate(), WITHIN)

    assert process.returncode == 1
    (line,) = error.decode().splitlines()
    assert line.startswith(
        "protoway: cannot listen: host is systemd, which has handed over no socket"
    )


def test_without_systemd_nothing_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """And a socket that is gone harms nothing; a watchdog of another process is none of ours."""
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    systemd.notify("READY=1")
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "gone"))
    systemd.notify("READY=1")
    for name, pid, seconds in (
        ("x", "", None),
        ("6000000", "1", None),
        ("6000000", str(os.getpid()), 6.0),
    ):
        monkeypatch.setenv("WATCHDOG_USEC", name)
        monkeypatch.setenv("WATCHDOG_PID", pid)
        assert systemd.watchdog_seconds() == seconds


def _can_unshare() -> bool:
    unshare = shutil.which("unshare")
    return (
        unshare is not None
        and not subprocess.run([unshare, "--pid", "--fork", "true"], capture_output=True).returncode
    )


@pytest.mark.skipif(not _can_unshare(), reason="no PID namespaces here")
@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("program", [EDGE, CORE], ids=["edge", "core"])
async def test_pid_1_ends_by_a_signal(program: tuple[str, ...], workers: str) -> None:
    """As in a container: the system has no default for signals of PID 1, so the program must."""
    command = ("unshare", "--pid", "--fork", sys.executable, "-m", *program, "--workers", workers)
    async with _program(*command) as process:
        assert process.stdout is not None
        assert b"serving" in await asyncio.wait_for(process.stdout.readline(), WITHIN)
        (first,) = workers_of(process.pid)
        os.kill(first, signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), WITHIN) == 0
