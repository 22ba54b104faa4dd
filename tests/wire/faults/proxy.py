"""What lies between a client and a server: it passes bytes on in pieces of any size, and cuts.

It changes nothing and loses nothing of what it has passed on: TCP does not.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from random import Random


class Proxy:
    """A proxy of one server.

    Attributes:
        address: where clients find it.
        up: bytes of the client after which a connection is cut; None is never.
        down: bytes of the server.
        flowing: cleared, nothing is passed on for now.
    """

    def __init__(self, server: str, random: Random) -> None:
        self.address = ""
        self.up: int | None = None
        self.down: int | None = None
        self.flowing = asyncio.Event()
        self.flowing.set()
        self._server = server
        self._random = random
        self._open: set[asyncio.Task[None]] = set()
        self._ways: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serves one connection until either side ends it, or it is cut."""
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        host, port = self._server.split(":")
        try:
            theirs, ours = await asyncio.open_connection(host, int(port))
        except OSError:
            writer.transport.abort()
            self._open.discard(task)
            return
        ways = {
            asyncio.create_task(self._pass_on(reader, ours, self.up)),
            asyncio.create_task(self._pass_on(theirs, writer, self.down)),
        }
        self._ways |= ways
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for way in ways:
            way.cancel()
        await asyncio.wait(ways)
        writer.transport.abort()
        ours.transport.abort()
        self._ways -= ways
        self._open.discard(task)

    async def _pass_on(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, left: int | None
    ) -> None:
        with suppress(OSError):
            while left is None or left > 0:
                data = await reader.read(self._random.choice((9, 100, 65536)))
                if not data:
                    return
                await self.flowing.wait()
                if left is not None:
                    data, left = data[:left], left - len(data)
                writer.write(data)
                await writer.drain()
            await asyncio.sleep(0.001)  # so that what was passed on arrives before the end does

    async def close(self) -> None:
        """Cuts what is open."""
        while self._open:
            for way in self._ways:
                way.cancel()
            await asyncio.wait(self._open, timeout=0.01)


@asynccontextmanager
async def proxy(server: str, random: Random) -> AsyncIterator[Proxy]:
    """Runs a proxy until the block is left."""
    between = Proxy(server, random)
    listening = await asyncio.start_server(between.serve, "127.0.0.1", 0)
    between.address = f"127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    try:
        yield between
    finally:
        listening.close()
        await between.close()
        await listening.wait_closed()
