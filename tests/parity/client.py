"""A client that sends a request exactly as it is written, and gives back what came."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import h11

_SECONDS = 50
_TURNS = 20
"""Turns of the event loop in which a server that it runs too accepts a connection, and reads a head."""


@dataclass(frozen=True)
class Answer:
    """One HTTP answer; of status 0 where the connection was closed without one."""

    status: int
    headers: dict[str, str]
    body: bytes
    whole: bool
    """Whether the HTTP message came to its end."""
    trailers: dict[str, str] = field(default_factory=dict)


async def ask(
    port: int, method: str, target: str, headers: dict[str, str], body: bytes | None
) -> Answer:
    """Sends one request on a connection of its own."""
    return await _ask(port, method, target, headers, body, turns=0)


async def ask_in_parts(
    port: int, method: str, target: str, headers: dict[str, str], body: bytes | None
) -> Answer:
    """Does the same, and sends the body behind the head, when a server in this loop has read that."""
    return await _ask(port, method, target, headers, body, turns=_TURNS)


async def _ask(
    port: int, method: str, target: str, headers: dict[str, str], body: bytes | None, *, turns: int
) -> Answer:
    async with asyncio.timeout(_SECONDS):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            return await _ask_on(reader, writer, method, target, headers, body, turns)
        finally:
            writer.close()


async def _ask_on(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    method: str,
    target: str,
    headers: dict[str, str],
    body: bytes | None,
    turns: int,
) -> Answer:
    connection = h11.Connection(h11.CLIENT)
    fields = [("host", "edge.test"), *headers.items()]
    if body is not None:
        fields.append(("content-length", str(len(body))))
    request = connection.send(h11.Request(method=method, target=target, headers=fields)) or b""
    data = (connection.send(h11.Data(body)) or b"") if body else b""
    if turns:
        writer.write(request)
        request = b""
        for _ in range(turns):
            await asyncio.sleep(0)
    writer.write(request + data)
    connection.send(h11.EndOfMessage())
    return await _read(reader, connection)


async def _read(reader: asyncio.StreamReader, connection: h11.Connection) -> Answer:
    """Reads the answer, as far as it comes."""
    head: h11.Response | None = None
    parts: list[bytes] = []
    whole = False
    while not whole:
        try:
            event = connection.next_event()
            if event is h11.NEED_DATA:
                connection.receive_data(await reader.read(2**16))
                continue
        except (h11.RemoteProtocolError, ConnectionError):
            break
        if isinstance(event, h11.Response):
            head = event
        elif isinstance(event, h11.Data):
            parts.append(bytes(event.data))
        elif isinstance(event, h11.EndOfMessage):
            whole = True
        elif isinstance(event, h11.ConnectionClosed):
            break
    if head is None:
        return Answer(0, {}, b"", whole=False)
    received = {name.decode(): value.decode("latin-1") for name, value in head.headers}
    return Answer(head.status_code, received, b"".join(parts), whole)
