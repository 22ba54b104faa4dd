"""What sees every byte between a client and a server, and notes what messages were on the wire.

gRPC's API for Python tells neither side whether a message came compressed; some test cases want to know. What
is read here is read without grpc_wire: frames of HTTP/2 (RFC 9113, 4.1), and the prefix of a message. Without
TLS a tap stands between both; with it, it sees what one of them gives to `ssl`, and takes from there.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass, field
from typing import Any, NamedTuple

_PREFACE = 24
_HEAD = 9
_PREFIX = 5
_DATA, _HEADERS = 0, 1
_PADDED = 0x8
_GZIP = b"\x1f\x8b"
"""How gzip begins (RFC 1952, 2.3.1)."""


class Passed(NamedTuple):
    """A message as it was on the wire: its size there, and how it was compressed, if its flag says so."""

    size: int
    format: str = ""

    @property
    def compressed(self) -> bool:
        """Whether the flag of its prefix says that it is."""
        return bool(self.format)


@dataclass
class Seen:
    """One call: what was said either way so far."""

    requests: list[Passed] = field(default_factory=list)
    responses: list[Passed] = field(default_factory=list)


@dataclass
class Tap:
    """A tap on a server.

    Attributes:
        address: where it listens, in the place of the server.
        calls: what has passed, the newest call last.
    """

    address: str = ""
    calls: list[Seen] = field(default_factory=list)

    @property
    def last(self) -> Seen:
        """The call that began last."""
        return self.calls[-1]


class _Way:
    """One direction of a connection."""

    def __init__(self, skipped: int, messages: Callable[[int], list[Passed]]) -> None:
        self._buffer = bytearray()
        self._skipped = skipped
        self._messages = messages
        self._streams: dict[int, bytearray] = {}

    def feed(self, data: bytes | memoryview) -> None:
        """Reads what passes."""
        self._buffer += data
        if len(self._buffer) < self._skipped:
            return
        at, self._skipped = self._skipped, 0
        while len(self._buffer) >= at + _HEAD:
            size = int.from_bytes(self._buffer[at : at + 3], "big")
            end = at + _HEAD + size
            if len(self._buffer) < end:
                break
            kind, flags = self._buffer[at + 3], self._buffer[at + 4]
            stream_id = int.from_bytes(self._buffer[at + 5 : at + _HEAD], "big")
            if kind == _HEADERS:
                self._messages(stream_id)
            elif kind == _DATA:
                assert not flags & _PADDED, "nobody here pads"
                self._message(stream_id, self._buffer[at + _HEAD : end])
            at = end
        del self._buffer[:at]

    def _message(self, stream_id: int, data: bytearray) -> None:
        rest = self._streams.setdefault(stream_id, bytearray())
        rest += data
        while len(rest) >= _PREFIX:
            size = int.from_bytes(rest[1:_PREFIX], "big")
            if len(rest) < _PREFIX + size:
                break
            begin = bytes(rest[_PREFIX : _PREFIX + 2])
            form = ("gzip" if begin == _GZIP else "zlib") if rest[0] else ""
            self._messages(stream_id).append(Passed(size, form))
            del rest[: _PREFIX + size]


class _Heard:
    """A connection: what is heard either way."""

    def __init__(self, tap: Tap) -> None:
        self._tap = tap
        self._calls: dict[int, Seen] = {}
        self.requests = _Way(_PREFACE, lambda stream_id: self._call(stream_id).requests)
        self.responses = _Way(0, lambda stream_id: self._call(stream_id).responses)

    def _call(self, stream_id: int) -> Seen:
        if stream_id not in self._calls:
            self._calls[stream_id] = Seen()
            self._tap.calls.append(self._calls[stream_id])
        return self._calls[stream_id]


def overhear(context: ssl.SSLContext, tap: Tap) -> None:
    """Lets a tap see what passes in all connections of a server's or a client's context."""

    class Overheard(ssl.SSLObject):
        """One connection; `ssl` makes it without `__init__`."""

        came: _Way
        went: _Way

        def __new__(cls) -> Any:
            heard = _Heard(tap)
            ways = (heard.requests, heard.responses)
            made: Any = super().__new__(cls)
            serves = context.protocol is ssl.PROTOCOL_TLS_SERVER
            made.came, made.went = ways if serves else ways[::-1]
            return made

        def read(self, len: int = 1024, buffer: Any = None) -> Any:  # noqa: A002 - as `ssl` has it
            """Reads, and is heard."""
            read = super().read(len, buffer)
            self.came.feed(read if buffer is None else buffer[:read])
            return read

        def write(self, data: Any) -> int:
            """Writes, and is heard."""
            written = super().write(data)
            self.went.feed(data[:written])
            return written

    context.sslobject_class = Overheard


@asynccontextmanager
async def tapped(target: str) -> AsyncIterator[Tap]:
    """Stands before a server until the block is left."""
    tap = Tap()
    host, port = target.rsplit(":", 1)
    passing: set[asyncio.Task[None]] = set()

    async def carry(client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        heard = _Heard(tap)
        with suppress(ConnectionError), closing(to_client):
            server, to_server = await asyncio.open_connection(host, int(port))
            with closing(to_server):
                await asyncio.gather(
                    _pass(client, to_server, heard.requests),
                    _pass(server, to_client, heard.responses),
                )

    def connected(client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(carry(client, to_client))
        passing.add(task)
        task.add_done_callback(passing.discard)

    listening = await asyncio.start_server(connected, "127.0.0.1", 0)
    tap.address = f"127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    try:
        yield tap
    finally:
        listening.close()
        for task in passing:
            task.cancel()
        await asyncio.gather(*passing, return_exceptions=True)


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, way: _Way) -> None:
    while data := await reader.read(65536):
        way.feed(data)
        writer.write(data)
        await writer.drain()
    writer.write_eof()
