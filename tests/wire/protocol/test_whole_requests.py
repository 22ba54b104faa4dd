"""Requests that are given whole: what is sent and counted is the same as piece by piece."""

from __future__ import annotations

from dataclasses import replace

import pytest

from grpc_wire.connection import Role
from grpc_wire.events import ConnectionFailed, DataReceived, Headers, HeadersReceived
from grpc_wire.limits import DEFAULT
from tests.wire.protocol import octets as h2
from tests.wire.protocol.octets import Kind
from tests.wire.protocol.stage import ANSWER, REQUEST, TRAILERS, Stage


@pytest.mark.parametrize("size", [16_000, 16_300, 16_384, 16_385, 40_000])
@pytest.mark.parametrize("begun", [True, False])
def test_a_head_of_any_size(size: int, *, begun: bool) -> None:
    """Goes in as many frames as it needs (6.10), all before the data, and is read as it was given."""
    stage, peer = (
        Stage(Role.CLIENT),
        Stage(Role.SERVER, limits=replace(DEFAULT, header_list=1 << 17)),
    )
    own: Headers = ((b"x-large", b"v" * (size - 200)), (b"x-own", b"1"))
    begin, headers = (REQUEST, own) if begun else ((), REQUEST + own)
    stage.connection.open_stream(headers, b"data", begin)
    octets = stage.connection.take_output()

    head, data = peer.hear(octets)
    assert isinstance(head, HeadersReceived)
    assert head.headers == REQUEST + own
    assert data == DataReceived(1, b"data", end_stream=True)
    first, *between, last = h2.parse(octets)
    assert (first.kind, last.kind) == (Kind.HEADERS, Kind.DATA)
    assert all(frame.kind == Kind.CONTINUATION for frame in between)
    assert all(len(frame.payload) <= 16_384 for frame in (first, *between))
    assert bool(between) == (len(b"".join(f.payload for f in (first, *between))) > 16_384)


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
