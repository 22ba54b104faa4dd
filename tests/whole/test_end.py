"""The end of an edge, and the limits of the system: what callers and the log are told."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import ssl
import sys
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager, suppress
from pathlib import Path

from gateway.doors.refusing import MAX_LINGERING
from tests.contracts import echo_descriptor_set
from tests.echo_server import echo_server
from tests.whole.certificates import made
from tests.whole.conftest import ROOT

_HANG = b"GET /v1/hang HTTP/1.1\r\nHost: x\r\n\r\n"
_GET = b"GET /v1/names/a HTTP/1.1\r\nHost: x\r\n\r\n"
_STREAM = f"GET /v1/stream/{'x' * 4000}?int32_field=1000000 HTTP/1.1\r\nHost: x\r\n\r\n".encode()


class Edge:
    """An edge as a process, with its log."""

    def __init__(self, process: asyncio.subprocess.Process, port: int, log: Path) -> None:
        self.process = process
        self.port = port
        self._log = log

    @property
    def log(self) -> str:
        """All that it has logged."""
        return self._log.read_text()

    def files(self) -> int:
        """Returns how many descriptors it has."""
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    async def says(self, text: str) -> None:
        """Waits for a line of the log."""
        async with asyncio.timeout(10):
            while text not in self.log:
                await asyncio.sleep(0.02)


@asynccontextmanager
async def _edge(folder: Path, upstream: str, *options: str, files: int = 0) -> AsyncIterator[Edge]:
    path, log = folder / "echo.binpb", folder / "log"
    path.write_bytes(echo_descriptor_set())
    command = [sys.executable, "-m", "gateway", "serve", "--port", "0", "--upstream", upstream]
    command += ["--descriptor-set", str(path), "--log-level", "warning", *options]
    if files:
        command = ["sh", "-c", f'ulimit -n {files}; exec "$@"', "sh", *command]
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *command, cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=output
        )
    assert process.stdout is not None
    try:
        line = await asyncio.wait_for(process.stdout.readline(), 30)
        yield Edge(process, int(line.decode().rpartition(":")[2]), log)
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def _connect(port: int, request: bytes = b"") -> socket.socket:
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.connect(("127.0.0.1", port))
    connection.sendall(request)
    connection.settimeout(10)
    return connection


async def test_readers_that_do_not_read_hold_nobody(tmp_path: Path) -> None:
    """A shutdown takes no longer than it may, and writes no traceback."""
    async with (
        echo_server() as echo,
        _edge(tmp_path, echo.address, "--drain-seconds", "1") as edge,
    ):
        with ExitStack() as stack:
            for _ in range(3):
                stack.enter_context(_connect(edge.port, _STREAM))
            await asyncio.sleep(0.5)  # so that they have taken what their buffers hold
            edge.process.terminate()
            started = asyncio.get_running_loop().time()
            await asyncio.wait_for(edge.process.wait(), 10)
            took = asyncio.get_running_loop().time() - started
        assert took < 3
        assert "Traceback" not in edge.log


async def test_a_second_signal_tells_who_waits(tmp_path: Path) -> None:
    """Ctrl-C twice: a unary call is answered 503, and why, and the process ends."""
    async with (
        echo_server() as echo,
        _edge(tmp_path, echo.address, "--drain-seconds", "30") as edge,
    ):
        with _connect(edge.port, _HANG) as caller:
            await asyncio.wait_for(echo.started.wait(), 10)
            edge.process.send_signal(signal.SIGINT)
            await asyncio.sleep(0.3)
            assert edge.process.returncode is None
            edge.process.send_signal(signal.SIGINT)
            await asyncio.wait_for(edge.process.wait(), 5)
            answer = caller.recv(65536)
        head, _, body = answer.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 503 ")
        assert json.loads(body) == {"code": 14, "message": "the server is shutting down"}
        assert "Traceback" not in edge.log


async def _answers(port: int) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(_GET)
    answer = await asyncio.wait_for(reader.readuntil(b"\r\n"), 10)
    writer.close()
    return answer


async def test_descriptors_run_out(tmp_path: Path) -> None:
    """New callers wait; that is logged once; when others leave they are answered."""
    async with echo_server() as echo, _edge(tmp_path, echo.address, files=64) as edge:
        assert b" 200 " in await _answers(edge.port)
        with ExitStack() as stack:
            for _ in range(80):
                stack.enter_context(_connect(edge.port))
            await edge.says("new connections wait: Too many open files")
            late = asyncio.create_task(_answers(edge.port))
            await asyncio.sleep(0.6)
            assert not late.done()
        assert b" 200 " in await late
        await edge.says("accepting connections again")
        assert edge.log.count("new connections wait") == 1


async def _refused(port: int) -> tuple[int, bytes]:
    """Returns the HTTP status and the body of what a new connection is told, though it sends a request."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(_GET)
    head, _, body = (await asyncio.wait_for(reader.read(), 10)).partition(b"\r\n\r\n")
    writer.close()
    assert b"connection: close" in head
    assert b"retry-after: 1" in head
    return int(head.split()[1]), body


async def _until_answered(port: int) -> None:
    async with asyncio.timeout(10):
        while b" 200 " not in await _answers(port):
            pass


async def test_connections_have_a_limit(tmp_path: Path) -> None:
    """Beyond it new callers are told so, and are accepted when others leave."""
    async with (
        echo_server() as echo,
        _edge(tmp_path, echo.address, "--max-connections", "3") as edge,
    ):
        with ExitStack() as stack:
            for _ in range(3):
                stack.enter_context(_connect(edge.port))
            status, body = await _refused(edge.port)
            assert status == 503
            assert json.loads(body) == {
                "code": 14,
                "message": "too many connections; the limit is 3",
            }
            await edge.says("there are 3 connections; further ones are refused")
        await _until_answered(edge.port)


async def test_an_address_has_a_limit(tmp_path: Path) -> None:
    """Beyond it callers are told so, which is logged; others that leave make room."""
    async with (
        echo_server() as echo,
        _edge(tmp_path, echo.address, "--max-connections-per-address", "2") as edge,
    ):
        with _connect(edge.port), _connect(edge.port):
            status, body = await _refused(edge.port)
            assert status == 429
            assert json.loads(body)["code"] == 8
            await edge.says("127.0.0.1 has 2 connections; further ones are refused")
        await _until_answered(edge.port)


async def test_refused_connections_hold_nothing(tmp_path: Path) -> None:
    """However many come and stay: a bounded number lingers, for a second."""
    async with (
        echo_server() as echo,
        _edge(tmp_path, echo.address, "--max-connections-per-address", "2") as edge,
    ):
        with _connect(edge.port), _connect(edge.port), ExitStack() as stack:
            assert (await _refused(edge.port))[0] == 429
            before = edge.files()
            for _ in range(300):
                stack.enter_context(_connect(edge.port))
            assert (await _refused(edge.port))[0] == 429
            assert edge.files() <= before + MAX_LINGERING
            async with asyncio.timeout(10):
                while edge.files() > before:
                    await asyncio.sleep(0.05)
        assert "Traceback" not in edge.log


async def test_several_addresses(tmp_path: Path) -> None:
    """Each address of the setting is listened on, a Unix socket and one that was handed over too."""
    path = tmp_path / "edge.sock"
    with socket.create_server(("127.0.0.1", 0)) as handed:
        host = f"127.0.0.1, unix:{path}, fd:{handed.fileno()}"
        descriptor_set = tmp_path / "echo.binpb"
        descriptor_set.write_bytes(echo_descriptor_set())
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "gateway", "serve", "--port", "0", "--host", host),
            *("--descriptor-set", str(descriptor_set), "--upstream", "127.0.0.1:1"),
            cwd=ROOT,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            pass_fds=[handed.fileno()],
        )
        assert process.stdout is not None
        try:
            lines = [await asyncio.wait_for(process.stdout.readline(), 30) for _ in range(3)]
            places = [line.decode().split()[-1] for line in lines]
            assert places[1] == f"unix:{path}"
            ports = [int(places[number].rpartition(":")[2]) for number in (0, 2)]
            assert ports[1] == handed.getsockname()[1]
            opened = [await asyncio.open_connection("127.0.0.1", port) for port in ports]
            opened.append(await asyncio.open_unix_connection(str(path)))
            for reader, writer in opened:
                writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
                assert b" 200 " in await asyncio.wait_for(reader.readuntil(b"\r\n"), 10)
                writer.close()
        finally:
            process.terminate()
            await process.wait()


async def test_a_tls_handshake_has_its_time(tmp_path: Path) -> None:
    """Who connects and says nothing, or no TLS, is disconnected; others are answered meanwhile."""
    made(tmp_path / "tls")
    party = tmp_path / "tls" / "gateway"
    options = (
        "--tls-certificate",
        str(party / "certificate.pem"),
        "--tls-key",
        str(party / "key.pem"),
    )
    async with (
        echo_server() as echo,
        _edge(tmp_path, echo.address, *options, "--tls-handshake-seconds", "0.5") as edge,
    ):
        with _connect(edge.port) as silent, _connect(edge.port, _GET) as plain:
            assert await asyncio.to_thread(silent.recv, 1) == b""
            with suppress(ConnectionResetError):
                assert b"HTTP" not in await asyncio.to_thread(plain.recv, 100)
        context = ssl.create_default_context(cafile=tmp_path / "tls" / "gateway" / "ca.pem")
        context.check_hostname = False
        reader, writer = await asyncio.open_connection("127.0.0.1", edge.port, ssl=context)
        writer.write(_GET)
        assert b" 200 " in await asyncio.wait_for(reader.readuntil(b"\r\n"), 10)
        writer.close()
        assert "Traceback" not in edge.log
