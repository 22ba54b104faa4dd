"""A client that gives up many streams resets no more of them early than a server bears.

Servers count the streams that a client resets before they were answered and end the connection of one that
does so (CVE-2023-44487); all callers of an edge share one.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from grpc_wire.http2.connection import Role
from grpc_wire.http2.errors import ErrorCode
from grpc_wire.http2.events import ConnectionFailed
from grpc_wire.http2.limits import DEFAULT
from tests.wire.http2 import octets as h2
from tests.wire.http2.octets import Frame, Kind, Setting
from tests.wire.http2.stage import ANSWER, REQUEST, TRAILERS, Stage

SMALL = replace(DEFAULT, early_resets=3, resets=20)
CANCEL = ErrorCode.CANCEL


def client() -> Stage:
    """Returns a client whose budget is spent."""
    stage = Stage(Role.CLIENT, limits=SMALL)
    for _ in range(SMALL.early_resets):
        give_up(stage)
    assert len(stage.sent(Kind.RST_STREAM)) == SMALL.early_resets
    return stage


def give_up(stage: Stage, *, end_stream: bool = True) -> int:
    """Opens a stream, and gives it up."""
    stream = stage.connection.open_stream(REQUEST, end_stream=end_stream)
    assert stage.connection.reset(stream, CANCEL)
    assert not stage.connection.reset(stream, CANCEL)
    return stream


def resets(frames: list[Frame]) -> list[tuple[int, int]]:
    """Returns the streams that were reset, and why."""
    return [(frame.stream, frame.code) for frame in frames if frame.kind == Kind.RST_STREAM]


def test_more_are_reset_when_they_are_old_enough() -> None:
    """`early_resets` are reset at once, the next when it was open for `early` seconds."""
    stage = client()
    first = give_up(stage)
    stage.clock.now += 1
    second = give_up(stage)
    assert resets(stage.frames()) == []

    assert stage.connection.send_due_resets() == pytest.approx(SMALL.early - 1)
    assert resets(stage.frames()) == []
    stage.clock.now += SMALL.early - 1
    assert stage.connection.send_due_resets() == pytest.approx(1)
    assert resets(stage.frames()) == [(first, CANCEL)]
    stage.clock.now += 1
    assert stage.connection.send_due_resets() is None
    assert resets(stage.frames()) == [(second, CANCEL)]


def test_one_that_is_old_is_reset_at_once() -> None:
    """It is no early reset, and costs nothing."""
    stage = client()
    streams = [stage.connection.open_stream(REQUEST) for _ in range(10)]
    stage.clock.now += SMALL.early
    for stream in streams:
        stage.connection.reset(stream, CANCEL)
    assert resets(stage.frames()) == [(stream, CANCEL) for stream in streams]


def test_one_that_was_answered_is_reset_at_once() -> None:
    """A server has answered it for something."""
    stage = client()
    stream = stage.connection.open_stream(REQUEST)
    stage.hear(h2.headers(stream, ANSWER))
    stage.connection.reset(stream, CANCEL)
    assert resets(stage.frames()) == [(stream, CANCEL)]


def test_an_answer_lets_it_be_reset() -> None:
    """Nothing of the answer is told, and its stream ends as soon as the server has begun to answer."""
    stage = client()
    stream = give_up(stage)
    assert stage.hear(h2.headers(stream, ANSWER), h2.data(stream, b"12345")) == []
    assert resets(stage.frames()) == [(stream, CANCEL)]
    assert stage.connection.deferred_resets == 0


@pytest.mark.parametrize("sent_all", [True, False])
def test_an_answer_that_ends_it(sent_all: bool) -> None:
    """Where both sides have ended the stream, nothing is reset."""
    stage = client()
    stream = give_up(stage, end_stream=sent_all)
    assert stage.hear(h2.headers(stream, (*ANSWER, *TRAILERS), end=True)) == []
    assert resets(stage.frames()) == ([] if sent_all else [(stream, CANCEL)])
    assert stage.connection.deferred_resets == 0


def test_a_server_that_resets_it() -> None:
    """It has ended, and costs the server nothing."""
    stage = client()
    for _ in range(2 * SMALL.control_frames):
        assert stage.hear(h2.reset(give_up(stage), CANCEL)) == []
    stage.clock.now += SMALL.early
    assert stage.connection.send_due_resets() is None
    assert resets(stage.frames()) == []
    stage.lives()


def test_a_server_that_goes_away() -> None:
    """What it will not process is not reset any more."""
    stage = client()
    streams = [give_up(stage) for _ in range(3)]
    stage.hear(h2.goaway(streams[1]))
    stage.clock.now += SMALL.early
    assert stage.connection.send_due_resets() is None
    assert resets(stage.frames()) == [(stream, CANCEL) for stream in streams[:2]]


def test_a_connection_that_fails() -> None:
    """Nothing lingers behind its end."""
    stage = client()
    give_up(stage)
    stage.hear(h2.data(0, b"x"))
    assert isinstance(stage.told[-1], ConnectionFailed)
    assert stage.connection.deferred_resets == 0


def test_the_server_counts_it_as_open() -> None:
    """A stream that lingers takes a place of those that the server allows."""
    stage = client()
    stage.hear(h2.settings((Setting.MAX_CONCURRENT_STREAMS, 2)))
    give_up(stage)
    assert stage.has_room()
    give_up(stage)
    assert not stage.has_room()
    assert stage.connection.open_stream(REQUEST) == 0
    stage.clock.now += SMALL.early
    stage.connection.send_due_resets()
    assert stage.has_room()


def test_data_of_it_is_dropped_and_the_connection_goes_on() -> None:
    """Its data is not told, and the connection's window is given back (RFC 9113, 5.1 and 6.9)."""
    stage = client()
    stage.frames()
    for _ in range(200):
        stream = give_up(stage)
        told = stage.hear(
            h2.headers(stream, ANSWER), *(h2.data(stream, bytes(16_000)) for _ in "1234")
        )
        assert told == []
    widened = sum(frame.code for frame in stage.sent(Kind.WINDOW_UPDATE) if not frame.stream)
    assert widened > 200 * 64_000 - SMALL.connection_window
    stage.lives()


def test_two_answers_earn_an_early_reset() -> None:
    """So fewer than half of the streams are reset early, whatever callers do."""
    stage = client()
    for _ in range(2):
        stream = stage.connection.open_stream(REQUEST, end_stream=True)
        stage.hear(h2.headers(stream, ANSWER), h2.headers(stream, TRAILERS, end=True))
        assert stage.connection.deferred_resets == 0
    stage.frames()
    allowed, _late = give_up(stage), give_up(stage)
    assert resets(stage.frames()) == [(allowed, CANCEL)]
    assert stage.connection.deferred_resets == 1


def test_time_alone_earns_none() -> None:
    """A server may count for as long as the connection lives."""
    stage = client()
    stage.clock.now += 1_000 * SMALL.period
    give_up(stage)
    assert resets(stage.frames()) == []


def test_our_server_bears_what_our_client_resets() -> None:
    """Ten thousand streams that are given up at once, as fast as there is room, do not end the connection."""
    ours, theirs = Stage(Role.CLIENT, limits=DEFAULT), Stage(Role.SERVER, limits=DEFAULT)
    ours.connection.take_output()
    opened = 0
    while opened < 10_000:
        while (
            ours.connection.can_open and opened < 10_000 and ours.connection.deferred_resets < 1_000
        ):
            give_up(ours)
            opened += 1
        theirs.hear(ours.connection.take_output())
        ours.hear(theirs.connection.take_output())
        theirs.clock.now = ours.clock.now = ours.clock.now + 0.5
        ours.connection.send_due_resets()
    assert not [each for each in (*theirs.told, *ours.told) if isinstance(each, ConnectionFailed)]
