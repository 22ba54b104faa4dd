"""Data that come at once: which frames are told as one event, and what counts for each all the same."""

from __future__ import annotations

from dataclasses import replace

import pytest

from grpc_wire.http2.connection import Role
from grpc_wire.http2.errors import ErrorCode
from grpc_wire.http2.events import (
    ConnectionEvent,
    ConnectionFailed,
    DataReceived,
    HeadersReceived,
    StreamReset,
)
from grpc_wire.http2.limits import DEFAULT
from tests.wire.http2 import octets as h2
from tests.wire.http2.octets import Kind
from tests.wire.http2.stage import BOTH, REQUEST, TRAILERS, Stage, State, bare, head

both = pytest.mark.parametrize("role", BOTH, ids=lambda role: role.name.lower())
SMALL = 1024
"""Bytes of an event to which nothing is added."""
LENGTH = (b"content-length", b"3")


def begun(role: Role, *streams: int) -> Stage:
    """Returns a stage on which the heads of these streams are to come."""
    stage = Stage(role)
    for stream in streams:
        if role is Role.CLIENT:
            assert stage.connection.open_stream(REQUEST) == stream
    stage.frames()
    return stage


def received(events: list[ConnectionEvent]) -> bytes:
    """Returns the data of all events, wherever they stand."""
    return b"".join(e.data for e in events if isinstance(e, HeadersReceived | DataReceived))


@both
def test_frames_of_one_stream_are_one_event(role: Role) -> None:
    """In their order; and the event ends the stream if the last of them does, be it empty."""
    stage = Stage(role, State.ANSWERED)
    assert stage.hear(h2.data(1, b"one "), h2.data(1, b"two "), h2.data(1, b"three")) == [
        DataReceived(1, b"one two three", end_stream=False)
    ]

    for last in (b"", b"b"):
        stage = Stage(role, State.ANSWERED)
        assert stage.hear(h2.data(1, b"a"), h2.data(1, last, end=True)) == [
            DataReceived(1, b"a" + last, end_stream=True)
        ]
        assert stage.connection.open_streams == 1


@both
def test_the_end_of_a_joined_event_closes_the_stream(role: Role) -> None:
    """Once this side has ended, too (5.1); what comes behind it is a fault of the stream."""
    stage = Stage(role, State.HALF_CLOSED_LOCAL)
    if role is Role.CLIENT:
        stage.hear(h2.headers(1, head(role)))
        told = stage.hear(h2.data(1, b"a"), h2.data(1, b"b", end=True))
        assert told == [DataReceived(1, b"ab", end_stream=True)]
        assert stage.connection.open_streams == 0

    stage = Stage(role, State.ANSWERED)
    told = stage.hear(h2.data(1, b"a"), h2.data(1, b"b", end=True), h2.data(1, b"c"))
    assert [bare(event) for event in told] == [
        DataReceived(1, b"ab", end_stream=True),
        StreamReset(1, ErrorCode.STREAM_CLOSED, "", by_peer=False),
    ]


@both
def test_another_stream_parts_them(role: Role) -> None:
    """Whether it says data or headers: what each says stays where it was said."""
    stage = begun(role, 1, 3, 5)
    stage.hear(h2.headers(1, head(role)), h2.headers(3, head(role)))

    told = stage.hear(
        h2.data(1, b"a"),
        h2.data(3, b"b"),
        h2.data(1, b"c"),
        h2.data(1, b"d"),
        h2.headers(5, head(role)),
        h2.data(1, b"e", end=True),
        h2.data(3, b"f"),
    )

    assert told == [
        DataReceived(1, b"a", end_stream=False),
        DataReceived(3, b"b", end_stream=False),
        DataReceived(1, b"cd", end_stream=False),
        HeadersReceived(5, head(role), end_stream=False, is_trailers=False),
        DataReceived(1, b"e", end_stream=True),
        DataReceived(3, b"f", end_stream=False),
    ]


@both
def test_what_tells_nothing_does_not_part_them(role: Role) -> None:
    """A ping that is answered, and windows that the peer gives."""
    stage = Stage(role, State.ANSWERED)

    told = stage.hear(h2.data(1, b"a"), h2.ping(), h2.window(1, 9), h2.data(1, b"b"))

    assert told == [DataReceived(1, b"ab", end_stream=False)]


@both
def test_nothing_is_added_to_what_is_large(role: Role) -> None:
    """An event is not copied again for each frame; a large frame is an event as it came."""
    cases = (
        ([SMALL - 1, 1, 1], [SMALL, 1]),
        ([SMALL, 1], [SMALL, 1]),
        ([SMALL - 1, 16_384, 1], [SMALL - 1 + 16_384, 1]),
        ([SMALL] * 20, [SMALL] * 20),
        ([100] * 22, [1100] * 2),
    )
    for sizes, told in cases:
        stage = Stage(role, State.ANSWERED)
        data = [bytes([number]) * size for number, size in enumerate(sizes)]

        events = stage.hear(*(h2.data(1, each) for each in data))

        assert [len(received([event])) for event in events] == told
        assert received(events) == b"".join(data)


@both
def test_the_end_behind_what_is_large(role: Role) -> None:
    """Is an event of its own, and is told once."""
    stage = Stage(role, State.ANSWERED)

    assert stage.hear(h2.data(1, bytes(SMALL)), h2.data(1, end=True)) == [
        DataReceived(1, bytes(SMALL), end_stream=False),
        DataReceived(1, b"", end_stream=True),
    ]


def test_nothing_is_added_to_a_large_head() -> None:
    """What a head has with it is bounded like any other data."""
    stage = begun(Role.SERVER)

    first, *rest = stage.hear(
        h2.headers(1, REQUEST), h2.data(1, bytes(SMALL)), h2.data(1, b"x", end=True)
    )

    assert first == HeadersReceived(
        1, REQUEST, end_stream=False, is_trailers=False, data=bytes(SMALL)
    )
    assert rest == [DataReceived(1, b"x", end_stream=True)]


@both
def test_nothing_is_added_to_what_was_taken(role: Role) -> None:
    """An event that `receive` has returned stays as it is, a head too."""
    stage = begun(role, 1)
    (first,) = stage.hear(h2.headers(1, head(role)))
    (second,) = stage.hear(h2.data(1, b"a"))
    (third,) = stage.hear(h2.data(1, b"b", end=True))

    assert first == HeadersReceived(1, head(role), end_stream=False, is_trailers=False)
    assert second == DataReceived(1, b"a", end_stream=False)
    assert third == DataReceived(1, b"b", end_stream=True)


@both
def test_the_head_has_its_data(role: Role) -> None:
    """What comes at once is told in one event."""
    stage = begun(role, 1)

    told = stage.hear(h2.headers(1, head(role)), h2.data(1, b"a"), h2.data(1, b"b", end=True))

    assert told == [HeadersReceived(1, head(role), end_stream=True, is_trailers=False, data=b"ab")]


@both
def test_the_head_has_its_trailers(role: Role) -> None:
    """With data or without; they end the stream, and nothing is told behind them."""
    for data in ([], [b""], [b"a"], [b"a", b"b"]):
        stage = begun(role, 1)

        told = stage.hear(
            h2.headers(1, head(role)),
            *(h2.data(1, each) for each in data),
            h2.headers(1, TRAILERS, end=True),
            h2.data(1, b"late"),
        )

        first, reset = told
        assert first == HeadersReceived(
            1,
            head(role),
            end_stream=True,
            is_trailers=False,
            data=b"".join(data),
            trailers=TRAILERS,
        )
        assert bare(reset) == StreamReset(1, ErrorCode.STREAM_CLOSED, "", by_peer=False)


@both
def test_data_have_their_trailers(role: Role) -> None:
    """Where the head was taken before."""
    stage = Stage(role, State.ANSWERED)

    told = stage.hear(h2.data(1, b"a"), h2.data(1, b"b"), h2.headers(1, TRAILERS, end=True))

    assert told == [DataReceived(1, b"ab", end_stream=True, trailers=TRAILERS)]


@both
def test_trailers_alone(role: Role) -> None:
    """Are an event of their own where nothing of their stream was told last."""
    stage = begun(role, 1, 3)
    stage.hear(h2.headers(1, head(role)))
    trailers = HeadersReceived(1, TRAILERS, end_stream=True, is_trailers=True)

    assert stage.hear(h2.headers(3, head(role)), h2.headers(1, TRAILERS, end=True)) == [
        HeadersReceived(3, head(role), end_stream=False, is_trailers=False),
        trailers,
    ]


@both
def test_malformed_trailers_are_not_added(role: Role) -> None:
    """The stream is reset (8.1); what was told before has not ended it."""
    for fields, end in ((TRAILERS, False), (((b":status", b"200"),), True), (TRAILERS, True)):
        stage = begun(role, 1)
        length = (LENGTH,) if (fields, end) == (TRAILERS, True) else ()  # which they do not keep

        told = stage.hear(
            h2.headers(1, (*head(role), *length)),
            h2.data(1, b"a"),
            h2.headers(1, fields, end=end),
        )

        before, reset = told
        assert isinstance(before, HeadersReceived)
        assert not before.end_stream
        assert before.trailers is None
        assert bare(reset) == StreamReset(1, ErrorCode.PROTOCOL_ERROR, "", by_peer=False)


def test_an_answer_that_is_but_a_head() -> None:
    """Ends with that, and is not taken for one that ends with an empty frame of data."""
    answer = head(Role.CLIENT)
    alone = HeadersReceived(1, answer, end_stream=True, is_trailers=False)
    assert begun(Role.CLIENT, 1).hear(h2.headers(1, answer, end=True)) == [alone]

    assert begun(Role.CLIENT, 1).hear(h2.headers(1, answer), h2.data(1, end=True)) == [
        HeadersReceived(1, answer, end_stream=False, is_trailers=False),
        DataReceived(1, b"", end_stream=True),
    ]


def test_a_head_does_not_wait_for_its_data() -> None:
    """What comes behind the head of another stream is not with its own."""
    stage = begun(Role.SERVER)

    told = stage.hear(
        h2.headers(1, REQUEST),
        h2.headers(3, REQUEST),
        h2.data(3, b"b"),
        h2.headers(3, TRAILERS, end=True),
        h2.data(1, b"a", end=True),
    )

    assert told == [
        HeadersReceived(1, REQUEST, end_stream=False, is_trailers=False),
        HeadersReceived(
            3, REQUEST, end_stream=True, is_trailers=False, data=b"b", trailers=TRAILERS
        ),
        DataReceived(1, b"a", end_stream=True),
    ]


@both
def test_padding_is_not_joined(role: Role) -> None:
    """6.1: only content is told; frames that have none add nothing."""
    stage = Stage(role, State.ANSWERED)

    told = stage.hear(
        h2.data(1, b"a", pad=7),
        h2.data(1),
        h2.data(1, pad=0),
        h2.data(1, b"b"),
        h2.data(1, b"c", pad=255, end=True),
    )

    assert told == [DataReceived(1, b"abc", end_stream=True)]


@both
@pytest.mark.parametrize("pad", [None, 0, 19])
def test_each_byte_is_granted_again_once(role: Role, pad: int | None) -> None:
    """6.9: when what was told is consumed, a stream's window is whole, its padding counted too."""
    stage = begun(role, 1)
    frames = h2.data(1, b"x" * 100, pad=pad) * 360
    cost = 360 * (100 + (0 if pad is None else pad + 1))
    assert DEFAULT.stream_window // 2 < cost < DEFAULT.stream_window

    told = stage.hear(h2.headers(1, head(role)), frames)
    assert stage.sent(Kind.WINDOW_UPDATE) == []
    stage.connection.consumed(1, len(received(told)))

    assert len(told) < 40
    assert [(f.stream, f.code) for f in stage.sent(Kind.WINDOW_UPDATE)] == [(1, cost)]


@both
def test_each_byte_counts_for_the_connection(role: Role) -> None:
    """6.9: its window is given back by half, whatever the frames were told as."""
    stage = begun(role, 1)
    room = DEFAULT.connection_window // 2
    stage.hear(h2.headers(1, head(role)))
    stage.connection.expect(1, room)
    stage.frames()

    for _ in range(room // 64 // 1024):
        stage.hear(h2.data(1, b"x" * 256) * 256)

    assert [(f.stream, f.code) for f in stage.sent(Kind.WINDOW_UPDATE)] == [(0, room)]


@both
def test_more_than_the_window_in_joined_frames(role: Role) -> None:
    """6.9.1: the whole window is told in one event; a byte more resets the stream, and is not told."""
    stage = Stage(role, State.ANSWERED, replace(DEFAULT, stream_window=100))

    told = stage.hear(h2.data(1, b"x" * 60), h2.data(1, b"y" * 40), h2.data(1, b"z"))

    assert [bare(event) for event in told] == [
        DataReceived(1, b"x" * 60 + b"y" * 40, end_stream=False),
        StreamReset(1, ErrorCode.FLOW_CONTROL_ERROR, "", by_peer=False),
    ]


@both
@pytest.mark.parametrize("pad", [None, 200])
def test_a_flood_of_empty_frames_that_are_joined(role: Role, pad: int | None) -> None:
    """`control_frames`: each asks for work, though all are one event (CVE-2019-9518)."""
    limits = replace(DEFAULT, control_frames=100)
    stage = Stage(role, State.ANSWERED, limits)
    assert stage.hear(h2.data(1, pad=pad) * 90) == [DataReceived(1, b"", end_stream=False)]

    stage = Stage(role, State.ANSWERED, limits)
    *_, last = stage.hear(h2.data(1, pad=pad) * 110)
    assert isinstance(last, ConnectionFailed)
    stage.has_failed(ErrorCode.ENHANCE_YOUR_CALM)


@both
@pytest.mark.parametrize(
    ("good", "bad"),
    [
        ([b"ab"], h2.data(1, b"cd")),
        ([b"ab"], h2.data(1, b"cd", end=True)),
        ([b"a", b"b"], h2.data(1, end=True)),
    ],
    ids=["more", "more-and-ends", "less"],
)
def test_a_length_that_joined_data_do_not_keep(role: Role, good: list[bytes], bad: bytes) -> None:
    """8.1.1: the stream is reset; what was told before is neither more for it, nor the end."""
    stage = begun(role, 1)
    fields = (*head(role), LENGTH)

    told = stage.hear(h2.headers(1, fields), *(h2.data(1, each) for each in good), bad)

    *before, last = told
    assert bare(last) == StreamReset(1, ErrorCode.PROTOCOL_ERROR, "", by_peer=False)
    assert received(before) == b"ab"
    assert len(before) == 1
    assert not any(
        event.end_stream for event in before if isinstance(event, HeadersReceived | DataReceived)
    )
    assert [(f.stream, f.code) for f in stage.sent(Kind.RST_STREAM)] == [
        (1, ErrorCode.PROTOCOL_ERROR)
    ]
