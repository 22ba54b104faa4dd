"""Every limit of a connection: who is over it is cut or refused; an honest peer that is busy is not."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from itertools import count

import pytest

from grpc_wire.http2.connection import Role
from grpc_wire.http2.errors import ErrorCode
from grpc_wire.http2.events import (
    ConnectionFailed,
    DataReceived,
    HeadersReceived,
    RequestTooLarge,
    StreamReset,
)
from grpc_wire.http2.limits import DEFAULT
from tests.wire.http2 import octets as h2
from tests.wire.http2.octets import Kind, Setting
from tests.wire.http2.stage import (
    ANSWER,
    BOTH,
    REQUEST,
    TRAILERS,
    Stage,
    State,
    head,
)

CALM = ErrorCode.ENHANCE_YOUR_CALM
both = pytest.mark.parametrize("role", BOTH, ids=lambda role: role.name.lower())
SMALL = replace(DEFAULT, control_frames=50, resets=20, period=10.0)

FLOODS: dict[str, Callable[[int], bytes]] = {
    "ping": lambda _: h2.ping(),
    "ping-ack": lambda _: h2.ping(ack=True),
    "settings": lambda _: h2.settings((Setting.INITIAL_WINDOW_SIZE, 65535)),
    "settings-ack": lambda _: h2.settings(flags=h2.ACK),
    "priority": lambda number: h2.priority(number * 2 + 1),
    "unknown-type": lambda _: h2.frame(0xFA, 0, 1, b"x"),
    "goaway": lambda _: h2.goaway(1),
    "window-update-of-the-connection": lambda _: h2.window(0, 1),
    "window-update-of-a-stream": lambda _: h2.window(1, 1),
    "empty-data": lambda _: h2.data(1),
    "empty-padded-data": lambda _: h2.data(1, pad=200),
    "data-of-a-byte": lambda _: h2.data(1, b"x"),
    "data-of-four-bytes": lambda _: h2.data(1, b"four"),
    "padded-data-of-a-byte": lambda _: h2.data(1, b"x", pad=200),
}
LATE = {
    "window-update-of-a-closed-stream": lambda _: h2.window(1, 1),
    "reset-of-a-closed-stream": lambda _: h2.reset(1),
    "empty-data-of-a-closed-stream": lambda _: h2.data(1),
    "data-of-a-byte-of-a-closed-stream": lambda _: h2.data(1, b"x"),
    "trailers-of-a-closed-stream": lambda _: h2.headers(1, TRAILERS, end=True),
    "heads-of-a-closed-stream": lambda _: h2.headers(1, ANSWER),
}


def flood(stage: Stage, says: Callable[[int], bytes], most: int = 5000) -> int:
    """Lets the peer say it until it is cut; returns how often it could, and sees that it was for that."""
    for number in range(most):
        events = stage.hear(says(number))
        stage.connection.take_output()
        if any(isinstance(event, ConnectionFailed) for event in events):
            failure = stage.told[-1]
            assert isinstance(failure, ConnectionFailed)
            assert failure.code == CALM
            return number
    return most


@both
@pytest.mark.parametrize("says", FLOODS.values(), ids=FLOODS)
def test_control_frames(role: Role, says: Callable[[int], bytes]) -> None:
    """`control_frames`: what asks for work and carries nothing (CVE-2019-9512, 9515, 9517, 9518)."""
    stage = Stage(role, State.ANSWERED, SMALL)

    assert SMALL.control_frames // 2 <= flood(stage, says) <= SMALL.control_frames + 10


@both
@pytest.mark.parametrize("says", LATE.values(), ids=LATE)
def test_control_frames_of_streams_that_are_closed(
    role: Role, says: Callable[[int], bytes]
) -> None:
    """Some may cross the end of a stream; there is an end to that too."""
    stage = Stage(role, State.RESET_BY_US, SMALL)

    assert flood(stage, says) <= SMALL.control_frames + 10


@both
def test_data_beyond_the_window_of_a_stream_that_was_reset(role: Role) -> None:
    """What its window had room for may have been under way, and is free; what is beyond it counts."""
    stage = Stage(role, State.RESET_BY_US, SMALL)
    piece = h2.data(1, bytes(100))
    free = DEFAULT.stream_window // 100

    assert free <= flood(stage, lambda _: piece) <= free + SMALL.control_frames + 10


def test_data_of_a_stream_that_the_server_had_ended() -> None:
    """A server that sends on behind its own end was never allowed to: it counts from the first frame."""
    stage = Stage(Role.CLIENT, State.CLOSED, SMALL)

    assert flood(stage, lambda _: h2.data(1, bytes(100))) <= SMALL.control_frames + 10


@pytest.mark.parametrize(
    "fields",
    [(), ((b"X", b""),), ((b":method", b"POST"),), ((b":status", b"200"),)],
    ids=["nothing", "a capital", "a method alone", "a status"],
)
def test_requests_that_are_none(fields: h2.Fields) -> None:
    """Streams that begin with a malformed head count as frames that carry nothing."""
    stage = Stage(Role.SERVER, limits=SMALL)

    cut = flood(stage, lambda n: h2.headers(2 * n + 1, fields))

    assert cut <= SMALL.control_frames + 10


@both
def test_frames_are_taken_so_many_at_a_time(role: Role) -> None:
    """`turn_frames`: the rest waits, whatever the frames are, and nothing of it is lost or out of order."""
    limits = replace(DEFAULT, turn_frames=10)
    stage = Stage(role, State.ANSWERED, limits)
    pieces = [b"%05d" % number for number in range(95)]
    connection = stage.connection

    events = connection.receive(b"".join(h2.data(1, piece) for piece in pieces))
    told, turns = list(events), 1
    while connection.has_backlog:
        turns += 1
        more = connection.receive(b"")
        told += more
        assert sum(len(event.data) for event in more if isinstance(event, DataReceived)) <= 50

    assert turns == 10
    assert b"".join(event.data for event in told if isinstance(event, DataReceived)) == b"".join(
        pieces
    )


@both
@pytest.mark.parametrize("size", [1, 7, 100, 10_000])
def test_frames_that_wait_are_before_those_that_come(role: Role, size: int) -> None:
    """Bytes that come while others wait stand behind them, wherever they were cut."""
    limits = replace(DEFAULT, turn_frames=3)
    stage = Stage(role, State.ANSWERED, limits)
    pieces = [b"%05d" % number for number in range(200)]
    octets = b"".join(h2.data(1, piece) for piece in pieces)
    connection = stage.connection

    told: list[object] = []
    for at in range(0, len(octets), size):
        told += connection.receive(octets[at : at + size])
    while connection.has_backlog:
        told += connection.receive(b"")

    assert b"".join(event.data for event in told if isinstance(event, DataReceived)) == b"".join(
        pieces
    )


@both
def test_nothing_waits_behind_the_end_of_a_connection(role: Role) -> None:
    """A fault of the connection is the last thing that is told, though frames wait behind it."""
    stage = Stage(role, State.ANSWERED, replace(DEFAULT, turn_frames=3))
    connection = stage.connection

    events = connection.receive(h2.ping(b"x" * 7) + h2.ping() * 50)

    assert [type(event) for event in events] == [ConnectionFailed]
    assert not connection.has_backlog
    assert connection.receive(h2.ping()) == []


@both
def test_control_frames_are_forgiven_in_time(role: Role) -> None:
    """`period`: what is sane at its rate goes on for ever."""
    stage = Stage(role, State.ANSWERED, SMALL)
    for _ in range(20):
        for _ in range(SMALL.control_frames - 5):
            assert not any(isinstance(e, ConnectionFailed) for e in stage.hear(h2.ping()))
        stage.clock.now += SMALL.period


def test_rapid_reset() -> None:
    """`resets`: streams that are opened and given up at once (CVE-2023-44487)."""
    stage = Stage(Role.SERVER, limits=SMALL)

    cut = flood(stage, lambda n: h2.headers(2 * n + 1, REQUEST) + h2.reset(2 * n + 1))

    assert cut == SMALL.resets


MADE = {
    "window-update-of-0": lambda stream: h2.window(stream, 0),
    "window-update-too-wide": lambda stream: h2.window(stream, h2.TOP),
    "priority-of-a-wrong-size": lambda stream: h2.frame(Kind.PRIORITY, 0, stream, bytes(6)),
    "trailers-that-do-not-end": lambda stream: h2.headers(stream, TRAILERS),
    "trailers-malformed": lambda stream: h2.headers(stream, ((b"X", b""),), end=True),
    "data-after-the-end": lambda stream: h2.data(stream, end=True) + h2.data(stream, b"x"),
    "more-than-the-window": lambda stream: h2.data(stream, bytes(16384)) * 5,
}


@pytest.mark.parametrize("fault", MADE.values(), ids=MADE)
def test_resets_that_we_are_made_to_send(fault: Callable[[int], bytes]) -> None:
    """The same, by faults that make the server reset the streams (CVE-2025-8671)."""
    stage = Stage(Role.SERVER, limits=SMALL)

    cut = flood(stage, lambda n: h2.headers(2 * n + 1, REQUEST) + fault(2 * n + 1))

    assert cut == SMALL.resets


def test_resets_of_streams_that_were_answered_are_no_flood() -> None:
    """A client that hears the head of an answer and has enough of it is an honest one."""
    stage = Stage(Role.SERVER, limits=SMALL)
    for number in range(500):
        stream = 2 * number + 1
        stage.hear(h2.headers(stream, REQUEST))
        stage.connection.send_headers(stream, ANSWER)
        stage.hear(h2.reset(stream))
        stage.connection.take_output()
    stage.lives()


def test_streams_that_are_given_up_after_a_while_are_no_flood() -> None:
    """Thousands of watchers who leave a quiet stream together are honest: the others' calls go on."""
    stage = Stage(Role.SERVER, limits=SMALL)
    for begin in range(1, 2001, 200):
        streams = range(begin, begin + 200, 2)
        for stream in streams:
            stage.hear(h2.headers(stream, REQUEST))
        stage.clock.now += SMALL.rapid
        for stream in streams:
            stage.hear(h2.reset(stream))
        stage.connection.take_output()
    stage.lives()


def test_resets_between_answers_are_forgiven() -> None:
    """Each stream that is answered earns one that is given up."""
    stage = Stage(Role.SERVER, limits=SMALL)
    streams = count(1, 2)
    for _ in range(500):
        answered, given_up = next(streams), next(streams)
        stage.hear(h2.headers(answered, REQUEST, end=True), h2.headers(given_up, REQUEST))
        stage.connection.send_headers(answered, (*ANSWER, *TRAILERS), end_stream=True)
        stage.hear(h2.reset(given_up))
        stage.connection.take_output()
    stage.lives()


@both
def test_continuations(role: Role) -> None:
    """`continuations`: frames of a header section that never ends (CVE-2024-27316), empty or not."""
    for part in (b"", b"x"):
        stage = Stage(role, State.OPEN)
        stage.hear(h2.headers(3 if role is Role.SERVER else 1, b"", more=True))
        stream = 3 if role is Role.SERVER else 1

        cut = flood(stage, lambda _, s=stream, p=part: h2.continuation(s, p, more=True))  # type: ignore[misc] # bound in a loop

        assert cut == DEFAULT.continuations


@both
def test_a_header_block_that_never_ends(role: Role) -> None:
    """`header_block`: bytes of a header section as it comes, of which none is kept that is not needed."""
    stage = Stage(role, State.OPEN, replace(DEFAULT, continuations=10_000))
    stream = 3 if role is Role.SERVER else 1
    kilobyte = (b"\x00\x01x\x60" + b"v" * 96) * 10
    stage.hear(h2.headers(stream, kilobyte, more=True))
    part = h2.continuation(stream, kilobyte, more=True)

    tracemalloc.start()
    cut = flood(stage, lambda _: part)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert (cut + 1) * 1000 <= DEFAULT.header_block < (cut + 2) * 1000
    assert peak < 1_000_000


@both
def test_a_header_block_in_one_frame(role: Role) -> None:
    """`header_block` holds for a frame alone too, where larger frames are taken."""
    stage = Stage(role, State.OPEN, replace(DEFAULT, frame=1 << 20, header_block=100_000))

    stage.hear(h2.headers(1, h2.block(TRAILERS) + h2.literal(b"x", bytes(100_000)), end=True))

    stage.has_failed(CALM)


@both
@pytest.mark.parametrize("size", [DEFAULT.header_list, DEFAULT.header_list + 1])
def test_header_list(role: Role, size: int) -> None:
    """`header_list`: a section that is larger is refused alone, and the table is as it should be.

    A server is told, and answers; a client resets the stream.
    """
    opened = State.OPEN if role is Role.CLIENT else State.IDLE
    stage = Stage(role, opened)
    fields = head(role)
    room = size - sum(32 + len(name) + len(value) for name, value in fields)
    large = (*fields, (b"x-large", b"x" * (room - 32 - len(b"x-large"))))

    events = stage.hear(h2.headers(1, h2.remembered(*fields[0]) + h2.block(large[1:])))

    if size <= DEFAULT.header_list:
        assert events == [HeadersReceived(1, large, end_stream=False, is_trailers=False)]
        return
    if role is Role.CLIENT:
        assert [type(event) for event in events] == [StreamReset]
        assert [(f.stream, f.code) for f in stage.sent(Kind.RST_STREAM)] == [(1, CALM)]
    else:
        assert events == [RequestTooLarge(1, f"{size} vs. {DEFAULT.header_list}")]
        assert stage.frames() == []
        block = h2.indexed(62) + h2.block(REQUEST[1:])
        assert stage.hear(h2.headers(3, block)) == [
            HeadersReceived(3, REQUEST, end_stream=False, is_trailers=False)
        ]
    stage.frames()
    stage.lives()


def test_a_header_list_by_reference() -> None:
    """HPACK bomb (CVE-2016-6581): each byte of the block names a field of 4,000 bytes.

    What is told and kept is none of it, though a block of 16 KiB stands for 64 MB.
    """
    stage = Stage(Role.SERVER)
    bomb = h2.block(REQUEST) + h2.remembered(b"x-bomb", b"x" * 4000) + h2.indexed(62) * 12_000

    for number in range(50):
        block = h2.indexed(62) * 16_000 if number else bomb
        assert [type(e) for e in stage.hear(h2.headers(2 * number + 1, block))] == [RequestTooLarge]
    stage.lives()


def test_concurrent_streams() -> None:
    """`concurrent_streams`: whoever opens more without end has no more for it, and may be cut."""
    stage = Stage(Role.SERVER, limits=replace(SMALL, concurrent_streams=10))

    flood(stage, lambda n: h2.headers(2 * n + 1, REQUEST), most=1000)

    told = [event for event in stage.told if isinstance(event, HeadersReceived)]
    assert len(told) == 10
    assert stage.connection.open_streams <= 10


@both
def test_unsent(role: Role) -> None:
    """`unsent`: a peer that asks and never reads the answers is cut; what waits is bounded."""
    limits = replace(DEFAULT, control_frames=10**9, unsent=10_000)
    stage = Stage(role, State.OPEN, limits)

    asked = 0
    while not any(isinstance(event, ConnectionFailed) for event in stage.hear(h2.ping())):
        asked += 1
        assert asked <= limits.unsent / 17 + 2

    assert len(stage.connection.take_output()) <= limits.unsent + 200


def test_answers_that_are_not_read() -> None:
    """`unsent` holds for the headers of answers too, which no window bounds: who asks on is cut."""
    limits = replace(DEFAULT, unsent=10_000)
    stage = Stage(Role.SERVER, limits=limits)

    stream = 1
    while not any(isinstance(e, ConnectionFailed) for e in stage.hear(h2.headers(stream, REQUEST))):
        stage.connection.send_headers(stream, ANSWER + TRAILERS, end_stream=True)
        assert stream <= limits.unsent
        stream += 2

    assert limits.unsent < len(stage.connection.take_output()) <= limits.unsent + 200


def test_windows_that_are_not_read() -> None:
    """`unsent` holds for the windows that are given back too: who sends on and never reads is cut."""
    limits = replace(DEFAULT, unsent=10_000)
    stage = Stage(Role.SERVER, State.OPEN, limits)
    piece = h2.data(1, bytes(16_384))

    sent = 0
    while not any(isinstance(event, ConnectionFailed) for event in stage.hear(piece)):
        stage.connection.consumed(1, 16_384)
        sent += 1
        assert sent < limits.unsent

    assert limits.unsent < len(stage.connection.take_output()) <= limits.unsent + 200


def test_settings_that_move_many_windows() -> None:
    """`control_frames`: each SETTINGS costs what it moves, and what comes beside it does not pay for that."""
    stage = Stage(Role.SERVER)
    for number in range(DEFAULT.concurrent_streams):
        stage.hear(h2.headers(2 * number + 1, REQUEST))

    def move(number: int) -> bytes:
        settings = h2.settings((Setting.INITIAL_WINDOW_SIZE, 70_000 + number))
        return h2.data(2 * (number % 1000) + 1, b"x") + settings

    assert flood(stage, move) <= 100


@both
def test_output(role: Role) -> None:
    """`output`: beyond it data waits in the queue of its stream, where its sender can see it."""
    settings = [(Setting.INITIAL_WINDOW_SIZE, h2.TOP)]
    stage = Stage(role, State.ANSWERED, replace(DEFAULT, output=100_000), settings)
    stage.hear(h2.window(0, h2.TOP - 65535))

    for _ in range(100):
        stage.connection.send_data(1, bytes(16384))

    queued = stage.connection.queued(1)
    assert 100 * 16384 - queued <= 100_000 + 2 * 16384
    got = 0
    while octets := stage.connection.take_output():
        assert len(octets) <= 100_000 + 2 * 16384
        got += sum(len(f.payload) for f in h2.parse(octets) if f.kind == Kind.DATA)
    assert got == 100 * 16384
    assert stage.connection.queued(1) == 0


@both
def test_an_honest_peer_that_is_busy(role: Role) -> None:
    """Thousands of calls, each with window updates and pings as grpcio sends them, are no flood.

    The clock stands still, so that nothing is forgiven but by what is earned.
    """
    stage = Stage(role)
    stage.hear(h2.window(0, 1 << 30), h2.settings((Setting.INITIAL_WINDOW_SIZE, 1 << 20)))
    for number in range(3000):
        stream = 2 * number + 1
        if role is Role.CLIENT:
            stage.connection.open_stream(REQUEST)
            stage.connection.send_data(stream, bytes(100), end_stream=True)
            stage.hear(
                h2.headers(stream, ANSWER),
                h2.window(0, 100),
                h2.data(stream, bytes(50)),
                h2.ping(),
                h2.headers(stream, TRAILERS, end=True),
            )
        else:
            stage.hear(
                h2.headers(stream, REQUEST),
                h2.window(stream, 5),
                h2.window(0, 5),
                h2.data(stream, bytes(50), end=True),
                h2.ping(),
            )
            stage.connection.send_headers(stream, ANSWER)
            stage.connection.send_data(stream, bytes(100))
            stage.connection.send_headers(stream, TRAILERS, end_stream=True)
        stage.connection.take_output()
        assert not isinstance(stage.told[-1], ConnectionFailed)
    assert stage.connection.open_streams == 0


@both
def test_an_honest_peer_that_reads_much(role: Role) -> None:
    """Both windows are updated for each frame of a long download, as some clients do it."""
    stage = Stage(role, State.ANSWERED)
    for _ in range(5000):
        stage.connection.send_data(1, bytes(500))
        stage.connection.take_output()
        stage.hear(h2.window(1, 500), h2.window(0, 500))
    stage.lives()


@both
def test_an_honest_peer_that_takes_large_frames(role: Role) -> None:
    """A ping beside a large message is answered, though the peer takes it in one frame, as grpcio may."""
    settings = [(Setting.INITIAL_WINDOW_SIZE, h2.TOP), (Setting.MAX_FRAME_SIZE, 2**24 - 1)]
    stage = Stage(role, State.ANSWERED, peer_settings=settings)
    stage.hear(h2.window(0, h2.TOP - 65535))

    stage.connection.send_data(1, bytes(4_000_000))

    assert not any(isinstance(event, ConnectionFailed) for event in stage.hear(h2.ping()))
    assert len(stage.connection.take_output()) <= DEFAULT.output + 2 * DEFAULT.frame


@both
def test_an_honest_peer_whose_streams_we_give_up(role: Role) -> None:
    """Small messages that were under way when this side had enough, as many as a window holds.

    The clock stands still.
    """
    stage = Stage(role, State.ANSWERED)
    stage.connection.reset(1, ErrorCode.CANCEL)
    stage.connection.take_output()
    for _ in range(DEFAULT.stream_window // 20):
        assert stage.hear(h2.data(1, bytes(20))) == []
    stage.connection.take_output()
    stage.lives()


def test_an_honest_server_whose_calls_all_end_at_one_deadline() -> None:
    """Thousands of answers that were under way when they were all given up."""
    stage = Stage(Role.CLIENT)
    streams = [stage.connection.open_stream(REQUEST, end_stream=True) for _ in range(5000)]
    for stream in streams:
        stage.connection.reset(stream, ErrorCode.CANCEL)
    stage.connection.take_output()

    for stream in streams:
        assert (
            stage.hear(
                h2.headers(stream, ANSWER),
                h2.data(stream, b"late"),
                h2.headers(stream, TRAILERS, end=True),
            )
            == []
        )
    stage.connection.take_output()
    stage.lives()


def test_an_honest_client_that_ends_late() -> None:
    """Requests that were answered before their end, which comes in a frame of its own, empty.

    So does a client that writes the end by itself, as grpcio does when it is asked to.
    """
    stage = Stage(Role.SERVER)
    for number in range(3000):
        stream = 2 * number + 1
        stage.hear(h2.headers(stream, REQUEST), h2.data(stream, b"asked"))
        stage.connection.send_headers(stream, (*ANSWER, *TRAILERS), end_stream=True)
        stage.connection.take_output()
        assert stage.hear(h2.data(stream, end=True)) == []
    stage.lives()


@both
def test_never_read(role: Role) -> None:
    """`stream_window`: what a peer sends and nobody reads is bounded."""
    stage = Stage(role, State.ANSWERED)
    got = 0
    for _ in range(1000):
        for event in stage.hear(h2.data(1, bytes(1000))):
            got += len(event.data) if isinstance(event, DataReceived) else 0
        stage.connection.take_output()
    assert got <= DEFAULT.stream_window
