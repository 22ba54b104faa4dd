"""Nobody takes the log: a full disk, a reader that stops. Requests are answered, and losses are told."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.faults.namespaces import run, why_not
from tests.faults.scene import CONVERT, WITHIN, Edge, until, watched
from tests.whole import processes

pytestmark = [pytest.mark.faults, pytest.mark.timeout(120)]

LOST = "protoway_access_log_lost_lines_total"
BURST = 12_000
"""Requests: more lines than the writer and a pipe hold."""
REFUSALS = 1_500
"""Lines of the program: more than a pipe holds."""
HANDSHAKE = (
    b"GET /no/such/path HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n"
    b"sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
REQUEST = b"GET /hello/World HTTP/1.1\r\nhost: x\r\n\r\n"


async def burst(edge: Edge, count: int = BURST) -> None:
    """Sends requests in pipelines; each is answered with 200."""
    host, port = edge.http.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    for _ in range(count // 100):
        writer.write(REQUEST * 100)
        for _ in range(100):
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200 ")
            length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
            await reader.readexactly(int(length))
    writer.close()


async def serves_and_counts(edge: Edge) -> None:
    """Looks that requests are answered, readiness stays, and losses are counted in time."""
    assert (await edge.get(CONVERT)).is_success

    async def is_counted() -> bool:
        return await edge.counted(LOST) > 0

    seconds = await until(is_counted)
    assert await edge.is_ready()
    print(f"{await edge.counted(LOST):.0f} lines lost, counted after {seconds:.1f} s;", end=" ")


async def test_the_disk_is_full(tmp_path: Path) -> None:
    """From the start: each line is lost, and the program's log says once why."""
    full = tmp_path / "full.log"
    full.symlink_to("/dev/full")
    async with processes.core() as core, watched(core.address, tmp_path, access_log=full) as edge:
        await serves_and_counts(edge)
        await serves_and_counts(edge)
        said = edge.log.read_text()
        assert said.count(f"cannot be written to {full}: No space left on device") == 1


@pytest.mark.skipif(bool(why_not()), reason="a disk of one's own needs root")
async def test_the_disk_has_room_again(tmp_path: Path) -> None:
    """A small disk fills up; when something is deleted the log goes on, and says how much is missing."""
    async with disk(tmp_path) as folder, processes.core() as core:
        (folder / "other").write_bytes(b"x" * 32_768)
        log = folder / "access.log"
        async with watched(core.address, tmp_path, access_log=log) as edge:
            await burst(edge, 400)
            await serves_and_counts(edge)
            (folder / "other").unlink()

            async def is_told() -> bool:
                await edge.get(CONVERT)
                lines = log.read_bytes().splitlines()
                return any(b'"event":"lost"' in line for line in lines)

            await until(is_told)


async def test_a_reader_of_the_access_log_stops(tmp_path: Path) -> None:
    """A pipe is full after some hundred lines: the writer holds thousands, then loses, and nobody waits."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reading = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        async with (
            processes.core() as core,
            watched(core.address, tmp_path, access_log=pipe) as edge,
        ):
            await burst(edge)
            await serves_and_counts(edge)
    finally:
        os.close(reading)


async def test_a_reader_of_the_programs_log_stops(tmp_path: Path) -> None:
    """Lines of the program are written by the event loop, and wait for nobody either."""
    reading, writing = os.pipe()
    try:
        async with (
            processes.core() as core,
            processes.edge(core.address, stderr=f"/dev/fd/{writing}", log_level="info") as edge,
            asyncio.timeout(60),
        ):
            for _ in range(REFUSALS):
                assert await refused_handshake(edge.port) == 404
            text = os.read(reading, 1 << 20)
            assert 0 < text.count(b"handshake refused") < REFUSALS
            assert await refused_handshake(edge.port) == 404
            text = b""
            while b"log lines before this one could not be written" not in text:
                text += await asyncio.to_thread(os.read, reading, 1 << 20)
    finally:
        os.close(reading)
        os.close(writing)


async def refused_handshake(port: int) -> int:
    """Opens a WebSocket where there is none, which the log tells; returns the HTTP status."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(HANDSHAKE)
    status = (await asyncio.wait_for(reader.readline(), WITHIN)).split()[1]
    writer.close()
    return int(status)


@asynccontextmanager
async def disk(folder: Path) -> AsyncIterator[Path]:
    """Has a disk of 64 KiB within the block."""
    mounted = folder / "disk"
    mounted.mkdir()
    mount, unmount = shutil.which("mount"), shutil.which("umount")
    assert mount is not None
    assert unmount is not None
    try:
        await run(mount, "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(mounted))
    except AssertionError as error:
        pytest.skip(f"no disk can be mounted here: {error}")
    try:
        yield mounted
    finally:
        await run(unmount, "-l", str(mounted))
