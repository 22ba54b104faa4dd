"""The access log of the program, as a supervisor, a terminal and a slow reader see it."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import pty
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.contracts import echo_descriptor_set
from tests.echo_server import echo_server
from tests.whole.conftest import ROOT, free_ports

_SECONDS = 30


@asynccontextmanager
async def _edge(folder: Path, upstream: str, stdout: int, *options: str) -> AsyncIterator[int]:
    """Runs an edge within the block, which is given the port; it must stop in time."""
    contract, port = folder / "echo.binpb", free_ports(1)[0]
    contract.write_bytes(echo_descriptor_set())
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway", "serve", "--port", str(port), *options),
        *("--descriptor-set", str(contract), "--upstream", upstream, "--log-level", "warning"),
        cwd=ROOT,
        stdout=stdout,
    )
    try:
        end = time.monotonic() + _SECONDS
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                assert time.monotonic() < end
                await asyncio.sleep(0.02)
            else:
                writer.close()
                await writer.wait_closed()
                break
        yield port
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), _SECONDS) == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def _ask(port: int, name: str, count: int) -> float:
    """Sends requests on one connection, with ids; returns how long the slowest took."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    slowest = 0.0
    for number in range(count):
        began = time.monotonic()
        writer.write(
            f"GET /v1/echo HTTP/1.1\r\nHost: x\r\nX-Request-ID: {name}{number}\r\n\r\n".encode()
        )
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        await reader.readexactly(length)
        slowest = max(slowest, time.monotonic() - began)
    writer.close()
    await writer.wait_closed()
    return slowest


async def test_lines_of_workers_do_not_mix_and_follow_the_start_lines(tmp_path: Path) -> None:
    """JSON by default where standard output is no terminal; each request has its line, whole."""
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 2**20)  # all lines: none is lost where we read late
    with os.fdopen(reading, "rb") as stdout:
        async with (
            echo_server() as echo,
            asyncio.TaskGroup() as group,
            _edge(tmp_path, echo.address, writing, "--workers", "2") as port,
        ):
            os.close(writing)
            # a worker may answer before these lines, which its parent prints
            first, second = [await asyncio.to_thread(stdout.readline) for _ in range(2)]
            collected = group.create_task(asyncio.to_thread(stdout.read))
            names = [f"r{number}x" for number in range(8)]
            await asyncio.gather(*(_ask(port, name, 200) for name in names))
        lines = collected.result().splitlines()

    assert first.startswith(b"protoway: serving HTTP on http://127.0.0.1:")
    assert second.startswith(b"protoway: ")
    found = [json.loads(line) for line in lines]
    ids = sorted(line["request_id"] for line in found)
    assert ids == sorted(f"{name}{number}" for name in names for number in range(200))
    assert {line["rpc"] for line in found} == {"echo.v1.Echo/Unary"}


async def test_a_reader_that_has_stopped_holds_no_request_up(tmp_path: Path) -> None:
    """Nobody reads standard output: requests are answered as ever, and the program stops in time."""
    reading, writing = os.pipe()
    async with echo_server() as echo:
        async with _edge(tmp_path, echo.address, writing) as port:
            os.close(writing)
            slowest = max(await asyncio.gather(*(_ask(port, f"r{n}x", 400) for n in range(4))))
            stopping = time.monotonic()
        assert time.monotonic() - stopping < 10
    os.close(reading)
    assert slowest < 2


async def test_a_terminal_gets_text(tmp_path: Path) -> None:
    """And `off` is off."""
    main, terminal = pty.openpty()
    async with echo_server() as echo:
        async with _edge(tmp_path, echo.address, terminal) as port:
            await _ask(port, "shown", 1)
        async with _edge(tmp_path, echo.address, terminal, "--access-log", "off") as port:
            await _ask(port, "hidden", 1)
    os.close(terminal)
    os.set_blocking(main, False)
    said = b""
    try:
        while part := os.read(main, 65536):
            said += part
    except OSError:
        os.close(main)
    text = said.decode()

    (line,) = (each for each in text.splitlines() if "/v1/echo" in each)
    assert " 127.0.0.1 - GET /v1/echo 200 OK by=server " in line
    assert line.endswith(" id=shown0")
    assert "hidden" not in text
