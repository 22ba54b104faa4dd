"""A connection under test, and a peer that is bytes: what it is told, what must come of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import NamedTuple

import pytest
from hpack import Decoder

from grpc_wire.headers.section import Headers
from grpc_wire.http2.connection import Connection, Role
from grpc_wire.http2.errors import ErrorCode
from grpc_wire.http2.events import ConnectionEvent, ConnectionFailed, HeadersReceived, StreamReset
from grpc_wire.http2.limits import DEFAULT, Limits
from tests.wire.driving import heard
from tests.wire.http2 import octets as h2
from tests.wire.http2.octets import Frame, Kind

CLIENT, SERVER = (Role.CLIENT,), (Role.SERVER,)
BOTH = (Role.CLIENT, Role.SERVER)

REQUEST: Headers = (
    (b":method", b"POST"),
    (b":scheme", b"http"),
    (b":path", b"/a.B/C"),
    (b":authority", b"here"),
    (b"te", b"trailers"),
    (b"content-type", b"application/grpc"),
)
ANSWER: Headers = ((b":status", b"200"), (b"content-type", b"application/grpc"))
TRAILERS: Headers = ((b"grpc-status", b"0"),)


def head(role: Role) -> Headers:
    """Returns the first header section of the peer of a role."""
    return ANSWER if role is Role.CLIENT else REQUEST


class State(Enum):
    """What has become of stream 1, as the connection under test sees it (RFC 9113, 5.1)."""

    NEW = auto()
    """Not even a preface has come."""
    IDLE = auto()
    OPEN = auto()
    """A client has sent its request's head; a server has received it."""
    ANSWERED = auto()
    """As OPEN, and the head of an answer has been sent or received."""
    HALF_CLOSED_LOCAL = auto()
    HALF_CLOSED_REMOTE = auto()
    CLOSED = auto()
    """Both sides have ended it."""
    RESET_BY_PEER = auto()
    RESET_BY_US = auto()


class Clock:
    """A clock that somebody moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """Returns the time."""
        return self.now


class Stage:
    """A connection, and a peer that says what it is told to say."""

    def __init__(
        self,
        role: Role,
        state: State = State.IDLE,
        limits: Limits = DEFAULT,
        peer_settings: Sequence[tuple[int, int]] = (),
    ) -> None:
        self.role = role
        self.clock = Clock()
        self.connection = Connection(role, limits, clock=self.clock)
        self.decoder = Decoder(max_header_list_size=1 << 20)
        self.preface: list[Frame] = []
        self.told: list[ConnectionEvent] = []
        if state is not State.NEW:
            self._shake_hands(peer_settings)
            self._bring_to(state)
            assert not any(isinstance(event, ConnectionFailed) for event in self.told)
            self.frames()

    def _shake_hands(self, peer_settings: Sequence[tuple[int, int]]) -> None:
        octets = self.connection.take_output()
        if self.role is Role.CLIENT:
            assert octets.startswith(h2.PREFACE)
            octets = octets.removeprefix(h2.PREFACE)
        self.preface = h2.parse(octets)
        hello = h2.PREFACE if self.role is Role.SERVER else b""
        self.hear(hello, h2.settings(*peer_settings), h2.settings(flags=h2.ACK))

    def _bring_to(self, state: State) -> None:
        if state is State.IDLE:
            return
        peer_ends = state in {State.HALF_CLOSED_REMOTE, State.CLOSED}
        we_end = state in {State.HALF_CLOSED_LOCAL, State.CLOSED}
        answered = state is State.ANSWERED
        if self.role is Role.CLIENT:
            assert self.connection.open_stream(REQUEST, end_stream=we_end) == 1
            if peer_ends or answered:
                self.hear(h2.headers(1, ANSWER, end=peer_ends))
        else:
            self.hear(h2.headers(1, REQUEST, end=peer_ends))
            if we_end or answered:
                self.connection.send_headers(1, ANSWER, end_stream=we_end)
        if state is State.RESET_BY_PEER:
            self.hear(h2.reset(1))
        elif state is State.RESET_BY_US:
            self.connection.reset(1, ErrorCode.CANCEL)

    def hear(self, *octets: bytes) -> list[ConnectionEvent]:
        """Lets the peer say this; returns what was told of it."""
        events = list(heard(self.connection, b"".join(octets)))
        self.told += events
        return events

    def frames(self) -> list[Frame]:
        """Returns what was sent since this was asked last."""
        assert self.connection.has_output == self.connection.has_output
        had = self.connection.has_output
        octets = self.connection.take_output()
        assert had == bool(octets)
        assert not self.connection.has_output
        return h2.parse(octets.removeprefix(h2.PREFACE))

    def sent(self, kind: Kind) -> list[Frame]:
        """Returns the frames of a type that were sent since somebody asked last; forgets the others."""
        return [frame for frame in self.frames() if frame.kind == kind]

    def fields(self, frames: Iterable[Frame]) -> list[Headers]:
        """Returns the header sections among frames that have no padding."""
        sections, block = [], b""
        for frame in frames:
            if frame.kind in {Kind.HEADERS, Kind.CONTINUATION}:
                block += frame.payload
                if frame.flags & h2.END_HEADERS:
                    sections.append(
                        tuple((bytes(n), bytes(v)) for n, v in self.decoder.decode(block, raw=True))
                    )
                    block = b""
        return sections

    def has_room(self) -> bool:
        """Returns whether another stream may be opened now."""
        return self.connection.can_open

    def lives(self) -> None:
        """Sees that the connection goes on: a ping is answered, and no more than that."""
        assert self.hear(h2.ping(b"alive???")) == []
        assert self.frames() == [Frame(Kind.PING, h2.ACK, 0, b"alive???")]

    def has_failed(self, *codes: ErrorCode) -> None:
        """Sees that the connection has failed, said so once, and is deaf and mute from now on."""
        failures = [event for event in self.told if isinstance(event, ConnectionFailed)]
        assert [failure.code in codes for failure in failures] == [True], self.told
        assert self.told[-1] is failures[0]
        assert self.connection.closing
        assert not self.connection.can_open
        assert self.connection.open_streams == 0
        last = self.frames()[-1]
        assert (last.kind, last.stream, last.code) == (Kind.GOAWAY, 0, failures[0].code)
        assert self.hear(h2.ping(), h2.headers(5, REQUEST), b"\xff" * 100) == []
        assert self.frames() == []


@dataclass(frozen=True)
class Outcome:
    """What must come of what the peer said."""

    events: tuple[ConnectionEvent, ...] = ()
    together: tuple[ConnectionEvent, ...] | None = None
    """The events if all is said at once, where some of them are one then; None: they are the same."""
    sent: tuple[bytes, ...] = ()
    """Frames, without WINDOW_UPDATE; other tests count windows."""
    fails: tuple[ErrorCode, ...] = ()
    """The connection fails with one of these; then the rest is not looked at."""
    reset: tuple[int, tuple[ErrorCode, ...]] | None = None
    """This stream is reset with one of these, told if it was told before; the rest holds beside it."""


def fails(*codes: ErrorCode) -> Outcome:
    """The connection fails with a code, or one of several that the RFC allows."""
    return Outcome(fails=codes)


def resets(
    stream: int,
    *codes: ErrorCode,
    told: Sequence[ConnectionEvent] = (),
    together: tuple[ConnectionEvent, ...] | None = None,
) -> Outcome:
    """A stream is reset with a code, or one of several that the RFC allows; others go on."""
    return Outcome(events=tuple(told), together=together, reset=(stream, codes))


def ignored() -> Outcome:
    """Nothing is told, nothing is sent."""
    return Outcome()


def tells(
    *events: ConnectionEvent,
    sent: Sequence[bytes] = (),
    together: tuple[ConnectionEvent, ...] | None = None,
) -> Outcome:
    """These events, and these frames."""
    return Outcome(events=events, together=together, sent=tuple(sent))


def bare(event: ConnectionEvent) -> ConnectionEvent:
    """Returns an event without its words for people."""
    if isinstance(event, StreamReset | ConnectionFailed):
        return event._replace(reason="")
    return event


class Case(NamedTuple):
    """A clause, a situation, what the peer says in it, and what must come of it."""

    clause: str
    roles: tuple[Role, ...]
    state: State
    says: bytes | Callable[[Role], bytes]
    outcome: Outcome | Callable[[Role], Outcome]
    limits: Limits = DEFAULT


def parameters(cases: Iterable[Case]) -> pytest.MarkDecorator:
    """Returns the parameters of a test of cases, in either role that they are for."""
    return pytest.mark.parametrize(
        ("case", "role"),
        [
            pytest.param(case, role, id=f"{case.clause}-{role.name.lower()}")
            for case in cases
            for role in case.roles
        ],
    )


def check(case: Case, role: Role) -> None:
    """Plays a case: what the peer says comes at once, and byte by byte."""
    says = case.says if isinstance(case.says, bytes) else case.says(role)
    outcome = case.outcome if isinstance(case.outcome, Outcome) else case.outcome(role)
    at_once = outcome.events if outcome.together is None else outcome.together
    _play(case, role, replace(outcome, events=at_once), [says])
    if len(says) < 2000:
        _play(case, role, outcome, [says[at : at + 1] for at in range(len(says))])


def _play(case: Case, role: Role, outcome: Outcome, chunks: Sequence[bytes]) -> None:
    stage = Stage(role, case.state, case.limits)
    before = len(stage.told)
    for chunk in chunks:
        stage.hear(chunk)
    if outcome.fails:
        stage.has_failed(*outcome.fails)
        return
    events = [bare(event) for event in stage.told[before:]]
    frames = [frame for frame in stage.frames() if frame.kind != Kind.WINDOW_UPDATE]
    if outcome.reset:
        stream, codes = outcome.reset
        resets = [frame for frame in frames if frame.kind == Kind.RST_STREAM]
        assert [(frame.stream, frame.code in codes) for frame in resets] == [(stream, True)]
        frames.remove(resets[0])
        event = StreamReset(stream, resets[0].code, "", by_peer=False)
        known = role is Role.CLIENT or any(
            isinstance(each, HeadersReceived) and each.stream_id == stream for each in stage.told
        )
        assert events.count(event) == (1 if known else 0)
        events = [each for each in events if each != event]
    assert [(type(event), event) for event in events] == [(type(e), e) for e in outcome.events]
    assert frames == [each for octets in outcome.sent for each in h2.parse(octets)]
    stage.lives()
