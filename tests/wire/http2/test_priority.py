"""RFC 9218: which of the responses that wait for their client is sent first."""

from __future__ import annotations

import pytest

from grpc_wire.http2.connection import Role
from grpc_wire.http2.errors import ErrorCode
from grpc_wire.http2.priority import urgency_of
from tests.wire.http2 import octets as h2
from tests.wire.http2.octets import Kind
from tests.wire.http2.stage import REQUEST, Stage, State

FULL = 65535


def _waiting(*streams: int) -> Stage:
    """Returns a server whose responses wait, because the window of the connection is used up."""
    stage = Stage(Role.SERVER, State.IDLE)
    stage.hear(*[h2.headers(stream, REQUEST, end=True) for stream in (1, *streams)])
    for stream in (1, *streams):
        stage.connection.send_headers(stream, ((b":status", b"200"),))
    stage.connection.send_data(1, bytes(FULL), end_stream=True)
    for stream in streams:
        stage.connection.send_data(stream, b"%d" % stream, end_stream=True)
    stage.frames()
    return stage


def _sent_first(stage: Stage) -> list[int]:
    stage.hear(h2.window(0, 100))
    return [frame.stream for frame in stage.frames() if frame.kind == Kind.DATA]


def test_an_update_moves_a_response() -> None:
    """7.1: also one that waits already, and whatever the response itself was given."""
    stage = _waiting(3, 5)
    stage.hear(h2.priority_update(5, b"u=1, i"))
    stage.connection.prioritise(5, 7)

    assert _sent_first(stage) == [5, 3]


def test_an_update_without_urgency_is_the_usual_one() -> None:
    """4: what a new value does not say has its default again."""
    stage = _waiting(3, 5)
    stage.connection.prioritise(3, 1)
    stage.hear(h2.priority_update(3, b"i"), h2.priority_update(5, b"u=2"))

    assert _sent_first(stage) == [5, 3]


@pytest.mark.parametrize("stream", [1, 99])
def test_an_update_of_no_open_request_is_nothing(stream: int) -> None:
    """7.1: the request may have ended, or be still to come."""
    stage = Stage(Role.SERVER, State.CLOSED)
    stage.hear(h2.priority_update(stream, b"u=0"))

    stage.lives()


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (h2.frame(0x10, 0, 1, bytes(4)), ErrorCode.PROTOCOL_ERROR),
        (h2.priority_update(0, b"u=0"), ErrorCode.PROTOCOL_ERROR),
        (h2.frame(0x10, 0, 0, b"123"), ErrorCode.FRAME_SIZE_ERROR),
        (h2.priority_update(1, b"u=0") * 20_000, ErrorCode.ENHANCE_YOUR_CALM),
    ],
    ids=["on-a-stream", "of-no-stream", "short", "flood"],
)
def test_a_wrong_update_ends_the_connection(frame: bytes, code: ErrorCode) -> None:
    """7.1, and too many of them."""
    stage = Stage(Role.SERVER, State.OPEN)
    for start in range(0, len(frame), 2**14):
        stage.hear(frame[start : start + 2**14])

    stage.has_failed(code)


def test_a_server_sends_no_updates() -> None:
    """7.1: a client that is sent one ends the connection."""
    stage = Stage(Role.CLIENT, State.OPEN)
    stage.hear(h2.priority_update(1, b"u=0"))

    stage.has_failed(ErrorCode.PROTOCOL_ERROR)


@pytest.mark.parametrize(
    ("value", "urgency"),
    [(b"u=0", 0), (b"i, u=7", 7), (b"u=5;x=1,i", 5), (b"u=8", None), (b"mu=1", None), (b"", None)],
)
def test_a_priority_field(value: bytes, urgency: int | None) -> None:
    """4.1: a dictionary of structured fields, of which `u` is looked for; what is none is passed over."""
    assert urgency_of(value) == urgency
