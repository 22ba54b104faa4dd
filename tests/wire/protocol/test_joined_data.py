"""Data that is sent in one turn: what goes into one frame, and what does not (RFC 9113, 4.1, 4.2 and 6.1)."""

from __future__ import annotations

import pytest

from grpc_wire.connection import Role
from tests.wire.protocol import octets as h2
from tests.wire.protocol.octets import Frame, Kind, Setting
from tests.wire.protocol.stage import ANSWER, BOTH, REQUEST, TRAILERS, Stage, State, head

both = pytest.mark.parametrize("role", BOTH, ids=lambda role: role.name.lower())
LARGEST = 64 * 1024
"""What a frame has at most, whatever the peer takes."""


def opened(role: Role, largest: int = 1 << 20) -> Stage:
    """Returns a stage on which streams 1 and 3 are open both ways, with wide windows."""
    settings = [(Setting.MAX_FRAME_SIZE, largest), (Setting.INITIAL_WINDOW_SIZE, 1 << 20)]
    stage = Stage(role, State.IDLE, peer_settings=settings)
    stage.hear(h2.window(0, 1 << 20))
    for stream in (1, 3):
        if role is Role.CLIENT:
            assert stage.connection.open_stream(REQUEST) == stream
        stage.hear(h2.headers(stream, head(role)))
        if role is Role.SERVER:
            stage.connection.send_headers(stream, ANSWER)
    stage.frames()
    return stage


@both
def test_data_of_one_stream_are_one_frame(role: Role) -> None:
    """What follows data of its stream goes into their frame, until they have left."""
    stage = opened(role)

    for data in (b"one ", b"two ", b"three"):
        stage.connection.send_data(1, data)
    assert stage.frames() == [Frame(Kind.DATA, 0, 1, b"one two three")]

    stage.connection.send_data(1, b"four")
    assert stage.frames() == [Frame(Kind.DATA, 0, 1, b"four")]


@both
def test_data_stay_in_their_order(role: Role) -> None:
    """Frames of other streams, and of the connection, stand where they were sent."""
    stage = opened(role)
    stage.connection.send_data(1, b"a")
    stage.connection.send_data(3, b"b")
    stage.connection.send_data(1, b"c")
    stage.connection.ping(b"together")
    stage.connection.send_data(1, b"d")
    stage.connection.send_data(1, b"e")

    assert stage.frames() == [
        Frame(Kind.DATA, 0, 1, b"a"),
        Frame(Kind.DATA, 0, 3, b"b"),
        Frame(Kind.DATA, 0, 1, b"c"),
        Frame(Kind.PING, 0, 0, b"together"),
        Frame(Kind.DATA, 0, 1, b"de"),
    ]


@both
def test_frames_of_another_turn_are_not_taken_for_the_last(role: Role) -> None:
    """As many frames as stood there when data came last are not those data."""
    stage = opened(role)
    stage.connection.send_data(1, b"a")
    stage.frames()
    stage.connection.ping(b"one.....")
    stage.connection.ping(b"two.....")
    stage.connection.send_data(1, b"b")

    assert [(frame.kind, frame.payload) for frame in stage.frames()] == [
        (Kind.PING, b"one....."),
        (Kind.PING, b"two....."),
        (Kind.DATA, b"b"),
    ]


@both
@pytest.mark.parametrize("largest", [16_384, 20_000, 1 << 20])
def test_a_frame_grows_no_further_than_a_frame_may(role: Role, largest: int) -> None:
    """Neither beyond what the peer takes, nor beyond what leaves other streams their turn."""
    stage = opened(role, largest)
    for _ in range(100):
        stage.connection.send_data(1, bytes(1_000))
    frames = stage.frames()

    sizes = [len(frame.payload) for frame in frames]
    most = min(largest, LARGEST) // 1_000 * 1_000
    assert sum(sizes) == 100_000
    assert set(sizes[:-1]) == {most}
    assert sizes[-1] <= most


@both
def test_a_frame_size_that_the_peer_lowers_holds_for_a_frame_that_grows(role: Role) -> None:
    """6.5.2: what is added to a frame counts with what it has."""
    stage = opened(role, 30_000)
    stage.connection.send_data(1, bytes(12_000))
    stage.hear(h2.settings((Setting.MAX_FRAME_SIZE, 16_384)))
    stage.connection.send_data(1, bytes(12_000))

    assert [len(frame.payload) for frame in stage.sent(Kind.DATA)] == [12_000, 12_000]


def test_the_end_goes_with_what_is_last() -> None:
    """END_STREAM stands on the frame of the last data, also if they grow into it, or are none."""
    for last in (b"b", b""):
        stage = opened(Role.CLIENT)
        stage.connection.send_data(1, b"a")
        stage.connection.send_data(1, last, end_stream=True)

        assert stage.frames() == [Frame(Kind.DATA, h2.END_STREAM, 1, b"a" + last)]


def test_trailers_stand_behind_a_frame_that_has_grown() -> None:
    """All data, then the trailers."""
    stage = opened(Role.SERVER)
    stage.connection.send_data(1, b"a")
    stage.connection.send_data(1, b"b")
    stage.connection.send_headers(1, TRAILERS, end_stream=True)
    stage.connection.send_data(3, b"c")

    data, trailers, *_, other = stage.frames()
    assert data == Frame(Kind.DATA, 0, 1, b"ab")
    assert stage.fields([trailers]) == [TRAILERS]
    assert other == Frame(Kind.DATA, 0, 3, b"c")


@both
def test_data_that_a_window_lets_out_join_what_went_before(role: Role) -> None:
    """What was queued goes into the same frame, in its order, and windows are kept to the byte."""
    stage = Stage(role, State.ANSWERED)
    stage.connection.send_data(1, b"x" * 65_530)
    stage.frames()
    stage.connection.send_data(1, b"abc")
    assert stage.connection.send_data(1, b"defg") == 2
    stage.hear(h2.window(0, 10), h2.window(1, 1))

    assert b"".join(frame.payload for frame in stage.sent(Kind.DATA)) == b"abcdef"
    stage.hear(h2.window(1, 10))
    assert b"".join(frame.payload for frame in stage.sent(Kind.DATA)) == b"g"
