"""WebSockets on which much comes in little: what is parsed in one turn of the loop, and what is kept."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from uvicorn.config import Config
from uvicorn.server import ServerState

from gateway.uvicorn_websocket import PIECE_BYTES, WebSocketProtocol
from grpc_wire.call.message import INFLATION_FREE

HANDSHAKE = (
    b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n"
)
CONTINUATION, TEXT, CLOSE, PING, PONG = 0x0, 0x1, 0x8, 0x9, 0xA
FIN, COMPRESSED = 0x80, 0x40


def frame(opcode: int, payload: bytes = b"", flags: int = FIN) -> bytes:
    """Returns a frame of a client, whose mask is nothing."""
    size = len(payload)
    length = bytes([0x80 | size]) if size < 126 else b"\xfe" + size.to_bytes(2)
    return bytes([flags | opcode]) + length + b"\0\0\0\0" + payload


def compressed(payload: bytes) -> bytes:
    """Returns what permessage-deflate makes of a message (RFC 7692, 7.2.1)."""
    compressor = zlib.compressobj(wbits=-12)
    data = compressor.compress(payload) + compressor.flush(zlib.Z_SYNC_FLUSH)
    return data.removesuffix(b"\0\0\xff\xff")


class Socket(asyncio.Transport):
    """What the loop is to a protocol; a test plays the client."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.reading = True
        self.closed = False

    def write(self, data: Any) -> None:
        """Keeps what is written."""
        self.written.append(bytes(data))

    def pause_reading(self) -> None:
        """Reads nothing more."""
        self.reading = False

    def resume_reading(self) -> None:
        """Reads again."""
        self.reading = True

    def is_closing(self) -> bool:
        """Whether it was closed."""
        return self.closed

    def close(self) -> None:
        """Closes."""
        self.closed = True

    abort = close


class Talk:
    """One WebSocket: its protocol, its socket, and the pieces that were parsed, by the turn of the loop."""

    def __init__(self, app: Any) -> None:
        config = Config(app, ws_max_size=4 * 1024 * 1024, ws_ping_interval=None, log_config=None)
        config.load()
        self.protocol = WebSocketProtocol(config, ServerState(), {})
        self.socket = Socket()
        self.protocol.connection_made(self.socket)
        self.turn = 0
        self.pieces: list[tuple[int, int]] = []
        parse = self.protocol.conn.receive_data

        def spy(data: bytes) -> None:
            self.pieces.append((self.turn, len(data)))
            parse(data)

        self.protocol.conn.receive_data = spy  # type: ignore[method-assign, assignment] # it is a spy

    async def says(self, data: bytes) -> None:
        """Lets bytes come, as the loop reads them: up to 256 kB at a time, while it is asked to."""
        for at in range(0, len(data), 256 * 1024):
            while not self.socket.reading:
                await self._next_turn()
            self.protocol.data_received(data[at : at + 256 * 1024])

    async def until(self, condition: Callable[[], bool]) -> None:
        """Waits for something to become true, and counts the turns."""
        async with asyncio.timeout(20):
            while not condition():
                await self._next_turn()

    async def _next_turn(self) -> None:
        await asyncio.sleep(0)
        self.turn += 1


@asynccontextmanager
async def talking(app: Callable[..., Awaitable[None]]) -> AsyncIterator[Talk]:
    """Opens a WebSocket to an application."""
    talk = Talk(app)
    await talk.says(HANDSHAKE)
    await talk.until(lambda: bool(talk.socket.written))
    talk.socket.written.clear()
    yield talk
    talk.protocol.connection_lost(None)
    await asyncio.gather(*talk.protocol.tasks, return_exceptions=True)


class Reader:
    """An application that reads what comes, or waits before it does."""

    def __init__(self) -> None:
        self.messages: list[str] = []
        self.reads = asyncio.Event()
        self.reads.set()
        self.ended = False

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Reads to the end."""
        await receive()
        await send({"type": "websocket.accept"})
        while True:
            await self.reads.wait()
            event = await receive()
            if event["type"] == "websocket.disconnect":
                self.ended = True
                return
            self.messages.append(event["text"])


@pytest.mark.parametrize("payload", [b"x", b""])
async def test_small_frames_are_parsed_in_turns(payload: bytes) -> None:
    """100,000 frames are parsed a piece in a turn, and arrive in order."""
    reader = Reader()
    async with talking(reader) as talk:
        await talk.says(frame(TEXT, payload) * 100_000 + frame(TEXT, b"last"))
        await talk.until(lambda: reader.messages[-1:] == ["last"])

        assert reader.messages == [payload.decode()] * 100_000 + ["last"]
        assert max(size for _, size in talk.pieces) <= PIECE_BYTES
        turns = [turn for turn, _ in talk.pieces]
        assert max(turns.count(turn) for turn in set(turns[:200])) <= 2
        assert talk.socket.reading


async def test_frames_that_nobody_takes_are_not_parsed() -> None:
    """While the application takes nothing, no more than a piece is parsed, and nothing is read."""
    reader = Reader()
    async with talking(reader) as talk:
        reader.reads.clear()
        before = len(talk.pieces)
        await talk.says(frame(TEXT, b"x") * 30_000)
        for _ in range(100):
            await talk._next_turn()

        assert len(talk.pieces) - before <= 2
        assert talk.protocol.queue.qsize() <= PIECE_BYTES // 7 + 1
        assert not talk.socket.reading
        reader.reads.set()
        await talk.until(lambda: len(reader.messages) == 30_000)
        assert talk.socket.reading


async def test_fragments_of_a_byte_are_one_message() -> None:
    """A message of many fragments is kept as its bytes, however many are empty."""
    reader = Reader()
    async with talking(reader) as talk:
        fragments = frame(CONTINUATION, b"x", 0) * 20_000 + frame(CONTINUATION, b"", 0) * 50_000
        await talk.says(frame(TEXT, b"a", 0) + fragments)
        await talk.until(lambda: talk.socket.reading)
        assert len(talk.protocol.frames) == 1
        await talk.says(frame(CONTINUATION, b"z"))
        await talk.until(lambda: bool(reader.messages))

    assert reader.messages == ["a" + "x" * 20_000 + "z"]


async def test_pings_whose_answers_are_not_read() -> None:
    """While a client does not read, the last answers alone are kept; then they are sent."""
    async with talking(Reader()) as talk:
        talk.protocol.pause_writing()
        await talk.says(b"".join(frame(PING, b"%06d" % n) for n in range(50_000)))
        await talk.until(lambda: talk.socket.reading)
        assert talk.socket.written == []
        talk.protocol.resume_writing()

        pongs = b"".join(talk.socket.written)
        assert len(pongs) <= PIECE_BYTES
        assert pongs.endswith(b"\x8a\x06049999")
        await talk.says(frame(PING, b"once"))
        assert talk.socket.written[-1] == b"\x8a\x04once"


async def test_the_end_of_a_connection_behind_a_flood() -> None:
    """What was not parsed when the connection was lost is for nobody; its end is told."""
    reader = Reader()
    async with talking(reader) as talk:
        await talk.says(frame(TEXT, b"x") * 30_000)
        talk.protocol.connection_lost(ConnectionResetError())
        talk.socket.closed = True
        await talk.until(lambda: reader.ended)
        parsed = len(talk.pieces)
        for _ in range(20):
            await talk._next_turn()
        assert len(talk.pieces) == parsed
        talk.protocol.connections.add(talk.protocol)  # as the block ends it again


async def test_a_fault_behind_a_flood() -> None:
    """A frame that breaks the protocol ends it where it stands, and nothing behind it is parsed."""
    reader = Reader()
    async with talking(reader) as talk:
        await talk.says(frame(TEXT, b"x") * 5_000 + b"\xff\xff" + frame(TEXT, b"x") * 5_000)
        await talk.until(lambda: reader.ended)

    assert 5_000 - PIECE_BYTES // 7 <= len(reader.messages) <= 5_000  # uvicorn drops its piece
    assert b"".join(talk.socket.written)[2:4] == (1002).to_bytes(2)


@pytest.mark.parametrize(
    ("text", "passes"),
    [
        (b"x" * INFLATION_FREE, True),
        (b"x" * (INFLATION_FREE + 1), False),
        (b"x" * 4_000_000, False),
        (bytes(range(32, 127)) * 100, True),
    ],
)
async def test_a_compressed_message_inflates_only_so_far(text: bytes, passes: bool) -> None:
    """A message of few bytes may be 512 KiB, and no more than 200 times its size; beyond that is 1009."""
    reader = Reader()
    async with talking(reader) as talk:
        await talk.says(frame(TEXT, compressed(text), FIN | COMPRESSED))
        await talk.until(lambda: bool(reader.messages) or reader.ended)

    assert reader.messages == ([text.decode()] if passes else [])
    if not passes:
        assert b"".join(talk.socket.written)[2:4] == (1009).to_bytes(2)
