"""Requests that are given whole: what is sent and counted is the same as piece by piece."""

from __future__ import annotations

from dataclasses import replace

import pytest

from grpc_wire.headers.section import Headers
from grpc_wire.http2.connection import Role
from grpc_wire.http2.events import ConnectionFailed, HeadersReceived
from grpc_wire.http2.limits import DEFAULT
from tests.wire.http2 import octets as h2
from tests.wire.http2.octets import Kind
from tests.wire.http2.stage import ANSWER, REQUEST, TRAILERS, Stage

_FRAME = 16_384


@pytest.mark.parametrize("size", [_FRAME - 1, _FRAME, _FRAME + 1, 40_000])
@pytest.mark.parametrize("begun", [True, False])
def test_a_head_of_any_size(size: int, *, begun: bool) -> None:
    """Goes in as many frames as its block needs (6.10), all before the data, and is read as it was given."""
    near = size - 300
    rest = size - _block_size(_sent(near, begun=begun)[1])
    headers, octets = _sent(near + rest, begun=begun)
    assert _block_size(octets) == size

    (head,) = Stage(Role.SERVER, limits=replace(DEFAULT, header_list=1 << 17)).hear(octets)
    assert isinstance(head, HeadersReceived)
    assert head.headers == headers
    assert (head.data, head.end_stream) == (b"data", True)
    first, *between, last = h2.parse(octets)
    assert (first.kind, last.kind) == (Kind.HEADERS, Kind.DATA)
    assert all(frame.kind == Kind.CONTINUATION for frame in between)
    assert all(len(frame.payload) <= _FRAME for frame in (first, *between))
    assert bool(between) == (size > _FRAME)


def _sent(large: int, *, begun: bool) -> tuple[Headers, bytes]:
    """Returns the headers of a request, one value of which is so large, and what is sent of it."""
    own: Headers = ((b"x-large", b"v" * large), (b"x-own", b"1"))
    begin, headers = (REQUEST, own) if begun else ((), REQUEST + own)
    stage = Stage(Role.CLIENT)
    stage.connection.open_stream(headers, b"data", begin)
    return REQUEST + own, stage.connection.take_output()


def _block_size(octets: bytes) -> int:
    return sum(len(frame.payload) for frame in h2.parse(octets) if frame.kind != Kind.DATA)


def test_it_ends_its_side() -> None:
    """Nothing more is sent on the stream, which is closed when the answer has ended."""
    stage = Stage(Role.CLIENT)
    stage.connection.open_stream(REQUEST, b"data")
    stage.frames()

    assert stage.connection.send_data(1, b"more") == 0
    assert stage.frames() == []
    stage.hear(h2.headers(1, ANSWER), h2.headers(1, TRAILERS, end=True))
    assert stage.connection.open_streams == 0


def test_it_counts_as_output() -> None:
    """`output`: what the transport has no room for waits in the stream's queue."""
    stage = Stage(Role.CLIENT, limits=replace(DEFAULT, output=16 * 1024))
    waiting = [
        stage.connection.queued(stage.connection.open_stream(REQUEST, b"x" * 10_000))
        for _ in range(3)
    ]

    assert waiting == [0, 0, 10_000]


def test_it_forgives_frames_of_control() -> None:
    """A server may ask for signs of life between requests as often as between messages."""
    stage = Stage(Role.CLIENT, limits=replace(DEFAULT, control_frames=20))
    for _ in range(30):
        stage.connection.open_stream(REQUEST, b"x")
        stage.hear(h2.ping(), h2.ping())
        stage.frames()

    assert not any(isinstance(event, ConnectionFailed) for event in stage.told)
