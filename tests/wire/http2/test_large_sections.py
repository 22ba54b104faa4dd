"""Header sections that are too large to be kept: the stream is refused, and the table stays in step.

Sources: RFC 9113, sections 4.3 and 6.5.2; RFC 7541, section 4.4.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from itertools import repeat
from random import Random

import pytest
from hpack import Encoder
from hpack.huffman_constants import REQUEST_CODES, REQUEST_CODES_LENGTH
from hypothesis import given, settings
from hypothesis import strategies as st

from grpc_wire.headers.section import Headers
from grpc_wire.http2.connection import Role
from grpc_wire.http2.errors import ErrorCode
from grpc_wire.http2.events import ConnectionEvent, HeadersReceived, RequestTooLarge, StreamReset
from grpc_wire.http2.limits import DEFAULT
from tests.wire.http2 import octets as h2
from tests.wire.http2.octets import Kind
from tests.wire.http2.stage import ANSWER, BOTH, REQUEST, TRAILERS, Stage, State, head

both = pytest.mark.parametrize("role", BOTH, ids=lambda role: role.name.lower())
COMPRESSION = ErrorCode.COMPRESSION_ERROR

LARGE: dict[str, Headers] = {
    "a value": ((b"x", b"v" * 300_000),),
    "a name": ((b"n" * 300_000, b"v"),),
    "both": ((b"n" * 100_000, b"v" * 100_000),),
    "many values": tuple((b"part-%d" % number, b"v" * 4096) for number in range(60)),
    "many small fields": tuple((b"n%d" % number, b"") for number in range(30_000)),
    "an entry as large as the table": ((b"x", b"v" * (4096 - 33)), (b"y", b"v" * 100_000)),
    "an entry that empties the table": ((b"x", b"v" * (4096 - 32)), (b"y", b"v" * 100_000)),
    "an entry behind what is too large": ((b"y", b"v" * 100_000), (b"later", b"entry")),
    "nothing new": ((b"x", b"v" * 20),) * 70_000,
}


class Huffman:
    """The code of RFC 7541, appendix B, for hpack's encoder, whose own takes minutes for long texts."""

    def encode(self, text: bytes) -> bytes:
        """Returns a text in the code, padded with ones."""
        bits = "".join(map(_CODES.__getitem__, text))
        bits += "1" * (-len(bits) % 8)
        return int(bits or "0", 2).to_bytes(len(bits) // 8)


_CODES = [
    format(code, f"0{length}b")
    for code, length in zip(REQUEST_CODES, REQUEST_CODES_LENGTH, strict=True)
]


def new_encoder() -> Encoder:
    """Returns the encoder of a peer."""
    encoder = Encoder()
    encoder.huffman_coder = Huffman()  # type: ignore[assignment] # it is only called
    return encoder


def cut(block: bytes, sizes: Iterator[int]) -> Iterator[bytes]:
    """Yields a block in pieces of these sizes."""
    at = 0
    while at < len(block):
        size = next(sizes)
        yield block[at : at + size]
        at += size


def section(stream: int, block: bytes, sizes: Iterator[int], *, end: bool) -> bytes:
    """Returns HEADERS and CONTINUATION with pieces of these sizes."""
    first, *others = cut(block, sizes)
    frames = [h2.headers(stream, first, end=end, more=bool(others))]
    for number, part in enumerate(others, 1):
        frames.append(h2.continuation(stream, part, more=number < len(others)))
    return b"".join(frames)


def begin(role: Role) -> Stage:
    """Returns a connection that takes any number of frames; a client's stream 1 is open."""
    limits = replace(DEFAULT, continuations=10**6)
    return Stage(role, State.OPEN if role is Role.CLIENT else State.IDLE, limits)


def is_refused(stage: Stage, events: list[ConnectionEvent]) -> None:
    """Sees that one stream was refused, and the next one is taken with the table as it should be."""
    assert len(events) == 1, events
    if stage.role is Role.CLIENT:
        assert isinstance(events[0], StreamReset)
        assert events[0].code == ErrorCode.ENHANCE_YOUR_CALM
        assert [f.code for f in stage.sent(Kind.RST_STREAM)] == [ErrorCode.ENHANCE_YOUR_CALM]
    else:
        assert isinstance(events[0], RequestTooLarge)
        assert stage.frames() == []


def next_is_taken(stage: Stage, encoder: Encoder, marked: Headers) -> None:
    """Sees that what the same peer says next is understood."""
    headers = (*head(stage.role), *marked)
    if stage.role is Role.CLIENT:
        stage.connection.open_stream(REQUEST)
    events = stage.hear(h2.headers(3, encoder.encode(headers)))
    assert [(type(event), event) for event in events] == [
        (HeadersReceived, HeadersReceived(3, headers, end_stream=False, is_trailers=False))
    ]
    stage.frames()
    stage.lives()


@both
@pytest.mark.parametrize("huffman", [False, True])
@pytest.mark.parametrize("indexed", [False, True])
@pytest.mark.parametrize("kind", LARGE)
def test_a_section_that_is_too_large_to_be_kept(
    role: Role, kind: str, *, indexed: bool, huffman: bool
) -> None:
    """Whatever it has, however it is written and cut: its stream is refused, and nothing else changes."""
    fields = [(name, value, not indexed) for name, value in (*head(role), *LARGE[kind])]
    encoded = new_encoder()
    block = encoded.encode(fields, huffman=huffman)
    for size in (999, 65_000):
        stage, encoder = begin(role), deepcopy(encoded)
        is_refused(stage, stage.hear(section(1, block, repeat(size), end=True)))
        next_is_taken(stage, encoder, ((b"x", b"v" * 2000), (b"later", b"entry")))


@both
@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_the_table_behind_any_section(role: Role, seed: int) -> None:
    """Names, values, sizes, what enters the table and where frames begin: at random."""
    random, encoder = Random(seed), new_encoder()

    def field() -> tuple[bytes, bytes, bool]:
        name = b"n%d" % random.randrange(40) + b"x" * random.choice((0, 0, 10, 5000, 40_000))
        value = random.choice((b"", b"v", b"~\x7f")) * random.choice((0, 1, 50, 3000, 20_000))
        return name, value, random.random() < 0.3

    fields = [(*pair, False) for pair in head(role)] + [field() for _ in range(40)]
    fields.append((b"surely", b"v" * 200_000, True))
    fields += [field() for _ in range(10)]
    stage = begin(role)
    block = encoder.encode(fields, huffman=random.random() < 0.5)
    sizes = iter(lambda: random.choice((1, 2, 50, 1000, 60_000)), 0)

    is_refused(stage, stage.hear(section(1, block, sizes, end=True)))
    known = [entry for entry in encoder.header_table.dynamic_entries if len(entry[0]) < 50][:20]
    next_is_taken(stage, encoder, (*((bytes(n), b"v") for n, _ in known), (b"n1", b"v")))


@both
def test_a_table_that_is_resized_before_a_large_section(role: Role) -> None:
    """A block may begin with that, and nowhere else have it (RFC 7541, 4.2)."""
    stage, encoder = begin(role), new_encoder()
    encoder.header_table_size = 100
    block = encoder.encode([*head(role), (b"x", b"v" * 100_000)], huffman=False)

    is_refused(stage, stage.hear(section(1, block, iter(lambda: 10_000, 0), end=True)))
    next_is_taken(stage, encoder, ((b"a", b"b"), (b"c", b"d" * 60)))


@both
@pytest.mark.parametrize(
    "wrong",
    [
        b"\x80",
        b"\xbe",
        b"\xff\xff\x03",
        b"\x3f\x01",
        b"\x7e\x01x",
        b"\x00\xff\xff\xff\xff\xff\xff\x7f",
        b"\x00\x01x",
        b"\x00\x05x",
        b"\x40\x01x\x82\xff\xff",
        b"\x40",
    ],
    ids=[
        "index 0",
        "an index beyond the table",
        "a large index",
        "a resize within",
        "a name beyond the table",
        "an endless integer",
        "without a value",
        "a string beyond the end",
        "what is not in the Huffman code",
        "half a field",
    ],
)
def test_a_large_section_that_is_broken(role: Role, wrong: bytes) -> None:
    """What leaves the table unknown is the end of the connection, as in a section that is kept."""
    stage = begin(role)
    block = h2.literal(b"x", b"v" * 100_000) + wrong
    stage.hear(section(1, block, iter(lambda: 60_000, 0), end=True))
    stage.has_failed(COMPRESSION)


@both
@pytest.mark.parametrize(
    "large", [(b"n" * 5000, b""), (b"x", b"v" * 5000), (b"x" * 4000, b"v" * 65)]
)
def test_an_entry_that_is_larger_than_the_table(role: Role, large: tuple[bytes, bytes]) -> None:
    """It empties the table (RFC 7541, 4.4), so that naming an entry is a fault from then on."""
    stage = begin(role)
    block = h2.literal(b"x", b"v" * 70_000) + h2.remembered(b"a", b"b") + h2.remembered(*large)

    is_refused(stage, stage.hear(section(1, block, iter(lambda: 60_000, 0), end=True)))
    if role is Role.CLIENT:
        stage.connection.open_stream(REQUEST)
    stage.hear(h2.headers(3, h2.indexed(62)))
    stage.has_failed(COMPRESSION)


def test_large_trailers_of_an_answer() -> None:
    """They end their call, whose head and data had come; the others go on."""
    stage = Stage(Role.CLIENT, State.ANSWERED)
    encoder = new_encoder()
    block = encoder.encode([*TRAILERS, (b"x", b"v" * 1_000_000, True)], huffman=False)

    is_refused(stage, stage.hear(section(1, block, iter(lambda: 16_384, 0), end=True)))
    next_is_taken(stage, encoder, ())


def test_a_large_request_is_answered() -> None:
    """A server may answer it; what its client still sends is passed over."""
    stage = Stage(Role.SERVER)
    block = h2.block(REQUEST) + h2.literal(b"x", b"v" * 50_000)

    (event,) = stage.hear(h2.headers(1, block))
    assert event == RequestTooLarge(1, f"{_size(REQUEST) + 33 + 50_000} vs. 16384")
    stage.connection.send_headers(1, (*ANSWER, *TRAILERS), end_stream=True)
    frames = stage.frames()
    assert [(f.kind, f.stream) for f in frames] == [(Kind.HEADERS, 1), (Kind.RST_STREAM, 1)]
    assert frames[1].code == ErrorCode.NO_ERROR
    assert stage.hear(h2.data(1, b"x" * 1000), h2.data(1, end=True)) == []
    assert stage.connection.open_streams == 0
    stage.frames()
    stage.lives()


def _size(headers: Headers) -> int:
    return sum(32 + len(name) + len(value) for name, value in headers)
