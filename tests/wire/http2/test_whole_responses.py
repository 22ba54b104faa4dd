"""Responses that come in one piece: they tell what their frames tell one by one, whatever is odd."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hpack import Encoder

from grpc_wire.headers.section import Headers
from grpc_wire.http2.connection import Role
from grpc_wire.http2.events import ConnectionEvent, HeadersReceived
from grpc_wire.http2.limits import DEFAULT
from tests.wire.http2 import octets as h2
from tests.wire.http2.octets import Kind
from tests.wire.http2.stage import ANSWER, REQUEST, TRAILERS, Stage

MESSAGE = b"\0\0\0\0\5hello"
MALFORMED: Headers = ((b"Grpc-Status", b"0"),)
STREAMS = 6

Frames = Callable[[Encoder, int], list[bytes]]


def response(
    *,
    head: Headers = ANSWER,
    data: bytes = MESSAGE,
    trailers: Headers = TRAILERS,
    ends: bool = True,
    pad: int | None = None,
    data_of: int = 0,
) -> Frames:
    """Returns what makes the frames of a response; `data_of`: how far off the stream of its data is."""

    def frames(encoder: Encoder, stream: int) -> list[bytes]:
        return [
            h2.headers(stream, encoder.encode(list(head))),
            h2.data(stream + data_of, data, pad=pad),
            h2.headers(stream, encoder.encode(list(trailers)), end=ends),
        ]

    return frames


CASES = {
    "plain": response(),
    "no message": response(data=b""),
    "a small frame": response(data=b"abc"),
    "large": response(data=bytes(20_000)),
    "more than the window": response(data=bytes(DEFAULT.stream_window + 1)),
    "padded": response(pad=3),
    "informational": response(head=((b":status", b"103"),)),
    "another status": response(head=((b":status", b"503"),)),
    "a length": response(head=(*ANSWER, (b"content-length", b"10"))),
    "another length": response(head=(*ANSWER, (b"content-length", b"9"))),
    "no status": response(head=TRAILERS),
    "two heads": response(trailers=ANSWER),
    "malformed trailers": response(trailers=MALFORMED),
    "no end": response(ends=False),
    "data of another stream": response(data_of=2),
    "data of a stream that there is not": response(data_of=200),
}


def opened(*, half_closed: bool) -> Stage:
    """Returns a stage of a client that has sent some requests."""
    stage = Stage(Role.CLIENT)
    for _ in range(STREAMS):
        stage.connection.open_stream(REQUEST, end_stream=half_closed)
    stage.frames()
    return stage


def seen(
    stage: Stage, frames: Frames, between: bytes
) -> tuple[list[ConnectionEvent], list[h2.Frame], int]:
    """Returns what is told of several responses, what is sent, and how many streams are open then."""
    encoder = Encoder()
    told = []
    for stream in range(1, 2 * STREAMS, 2):  # from the second on, the blocks are known
        told += stage.hear(between.join(frames(encoder, stream)))
    sent = [frame for frame in stage.frames() if frame.kind != Kind.PING]
    return told, sent, stage.connection.open_streams


@pytest.mark.parametrize("half_closed", [True, False], ids=["asked", "asking"])
@pytest.mark.parametrize("case", CASES)
def test_a_whole_response_is_what_its_frames_are(case: str, half_closed: bool) -> None:
    """A ping between them parts the frames, and changes nothing else: neither events nor replies."""
    whole = seen(opened(half_closed=half_closed), CASES[case], between=b"")
    parted = seen(opened(half_closed=half_closed), CASES[case], between=h2.ping())

    assert whole == parted


def test_what_is_told_of_a_plain_one() -> None:
    """One event each; the stream is closed, and its window counts what came."""
    stage = opened(half_closed=True)

    told, sent, left = seen(stage, CASES["plain"], between=b"")

    assert told == [
        HeadersReceived(
            stream, ANSWER, end_stream=True, is_trailers=False, data=MESSAGE, trailers=TRAILERS
        )
        for stream in range(1, 2 * STREAMS, 2)
    ]
    assert (sent, left) == ([], 0)


@pytest.mark.parametrize("case", ["plain", "padded", "more than the window", "no status"])
def test_it_may_be_cut_anywhere(case: str) -> None:
    """In two pieces of any size, behind another response whose blocks are the same."""
    encoder = Encoder()
    first = b"".join(CASES[case](encoder, 1))
    second = b"".join(CASES[case](encoder, 3))
    cuts = range(len(second)) if len(second) < 200 else (1, 12, 60_000, len(second) - 3)
    alone = opened(half_closed=True)
    alone.hear(first)
    whole = alone.hear(second)

    for cut in cuts:
        stage = opened(half_closed=True)
        stage.hear(first)
        told = stage.hear(second[:cut])
        told += stage.hear(second[cut:])

        assert b"".join(_data(told)) == b"".join(_data(whole))
        assert stage.connection.open_streams == alone.connection.open_streams


def _data(events: list[ConnectionEvent]) -> list[bytes]:
    return [getattr(event, "data", b"") for event in events]


def test_frames_of_responses_are_counted_one_by_one() -> None:
    """`turn_frames` bounds them, however they come; the rest is told in later turns."""
    stage = Stage(Role.CLIENT)
    encoder, responses = Encoder(), []
    for _ in range(DEFAULT.turn_frames):
        stream = stage.connection.open_stream(REQUEST, end_stream=True)
        responses += CASES["plain"](encoder, stream)

    events = stage.connection.receive(b"".join(responses))

    assert DEFAULT.turn_frames // 3 <= len(events) <= DEFAULT.turn_frames // 3 + 1
    assert stage.connection.has_backlog
