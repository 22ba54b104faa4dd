"""Data that is sent in one turn: what goes into one frame, and what does not (RFC 9113, 4.1, 4.2 and 6.1)."""

from __future__ import annotations

import asyncio
from unittest.mock import Mock

import pytest

from grpc_wire.http2.connection import Role
from grpc_wire.http2.errors import ErrorCode
from grpc_wire.http2.frames import PREFACE
from grpc_wire.transport.callbacks import TransportCallbacks
from grpc_wire.transport.transport import Transport
from grpc_wire.transport.writer import QUEUED, TURN_BYTES, TURN_MESSAGES, Writer
from tests.wire.http2 import octets as h2
from tests.wire.http2.octets import Frame, Kind, Setting
from tests.wire.http2.stage import ANSWER, BOTH, REQUEST, TRAILERS, Stage, State, head

both = pytest.mark.parametrize("role", BOTH, ids=lambda role: role.name.lower())
LARGEST = 64 * 1024
"""What a frame has at most, whatever the peer takes."""


class Sender:
    """A writer whose turns end when they are asked what has left."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.drained: list[int] = []
        self._left = bytearray()
        self.writer = Writer(stage.connection, self.drained.append, self._react)
        self.writer.attach(_Socket(self._left))
        self.send = self.writer.send

    def _react(self) -> None:
        for event in self.stage.connection.take_events():
            self.writer.drained(event.stream_id)  # type: ignore[union-attr]  # no others are expected

    async def left(self) -> list[Frame]:
        """Ends the turn; returns what has left in it."""
        await asyncio.sleep(0)
        frames = h2.parse(bytes(self._left))
        self._left.clear()
        return frames


class _Socket(asyncio.Transport):
    """Takes what is written."""

    def __init__(self, taken: bytearray) -> None:
        super().__init__()
        self._taken = taken

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Has no limits."""

    def is_closing(self) -> bool:
        """Never is."""
        return False

    def can_write_eof(self) -> bool:
        """Cannot be closed by halves."""
        return False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Takes it."""
        self._taken += data


async def opened(role: Role, largest: int = 1 << 20, window: int = 1 << 20) -> Sender:
    """Returns one by whom streams 1 and 3 are open both ways."""
    settings = [(Setting.MAX_FRAME_SIZE, largest), (Setting.INITIAL_WINDOW_SIZE, window)]
    stage = Stage(role, State.IDLE, peer_settings=settings)
    stage.hear(h2.window(0, 1 << 20))
    for stream in (1, 3):
        if role is Role.CLIENT:
            assert stage.connection.open_stream(REQUEST) == stream
        stage.hear(h2.headers(stream, head(role)))
        if role is Role.SERVER:
            stage.connection.send_headers(stream, ANSWER)
    stage.frames()
    return Sender(stage)


def data(stream: int, payload: bytes, flags: int = 0) -> Frame:
    """Returns a frame."""
    return Frame(Kind.DATA, flags, stream, payload)


@both
async def test_data_of_one_stream_are_joined(role: Role) -> None:
    """What follows data of its stream goes into one frame; data of the next turn do not."""
    sender = await opened(role)

    for text in (b"one", b"two", b"three"):
        assert not sender.send(1, text)
    assert await sender.left() == [data(1, b"one"), data(1, b"twothree")]

    sender.send(1, b"four")
    assert await sender.left() == [data(1, b"four")]
    assert await sender.left() == []


@both
async def test_data_stay_in_their_order(role: Role) -> None:
    """Of each stream; streams that take turns are not joined."""
    sender = await opened(role)
    for stream, text in ((1, b"a"), (3, b"b"), (1, b"c"), (1, b"d"), (1, b"e"), (3, b"f")):
        sender.send(stream, text)

    assert await sender.left() == [
        *(data(1, b"a"), data(3, b"b"), data(1, b"c")),
        *(data(1, b"de"), data(3, b"f")),
    ]


@both
@pytest.mark.parametrize("largest", [16_384, 20_000, 1 << 20])
async def test_no_frame_is_larger_than_a_frame_may_be(role: Role, largest: int) -> None:
    """Neither than what the peer takes, nor than what leaves other streams their turn."""
    sender = await opened(role, largest)
    for _ in range(60):
        sender.send(1, bytes(1_500))
    sizes = [len(frame.payload) for frame in await sender.left()]

    assert sum(sizes) == 90_000
    assert max(sizes) <= min(largest, LARGEST)
    assert len(sizes) < 8


@both
async def test_a_frame_size_that_the_peer_lowers_holds_for_what_is_joined(role: Role) -> None:
    """6.5.2: what is joined counts with what it was joined to."""
    sender = await opened(role, 30_000)
    for _ in range(3):
        sender.send(1, bytes(12_000))
    sender.stage.hear(h2.settings((Setting.MAX_FRAME_SIZE, 16_384)))

    sizes = [len(frame.payload) for frame in await sender.left() if frame.kind == Kind.DATA]
    assert sizes == [12_000, 16_384, 24_000 - 16_384]


async def test_the_end_goes_with_what_is_last() -> None:
    """END_STREAM stands on the frame of the last data, also if they are joined, or are none."""
    for last in (b"c", b""):
        sender = await opened(Role.CLIENT)
        sender.send(1, b"a")
        sender.send(1, b"b")
        sender.send(1, last, end_stream=True)
        sender.send(3, b"x")

        ended = data(1, b"b" + last, h2.END_STREAM)
        assert await sender.left() == [data(1, b"a"), ended, data(3, b"x")]


async def test_what_is_let_out_stands_before_what_comes_next() -> None:
    """Trailers after `send_joined` are behind all data."""
    sender = await opened(Role.SERVER)
    for text in (b"a", b"b", b"c"):
        sender.send(1, text)
    sender.writer.send_joined()
    sender.stage.connection.send_headers(1, TRAILERS, end_stream=True)
    sender.send(3, b"d")

    first, rest, trailers, *_, other = await sender.left()
    assert [first, rest, other] == [data(1, b"a"), data(1, b"bc"), data(3, b"d")]
    assert sender.stage.fields([trailers]) == [TRAILERS]


@both
async def test_a_stream_that_is_reset_meanwhile_sends_nothing_more(role: Role) -> None:
    """What was joined is forgotten with its stream, and hurts no other."""
    sender = await opened(role)
    for text in (b"a", b"b", b"c"):
        sender.send(1, text)
    sender.stage.hear(h2.reset(1, ErrorCode.CANCEL))
    sender.send(3, b"d")
    sender.send(3, b"e")

    assert await sender.left() == [data(1, b"a"), data(3, b"d"), data(3, b"e")]


@both
async def test_nothing_is_joined_to_what_waits_for_a_window(role: Role) -> None:
    """Each message behind it is counted as queued at once, and its sender waits as soon as that is much."""
    sender = await opened(role, window=10)
    waits = [sender.send(1, bytes(20_000)) for _ in range(4)]

    assert waits == [False, False, False, True]
    assert sender.stage.connection.queued(1) == 80_000 - 10
    assert [len(frame.payload) for frame in await sender.left()] == [10]
    assert sender.writer.blocked == {1}


@both
async def test_a_window_that_ends_within_what_is_joined(role: Role) -> None:
    """What it has room for leaves, the rest is queued, and windows are kept to the byte."""
    sender = await opened(role, window=10)
    for text in (b"12345", b"678", b"9abcd", b"e"):
        assert not sender.send(1, text)

    assert await sender.left() == [data(1, b"12345"), data(1, b"6789a")]
    assert sender.stage.connection.queued(1) == len(b"bcde")
    sender.stage.hear(h2.window(1, 3))
    sender.send(1, b"f")
    assert b"".join(frame.payload for frame in await sender.left()) == b"bcd"
    assert sender.stage.connection.queued(1) == len(b"ef")


@both
@pytest.mark.parametrize("size", [10, 3_000])
async def test_a_sender_waits_when_a_turn_has_done_much(role: Role, size: int) -> None:
    """So many messages, or so many bytes; no more than that is joined, and it goes on in the next turn."""
    sender = await opened(role)
    sent = 1
    while not sender.send(1, bytes(size)):
        sent += 1

    assert sent == min(TURN_MESSAGES, -(-TURN_BYTES // size))
    assert sum(len(frame.payload) for frame in await sender.left()) == sent * size
    assert sender.drained == [1]
    assert sender.stage.connection.queued(1) <= QUEUED
    assert not sender.send(1, b"more")


@both
async def test_what_is_asked_for_counts_what_is_joined(role: Role) -> None:
    """What waits for a window is told of all that was sent."""
    sender = await opened(role, window=10)
    for text in (b"12345", b"6789abcd"):
        sender.send(1, text)

    assert sender.writer.queued(1) == len(b"bcd")


def answering(left: bytearray) -> Transport:
    """Returns a server's connection that has sent data on stream 1 in this turn."""
    transport = Transport(Role.SERVER, Mock(TransportCallbacks))
    transport.connection_made(_Socket(left))
    transport.data_received(PREFACE + h2.settings() + h2.headers(1, REQUEST))
    transport.send_headers(1, ANSWER)
    for text in (b"a", b"b", b"c"):
        transport.send_data(1, text)
    return transport


async def test_what_comes_is_answered_behind_what_was_sent() -> None:
    """Also by the end of the connection, which forgets what is queued."""
    left = bytearray()
    transport = answering(left)
    transport.data_received(h2.frame(Kind.PING, 0, 0, b"short"))
    transport.connection_lost(None)

    *_, first, rest, goaway = h2.parse(bytes(left))
    assert [first, rest] == [data(1, b"a"), data(1, b"bc")]
    assert goaway.kind == Kind.GOAWAY


async def test_the_end_of_a_connection_stands_behind_what_was_sent() -> None:
    """What closes it at once says so after all that was sent in this turn."""
    left = bytearray()
    transport = answering(left)
    transport.abort("enough")
    transport.connection_lost(None)

    *_, first, rest, goaway = h2.parse(bytes(left))
    assert [first, rest] == [data(1, b"a"), data(1, b"bc")]
    assert goaway.kind == Kind.GOAWAY


async def test_nothing_stays_joined_while_the_socket_is_full() -> None:
    """A turn ends though nothing can be written: then it is queued for all to see."""
    sender = await opened(Role.SERVER, window=10)
    sender.writer.pause()
    for text in (b"12345", b"6789abcd"):
        sender.send(1, text)

    assert await sender.left() == []
    assert sender.stage.connection.queued(1) == len(b"bcd")
