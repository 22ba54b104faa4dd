"""Requests that come in one piece: they tell what their frames tell one by one, whatever is odd."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from hpack import Encoder

from grpc_wire.headers.section import Headers
from grpc_wire.http2.connection import Role
from grpc_wire.http2.events import ConnectionEvent, DataReceived, HeadersReceived
from grpc_wire.http2.limits import DEFAULT
from tests.wire.http2 import octets as h2
from tests.wire.http2.octets import Kind
from tests.wire.http2.stage import ANSWER, REQUEST, Stage

MESSAGE = b"\0\0\0\0\5hello"
REQUESTS = 4
LIMITS = replace(DEFAULT, header_list=1024, concurrent_streams=3)

Frames = Callable[[Encoder, int], list[bytes]]


def request(
    *,
    head: Headers = REQUEST,
    data: bytes = MESSAGE,
    ends: bool = True,
    pad: int | None = None,
    data_of: int = 0,
    shift: int = 0,
    more: tuple[bytes, ...] = (),
) -> Frames:
    """Returns what makes the frames of a request.

    Args:
        head: its fields, with one of its own behind them.
        data: its content.
        ends: whether it ends with the DATA.
        pad: of the DATA.
        data_of: how far off the stream of its data is.
        shift: how far off its own stream is.
        more: further frames.
    """

    def frames(encoder: Encoder, stream: int) -> list[bytes]:
        fields = [*head, (b"x-own", b"%d" % stream)]
        return [
            h2.headers(stream + shift, encoder.encode(fields)),
            h2.data(stream + shift + data_of, data, end=ends, pad=pad),
            *more,
        ]

    return frames


def without_data(*, head: Headers = REQUEST) -> Frames:
    """Returns what makes the one frame of a request without content."""
    return lambda encoder, stream: [h2.headers(stream, encoder.encode(list(head)), end=True)]


CASES = {
    "plain": request(),
    "empty data": request(data=b""),
    "a small frame": request(data=b"abc"),
    "large": request(data=bytes(20_000)),
    "more than the window": request(data=bytes(DEFAULT.stream_window + 1)),
    "padded": request(pad=3),
    "no end": request(ends=False),
    "a length": request(head=(*REQUEST, (b"content-length", b"10"))),
    "another length": request(head=(*REQUEST, (b"content-length", b"9"))),
    "no path": request(head=REQUEST[:2]),
    "two hosts": request(head=(*REQUEST, (b"host", b"a"), (b"host", b"b"))),
    "malformed": request(head=(*REQUEST, (b"Upper", b"1"))),
    "a field of the connection": request(head=(*REQUEST, (b"connection", b"close"))),
    "too large": request(head=(*REQUEST, (b"x-large", b"x" * 2000))),
    "data of another stream": request(data_of=2),
    "an even stream": request(shift=1),
    "stream 0": request(shift=-1),
    "data after the end": request(more=(h2.data(1, b"more"),)),
    "the same stream again": request(more=(h2.headers(1, REQUEST, end=True),)),
    "without data": without_data(),
    "without data, with a length": without_data(head=(*REQUEST, (b"content-length", b"1"))),
}


def seen(
    frames: Frames, between: bytes, *, answers: bool
) -> tuple[list[ConnectionEvent], list[h2.Frame], int, bool]:
    """Returns what is told of several requests, what is sent, how many streams are open, and the end.

    Args:
        frames: of one request.
        between: what comes between two of them.
        answers: whether each is answered before the next one comes.
    """
    stage, encoder = Stage(Role.SERVER, limits=LIMITS), Encoder()
    told = []
    for stream in range(1, 2 * REQUESTS, 2):
        told += stage.hear(between.join(frames(encoder, stream)))
        if answers:
            stage.connection.send_headers(stream, ANSWER, end_stream=True)
    sent = [frame for frame in stage.frames() if frame.kind != Kind.PING]
    return told, sent, stage.connection.open_streams, stage.connection.closing


@pytest.mark.parametrize("answers", [True, False], ids=["answered", "open"])
@pytest.mark.parametrize("case", CASES)
def test_a_whole_request_is_what_its_frames_are(case: str, answers: bool) -> None:
    """A ping between them parts the frames, and changes nothing else: neither events nor replies."""
    whole, sent, *state = seen(CASES[case], b"", answers=answers)
    parted, sent_parted, *state_parted = seen(CASES[case], h2.ping(), answers=answers)

    assert _joined(whole) == _joined(parted)
    assert sent == sent_parted
    assert state == state_parted


def _joined(events: list[ConnectionEvent]) -> list[object]:
    """Returns events, those of a stream's head and content as one."""
    joined: list[object] = []
    for event in events:
        last = joined[-1] if joined else None
        if isinstance(event, HeadersReceived):
            joined.append([event.stream_id, event.headers, event.data, event.end_stream])
        elif (
            isinstance(event, DataReceived)
            and isinstance(last, list)
            and last[0] == event.stream_id
        ):
            joined[-1] = [*last[:2], last[2] + event.data, event.end_stream]
        else:
            joined.append(event)
    return joined


def test_what_is_told_of_a_plain_one() -> None:
    """One event each."""
    told, sent, left, _ = seen(CASES["plain"], b"", answers=False)

    assert told == [
        HeadersReceived(
            stream, (*REQUEST, (b"x-own", b"%d" % stream)), True, is_trailers=False, data=MESSAGE
        )
        for stream in range(1, 2 * LIMITS.concurrent_streams, 2)
    ]
    assert [(frame.kind, frame.stream) for frame in sent] == [(Kind.RST_STREAM, 7)]
    assert left == LIMITS.concurrent_streams


@pytest.mark.parametrize("case", ["plain", "padded", "a length", "no path", "without data"])
def test_it_may_be_cut_anywhere(case: str) -> None:
    """In two pieces of any size, behind another request."""
    whole = Stage(Role.SERVER)
    encoder = Encoder()
    first, second = (b"".join(CASES[case](encoder, stream)) for stream in (1, 3))
    whole.hear(first)
    expected = _joined(whole.hear(second))

    for cut in range(len(second)):
        stage = Stage(Role.SERVER)
        stage.hear(first)
        told = stage.hear(second[:cut])
        told += stage.hear(second[cut:])

        assert _joined(told) == expected
        assert stage.connection.open_streams == whole.connection.open_streams


def test_requests_are_counted_with_their_data() -> None:
    """`turn_frames` bounds them, however they come; the rest is told in later turns."""
    stage, encoder = Stage(Role.SERVER, limits=replace(DEFAULT, turn_frames=30)), Encoder()
    octets = b"".join(b"".join(CASES["plain"](encoder, stream)) for stream in range(1, 100, 2))

    events = stage.connection.receive(octets)

    assert 10 <= len(events) <= 15
    assert stage.connection.has_backlog


def test_the_window_of_the_connection_is_restored() -> None:
    """Content of whole requests counts as any other does: half of the window is granted again at once."""
    limits = replace(DEFAULT, connection_window=1 << 16, concurrent_streams=100)
    stage, encoder = Stage(Role.SERVER, limits=limits), Encoder()
    large = request(data=bytes(10_000))
    for stream in range(1, 9, 2):
        stage.hear(*large(encoder, stream))

    assert [frame.stream for frame in stage.sent(Kind.WINDOW_UPDATE)] == [0]
