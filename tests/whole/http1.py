"""One HTTP/1.1 connection, whose requests are written as bytes and whose responses are read to the end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import httptools

_TURNS = 5
"""Turns of the loop in which a server that runs in it reads what was written."""


@dataclass
class Response:
    """One final response."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    complete: bool = False


class Connection:
    """A connection to a server in this loop, or to one that does not mind how bytes are cut."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._parser = httptools.HttpResponseParser(self)
        self._responses: list[Response] = []
        self.informational: list[int] = []
        """Statuses below 200."""

    def write(self, data: bytes) -> None:
        """Sends bytes that the server may read with others."""
        self._writer.write(data)

    async def send(self, *pieces: bytes) -> None:
        """Sends pieces that a server in this loop reads one by one."""
        for piece in pieces:
            self._writer.write(piece)
            await self._writer.drain()
            for _ in range(_TURNS):
                await asyncio.sleep(0)

    async def responses(self, count: int) -> list[Response]:
        """Returns so many responses, in order."""
        while sum(response.complete for response in self._responses) < count:
            await self.read()
        first, self._responses = self._responses[:count], self._responses[count:]
        return first

    async def read(self) -> None:
        """Reads some bytes of responses.

        Raises:
            EOFError: the server has closed the connection.
        """
        data = await asyncio.wait_for(self._reader.read(65536), 10)
        if not data:
            raise EOFError(f"closed after {self._responses}")
        self._parser.feed_data(data)

    async def some(self) -> None:
        """Reads until a response is complete.

        Raises:
            EOFError: the server has closed the connection before.
        """
        while not any(response.complete for response in self._responses):
            await self.read()

    async def rest(self) -> list[Response]:
        """Returns the responses that come until the server closes the connection."""
        while data := await asyncio.wait_for(self._reader.read(65536), 10):
            self._parser.feed_data(data)
        return self._responses

    async def head(self) -> bytes:
        """Returns the head of a response that begins another protocol."""
        return await asyncio.wait_for(self._reader.readuntil(b"\r\n\r\n"), 10)

    async def exactly(self, count: int) -> bytes:
        """Returns so many bytes of that protocol."""
        return await asyncio.wait_for(self._reader.readexactly(count), 10)

    # What the parser calls.

    def on_message_begin(self) -> None:
        """Begins a response."""
        self._responses.append(Response())

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keeps a header."""
        self._responses[-1].headers[name.decode().lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        """Keeps the status."""
        self._responses[-1].status = self._parser.get_status_code()

    def on_body(self, part: bytes) -> None:
        """Keeps a part of the body."""
        self._responses[-1].body += part

    def on_message_complete(self) -> None:
        """Ends a response; one below 200 is not the last of its request."""
        if self._responses[-1].status < 200:
            self.informational.append(self._responses.pop().status)
        else:
            self._responses[-1].complete = True


@asynccontextmanager
async def connection(port: int) -> AsyncIterator[Connection]:
    """Connects within the block."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield Connection(reader, writer)
    finally:
        writer.close()
