"""A proxy that cuts connections after so many bytes of the answer: by an end, or by a reset."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass


@dataclass(frozen=True)
class Cut:
    """Where and how a connection is cut."""

    after: int
    """Bytes of the answer that are passed on."""
    reset: bool
    """Whether it is reset (RST), or ended as if all had been said (FIN)."""


class CuttingProxy:
    """Passes bytes on, both ways; each connection is cut as the next of the cuts says."""

    def __init__(self, target: str, cuts: Iterator[Cut]) -> None:
        self._host, _, port = target.rpartition(":")
        self._port = int(port)
        self._cuts = cuts
        self.address = ""
        self.cut = 0
        """How many connections were cut."""

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Passes one connection on, up to its cut."""
        cut = next(self._cuts, None)
        there, back = await asyncio.open_connection(self._host, self._port)
        sending = asyncio.create_task(_pass_on(reader, back, None))
        try:
            if await _pass_on(there, writer, cut.after if cut else None):
                self.cut += 1
            if cut is not None and cut.reset:
                writer.transport.abort()
        finally:
            sending.cancel()
            writer.close()
            back.transport.abort()


async def _pass_on(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, left: int | None
) -> bool:
    """Passes bytes on, no more than `left`; returns whether there were so many."""
    while data := await reader.read(4096):
        if left is not None and len(data) >= left:
            writer.write(data[:left])
            await writer.drain()
            return True
        left = left - len(data) if left is not None else None
        writer.write(data)
        await writer.drain()
    return False


@asynccontextmanager
async def cutting(target: str, cuts: Iterator[Cut]) -> AsyncIterator[CuttingProxy]:
    """Runs a proxy before `host:port`, on a free port."""
    proxy = CuttingProxy(target, cuts)
    server = await asyncio.start_server(proxy.handle, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    proxy.address = f"{host}:{port}"
    async with server:
        yield proxy
