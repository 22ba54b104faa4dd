"""RFC 9113, sections 5.2 and 6.9: windows, both levels, both ways, to the byte."""
# ruff: noqa: E501 -- one case, one row

from __future__ import annotations

from dataclasses import replace
from unittest.mock import ANY

import pytest

from grpc_wire.http2.connection import Role
from grpc_wire.http2.errors import ErrorCode
from grpc_wire.http2.events import ConnectionFailed, DataReceived, StreamDrained, StreamReset
from grpc_wire.http2.limits import DEFAULT, Limits
from tests.wire.http2 import octets as h2
from tests.wire.http2.octets import Kind, Setting
from tests.wire.http2.stage import (
    ANSWER,
    BOTH,
    REQUEST,
    SERVER,
    TRAILERS,
    Case,
    Stage,
    State,
    check,
    fails,
    head,
    ignored,
    parameters,
    resets,
)

PROTOCOL, FLOW = ErrorCode.PROTOCOL_ERROR, ErrorCode.FLOW_CONTROL_ERROR
FIRST = 65535
"""What a window is until somebody says otherwise (6.9.2)."""
both = pytest.mark.parametrize("role", BOTH, ids=lambda role: role.name.lower())

UPDATES = [
    Case("6.9-increment-0-of-a-stream", BOTH, State.OPEN, h2.window(1, 0), resets(1, PROTOCOL)),
    Case("6.9-increment-0-of-the-connection", BOTH, State.OPEN, h2.window(0, 0), fails(PROTOCOL)),
    Case("6.9-increment-0-but-for-the-reserved-bit", BOTH, State.OPEN, h2.window(0, 1 << 31), fails(PROTOCOL)),
    Case("6.9-increment-0-of-a-closed-stream", BOTH, State.CLOSED, h2.window(1, 0), ignored()),
    Case("6.9.1-a-stream-at-its-widest", BOTH, State.OPEN, h2.window(1, h2.TOP - FIRST), ignored()),
    Case("6.9.1-a-stream-too-wide", BOTH, State.OPEN, h2.window(1, h2.TOP - FIRST) + h2.window(1, 1), resets(1, FLOW)),
    Case("6.9.1-a-stream-far-too-wide", BOTH, State.OPEN, h2.window(1, h2.TOP), resets(1, FLOW)),
    Case("6.9.1-the-connection-at-its-widest", BOTH, State.OPEN, h2.window(0, h2.TOP - FIRST), ignored()),
    Case("6.9.1-the-connection-too-wide", BOTH, State.OPEN, h2.window(0, h2.TOP - FIRST) + h2.window(0, 1), fails(FLOW)),
    Case("6.9.2-settings-make-a-stream-too-wide", BOTH, State.OPEN, h2.window(1, h2.TOP - FIRST) + h2.settings((Setting.INITIAL_WINDOW_SIZE, FIRST + 1)), fails(FLOW)),
    Case("6.9-half-closed-remote-too-wide", SERVER, State.HALF_CLOSED_REMOTE, h2.window(1, h2.TOP), resets(1, FLOW)),
]  # fmt: skip


@parameters(UPDATES)
def test_a_window_update(case: Case, role: Role) -> None:
    """Increments of zero and windows beyond 2^31-1 are errors (6.9, 6.9.1)."""
    check(case, role)


@pytest.mark.parametrize("at_once", [True, False])
def test_what_was_sent_of_a_request_counts(at_once: bool) -> None:
    """The peer may give a client back what that has sent, however it sent it, and no byte more."""
    stage = Stage(Role.CLIENT, State.IDLE)
    body = b"x" * 1000
    if at_once:
        stage.connection.open_stream(REQUEST, body)
    else:
        stage.connection.open_stream(REQUEST)
        stage.connection.send_data(1, body, end_stream=True)
    widest = h2.settings((Setting.INITIAL_WINDOW_SIZE, h2.TOP))

    assert not any(isinstance(event, ConnectionFailed) for event in stage.hear(widest))
    assert stage.hear(h2.window(1, len(body))) == []
    assert stage.hear(h2.window(1, 1)) == [StreamReset(1, FLOW, ANY, by_peer=False)]


class Ledger:
    """The windows of a peer that sends, as it would keep them from what it hears."""

    def __init__(self, stage: Stage, limits: Limits = DEFAULT) -> None:
        self.stage = stage
        self.connection = FIRST
        self.streams = dict.fromkeys(range(1, 40, 2), limits.stream_window)

    def read(self) -> None:
        """Adds what the connection grants."""
        for frame in self.stage.frames():
            if frame.kind == Kind.WINDOW_UPDATE and frame.stream:
                self.streams[frame.stream] += frame.code
            elif frame.kind == Kind.WINDOW_UPDATE:
                self.connection += frame.code
            assert frame.kind != Kind.WINDOW_UPDATE or frame.code > 0
        assert self.connection <= h2.TOP
        assert max(self.streams.values()) <= h2.TOP

    def send(self, stream: int, size: int, *, pad: int | None = None, end: bool = False) -> None:
        """Sends data and takes it off both windows."""
        cost = size + (0 if pad is None else pad + 1)
        self.connection -= cost
        self.streams[stream] -= cost
        self.stage.hear(h2.data(stream, bytes(size), pad=pad, end=end))


def opened(role: Role, limits: Limits = DEFAULT) -> tuple[Stage, Ledger]:
    """Returns a stage on which streams 1 and 3 are open both ways, and the peer's ledger."""
    stage = Stage(role, State.NEW, limits)
    ledger = Ledger(stage, limits)
    stage.hear(h2.PREFACE if role is Role.SERVER else b"", h2.settings(), h2.settings(flags=h2.ACK))
    for stream in (1, 3):
        if role is Role.CLIENT:
            assert stage.connection.open_stream(REQUEST) == stream
        stage.hear(h2.headers(stream, head(role)))
        if role is Role.SERVER:
            stage.connection.send_headers(stream, ANSWER)
    ledger.read()
    return stage, ledger


@both
def test_what_was_granted_is_what_was_named(role: Role) -> None:
    """The connection's window is that of the limits from the first write on (6.9.2)."""
    _, ledger = opened(role)

    assert ledger.connection == DEFAULT.connection_window


@both
def test_a_peer_that_sends_more_than_its_stream_may(role: Role) -> None:
    """The whole window may be used; one byte more resets the stream, and only it."""
    stage, ledger = opened(role)
    for size in (16384, 16384, 16384, DEFAULT.stream_window - 3 * 16384):
        ledger.send(1, size)
    assert not any(frame.kind == Kind.RST_STREAM for frame in stage.frames())

    stage.hear(h2.data(1, b"!"))

    assert [(f.stream, f.code) for f in stage.sent(Kind.RST_STREAM)] == [(1, FLOW)]
    assert stage.hear(h2.data(3, b"x")) == [DataReceived(3, b"x", end_stream=False)]


@both
def test_a_peer_that_sends_more_than_the_connection_may(role: Role) -> None:
    """It is cut: wider windows of streams do not help it.

    What has come is granted again when half of it is used, so that only a large frame can be too much.
    """
    limits = replace(DEFAULT, connection_window=FIRST, stream_window=1 << 20, frame=1 << 20)
    stage = Stage(role, State.ANSWERED, limits)
    assert stage.hear(h2.data(1, bytes(FIRST))) == [DataReceived(1, bytes(FIRST), end_stream=False)]

    stage.hear(h2.data(1, bytes(FIRST + 1)))

    stage.has_failed(FLOW)


@both
def test_every_byte_is_granted_again(role: Role) -> None:
    """What was consumed on a stream, and all of it on the connection; padding and its length too."""
    stage, ledger = opened(role)
    sent = 0
    for turn in range(400):
        size, pad = turn * 37 % 5000, (None, 0, 7, 255)[turn % 4]
        ledger.send(1, size, pad=pad)
        sent += size
        stage.connection.consumed(1, size)
        ledger.read()
        assert ledger.connection > DEFAULT.connection_window // 4
        assert ledger.streams[1] > DEFAULT.stream_window // 4
    assert sent > 10 * DEFAULT.stream_window


@both
def test_padding_alone_is_granted_again(role: Role) -> None:
    """The application never hears of it, so it cannot be asked to consume it."""
    stage, ledger = opened(role)
    for _ in range(2000):
        if ledger.streams[1] < 256 or ledger.connection < 256:
            break
        ledger.send(1, 5, pad=250)
        stage.connection.consumed(1, 5)
        ledger.read()
    else:
        return
    pytest.fail(f"a window ran dry: {ledger.connection}, {ledger.streams[1]}")


@both
def test_what_is_not_consumed_is_not_granted(role: Role) -> None:
    """The window of a stream is what its reader has not read; the connection goes on."""
    stage, ledger = opened(role)
    ledger.send(1, 16384)
    ledger.send(1, 16384)
    stage.connection.consumed(1, 1000)
    ledger.read()

    assert DEFAULT.stream_window - 32768 <= ledger.streams[1] <= DEFAULT.stream_window - 31768
    assert ledger.streams[1] + ledger.connection > 0
    for _ in range(200):  # another stream may send far more than the window of the connection
        ledger.send(3, 16384)
        stage.connection.consumed(3, 16384)
        ledger.read()
    assert ledger.connection > 0


@both
def test_data_that_nobody_hears_of_is_granted_again(role: Role) -> None:
    """6.9: data of streams that were reset, or are past GOAWAY, count against the connection."""
    stage, ledger = opened(role)
    stage.connection.reset(1, ErrorCode.CANCEL)
    for _ in range(300):
        ledger.streams[1] = h2.TOP
        ledger.send(1, 16384)
        ledger.read()
        assert ledger.connection >= 16384
    assert not any(isinstance(event, DataReceived) for event in stage.told)


@both
def test_a_stream_that_has_ended_is_granted_nothing(role: Role) -> None:
    """Whoever consumes late does no harm, and costs no frame."""
    stage, ledger = opened(role)
    ledger.send(1, 16384)
    ledger.send(1, 16384, end=True)
    stage.connection.consumed(1, 32768)

    assert [frame for frame in stage.sent(Kind.WINDOW_UPDATE) if frame.stream == 1] == []


@both
def test_a_message_that_is_larger_than_the_window(role: Role) -> None:
    """Whoever expects it lets the peer send it whole, and not more than that for ever."""
    stage, ledger = opened(role)
    size = 3_000_000
    ledger.send(1, 5)
    stage.connection.expect(1, size)
    ledger.read()
    assert ledger.streams[1] >= size
    assert ledger.streams[1] <= size + 2 * DEFAULT.stream_window

    left = size
    while left:
        part = min(left, 16384, ledger.connection)
        assert part > 0
        ledger.send(1, part)
        ledger.read()
        left -= part
    stage.connection.consumed(1, size + 5)
    ledger.read()
    assert DEFAULT.stream_window <= ledger.streams[1] <= size + 2 * DEFAULT.stream_window
    assert not any(isinstance(event, ConnectionFailed) for event in stage.told)


@both
def test_a_window_that_is_smaller_than_the_first_binds_once_it_is_acknowledged(role: Role) -> None:
    """6.9.3: until then the peer may send what it could before."""
    limits = replace(DEFAULT, stream_window=1000)
    stage = Stage(role, State.NEW, limits)
    if role is Role.CLIENT:
        stage.connection.open_stream(REQUEST)
    stage.hear(h2.PREFACE if role is Role.SERVER else b"", h2.settings())
    stage.hear(h2.headers(1, head(role)), *(h2.data(1, bytes(16383)) for _ in range(4)))
    assert stage.sent(Kind.RST_STREAM) == []
    assert stage.connection.open_streams == 1

    stage = Stage(role, State.ANSWERED, limits)
    assert stage.hear(h2.data(1, bytes(1000))) != []
    stage.hear(h2.data(1, b"!"))
    assert [frame.code for frame in stage.sent(Kind.RST_STREAM)] == [FLOW]


@both
def test_we_send_what_both_windows_allow(role: Role) -> None:
    """And queue the rest; what is let out is told; ends wait behind what is queued."""
    stage, _ = opened(role)
    send, queued = stage.connection.send_data, stage.connection.queued

    assert send(1, bytes(60_000)) == 0
    assert send(3, b"a" * 10_000) == 10_000 - (FIRST - 60_000)
    assert send(1, b"b" * 6_000) == 6_000
    stage.connection.send_headers(3, TRAILERS, end_stream=True) if role is Role.SERVER else send(
        3, b"", end_stream=True
    )
    assert queued(3) == 4_465
    frames = stage.frames()
    assert sum(len(frame.payload) for frame in frames if frame.kind == Kind.DATA) == FIRST
    assert not any(f.flags & h2.END_STREAM for f in frames if f.kind in {Kind.DATA, Kind.HEADERS})

    # the connection opens: stream 3 may send all, stream 1 what is left of its own window
    assert stage.hear(h2.window(0, 100_000)) == [StreamDrained(3)]
    frames = stage.frames()
    assert sum(len(f.payload) for f in frames if (f.kind, f.stream) == (Kind.DATA, 3)) == 4_465
    assert sum(len(f.payload) for f in frames if (f.kind, f.stream) == (Kind.DATA, 1)) == 5_535
    of_three = [f for f in frames if f.stream == 3 and f.kind in {Kind.DATA, Kind.HEADERS}]
    assert [bool(f.flags & h2.END_STREAM) for f in of_three] == [False] * (len(of_three) - 1) + [
        True
    ]
    assert queued(1) == 465
    assert stage.hear(h2.window(1, 464)) == []
    assert stage.hear(h2.window(1, 1)) == [StreamDrained(1)]
    assert queued(1) == 0


@both
def test_nothing_is_told_of_a_stream_when_its_connection_has_failed(role: Role) -> None:
    """What a failing peer has let out just before drains nothing: its streams have ended."""
    stage, _ = opened(role)
    assert stage.connection.send_data(1, bytes(FIRST + 1)) == 1
    widened = h2.window(0, 1) + h2.window(1, 1)

    (event,) = stage.hear(widened + h2.ping(b"short"))

    assert isinstance(event, ConnectionFailed)


@both
def test_what_was_never_left_in_the_queue_is_not_told_as_drained(role: Role) -> None:
    """Nor is a stream that was reset, or that has something in its queue again."""
    stage, _ = opened(role)
    assert stage.connection.send_data(1, bytes(40_000)) == 0  # several frames
    assert stage.hear(h2.ping()) == []
    assert stage.connection.send_data(1, bytes(40_000)) == 80_000 - FIRST
    assert stage.hear(h2.ping()) == []

    (event,) = stage.hear(h2.window(0, 100_000), h2.window(1, 100_000), h2.reset(1))
    assert isinstance(event, StreamReset)


@both
def test_an_empty_end_needs_no_window(role: Role) -> None:
    """6.9.1: an empty frame that ends the stream may be sent at any time."""
    stage, _ = opened(role)
    stage.connection.send_data(1, bytes(FIRST))
    stage.frames()

    assert stage.connection.send_data(1, b"", end_stream=True) == 0
    assert stage.connection.send_data(3, b"", end_stream=True) == 0

    ends = stage.sent(Kind.DATA)
    assert [(f.stream, f.flags, f.payload) for f in ends] == [(1, 1, b""), (3, 1, b"")]


@both
def test_a_window_below_zero(role: Role) -> None:
    """6.9.2: settings may take back what was used; then nothing is sent until it is positive."""
    stage, _ = opened(role)
    size = Setting.INITIAL_WINDOW_SIZE
    stage.hear(h2.window(0, 1 << 20))
    stage.connection.send_data(1, bytes(60_000))
    stage.hear(h2.settings((size, 16_384)))  # 16,384 - 60,000 = -43,616
    assert stage.connection.send_data(1, b"abc") == 3
    stage.frames()

    assert stage.hear(h2.window(1, 43_615)) == []  # -1
    assert stage.sent(Kind.DATA) == []
    assert stage.hear(h2.window(1, 1)) == []  # 0
    assert stage.sent(Kind.DATA) == []
    stage.hear(h2.settings((size, 16_386)))  # 2
    assert [frame.payload for frame in stage.sent(Kind.DATA)] == [b"ab"]
    assert StreamDrained(1) in stage.hear(h2.settings((size, 16_387)))
    assert [frame.payload for frame in stage.sent(Kind.DATA)] == [b"c"]


@both
def test_settings_change_no_window_of_the_connection(role: Role) -> None:
    """6.9.2: only WINDOW_UPDATE does."""
    stage, _ = opened(role)
    stage.hear(h2.settings((Setting.INITIAL_WINDOW_SIZE, 1 << 20)))

    assert stage.connection.send_data(1, bytes(100_000)) == 100_000 - FIRST
    assert stage.connection.send_data(3, b"x") == 1


@both
def test_a_stream_that_is_reset_gives_back_nothing_and_holds_nothing(role: Role) -> None:
    """What it had queued never goes out; what it had sent stays taken from the connection."""
    stage, _ = opened(role)
    stage.connection.send_data(1, bytes(FIRST + 1))
    stage.frames()
    stage.hear(h2.reset(1))
    assert stage.connection.send_data(3, b"abc") == 3
    assert stage.hear(h2.window(0, 2)) == []
    assert [(f.stream, f.payload) for f in stage.sent(Kind.DATA)] == [(3, b"ab")]


@both
def test_streams_that_wait_share_what_comes(role: Role) -> None:
    """One that has much to send does not starve another."""
    stage, _ = opened(role)
    stage.hear(h2.settings((Setting.INITIAL_WINDOW_SIZE, 1 << 30)))
    stage.connection.send_data(1, bytes(10_000_000))
    stage.connection.send_data(3, bytes(100))
    stage.frames()
    for _ in range(50):
        stage.hear(h2.window(0, 65_535))
        if not stage.connection.queued(3):
            return
    pytest.fail("stream 3 has starved")


def test_half_closed_streams_are_granted_to_as_well() -> None:
    """5.1, half-closed (remote): a server goes on to send as the windows allow."""
    stage = Stage(Role.SERVER, State.HALF_CLOSED_REMOTE)
    stage.connection.send_headers(1, ANSWER)
    assert stage.connection.send_data(1, bytes(FIRST + 10)) == 10
    assert stage.hear(h2.window(0, 10)) == []
    assert stage.hear(h2.window(1, 10)) == [StreamDrained(1)]


def test_6_9_the_window_of_a_stream_in_its_answer() -> None:
    """6.9.2: a setting that comes before a stream begins holds for it."""
    stage = Stage(Role.CLIENT, peer_settings=[(Setting.INITIAL_WINDOW_SIZE, 3)])
    stream = stage.connection.open_stream(REQUEST)

    assert stage.connection.send_data(stream, b"12345") == 2
