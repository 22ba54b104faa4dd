"""RFC 9113, sections 3 and 4: the preface, frames and their sizes, header blocks."""
# ruff: noqa: E501 -- one case, one row

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from grpc_wire.http2.connection import Connection, Role
from grpc_wire.http2.errors import ErrorCode
from grpc_wire.http2.events import DataReceived, HeadersReceived, SettingsReceived
from grpc_wire.http2.limits import DEFAULT
from tests.wire.http2 import octets as h2
from tests.wire.http2.octets import Frame, Kind, Setting
from tests.wire.http2.stage import (
    ANSWER,
    BOTH,
    CLIENT,
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
    tells,
)

PROTOCOL, SIZE = ErrorCode.PROTOCOL_ERROR, ErrorCode.FRAME_SIZE_ERROR
COMPRESSION = ErrorCode.COMPRESSION_ERROR
LARGEST = DEFAULT.frame
OPENS = {
    Role.CLIENT: State.OPEN,
    Role.SERVER: State.IDLE,
}
"""In these, the peer of a role may send the first header section of stream 1."""


def heard(role: Role) -> HeadersReceived:
    """Returns the event of the first header section of stream 1."""
    return HeadersReceived(1, head(role), end_stream=False, is_trailers=False)


def hello(role: Role) -> bytes:
    """Returns how a peer begins, up to its settings."""
    return h2.PREFACE if role is Role.SERVER else b""


PREFACES = [
    Case("3.4-http-1.1-at-once", SERVER, State.NEW, b"GET / HTTP/1.1\r\n", fails(PROTOCOL)),
    Case("3.4-one-wrong-byte", SERVER, State.NEW, h2.PREFACE[:23] + b"\r", fails(PROTOCOL)),
    Case("3.4-wrong-from-the-first-byte", SERVER, State.NEW, b"X", fails(PROTOCOL)),
    Case("3.4-http-1.1-answer", CLIENT, State.NEW, b"HTTP/1.1 400 Bad Request\r\n\r\n", fails(PROTOCOL, SIZE)),
    Case("3.4-settings-come-first-not-ping", BOTH, State.NEW, lambda role: hello(role) + h2.ping(), fails(PROTOCOL)),
    Case("3.4-settings-come-first-not-headers", BOTH, State.NEW, lambda role: hello(role) + h2.headers(1, head(role)), fails(PROTOCOL)),
    Case("3.4-settings-come-first-not-goaway", BOTH, State.NEW, lambda role: hello(role) + h2.goaway(), fails(PROTOCOL)),
    Case("3.4-settings-come-first-not-their-ack", BOTH, State.NEW, lambda role: hello(role) + h2.settings(flags=h2.ACK), fails(PROTOCOL)),
    Case("3.4-settings-come-first-not-unknown", BOTH, State.NEW, lambda role: hello(role) + h2.frame(0xFA, 0, 0), fails(PROTOCOL)),
    Case("3.4-preface-twice", SERVER, State.IDLE, h2.PREFACE, fails(PROTOCOL, SIZE)),
]  # fmt: skip

FORMATS = [
    Case("4.1-unknown-type-on-connection", BOTH, State.OPEN, h2.frame(0xFA, 0xFF, 0, b"what"), ignored()),
    Case("4.1-unknown-type-on-stream", BOTH, State.OPEN, h2.frame(10, 0xFF, 1, b"what"), ignored()),
    Case("4.1-unknown-type-on-idle-stream", BOTH, State.OPEN, h2.frame(255, 0, 77), ignored()),
    Case("4.1-unknown-type-on-closed-stream", BOTH, State.CLOSED, h2.frame(255, 0, 1), ignored()),
    Case("4.1-unused-flags-of-ping", BOTH, State.IDLE, h2.frame(Kind.PING, 0xFE, 0, bytes(8)), tells(sent=[h2.ping(bytes(8), ack=True)])),
    Case("4.1-unused-flags-of-data", BOTH, State.ANSWERED, h2.frame(Kind.DATA, 0xF6, 1, b"x"), tells(DataReceived(1, b"x", end_stream=False))),
    Case("4.1-unused-flags-of-settings", BOTH, State.IDLE, h2.frame(Kind.SETTINGS, 0xFE, 0), tells(SettingsReceived(h2.TOP), sent=[h2.settings(flags=h2.ACK)])),
    Case("4.1-unused-flags-of-priority", BOTH, State.OPEN, h2.frame(Kind.PRIORITY, 0xFF, 1, bytes(5)), ignored()),
    Case("4.1-unused-flags-of-window-update", BOTH, State.OPEN, h2.frame(Kind.WINDOW_UPDATE, 0xFF, 1, b"\0\0\0\1"), ignored()),
    Case("4.1-unused-flags-of-headers", SERVER, State.IDLE, h2.frame(Kind.HEADERS, 0xD6 & ~0x8, 1, h2.block(REQUEST)), tells(HeadersReceived(1, REQUEST, end_stream=False, is_trailers=False))),
    Case("4.1-reserved-bit-of-the-stream", BOTH, State.ANSWERED, h2.frame(Kind.DATA, 0, 1 | 1 << 31, b"x"), tells(DataReceived(1, b"x", end_stream=False))),
    Case("4.1-reserved-bit-of-stream-zero", BOTH, State.IDLE, h2.frame(Kind.PING, 0, 1 << 31, bytes(8)), tells(sent=[h2.ping(bytes(8), ack=True)])),
    Case("4.1-reserved-bit-of-an-increment", BOTH, State.OPEN, h2.window(1, 1 | 1 << 31), ignored()),
]  # fmt: skip

SIZES = [
    Case("4.2-data-of-the-largest-size", BOTH, State.ANSWERED, h2.data(1, bytes(LARGEST)), tells(DataReceived(1, bytes(LARGEST), end_stream=False))),
    Case("4.2-unknown-type-of-the-largest-size", BOTH, State.ANSWERED, h2.frame(99, 0, 0, bytes(LARGEST)), ignored()),
    # the RFC leaves a stream error to choose; but what is too large is not worth being read to its end
    Case("4.2-data-too-large", BOTH, State.ANSWERED, h2.data(1, bytes(LARGEST + 1)), fails(SIZE)),
    Case("4.2-data-too-large-known-by-its-head", BOTH, State.ANSWERED, h2.data(1, bytes(LARGEST + 1))[:9], fails(SIZE)),
    Case("4.2-headers-too-large", SERVER, State.IDLE, h2.headers(1, bytes(LARGEST + 1))[:9], fails(SIZE)),
    Case("4.2-continuation-too-large", SERVER, State.IDLE, h2.headers(1, more=True) + h2.continuation(1, bytes(LARGEST + 1))[:9], fails(SIZE)),
    Case("4.2-settings-too-large", BOTH, State.IDLE, h2.frame(Kind.SETTINGS, 0, 0, bytes((LARGEST // 6 + 1) * 6))[:9], fails(SIZE)),
    Case("4.2-unknown-type-too-large", BOTH, State.IDLE, h2.frame(99, 0, 0, bytes(LARGEST + 1))[:9], fails(SIZE)),
    Case("4.2-a-larger-size-was-allowed", BOTH, State.ANSWERED, h2.data(1, bytes(20000)), tells(DataReceived(1, bytes(20000), end_stream=False)), replace(DEFAULT, frame=32768)),
    Case("4.2-larger-than-was-allowed", BOTH, State.ANSWERED, h2.data(1, bytes(32769))[:9], fails(SIZE), replace(DEFAULT, frame=32768)),
    # RFC 9113, 6.3 has a stream error here; where there is no stream, RST_STREAM must not be sent
    Case("6.3-priority-too-short", BOTH, State.OPEN, h2.frame(Kind.PRIORITY, 0, 1, bytes(4)), resets(1, SIZE)),
    Case("6.3-priority-too-long", BOTH, State.OPEN, h2.frame(Kind.PRIORITY, 0, 1, bytes(6)), resets(1, SIZE)),
    Case("6.4-reset-too-short", BOTH, State.OPEN, h2.frame(Kind.RST_STREAM, 0, 1, bytes(3)), fails(SIZE)),
    Case("6.4-reset-too-long", BOTH, State.OPEN, h2.frame(Kind.RST_STREAM, 0, 1, bytes(5)), fails(SIZE)),
    Case("6.5-settings-not-of-six", BOTH, State.IDLE, h2.frame(Kind.SETTINGS, 0, 0, bytes(5)), fails(SIZE)),
    Case("6.5-settings-ack-with-payload", BOTH, State.IDLE, h2.settings((1, 1), flags=h2.ACK), fails(SIZE)),
    Case("6.7-ping-too-short", BOTH, State.IDLE, h2.ping(bytes(7)), fails(SIZE)),
    Case("6.7-ping-too-long", BOTH, State.IDLE, h2.ping(bytes(9)), fails(SIZE)),
    Case("6.7-ping-ack-too-short", BOTH, State.IDLE, h2.ping(bytes(6), ack=True), fails(SIZE)),
    Case("4.2-goaway-too-short", BOTH, State.IDLE, h2.frame(Kind.GOAWAY, 0, 0, bytes(7)), fails(SIZE)),
    Case("6.9-window-update-too-short", BOTH, State.OPEN, h2.frame(Kind.WINDOW_UPDATE, 0, 1, bytes(3)), fails(SIZE)),
    Case("6.9-window-update-too-long", BOTH, State.OPEN, h2.frame(Kind.WINDOW_UPDATE, 0, 0, bytes(5)), fails(SIZE)),
    Case("4.2-headers-without-pad-length", SERVER, State.IDLE, h2.frame(Kind.HEADERS, h2.END_HEADERS | h2.PADDED, 1), fails(SIZE, PROTOCOL)),
    Case("4.2-headers-without-priority", SERVER, State.IDLE, h2.frame(Kind.HEADERS, h2.END_HEADERS | h2.WITH_PRIORITY, 1, bytes(4)), fails(SIZE, PROTOCOL)),
    Case("4.2-data-without-pad-length", BOTH, State.ANSWERED, h2.frame(Kind.DATA, h2.PADDED, 1), fails(SIZE, PROTOCOL)),
]  # fmt: skip


def interrupted(by: bytes) -> bytes:
    """Returns a header block with a frame between its own."""
    whole = h2.block(REQUEST)
    return (
        h2.headers(1, whole[:9], more=True)
        + h2.continuation(1, whole[9:20], more=True)
        + by
        + h2.continuation(1, whole[20:])
    )


INTERRUPTIONS = {
    "data": h2.data(1, b"x"),
    "data-elsewhere": h2.data(3, b"x"),
    "headers": h2.headers(1, REQUEST),
    "headers-elsewhere": h2.headers(3, REQUEST),
    "continuation-elsewhere": h2.continuation(3, b""),
    "continuation-of-no-stream": h2.continuation(0, b""),
    "priority": h2.priority(1),
    "reset": h2.reset(1),
    "settings": h2.settings(),
    "settings-ack": h2.settings(flags=h2.ACK),
    "ping": h2.ping(),
    "goaway": h2.goaway(),
    "window-update": h2.window(0, 1),
    "unknown-type": h2.frame(0xFA, 0, 1),
}

BLOCKS = [
    *(
        Case(f"6.2-block-interrupted-by-{name}", SERVER, State.IDLE, interrupted(by), fails(PROTOCOL))
        for name, by in INTERRUPTIONS.items()
    ),
    *(
        Case(f"6.2-answer-interrupted-by-{name}", CLIENT, State.OPEN, h2.headers(1, ANSWER, more=True) + by, fails(PROTOCOL))
        for name, by in INTERRUPTIONS.items()
    ),
    Case("4.3-block-in-several-frames", SERVER, State.IDLE, interrupted(b""), tells(heard(Role.SERVER))),
    Case("4.3-block-byte-by-byte", SERVER, State.IDLE,
         h2.headers(1, b"\x83", more=True, end=True) + b"".join(h2.continuation(1, b, more=True) for b in (b"\x86", b"\x44", b"\x01", b"/")) + h2.continuation(1),
         tells(HeadersReceived(1, ((b":method", b"POST"), (b":scheme", b"http"), (b":path", b"/")), end_stream=True, is_trailers=False))),
    Case("4.3-empty-continuations", SERVER, State.IDLE, interrupted(h2.continuation(1, more=True) * 3), tells(heard(Role.SERVER))),
    Case("4.3-end-of-stream-is-of-headers-not-continuation", SERVER, State.IDLE,
         h2.headers(1, h2.block(REQUEST), more=True) + h2.frame(Kind.CONTINUATION, h2.END_HEADERS | h2.END_STREAM, 1), tells(heard(Role.SERVER))),
    Case("4.3-padding-is-not-of-the-block", SERVER, State.IDLE, h2.headers(1, REQUEST, pad=255, priority=bytes(5)), tells(heard(Role.SERVER))),
    Case("4.3-broken-block", SERVER, State.IDLE, h2.headers(1, b"\x80"), fails(COMPRESSION)),
    Case("4.3-broken-answer", CLIENT, State.OPEN, h2.headers(1, b"\xff\x80\x80"), fails(COMPRESSION)),
    Case("4.3-broken-block-of-a-stream-that-was-reset", BOTH, State.RESET_BY_US, h2.headers(1, b"\x80"), fails(COMPRESSION)),
    Case("6.10-continuation-of-nothing", BOTH, State.OPEN, h2.continuation(1), fails(PROTOCOL)),
    Case("6.10-continuation-on-idle-stream", BOTH, State.IDLE, h2.continuation(9), fails(PROTOCOL)),
    Case("6.10-continuation-of-no-stream", BOTH, State.IDLE, h2.continuation(0), fails(PROTOCOL)),
    Case("6.10-continuation-after-the-end", SERVER, State.IDLE, h2.headers(1, REQUEST) + h2.continuation(1), fails(PROTOCOL)),
    Case("6.10-continuation-after-data", SERVER, State.OPEN, h2.data(1) + h2.continuation(1), fails(PROTOCOL)),
]  # fmt: skip


@parameters(PREFACES)
def test_a_preface(case: Case, role: Role) -> None:
    """What begins otherwise is not HTTP/2 (3.4)."""
    check(case, role)


@parameters(FORMATS)
def test_what_is_not_defined(case: Case, role: Role) -> None:
    """What has no meaning is passed over (4.1, 5.5)."""
    check(case, role)


@parameters(SIZES)
def test_a_size(case: Case, role: Role) -> None:
    """A frame of a size that it may not have is an error (4.2)."""
    check(case, role)


@parameters(BLOCKS)
def test_a_header_block(case: Case, role: Role) -> None:
    """A header block is one thing, whatever number of frames it takes (4.3, 6.10)."""
    check(case, role)


@pytest.mark.parametrize("role", BOTH, ids=lambda role: role.name.lower())
def test_the_preface_and_settings_are_the_first_to_be_sent(role: Role) -> None:
    """Without waiting for the peer (3.4); a client says that it wants no push (6.5.2, 8.4)."""
    connection = Connection(role, clock=time.monotonic)
    octets = connection.take_output()

    assert octets.startswith(h2.PREFACE) == (role is Role.CLIENT)
    first = h2.parse(octets.removeprefix(h2.PREFACE))[0]
    assert (first.kind, first.flags, first.stream) == (Kind.SETTINGS, 0, 0)
    pairs = {
        int.from_bytes(first.payload[at : at + 2]): int.from_bytes(first.payload[at + 2 : at + 6])
        for at in range(0, len(first.payload), 6)
    }
    # what is not said has its initial value (6.5.2)
    assert pairs.get(Setting.INITIAL_WINDOW_SIZE, 65535) == DEFAULT.stream_window
    assert pairs.get(Setting.MAX_FRAME_SIZE, 16384) == DEFAULT.frame
    assert pairs.get(Setting.HEADER_TABLE_SIZE, 4096) == DEFAULT.header_table
    assert pairs[Setting.MAX_HEADER_LIST_SIZE] == DEFAULT.header_list
    if role is Role.CLIENT:
        assert pairs[Setting.ENABLE_PUSH] == 0
    else:
        assert pairs[Setting.MAX_CONCURRENT_STREAMS] == DEFAULT.concurrent_streams
        assert not pairs.get(Setting.ENABLE_PUSH)


@pytest.mark.parametrize("role", BOTH, ids=lambda role: role.name.lower())
def test_the_settings_of_a_preface_are_acknowledged_behind_the_own(role: Role) -> None:
    """3.4: after sending the connection preface."""
    stage = Stage(role, State.NEW)

    assert stage.hear(hello(role), h2.settings()) == [SettingsReceived(h2.TOP)]

    frames = [frame for frame in stage.frames() if frame.kind == Kind.SETTINGS]
    assert [frame.flags for frame in frames] == [0, h2.ACK]


def test_a_client_need_not_wait_for_the_server() -> None:
    """3.4: it may send further frames at once, within the initial values."""
    connection = Connection(Role.CLIENT, clock=time.monotonic)

    assert connection.can_open
    stream = connection.open_stream(REQUEST)
    assert connection.send_data(stream, bytes(70_000), end_stream=True) == 70_000 - 65_535

    frames = h2.parse(connection.take_output().removeprefix(h2.PREFACE))
    assert [frame.kind for frame in frames if frame.stream][:2] == [Kind.HEADERS, Kind.DATA]
    assert sum(len(frame.payload) for frame in frames if frame.kind == Kind.DATA) == 65_535


@pytest.mark.parametrize("role", BOTH, ids=lambda role: role.name.lower())
def test_no_frame_is_larger_than_the_peer_takes(role: Role) -> None:
    """4.2: data and header blocks are cut at the peer's limit, 16,384 until it allows more."""
    stage = Stage(role, State.OPEN)
    large = ((b":status", b"200"), (b"x", b"\xff" * 40_000)) if role is Role.SERVER else REQUEST
    big = (*TRAILERS, (b"x", b"\xff" * 40_000))

    if role is Role.SERVER:
        stage.connection.send_headers(1, large)
    stage.connection.send_data(1, bytes(50_000))
    stage.connection.send_headers(1, big, end_stream=True)

    frames = stage.frames()
    assert max(len(frame.payload) for frame in frames) <= 16384
    assert b"".join(frame.payload for frame in frames if frame.kind == Kind.DATA) == bytes(50_000)
    assert stage.fields(frames)[-1] == big
    assert sum(bool(frame.flags & h2.END_STREAM) for frame in frames if frame.kind < 2) == 1
    first = next(frame for frame in reversed(frames) if frame.kind == Kind.HEADERS)
    assert first.flags & h2.END_STREAM
    assert not first.flags & h2.END_HEADERS


@pytest.mark.parametrize("role", BOTH, ids=lambda role: role.name.lower())
def test_a_frame_size_that_the_peer_lowers_holds_at_once(role: Role) -> None:
    """6.5.2: larger frames may be sent while the peer allows them, and no longer."""
    stage = Stage(
        role,
        State.OPEN,
        peer_settings=[(Setting.MAX_FRAME_SIZE, 32768), (Setting.INITIAL_WINDOW_SIZE, 1 << 20)],
    )
    stage.hear(h2.window(0, 1 << 20))
    stage.connection.send_data(1, bytes(100_000))
    before = stage.sent(Kind.DATA)
    stage.hear(h2.settings((Setting.MAX_FRAME_SIZE, 16384)))
    stage.connection.send_data(1, bytes(100_000))
    after = stage.sent(Kind.DATA)

    assert 16384 < max(len(frame.payload) for frame in before) <= 32768
    assert max(len(frame.payload) for frame in after) <= 16384
    assert sum(len(frame.payload) for frame in before + after) == 200_000


def test_frames_that_the_rfc_lets_be_lost_change_the_table_of_headers_all_the_same() -> None:
    """4.3: a block of a stream that was reset, refused or is past GOAWAY is decompressed."""
    extra = h2.remembered(b"x-a", b"1")
    stage = Stage(Role.SERVER, State.RESET_BY_US, replace(DEFAULT, concurrent_streams=1))

    assert stage.hear(h2.headers(1, extra, end=True)) == []  # trailers of the stream that was reset
    stage.hear(h2.headers(3, REQUEST))
    refused = stage.hear(h2.headers(5, h2.block(REQUEST) + h2.remembered(b"x-b", b"2"), end=True))
    assert refused == []
    stage.hear(h2.data(3, end=True))
    stage.connection.send_headers(3, ANSWER, end_stream=True)
    events = stage.hear(h2.headers(7, h2.block(REQUEST) + h2.indexed(62) + h2.indexed(63)))

    assert events == [
        HeadersReceived(
            7, (*REQUEST, (b"x-b", b"2"), (b"x-a", b"1")), end_stream=False, is_trailers=False
        )
    ]


def test_headers_past_a_goaway_change_the_table_too() -> None:
    """6.8: HEADERS beyond the last stream are minimally processed."""
    stage = Stage(Role.SERVER, State.OPEN)
    stage.connection.go_away()

    assert stage.hear(h2.headers(3, h2.block(REQUEST) + h2.remembered(b"x-a", b"1"))) == []
    assert stage.hear(h2.headers(1, h2.indexed(62), end=True)) == [
        HeadersReceived(1, ((b"x-a", b"1"),), end_stream=True, is_trailers=True)
    ]


def test_a_settings_frame_is_answered_where_it_stands() -> None:
    """6.5.3: each is acknowledged, in order, before what follows it is answered."""
    stage = Stage(Role.SERVER)

    stage.hear(h2.ping(b"1" * 8), h2.settings(), h2.ping(b"2" * 8), h2.settings())

    ack = Frame(Kind.SETTINGS, h2.ACK, 0, b"")
    pongs = [Frame(Kind.PING, h2.ACK, 0, digit * 8) for digit in (b"1", b"2")]
    assert stage.frames() == [pongs[0], ack, pongs[1], ack]
