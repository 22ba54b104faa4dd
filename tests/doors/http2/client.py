"""A client of HTTP/2, by `h2`, which nobody here wrote: many requests at a time on one connection."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.settings

from tests.parity.client import Answer

_SECONDS = 50
_GOAWAY = 7
Pairs = Iterable[tuple[str, str]]


@dataclass(eq=False)
class Stream:
    """One request, and what has come of its response."""

    number: int
    status: int = 0
    headers: list[tuple[str, str]] = field(default_factory=list)
    informational: list[int] = field(default_factory=list)
    body: bytearray = field(default_factory=bytearray)
    trailers: list[tuple[str, str]] | None = None
    ended: bool = False
    reset: int | None = None
    """The code with which it was reset, if it was."""
    lost: bool = False
    """Whether the connection has ended before it."""
    unacknowledged: int = 0
    reads: bool = True
    """Whether its window is opened again for what comes."""

    def answer(self) -> Answer:
        """Returns what came, as the client of HTTP/1.1 has it."""
        trailers = dict(self.trailers or ())
        return Answer(self.status, dict(self.headers), bytes(self.body), self.ended, trailers)


class Client:
    """One connection.

    Attributes:
        h2: the library's connection, to send what this has no method for; then call `flush`.
        goaways: (last stream, code) of each GOAWAY that came.
        closed: whether the server has closed.
    """

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, strict: bool = True
    ) -> None:
        self._reader = reader
        self._writer = writer
        config = h2.config.H2Configuration(
            header_encoding="latin-1",
            validate_outbound_headers=strict,
            normalize_outbound_headers=strict,
        )
        self.h2 = h2.connection.H2Connection(config)
        self.streams: dict[int, Stream] = {}
        self.goaways: list[tuple[int, int]] = []
        self.pings: list[bytes] = []
        self.pongs = 0
        self.closed = False
        self._rest = b""
        self._news = asyncio.Condition()

    def start(self) -> None:
        """Sends the preface."""
        self.h2.initiate_connection()
        self.flush()

    def flush(self) -> None:
        """Sends what is ready."""
        if data := self.h2.data_to_send():
            self._writer.write(data)

    def write(self, data: bytes) -> None:
        """Sends bytes as they are."""
        self._writer.write(data)

    async def run(self) -> None:
        """Reads until the server closes."""
        try:
            while data := await self._reader.read(2**16):
                data = self._without_goaways(data)
                with suppress(
                    h2.exceptions.ProtocolError
                ):  # of streams that a test has made by hand
                    for event in self.h2.receive_data(data):
                        self._take(event)
                self.flush()
                await self._tell()
        except OSError:
            pass
        self.closed = True
        for stream in self.streams.values():
            stream.lost = not stream.ended
        await self._tell()

    def _without_goaways(self, data: bytes) -> bytes:
        """Takes GOAWAYs out: behind one the library reads no more, though the server goes on (6.8)."""
        self._rest += data
        passed = b""
        while len(self._rest) >= 9:
            end = 9 + int.from_bytes(self._rest[:3])
            if len(self._rest) < end:
                break
            frame, self._rest = self._rest[:end], self._rest[end:]
            if frame[3] == _GOAWAY:
                last, code = int.from_bytes(frame[9:13]), int.from_bytes(frame[13:17])
                self.goaways.append((last, code))
            else:
                passed += frame
        return passed

    async def _tell(self) -> None:
        async with self._news:
            self._news.notify_all()

    def _take(self, event: Any) -> None:
        if isinstance(event, h2.events.PingReceived):
            self.pings.append(event.ping_data)
        elif isinstance(event, h2.events.PingAckReceived):
            self.pongs += 1
        elif (stream := self.streams.get(getattr(event, "stream_id", 0))) is not None:
            self._take_of_stream(stream, event)

    def _take_of_stream(self, stream: Stream, event: Any) -> None:
        match event:
            case h2.events.InformationalResponseReceived():
                stream.informational.append(int(event.headers[0][1]))
            case h2.events.ResponseReceived():
                fields: list[Any] = list(event.headers)
                stream.status = int(fields[0][1])
                stream.headers = fields[1:]
            case h2.events.DataReceived():
                stream.body += event.data
                if stream.reads:
                    self.h2.acknowledge_received_data(event.flow_controlled_length, stream.number)
                else:
                    stream.unacknowledged += event.flow_controlled_length
            case h2.events.TrailersReceived():
                trailers: list[Any] = list(event.headers)
                stream.trailers = trailers
            case h2.events.StreamEnded():
                stream.ended = True
            case h2.events.StreamReset():
                stream.reset = int(event.error_code)

    def request(
        self,
        method: str,
        target: str,
        headers: Pairs = (),
        body: bytes | None = None,
        *,
        authority: str = "edge.test",
        end: bool = True,
        scheme: str = "http",
    ) -> Stream:
        """Sends a request; with `end` all of it."""
        fields = [
            (":method", method),
            (":scheme", scheme),
            (":authority", authority),
            (":path", target),
            *headers,
        ]
        return self.send(fields, body, end=end)

    def send(self, fields: Pairs, body: bytes | None = None, *, end: bool = True) -> Stream:
        """Sends a request of these fields."""
        number = self.h2.get_next_available_stream_id()
        stream = self.streams[number] = Stream(number)
        self.h2.send_headers(number, list(fields), end_stream=end and body is None)
        self.flush()
        if body is not None:
            self._send(number, body, end=end)
        return stream

    def _send(self, number: int, body: bytes, *, end: bool) -> None:
        size = self.h2.max_outbound_frame_size
        parts = [body[at : at + size] for at in range(0, len(body), size)] or [b""]
        for part in parts:
            self.h2.send_data(number, part, end_stream=end and part is parts[-1])
        self.flush()

    async def upload(self, stream: Stream, body: bytes, *, end: bool = True) -> None:
        """Sends a body as the server's windows allow, unless its response ends before."""

        def over() -> bool:
            return stream.ended or stream.reset is not None or stream.lost

        def room() -> int:
            return self.h2.local_flow_control_window(stream.number)

        if end and not body:
            self._send(stream.number, b"", end=True)
        while body:
            await self.until(lambda: over() or room() > 0)
            if over():
                return
            size = min(room(), self.h2.max_outbound_frame_size)
            part, body = body[:size], body[size:]
            self.h2.send_data(stream.number, part, end_stream=end and not body)
            self.flush()
            await self._writer.drain()

    async def until(self, condition: Any) -> None:
        """Waits until something is so that what comes may change."""
        async with asyncio.timeout(_SECONDS), self._news:
            await self._news.wait_for(condition)

    async def end_of(self, stream: Stream) -> Stream:
        """Waits for the end of a response, of whatever kind."""
        await self.until(lambda: stream.ended or stream.reset is not None or stream.lost)
        return stream

    async def ping(self) -> None:
        """Waits until the server has read what was sent before."""
        before = self.pongs
        self.h2.ping(b"protoway")
        self.flush()
        await self.until(lambda: self.pongs > before or self.closed)

    async def get(self, target: str, headers: Pairs = (), **more: Any) -> Stream:
        """Sends a GET, and waits for its response."""
        return await self.end_of(self.request("GET", target, headers, **more))

    def close(self) -> None:
        """Closes the connection."""
        self._writer.close()


@asynccontextmanager
async def connected(
    port: int, *, tls: ssl.SSLContext | None = None, strict: bool = True, starts: bool = True
) -> AsyncIterator[Client]:
    """Opens a connection for as long as the block; with `starts` the preface is sent."""
    name = None if tls is None else "localhost"
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=tls, server_hostname=name)
    client = Client(reader, writer, strict=strict)
    if starts:
        client.start()
    running = asyncio.create_task(client.run())
    try:
        yield client
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
        writer.close()


async def ask(
    port: int, method: str, target: str, headers: dict[str, str], body: bytes | None
) -> Answer:
    """Sends one request on a connection of its own, as `tests.parity.client.ask` does over HTTP/1.1."""
    return await _ask(port, method, target, headers, body, in_parts=False)


async def ask_in_parts(
    port: int, method: str, target: str, headers: dict[str, str], body: bytes | None
) -> Answer:
    """Does the same, and sends the body when the server has read the head."""
    return await _ask(port, method, target, headers, body, in_parts=True)


async def _ask(
    port: int,
    method: str,
    target: str,
    headers: dict[str, str],
    body: bytes | None,
    *,
    in_parts: bool,
) -> Answer:
    async with connected(port, strict=False) as client:
        fields = [
            (name.lower(), value) for name, value in headers.items() if name.lower() != "host"
        ]
        host = next((v for n, v in headers.items() if n.lower() == "host"), "edge.test")
        if body is not None:
            fields.append(("content-length", str(len(body))))
        stream = client.request(method, target, fields, authority=host, end=body is None)
        if in_parts:
            await client.ping()
        if body is not None:
            await client.upload(stream, body)
        return (await client.end_of(stream)).answer()
