"""WebSockets on which much comes in little: what is parsed in one turn of the loop, and what is kept."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from gateway.doors.http.door import Door, ServerState
from gateway.doors.http.limits import WebSocketLimits
from gateway.doors.http.websocket import WebSocketProtocol
from gateway.doors.http.websocket_connection import BURST, MAX_PIECE, SMALL_FRAGMENT
from gateway.doors.http1.protocol import Http1Protocol
from grpc_wire.call.message import INFLATION_FREE
from tests.doors.http1.served import Socket

RATE = 100
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


class Talk:
    """One WebSocket: its protocol, its socket, and the pieces that were parsed, by the turn of the loop."""

    def __init__(self, app: Any) -> None:
        limits = WebSocketLimits(4 * 1024 * 1024, 60, compression=True, small_frames=RATE)
        self.socket = Socket()
        self.state = ServerState()
        self.socket.set_protocol(Http1Protocol(Door(app, self.state, limits)))
        self.turn = 0
        self.pieces: list[tuple[int, int]] = []

    @property
    def protocol(self) -> WebSocketProtocol:
        """What the handshake has led to."""
        protocol = self.socket.get_protocol()
        assert isinstance(protocol, WebSocketProtocol)
        return protocol

    def spy(self) -> None:
        """Notes each piece that is parsed."""
        library = self.protocol._connection._protocol
        parse = library.receive_data

        def receive_data(data: bytes) -> None:
            self.pieces.append((self.turn, len(data)))
            parse(data)

        library.receive_data = receive_data  # type: ignore[method-assign, assignment] # it is a spy

    async def says(self, data: bytes) -> None:
        """Lets bytes come, as the loop reads them: up to 256 kB at a time, while it is asked to."""
        for at in range(0, len(data), 256 * 1024):
            while not self.socket.reading:
                await self._next_turn()
            self.socket.receive(data[at : at + 256 * 1024])

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
    talk.spy()
    talk.socket.written.clear()
    yield talk
    talk.socket.lose()
    await asyncio.gather(*talk.state.tasks, return_exceptions=True)
    assert not talk.state.connections


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
    """30,000 frames are parsed a piece in a turn, of a hundred frames or so, and arrive in order."""
    reader = Reader()
    async with talking(reader) as talk:
        await talk.says(frame(TEXT, payload) * 30_000 + frame(TEXT, b"last"))
        await talk.until(lambda: reader.messages[-1:] == ["last"])

        assert reader.messages == [payload.decode()] * 30_000 + ["last"]
        settled = [size for _, size in talk.pieces[10:]]
        assert max(settled) <= 200 * 7
        turns = [turn for turn, _ in talk.pieces]
        assert max(turns.count(turn) for turn in set(turns[:200])) <= 2
        assert talk.socket.reading


async def test_large_frames_are_parsed_in_large_pieces() -> None:
    """What carries much costs few turns."""
    reader = Reader()
    async with talking(reader) as talk:
        await talk.says(frame(TEXT, b"x" * 60_000) * 10)
        await talk.until(lambda: len(reader.messages) == 10)

        assert max(size for _, size in talk.pieces) == MAX_PIECE
        assert len(talk.pieces) < 2 * 600_000 / MAX_PIECE


async def test_messages_before_a_close_arrive() -> None:
    """Though they come in one piece with it."""
    reader = Reader()
    async with talking(reader) as talk:
        await talk.says(frame(TEXT, b"last") + frame(CLOSE, (1000).to_bytes(2)))
        await talk.until(lambda: reader.ended)

    assert reader.messages == ["last"]
    assert b"".join(talk.socket.written) == b"\x88\x02\x03\xe8"


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
        assert not talk.socket.reading
        reader.reads.set()
        await talk.until(lambda: len(reader.messages) == 30_000)
        assert talk.socket.reading


async def test_fragments_are_one_message() -> None:
    """A message of many fragments is kept as its bytes."""
    reader = Reader()
    async with talking(reader) as talk:
        part = b"x" * SMALL_FRAGMENT
        await talk.says(frame(TEXT, b"a", 0) + frame(CONTINUATION, part, 0) * 2_000)
        await talk.until(lambda: talk.socket.reading)
        assert len(talk.protocol._connection._message) == 1 + 2_000 * SMALL_FRAGMENT
        await talk.says(frame(CONTINUATION, b"z"))
        await talk.until(lambda: bool(reader.messages))

    assert reader.messages == ["a" + "x" * SMALL_FRAGMENT * 2_000 + "z"]


@pytest.mark.parametrize(
    "small",
    [
        frame(CONTINUATION, b"", 0),
        frame(CONTINUATION, b"xy", 0),
        frame(PING),
        frame(PING, b"x" * 125),
        frame(PONG, b"?"),
    ],
    ids=["empty fragments", "small fragments", "pings", "long pings", "pongs"],
)
async def test_frames_that_carry_nothing_have_a_rate(small: bytes) -> None:
    """As many as a client may need; beyond that the connection ends with 1008, and nothing more is parsed."""
    reader = Reader()
    async with talking(reader) as talk:
        await talk.says(frame(TEXT, b"a", 0))
        await talk.says(small * (RATE * BURST - 10))
        await talk.until(lambda: talk.socket.reading)
        assert not reader.ended
        await talk.says(small * (RATE * BURST))
        await talk.until(lambda: reader.ended)

        sent = b"".join(talk.socket.written)
        close = bytes([FIN | CLOSE])
        assert sent[sent.rindex(close) + 2 :][:2] == (1008).to_bytes(2)
        assert talk.socket.closed


async def test_pings_whose_answers_are_not_read() -> None:
    """While a client does not read, nothing of it is parsed; then all its pings are answered."""
    async with talking(Reader()) as talk:
        talk.socket.pause_protocol()
        await talk.says(b"".join(frame(PING, b"%06d" % n) for n in range(500)))
        for _ in range(20):
            await talk._next_turn()
        assert talk.socket.written == []
        assert not talk.socket.reading
        talk.socket.resume_protocol()
        await talk.until(lambda: talk.socket.reading)

        pongs = b"".join(talk.socket.written)
        assert pongs == b"".join(b"\x8a\x06%06d" % n for n in range(500))


async def test_the_end_of_a_connection_behind_a_flood() -> None:
    """What was not parsed when the connection was lost is for nobody; its end is told."""
    reader = Reader()
    async with talking(reader) as talk:
        await talk.says(frame(TEXT, b"x") * 30_000)
        talk.socket.lose()
        await talk.until(lambda: reader.ended)
        parsed = len(talk.pieces)
        for _ in range(20):
            await talk._next_turn()
        assert len(talk.pieces) == parsed


async def test_a_fault_behind_a_flood() -> None:
    """A frame that breaks the protocol ends it where it stands, and nothing behind it is parsed."""
    reader = Reader()
    async with talking(reader) as talk:
        await talk.says(frame(TEXT, b"x") * 5_000 + b"\xff\xff" + frame(TEXT, b"x") * 5_000)
        await talk.until(lambda: reader.ended)

    assert len(reader.messages) == 5_000
    assert b"".join(talk.socket.written)[2:4] == (1002).to_bytes(2)


async def test_a_text_that_is_none() -> None:
    """Text that is not UTF-8 ends the connection with 1007."""
    reader = Reader()
    async with talking(reader) as talk:
        await talk.says(frame(TEXT, b"\xff"))
        await talk.until(lambda: reader.ended)

    assert b"".join(talk.socket.written)[2:4] == (1007).to_bytes(2)


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


async def test_what_is_inflated_is_bounded_in_a_turn() -> None:
    """Frames that inflate much are parsed a few at a time."""
    reader = Reader()
    async with talking(reader) as talk:
        bomb = frame(TEXT, compressed(b"x" * INFLATION_FREE), FIN | COMPRESSED)
        await talk.says(bomb * 100)
        await talk.until(lambda: len(reader.messages) == 100)

        assert max(size for _, size in talk.pieces[10:]) <= max(len(bomb), 1024)
