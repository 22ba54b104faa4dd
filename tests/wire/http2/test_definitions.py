"""RFC 9113, section 6, but for windows: what each type of frame demands."""
# ruff: noqa: E501 -- one case, one row

from __future__ import annotations

from dataclasses import replace

import pytest

from grpc_wire.http2.connection import Role
from grpc_wire.http2.errors import ErrorCode
from grpc_wire.http2.events import (
    DataReceived,
    GoAwayReceived,
    HeadersReceived,
    PingAcknowledged,
    SettingsReceived,
    StreamReset,
)
from grpc_wire.http2.limits import DEFAULT
from tests.wire.http2 import octets as h2
from tests.wire.http2.octets import Kind, Setting
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
    bare,
    check,
    fails,
    ignored,
    parameters,
    resets,
    tells,
)

PROTOCOL, FLOW = ErrorCode.PROTOCOL_ERROR, ErrorCode.FLOW_CONTROL_ERROR
ACKNOWLEDGED = h2.settings(flags=h2.ACK)
APPLIED = tells(SettingsReceived(h2.TOP), sent=[ACKNOWLEDGED])


def padded_data(content: bytes) -> DataReceived:
    """Returns the event of data on stream 1."""
    return DataReceived(1, content, end_stream=False)


DATA = [
    Case("6.1-data-of-no-stream", BOTH, State.OPEN, h2.data(0, b"x"), fails(PROTOCOL)),
    Case("6.1-padding", BOTH, State.ANSWERED, h2.data(1, b"x", pad=9), tells(padded_data(b"x"))),
    Case("6.1-padding-of-zero", BOTH, State.ANSWERED, h2.data(1, b"x", pad=0), tells(padded_data(b"x"))),
    Case("6.1-padding-of-255", BOTH, State.ANSWERED, h2.data(1, b"x", pad=255, end=True), tells(DataReceived(1, b"x", end_stream=True))),
    Case("6.1-padding-as-long-as-the-payload", BOTH, State.ANSWERED, h2.frame(Kind.DATA, h2.PADDED, 1, b"\x06" + bytes(5)), fails(PROTOCOL)),
    Case("6.1-padding-longer-than-the-payload", BOTH, State.ANSWERED, h2.frame(Kind.DATA, h2.PADDED, 1, b"\xff" + bytes(5)), fails(PROTOCOL)),
    Case("6.2-padding-as-long-as-the-payload", SERVER, State.IDLE, h2.frame(Kind.HEADERS, h2.PADDED | h2.END_HEADERS, 1, b"\x06" + bytes(5)), fails(PROTOCOL)),
    Case("6.2-padding-over-the-priority", SERVER, State.IDLE, h2.frame(Kind.HEADERS, h2.PADDED | h2.WITH_PRIORITY | h2.END_HEADERS, 1, b"\x02" + bytes(6)), fails(PROTOCOL, ErrorCode.FRAME_SIZE_ERROR)),
    Case("6.2-priority-is-passed-over", SERVER, State.IDLE, h2.headers(1, REQUEST, priority=b"\x80\0\0\x07\xff"), tells(HeadersReceived(1, REQUEST, end_stream=False, is_trailers=False))),
]  # fmt: skip

CONTROL = [
    Case("6.3-priority-of-no-stream", BOTH, State.OPEN, h2.priority(0), fails(PROTOCOL)),
    Case("6.3-priority-of-an-idle-stream-opens-none", BOTH, State.IDLE, h2.priority(99), ignored()),
    # RFC 7540 (5.3.1) had it, and h2spec asks for it; RFC 9113 passes the signal over
    Case("6.3-priority-on-itself", BOTH, State.OPEN, h2.priority(1, on=1), resets(1, PROTOCOL)),
    Case("6.4-reset-of-no-stream", BOTH, State.OPEN, h2.reset(0), fails(PROTOCOL)),
    Case("6.5-settings-on-a-stream", BOTH, State.OPEN, h2.settings(stream=1), fails(PROTOCOL)),
    Case("6.5-settings-ack-on-a-stream", BOTH, State.OPEN, h2.settings(flags=h2.ACK, stream=1), fails(PROTOCOL)),
    Case("6.5-nothing-in-settings", BOTH, State.IDLE, h2.settings(), APPLIED),
    Case("6.5.2-unknown-settings", BOTH, State.IDLE, h2.settings((0, 1), (7, 2), (0xFFFF, 0xFFFFFFFF)), APPLIED),
    Case("6.5.2-push-2", BOTH, State.IDLE, h2.settings((Setting.ENABLE_PUSH, 2)), fails(PROTOCOL)),
    Case("6.5.2-push-0", BOTH, State.IDLE, h2.settings((Setting.ENABLE_PUSH, 0)), APPLIED),
    Case("6.5.2-push-1-from-client", SERVER, State.IDLE, h2.settings((Setting.ENABLE_PUSH, 1)), APPLIED),
    Case("6.5.2-push-1-from-server", CLIENT, State.IDLE, h2.settings((Setting.ENABLE_PUSH, 1)), fails(PROTOCOL)),
    Case("6.5.2-window-too-wide", BOTH, State.IDLE, h2.settings((Setting.INITIAL_WINDOW_SIZE, 1 << 31)), fails(FLOW)),
    Case("6.5.2-widest-window", BOTH, State.IDLE, h2.settings((Setting.INITIAL_WINDOW_SIZE, h2.TOP)), APPLIED),
    Case("6.5.2-no-window", BOTH, State.IDLE, h2.settings((Setting.INITIAL_WINDOW_SIZE, 0)), APPLIED),
    Case("6.5.2-frame-too-small", BOTH, State.IDLE, h2.settings((Setting.MAX_FRAME_SIZE, 16383)), fails(PROTOCOL)),
    Case("6.5.2-frame-too-large", BOTH, State.IDLE, h2.settings((Setting.MAX_FRAME_SIZE, 1 << 24)), fails(PROTOCOL)),
    Case("6.5.2-largest-frame", BOTH, State.IDLE, h2.settings((Setting.MAX_FRAME_SIZE, (1 << 24) - 1)), APPLIED),
    Case("6.5.2-everything-at-its-highest", BOTH, State.OPEN, h2.settings((1, 0xFFFFFFFF), (3, 0xFFFFFFFF), (6, 0xFFFFFFFF)), tells(SettingsReceived(0xFFFFFFFF), sent=[ACKNOWLEDGED])),
    Case("6.5.3-the-second-of-two-is-wrong", BOTH, State.IDLE, h2.settings((Setting.ENABLE_PUSH, 0), (Setting.MAX_FRAME_SIZE, 1)), fails(PROTOCOL)),
    Case("6.6-push-to-a-server", SERVER, State.OPEN, h2.push_promise(1, 2, REQUEST), fails(PROTOCOL)),
    Case("6.6-push-that-was-forbidden", CLIENT, State.OPEN, h2.push_promise(1, 2, REQUEST), fails(PROTOCOL)),
    Case("6.6-push-on-no-stream", BOTH, State.OPEN, h2.push_promise(0, 2, REQUEST), fails(PROTOCOL)),
    Case("6.6-push-too-short", BOTH, State.OPEN, h2.frame(Kind.PUSH_PROMISE, h2.END_HEADERS, 1, b"\0"), fails(PROTOCOL, ErrorCode.FRAME_SIZE_ERROR)),
    Case("6.7-ping", BOTH, State.IDLE, h2.ping(b"\0\xff345678"), tells(sent=[h2.ping(b"\0\xff345678", ack=True)])),
    Case("6.7-ping-ack-that-nobody-asked-for", BOTH, State.IDLE, h2.ping(b"12345678", ack=True), tells(PingAcknowledged(b"12345678"))),
    Case("6.7-ping-on-a-stream", BOTH, State.OPEN, h2.frame(Kind.PING, 0, 1, bytes(8)), fails(PROTOCOL)),
    Case("6.8-goaway-on-a-stream", BOTH, State.OPEN, h2.goaway(stream=1), fails(PROTOCOL)),
    Case("6.8-goaway", BOTH, State.OPEN, h2.goaway(1, 11, b"too_many_pings"), tells(GoAwayReceived(1, 11, b"too_many_pings"))),
    Case("6.8-goaway-with-an-unknown-code", BOTH, State.OPEN, h2.goaway(1, 0xFFFFFFFF), tells(GoAwayReceived(1, 0xFFFFFFFF, b""))),
    Case("6.8-reserved-bit-of-the-last-stream", BOTH, State.OPEN, h2.goaway(1 | 1 << 31), tells(GoAwayReceived(1, 0, b""))),
]  # fmt: skip


@parameters(DATA)
def test_padding_and_priority(case: Case, role: Role) -> None:
    """What surrounds the content of DATA and HEADERS (6.1, 6.2)."""
    check(case, role)


@parameters(CONTROL)
def test_a_control_frame(case: Case, role: Role) -> None:
    """PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY (6.3 to 6.8)."""
    check(case, role)


@pytest.mark.parametrize("role", BOTH, ids=lambda role: role.name.lower())
def test_6_5_3_the_last_value_of_a_setting_holds(role: Role) -> None:
    """Values are processed in the order in which they stand."""
    stage = Stage(role, State.OPEN)

    size = Setting.INITIAL_WINDOW_SIZE
    assert stage.hear(h2.settings((size, 0), (size, 7), (size, 3))) == [SettingsReceived(h2.TOP)]

    assert stage.connection.send_data(1, b"12345") == 2
    assert [frame.payload for frame in stage.sent(Kind.DATA)] == [b"123"]


@pytest.mark.parametrize("role", BOTH, ids=lambda role: role.name.lower())
def test_6_7_a_ping_of_ours(role: Role) -> None:
    """It is sent with the data that it was given, and its answer is told."""
    stage = Stage(role)

    stage.connection.ping(b"12345678")

    assert stage.frames() == h2.parse(h2.ping(b"12345678"))
    assert stage.hear(h2.ping(b"12345678", ack=True)) == [PingAcknowledged(b"12345678")]
    assert stage.frames() == []


def refused(stream: int) -> StreamReset:
    """Returns the event of a stream that the peer will not process."""
    return StreamReset(stream, ErrorCode.REFUSED_STREAM, "", by_peer=True)


def test_6_8_streams_that_a_server_will_not_process_are_told() -> None:
    """They may be tried again elsewhere; those below go on, new ones are not begun."""
    stage = Stage(Role.CLIENT)
    for _ in range(4):
        stage.connection.open_stream(REQUEST)
    stage.frames()

    events = [bare(event) for event in stage.hear(h2.goaway(3, 0, b"bye"))]

    assert events.count(GoAwayReceived(3, 0, b"bye")) == 1
    assert sorted(e.stream_id for e in events if e == refused(getattr(e, "stream_id", 0))) == [5, 7]
    assert len(events) == 3
    assert stage.connection.closing
    assert not stage.connection.can_open
    assert stage.connection.open_stream(REQUEST) == 0
    assert stage.connection.open_streams == 2
    assert stage.hear(h2.headers(3, ANSWER), h2.data(3, b"x", end=True)) == [
        HeadersReceived(3, ANSWER, end_stream=True, is_trailers=False, data=b"x"),
    ]
    stage.connection.send_data(1, b"more", end_stream=True)
    assert [frame.payload for frame in stage.sent(Kind.DATA)] == [b"more"]


def test_6_8_the_two_phases_of_a_server() -> None:
    """First everything may still be processed, then it is said what was; each refused once."""
    stage = Stage(Role.CLIENT)
    for _ in range(3):
        stage.connection.open_stream(REQUEST)
    stage.frames()

    assert stage.hear(h2.goaway(h2.TOP)) == [GoAwayReceived(h2.TOP, 0, b"")]
    assert stage.connection.open_streams == 3
    second = [bare(event) for event in stage.hear(h2.goaway(3))]
    assert set(second) == {GoAwayReceived(3, 0, b""), refused(5)}
    third = [bare(event) for event in stage.hear(h2.goaway(1, 2))]
    assert set(third) == {GoAwayReceived(1, 2, b""), refused(3)}
    stage.lives()


def test_6_8_what_still_comes_of_a_stream_that_was_not_to_be_processed() -> None:
    """Is passed over: it was told as over, and cannot come to life again."""
    stage = Stage(Role.CLIENT, State.OPEN)
    stage.hear(h2.goaway(0))
    stage.told.clear()

    assert stage.hear(h2.headers(1, ANSWER), h2.data(1, b"x", end=True)) == []
    stage.connection.send_data(1, b"x", end_stream=True)
    assert stage.sent(Kind.DATA) == []
    stage.lives()


def test_6_8_the_last_stream_never_rises() -> None:
    """What a peer has said that it will not process it will not, whatever it says later."""
    stage = Stage(Role.CLIENT)
    for _ in range(3):
        stage.connection.open_stream(REQUEST)

    assert GoAwayReceived(3, 0, b"") in stage.hear(h2.goaway(3))
    assert stage.hear(h2.goaway(5)) == [GoAwayReceived(3, 0, b"")]


def test_6_8_a_goaway_of_ours_in_two_phases() -> None:
    """2^31-1 first, and streams are taken; then the last that was; then what is beyond is dropped."""
    stage = Stage(Role.SERVER, State.OPEN)

    stage.connection.go_away(last=False)
    (warning,) = stage.frames()
    assert (warning.kind, warning.last_stream, warning.code) == (Kind.GOAWAY, h2.TOP, 0)
    assert stage.connection.closing
    assert stage.hear(h2.headers(3, REQUEST)) == [
        HeadersReceived(3, REQUEST, end_stream=False, is_trailers=False)
    ]

    stage.connection.go_away(debug=b"old")
    (final,) = stage.frames()
    assert (final.last_stream, final.code, final.payload[8:]) == (3, 0, b"old")
    assert stage.hear(h2.headers(5, REQUEST), h2.data(5, bytes(1000), end=True)) == []
    assert stage.sent(Kind.RST_STREAM) == []
    assert stage.hear(h2.data(3, b"x", end=True), h2.headers(1, TRAILERS, end=True)) == [
        DataReceived(3, b"x", end_stream=True),
        HeadersReceived(1, TRAILERS, end_stream=True, is_trailers=True),
    ]
    stage.connection.send_headers(3, ANSWER, end_stream=True)
    assert [frame.stream for frame in stage.frames()] == [3]
    stage.lives()


def test_6_8_the_last_stream_of_our_goaway_never_rises() -> None:
    """Those beyond may have been tried again already, whatever came meanwhile, even a fault."""
    stage = Stage(Role.SERVER, State.OPEN)
    stage.connection.go_away()
    stage.hear(h2.headers(9, REQUEST))
    stage.connection.go_away(last=False)
    stage.connection.go_away()
    stage.hear(h2.ping(b""))

    lasts = [frame.last_stream for frame in stage.sent(Kind.GOAWAY)]
    assert lasts == sorted(lasts, reverse=True)
    assert set(lasts) == {1}


@pytest.mark.parametrize("role", BOTH, ids=lambda role: role.name.lower())
def test_6_8_a_fault_after_a_goaway_is_told_by_another(role: Role) -> None:
    """5.4: a further GOAWAY with the code of the fault."""
    stage = Stage(role, State.OPEN)
    stage.connection.go_away()
    stage.hear(h2.ping(b""))

    codes = [frame.code for frame in stage.sent(Kind.GOAWAY)]
    assert codes == [0, ErrorCode.FRAME_SIZE_ERROR]


def test_6_8_a_client_that_goes_away_still_hears_its_answers() -> None:
    """Its GOAWAY is about streams of the server, of which there are none."""
    stage = Stage(Role.CLIENT, State.OPEN)
    stage.connection.go_away()

    assert [(f.kind, f.last_stream) for f in stage.frames()] == [(Kind.GOAWAY, 0)]
    assert not stage.connection.can_open
    assert stage.hear(h2.headers(1, ANSWER, end=True)) == [
        HeadersReceived(1, ANSWER, end_stream=True, is_trailers=False)
    ]


def test_6_8_a_goaway_of_a_client_ends_no_stream() -> None:
    """Nor one that it has begun before the GOAWAY but whose data come behind it."""
    stage = Stage(Role.SERVER, State.OPEN)

    assert stage.hear(h2.goaway(0), h2.data(1, b"x", end=True)) == [
        GoAwayReceived(0, 0, b""),
        DataReceived(1, b"x", end_stream=True),
    ]
    stage.connection.send_headers(1, ANSWER, end_stream=True)
    assert [frame.stream for frame in stage.frames()] == [1]


def test_4_3_1_a_table_that_the_peer_shrinks() -> None:
    """The next block begins with a change of size, and keeps to it ever after."""
    stage = Stage(Role.SERVER, peer_settings=[(Setting.HEADER_TABLE_SIZE, 0)])
    stage.decoder.header_table_size = 4096
    stage.decoder.max_allowed_table_size = 0

    for stream in (1, 3, 5):
        stage.hear(h2.headers(stream, REQUEST))
        stage.connection.send_headers(stream, (*ANSWER, (b"x-a", b"again")), end_stream=True)
        frames = stage.frames()
        assert stage.fields(frames) == [(*ANSWER, (b"x-a", b"again"))]
        assert len(stage.decoder.header_table.dynamic_entries) == 0


@pytest.mark.parametrize(
    "changes",
    [(h2.settings((1, 0)), h2.settings((1, 4096))), (h2.settings((1, 0), (1, 4096)),)],
    ids=["two SETTINGS", "one SETTINGS"],
)
def test_4_3_1_a_table_that_shrinks_and_grows_between_two_blocks(
    changes: tuple[bytes, ...],
) -> None:
    """Both are said, the smallest first (RFC 7541, 4.2)."""
    stage = Stage(Role.SERVER)
    stage.hear(h2.headers(1, REQUEST))
    stage.connection.send_headers(1, (*ANSWER, (b"x-a", b"again")), end_stream=True)
    stage.fields(stage.frames())
    stage.hear(*changes, h2.headers(3, REQUEST))
    stage.decoder.max_allowed_table_size = 4096

    stage.connection.send_headers(3, (*ANSWER, (b"x-a", b"again")), end_stream=True)

    frames = stage.frames()
    block = next(frame.payload for frame in frames if frame.kind == Kind.HEADERS)
    assert block.startswith(h2.table_size(0))
    assert stage.fields(frames) == [(*ANSWER, (b"x-a", b"again"))]


def test_4_3_1_our_smaller_table_binds_the_peer_once_it_has_acknowledged() -> None:
    """A block that does not begin with a change of size then is COMPRESSION_ERROR."""
    limits = replace(DEFAULT, header_table=1024)
    stage = Stage(Role.SERVER, State.NEW, limits)
    assert stage.hear(h2.PREFACE, h2.settings(), h2.headers(1, REQUEST)) != []
    stage.hear(h2.settings(flags=h2.ACK), h2.headers(3, h2.table_size(1024) + h2.block(REQUEST)))
    assert stage.connection.open_streams == 2

    stage = Stage(Role.SERVER, State.IDLE, limits)
    stage.hear(h2.headers(1, REQUEST))
    stage.has_failed(ErrorCode.COMPRESSION_ERROR)
