"""RFC 9113, section 5: the states of streams, their ids and number, errors of either kind."""
# ruff: noqa: E501 -- one case, one row

from __future__ import annotations

from dataclasses import replace

import pytest

from grpc_wire.http2.connection import Role
from grpc_wire.http2.errors import ErrorCode
from grpc_wire.http2.events import (
    ConnectionFailed,
    DataReceived,
    HeadersReceived,
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
    Outcome,
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

PROTOCOL, CLOSED = ErrorCode.PROTOCOL_ERROR, ErrorCode.STREAM_CLOSED
CANCEL = StreamReset(1, 8, "", by_peer=True)


def first(role: Role) -> bytes:
    """Returns the first header section that the peer may send."""
    return h2.headers(1, head(role))


def heard(role: Role) -> Outcome:
    """Returns the event of it."""
    return tells(HeadersReceived(1, head(role), end_stream=False, is_trailers=False))


STATES = [
    # idle: HEADERS opens a stream of the peer's; PRIORITY may come; all else is a connection error
    Case("5.1-idle-headers", SERVER, State.IDLE, first, heard),
    Case("5.1-idle-headers", CLIENT, State.IDLE, first, fails(PROTOCOL)),
    Case("5.1-idle-data", BOTH, State.IDLE, h2.data(1, b"x"), fails(PROTOCOL)),
    Case("5.1-idle-reset", BOTH, State.IDLE, h2.reset(1), fails(PROTOCOL)),
    Case("5.1-idle-window-update", BOTH, State.IDLE, h2.window(1, 1), fails(PROTOCOL)),
    Case("5.1-idle-priority", BOTH, State.IDLE, h2.priority(1), ignored()),
    Case("5.1-idle-even-data", BOTH, State.IDLE, h2.data(2, b"x"), fails(PROTOCOL)),
    Case("5.1-idle-even-reset", BOTH, State.IDLE, h2.reset(2), fails(PROTOCOL)),
    Case("5.1-idle-even-window-update", BOTH, State.IDLE, h2.window(2, 1), fails(PROTOCOL)),
    Case("5.1-idle-even-priority", BOTH, State.IDLE, h2.priority(2), ignored()),
    Case("5.1-idle-beyond-one-that-is-open", BOTH, State.OPEN, h2.data(3, b"x"), fails(PROTOCOL)),
    Case("5.1-idle-beyond-one-that-is-closed", BOTH, State.CLOSED, h2.reset(3), fails(PROTOCOL)),
    # open
    Case("5.1-open-data", BOTH, State.ANSWERED, h2.data(1, b"x"), tells(DataReceived(1, b"x", end_stream=False))),
    Case("5.1-open-data-ends", BOTH, State.ANSWERED, h2.data(1, b"x", end=True), tells(DataReceived(1, b"x", end_stream=True))),
    Case("5.1-open-trailers", BOTH, State.ANSWERED, h2.headers(1, TRAILERS, end=True), tells(HeadersReceived(1, TRAILERS, end_stream=True, is_trailers=True))),
    Case("5.1-open-reset", BOTH, State.OPEN, h2.reset(1), tells(CANCEL)),
    Case("5.1-open-window-update", BOTH, State.OPEN, h2.window(1, 1), ignored()),
    Case("5.1-open-priority", BOTH, State.OPEN, h2.priority(1), ignored()),
    # half-closed (local): anything may come; a server that has ended its answer has said by
    # RST_STREAM of NO_ERROR that it needs no more of the request (8.1), so that all is passed over
    Case("5.1-half-closed-local-data", SERVER, State.HALF_CLOSED_LOCAL, h2.data(1, b"x", end=True), ignored()),
    Case("5.1-half-closed-local-answer", CLIENT, State.HALF_CLOSED_LOCAL, first, heard),
    Case("5.1-half-closed-local-answer-ends", CLIENT, State.HALF_CLOSED_LOCAL, h2.headers(1, ANSWER, end=True), tells(HeadersReceived(1, ANSWER, end_stream=True, is_trailers=False))),
    Case("5.1-half-closed-local-trailers", SERVER, State.HALF_CLOSED_LOCAL, h2.headers(1, TRAILERS, end=True), ignored()),
    Case("5.1-half-closed-local-reset", SERVER, State.HALF_CLOSED_LOCAL, h2.reset(1), ignored()),
    Case("5.1-half-closed-local-reset", CLIENT, State.HALF_CLOSED_LOCAL, h2.reset(1), tells(CANCEL)),
    Case("5.1-half-closed-local-window-update", BOTH, State.HALF_CLOSED_LOCAL, h2.window(1, 1), ignored()),
    Case("5.1-half-closed-local-priority", BOTH, State.HALF_CLOSED_LOCAL, h2.priority(1), ignored()),
    # half-closed (remote): the peer said that nothing more comes
    Case("5.1-half-closed-remote-data", BOTH, State.HALF_CLOSED_REMOTE, h2.data(1, b"x"), resets(1, CLOSED)),
    Case("5.1-half-closed-remote-empty-data", BOTH, State.HALF_CLOSED_REMOTE, h2.data(1, end=True), resets(1, CLOSED)),
    Case("5.1-half-closed-remote-headers", BOTH, State.HALF_CLOSED_REMOTE, h2.headers(1, TRAILERS, end=True), resets(1, CLOSED)),
    Case("5.1-half-closed-remote-reset", BOTH, State.HALF_CLOSED_REMOTE, h2.reset(1), tells(CANCEL)),
    Case("5.1-half-closed-remote-window-update", BOTH, State.HALF_CLOSED_REMOTE, h2.window(1, 1), ignored()),
    Case("5.1-half-closed-remote-priority", BOTH, State.HALF_CLOSED_REMOTE, h2.priority(1), ignored()),
    # closed by both: what may cross the end is no error; HEADERS and DATA after the peer's own end are
    Case("5.1-closed-window-update", BOTH, State.CLOSED, h2.window(1, 1), ignored()),
    Case("5.1-closed-reset", BOTH, State.CLOSED, h2.reset(1), ignored()),
    Case("5.1-closed-priority", BOTH, State.CLOSED, h2.priority(1), ignored()),
    # closed by a reset of ours: whatever the peer had sent before it heard of it
    Case("5.1-reset-by-us-data", BOTH, State.RESET_BY_US, h2.data(1, b"x"), ignored()),
    Case("5.1-reset-by-us-data-ends", BOTH, State.RESET_BY_US, h2.data(1, b"x", end=True), ignored()),
    Case("5.1-reset-by-us-answer", CLIENT, State.RESET_BY_US, first, ignored()),
    Case("5.1-reset-by-us-trailers", BOTH, State.RESET_BY_US, h2.headers(1, TRAILERS, end=True), ignored()),
    Case("5.1-reset-by-us-reset", BOTH, State.RESET_BY_US, h2.reset(1), ignored()),
    Case("5.1-reset-by-us-window-update", BOTH, State.RESET_BY_US, h2.window(1, 1), ignored()),
    Case("5.1-reset-by-us-priority", BOTH, State.RESET_BY_US, h2.priority(1), ignored()),
    Case("5.1-reset-by-peer-window-update", BOTH, State.RESET_BY_PEER, h2.window(1, 1), ignored()),
    Case("5.1-reset-by-peer-priority", BOTH, State.RESET_BY_PEER, h2.priority(1), ignored()),
    Case("5.4.2-reset-twice", BOTH, State.RESET_BY_PEER, h2.reset(1), ignored()),
]  # fmt: skip

IDS = [
    Case("5.1.1-even-id-from-client", SERVER, State.IDLE, h2.headers(2, REQUEST), fails(PROTOCOL)),
    Case("5.1.1-stream-of-the-server", CLIENT, State.IDLE, h2.headers(2, ANSWER), fails(PROTOCOL)),
    Case("5.1.1-even-data", BOTH, State.OPEN, h2.data(2, b"x"), fails(PROTOCOL)),
    Case("5.1.1-answer-to-a-stream-that-was-not-opened", CLIENT, State.OPEN, h2.headers(3, ANSWER), fails(PROTOCOL)),
    Case("5.1.1-lower-than-before", SERVER, State.IDLE, h2.headers(5, REQUEST) + h2.headers(3, REQUEST), fails(PROTOCOL, CLOSED)),
    Case("5.1.1-skipped-is-closed", SERVER, State.IDLE, h2.headers(5, REQUEST) + h2.window(3, 1), tells(HeadersReceived(5, REQUEST, end_stream=False, is_trailers=False))),
    Case("5.1.1-the-highest-of-all", SERVER, State.IDLE, h2.headers(h2.TOP, REQUEST), tells(HeadersReceived(h2.TOP, REQUEST, end_stream=False, is_trailers=False))),
    Case("5.1.1-headers-of-no-stream", BOTH, State.OPEN, h2.headers(0, REQUEST), fails(PROTOCOL)),
]  # fmt: skip


@parameters(STATES)
def test_a_state(case: Case, role: Role) -> None:
    """What may come in a state of a stream, and what is an error (5.1)."""
    check(case, role)


@parameters(IDS)
def test_an_id(case: Case, role: Role) -> None:
    """Clients open odd streams, upwards; servers open none (5.1.1)."""
    check(case, role)


@pytest.mark.parametrize("role", BOTH, ids=lambda role: role.name.lower())
@pytest.mark.parametrize("state", [State.CLOSED, State.RESET_BY_PEER], ids=lambda state: state.name)
@pytest.mark.parametrize(
    "late",
    [h2.data(1, b"x"), h2.headers(1, TRAILERS, end=True)],
    ids=["data", "headers"],
)
def test_5_1_a_peer_goes_on_after_its_own_end(role: Role, state: State, late: bytes) -> None:
    """5.1, closed: any of these is allowed: RST_STREAM, GOAWAY of STREAM_CLOSED, or nothing.

    Never told to the application, and never an error of another kind.
    """
    stage = Stage(role, state)

    events = stage.hear(late)

    if events:
        assert len(events) == 1
        assert isinstance(events[0], ConnectionFailed)
        stage.has_failed(CLOSED, PROTOCOL)
    else:
        frames = [frame for frame in stage.frames() if frame.kind != Kind.WINDOW_UPDATE]
        assert [(f.kind, f.stream, f.code) for f in frames] in ([], [(Kind.RST_STREAM, 1, CLOSED)])
        stage.lives()


def test_5_1_1_a_client_counts_upwards_by_two() -> None:
    """Ids of streams are odd, and each is higher than the one before."""
    stage = Stage(Role.CLIENT)

    assert [stage.connection.open_stream(REQUEST) for _ in range(4)] == [1, 3, 5, 7]
    opened = [frame.stream for frame in stage.frames() if frame.kind == Kind.HEADERS]
    assert opened == [1, 3, 5, 7]


def test_5_1_2_one_stream_too_many_is_refused() -> None:
    """With REFUSED_STREAM, which says that it may be tried again; when one ends, there is room."""
    stage = Stage(Role.SERVER, State.OPEN, replace(DEFAULT, concurrent_streams=2))

    assert stage.hear(h2.headers(3, REQUEST, end=True)) != []
    assert stage.hear(h2.headers(5, REQUEST, end=True)) == []
    refusal = stage.frames()
    assert [(f.kind, f.stream, f.code) for f in refusal] == [
        (Kind.RST_STREAM, 5, ErrorCode.REFUSED_STREAM)
    ]
    assert stage.connection.open_streams == 2
    stage.connection.send_headers(3, ANSWER, end_stream=True)
    assert stage.connection.open_streams == 1
    assert stage.hear(h2.headers(7, REQUEST)) != []
    stage.hear(h2.reset(1))
    assert stage.hear(h2.headers(9, REQUEST)) != []
    assert stage.hear(h2.headers(11, REQUEST)) == []


def test_5_1_2_data_of_a_refused_stream_is_passed_over() -> None:
    """The client could not know; it counts against the window of the connection all the same."""
    stage = Stage(Role.SERVER, State.OPEN, replace(DEFAULT, concurrent_streams=1))

    assert (
        stage.hear(h2.headers(3, REQUEST), h2.data(3, b"x"), h2.headers(3, TRAILERS, end=True))
        == []
    )
    assert [frame.code for frame in stage.sent(Kind.RST_STREAM)] == [ErrorCode.REFUSED_STREAM]
    stage.lives()


def test_5_1_2_a_client_keeps_to_the_limit_of_its_peer() -> None:
    """Zero is a limit like any other; one that is lowered lets the streams there are go on."""
    stage = Stage(Role.CLIENT, peer_settings=[(Setting.MAX_CONCURRENT_STREAMS, 0)])
    assert not stage.has_room()
    assert stage.connection.open_stream(REQUEST) == 0

    stage.hear(h2.settings((Setting.MAX_CONCURRENT_STREAMS, 3)))
    for _ in range(3):
        assert stage.has_room()
        stage.connection.open_stream(REQUEST, end_stream=True)
    assert not stage.has_room()

    stage.hear(h2.settings((Setting.MAX_CONCURRENT_STREAMS, 2)), h2.headers(1, ANSWER, end=True))
    assert stage.connection.open_streams == 2
    assert not stage.has_room()
    stage.hear(h2.headers(3, ANSWER, end=True))
    assert stage.has_room()
    stage.connection.open_stream(REQUEST)
    assert not stage.has_room()
    stage.connection.reset(5, ErrorCode.CANCEL)
    assert stage.has_room()


def test_5_1_2_no_limit_was_named() -> None:
    """Until a peer says otherwise there is no limit (6.5.2)."""
    stage = Stage(Role.CLIENT)

    for _ in range(2000):
        assert stage.connection.can_open
        stage.connection.open_stream(REQUEST)


@pytest.mark.parametrize("role", BOTH, ids=lambda role: role.name.lower())
def test_5_4_1_goaway_names_the_last_stream_of_the_peer(role: Role) -> None:
    """So that a client knows what may have been acted upon; a server opens none."""
    stage = Stage(role, State.OPEN)
    if role is Role.SERVER:
        stage.hear(h2.headers(9, REQUEST))

    stage.hear(h2.ping(b"short"))

    goaway = stage.frames()[-1]
    assert goaway.last_stream == (9 if role is Role.SERVER else 0)


@pytest.mark.parametrize("role", BOTH, ids=lambda role: role.name.lower())
def test_5_4_1_what_was_told_before_the_fault_stays_told(role: Role) -> None:
    """Bytes that come at once are judged one after the other."""
    stage = Stage(role, State.ANSWERED)

    events = stage.hear(h2.data(1, b"x"), h2.ping(b"short"), h2.data(1, b"y"))

    assert events[0] == DataReceived(1, b"x", end_stream=False)
    assert isinstance(events[-1], ConnectionFailed)
    assert len(events) == 2


@pytest.mark.parametrize("role", BOTH, ids=lambda role: role.name.lower())
def test_5_4_2_after_a_reset_nothing_is_sent_on_the_stream(role: Role) -> None:
    """Neither what is queued, nor what the application sends unknowing; and only one RST_STREAM."""
    for state in (State.RESET_BY_PEER, State.RESET_BY_US):
        stage = Stage(role, State.ANSWERED)
        stage.connection.send_data(1, bytes(100_000))
        stage.frames()
        if state is State.RESET_BY_PEER:
            stage.hear(h2.reset(1))
        else:
            stage.connection.reset(1, ErrorCode.CANCEL)
            assert [frame.code for frame in stage.frames()] == [ErrorCode.CANCEL]
        assert stage.connection.queued(1) == 0
        assert stage.connection.send_data(1, b"x", end_stream=True) == 0
        stage.connection.send_headers(1, TRAILERS, end_stream=True)
        stage.connection.reset(1, ErrorCode.CANCEL)
        stage.connection.consumed(1, 5)
        stage.connection.expect(1, 500_000)
        assert stage.hear(h2.window(1, 100_000), h2.window(0, 100_000)) == []
        assert stage.frames() == []
        assert stage.connection.open_streams == 0


def test_8_1_a_server_that_has_answered_needs_no_more_of_the_request() -> None:
    """It says so behind its answer, by RST_STREAM of NO_ERROR, and has room for another stream."""
    stage = Stage(Role.SERVER, State.OPEN)
    stage.connection.send_headers(1, (*ANSWER, *TRAILERS), end_stream=True)

    frames = stage.frames()
    assert [(f.kind, f.flags & h2.END_STREAM) for f in frames[:1]] == [(Kind.HEADERS, 1)]
    assert [(f.kind, f.stream, f.code) for f in frames[1:]] == [(Kind.RST_STREAM, 1, 0)]
    assert stage.connection.open_streams == 0


@pytest.mark.parametrize("role", BOTH, ids=lambda role: role.name.lower())
@pytest.mark.parametrize("code", [0, 1, 7, 8, 0xD, 0xE, 0xFFFFFFFF])
def test_7_every_code_of_a_reset_is_told_as_it_is(role: Role, code: int) -> None:
    """Unknown codes trigger nothing special."""
    stage = Stage(role, State.OPEN)

    (event,) = stage.hear(h2.reset(1, code))

    assert isinstance(event, StreamReset)
    assert (event.stream_id, event.code, event.by_peer) == (1, code, True)
    stage.lives()
