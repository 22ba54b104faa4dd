"""A server of key sets, which can be slow, huge, hostile or gone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from tests.edge.authentication.tokens import key, key_set


class KeyServer:
    """What it answers can be changed while it serves.

    Attributes:
        body: of the answers.
        status: of the answers.
        headers: more lines of the head.
        delay: seconds before an answer.
        drip: seconds between two bytes of the body; None: it is sent whole.
        broken: whether connections are closed without an answer.
        fetches: how many requests came.
        requests: their heads.
    """

    def __init__(self) -> None:
        self.body = key_set(key().jwk())
        self.status = "200 OK"
        self.headers: list[str] = []
        self.delay = 0.0
        self.drip: float | None = None
        self.broken = False
        self.fetches = 0
        self.requests: list[bytes] = []
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.port = 0

    @property
    def url(self) -> str:
        """Where the keys are."""
        return f"http://127.0.0.1:{self.port}/keys"

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answers one request, and closes."""
        try:
            self.requests.append(await reader.readuntil(b"\r\n\r\n"))
            self.fetches += 1
            await self.may_answer.wait()
            await asyncio.sleep(self.delay)
            if not self.broken:
                await self._send(writer)
        except (OSError, asyncio.IncompleteReadError):
            pass  # the edge reads no further
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def _send(self, writer: asyncio.StreamWriter) -> None:
        lines = [f"HTTP/1.1 {self.status}", "connection: close", *self.headers]
        if not any("length" in line for line in self.headers):
            lines.append(f"content-length: {len(self.body)}")
        writer.write("\r\n".join([*lines, "", ""]).encode())
        size = len(self.body) if self.drip is None else 1
        for offset in range(0, len(self.body), max(size, 1)):
            writer.write(self.body[offset : offset + size])
            await writer.drain()
            await asyncio.sleep(self.drip or 0)


@asynccontextmanager
async def serving_keys() -> AsyncIterator[KeyServer]:
    """Serves keys within the block."""
    keys = KeyServer()
    tasks: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(keys.answer(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    keys.port = server.sockets[0].getsockname()[1]
    try:
        yield keys
    finally:
        server.close()
        for task in tuple(tasks):
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
