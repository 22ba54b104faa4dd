"""Memory of connections, streams and calls: `python -m bench.sizing`, for docs/operations/size-it.md.

Edge and core run with their defaults, and count for Prometheus. For each case a thousand of a kind are open
at once; the difference of resident memory, divided by their number, is what one takes. Each case has fresh
processes, because memory that was freed is not always given back.
"""

from __future__ import annotations

import asyncio
import signal
import ssl
import tempfile
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.processes import ROOT, Part
from scripts.make_tls import Authority

COUNT: Final = 1000
LARGE: Final = 60_000
"""Bytes of a large message; a container of the compose file takes 64 KiB."""
_SETTLE_SECONDS: Final = 2.0
_GET: Final = b"GET /hello/World HTTP/1.1\r\nhost: x\r\n\r\n"
_EVENTS: Final = b"GET /rates/%b HTTP/1.1\r\nhost: x\r\naccept: text/event-stream\r\n\r\n"
_UPGRADE: Final = (
    b"GET /convert:live HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n"
    b"sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


@dataclass
class Sides:
    """Core and edge, and the connections that are open."""

    core: Part
    edge: Part
    tls: ssl.SSLContext | None
    held: list[StreamWriter]

    async def open(self, request: bytes) -> StreamReader:
        """Opens a connection, and sends something."""
        name = "gateway" if self.tls else None
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", self.edge.port, ssl=self.tls, server_hostname=name
        )
        self.held.append(writer)
        writer.write(request)
        return reader


async def connection(sides: Sides, _number: int) -> None:
    """Opens a connection that has asked once."""
    await (await sides.open(_GET)).readuntil(b"}")


async def shared_reader(sides: Sides, _number: int) -> None:
    """Opens a reader of events of one stream that all share."""
    await (await sides.open(_EVENTS % b"USD")).readuntil(b"\n\n")


async def websocket(sides: Sides, _number: int) -> None:
    """Opens a WebSocket, which is a call of its own."""
    await (await sides.open(_UPGRADE)).readuntil(b"\r\n\r\n")


async def waiting_call(sides: Sides, number: int, size: int = 0) -> None:
    """Sends a unary call that the core does not answer, because it is stopped."""
    if number == 0:
        sides.core.process.send_signal(signal.SIGSTOP)
    body = b'{"name":"%b"}' % (b"x" * size)
    head = b"POST /hello HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
    await sides.open(head % len(body) + body)


async def large_call(sides: Sides, number: int) -> None:
    """The same with a large message."""
    await waiting_call(sides, number, LARGE)


CASES: Final[dict[str, tuple[Callable[[Sides, int], Awaitable[None]], bool]]] = {
    "an idle connection": (connection, False),
    "an idle connection with TLS": (connection, True),
    "a reader of a shared stream": (shared_reader, False),
    "a WebSocket, with a call of its own": (websocket, False),
    "a unary call in progress": (waiting_call, False),
    f"the same with a message of {LARGE:,} bytes": (large_call, False),
}


@asynccontextmanager
async def _sides(folder: Path, *, tls: bool) -> AsyncIterator[Sides]:
    settings = {
        "PROTOWAY_DESCRIPTOR_SET": str(ROOT / "protos/descriptor_set.binpb"),
        "PROTOWAY_ACCESS_LOG": "json",
        "PROTOWAY_ACCESS_LOG_PATH": str(folder / "access.log"),
        "PROTOWAY_ADMIN_PORT": "0",
        "PROTOWAY_MAX_CONNECTIONS_PER_ADDRESS": "5000",
    }
    context = None
    if tls:
        for name, content in Authority.new().issue("gateway").items():
            (folder / name).write_bytes(content)
        context = ssl.create_default_context(cafile=str(folder / "ca.pem"))
        settings["PROTOWAY_TLS_CERTIFICATE"] = str(folder / "certificate.pem")
        settings["PROTOWAY_TLS_KEY"] = str(folder / "key.pem")
    counting = {"CORE_METRICS_PORT": "0"}
    async with Part.serving("grpc_core", "--port", "0", **counting) as core:
        settings["PROTOWAY_UPSTREAM"] = core.address
        async with Part.serving("gateway", "serve", "--port", "0", **settings) as edge:
            sides = Sides(core, edge, context, [])
            try:
                yield sides
            finally:
                core.process.send_signal(signal.SIGCONT)
                for writer in sides.held:
                    writer.transport.abort()


async def main() -> None:
    """Measures each case, and prints a table."""
    print("| | edge | core |\n| --- | --- | --- |")
    floor = True
    for name, (begin, tls) in CASES.items():
        with tempfile.TemporaryDirectory() as folder:
            async with _sides(Path(folder), tls=tls) as sides:
                await connection(sides, 0)
                before = sides.edge.resident, sides.core.resident
                if floor:
                    edge, core = (each / 1e6 for each in before)
                    print(f"| a process without callers | {edge:.0f} MB | {core:.0f} MB |")
                    floor = False
                for number in range(COUNT):
                    await begin(sides, number)
                await asyncio.sleep(_SETTLE_SECONDS)
                after = sides.edge.resident, sides.core.resident
        each = [(late - early) / COUNT / 1000 for early, late in zip(before, after, strict=True)]
        print(f"| {name} | {each[0]:.1f} kB | {each[1]:.1f} kB |", flush=True)


if __name__ == "__main__":
    asyncio.run(main())
