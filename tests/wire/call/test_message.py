"""Messages in the bytes of a stream: whole whatever the cuts, and none larger than may be."""

from __future__ import annotations

import gzip
import itertools
import struct
import tracemalloc
import zlib
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grpc_wire.call.message import (
    GZIP,
    IDENTITY,
    INFLATION,
    INFLATION_FREE,
    MessageFault,
    MessageReader,
    frame,
)

INTERNAL, EXHAUSTED, UNIMPLEMENTED = 13, 8, 12
LIMIT = 1000
MESSAGES = st.lists(st.binary(max_size=300), max_size=8)
CUTS = st.lists(st.integers(0, 3000), max_size=12)


def prefixed(payload: bytes, flag: int = 0) -> bytes:
    """Returns a payload with the prefix of a message."""
    return struct.pack(">BI", flag, len(payload)) + payload


def pieces(body: bytes, cuts: list[int]) -> list[bytes]:
    """Returns a body cut at these places."""
    places = sorted({0, len(body), *(cut % (len(body) + 1) for cut in cuts)})
    return [body[one:two] for one, two in itertools.pairwise(places)]


def read(reader: MessageReader, data: bytes) -> list[bytes]:
    """Returns the messages that are whole now, decompressed; raises what is wrong behind them."""
    messages = [reader.decompress(message) for message in reader.feed(data)]
    if reader.fault is not None:
        raise reader.fault
    return messages


@given(MESSAGES, CUTS)
def test_messages_are_whole_whatever_the_cuts(messages: list[bytes], cuts: list[int]) -> None:
    """In order, once; and what is missing of one that has begun is told to the byte."""
    reader = MessageReader(LIMIT)
    body = b"".join(prefixed(message) for message in messages)
    got: list[bytes] = []
    ends = [0]
    for message in messages:
        ends.append(ends[-1] + 5 + len(message))

    fed = 0
    for piece in pieces(body, cuts):
        got += read(reader, piece)
        fed += len(piece)
        begun = max(end for end in ends if end <= fed)
        assert got == messages[: ends.index(begun) + (ends.count(begun) - 1)]
        if fed == begun:
            assert reader.missing == 0
            assert not reader.has_partial
        elif fed - begun >= 5:
            end = min(end for end in ends if end > fed)
            assert reader.missing == end - fed
            assert reader.has_partial
        else:
            assert reader.has_partial
    assert got == messages


@given(MESSAGES, st.lists(st.booleans(), min_size=8, max_size=8), CUTS)
def test_compressed_messages_are_whole_whatever_the_cuts(
    messages: list[bytes], compressed: list[bool], cuts: list[int]
) -> None:
    """A stream with an encoding may have messages that are not compressed."""
    reader = MessageReader(LIMIT, GZIP)
    body = b"".join(
        prefixed(gzip.compress(message), 1) if packed else prefixed(message)
        for message, packed in zip(messages, compressed, strict=False)
    )

    assert [m for piece in pieces(body, cuts) for m in read(reader, piece)] == messages


@given(
    st.builds(bytes.__mul__, st.binary(max_size=30), st.integers(1, 20)),
    st.sampled_from([IDENTITY, GZIP, "deflate"]),
)
def test_what_we_frame_is_read(message: bytes, encoding: str) -> None:
    """By ours, and by a reader of gzip that is not ours; what would not become smaller is not compressed."""
    framed = frame(message, encoding)

    assert read(MessageReader(600, encoding), framed) == [message]
    flag, size = struct.unpack(">BI", framed[:5])
    assert size == len(framed) - 5
    compressed = len(zlib.compress(message)) + (12 if encoding == GZIP else 0)
    assert flag == (1 if encoding != IDENTITY and compressed < len(message) else 0)
    if not flag:
        assert framed[5:] == message
    elif encoding == GZIP:
        assert gzip.decompress(framed[5:]) == message


FAULTS = [
    ("flag 2", IDENTITY, prefixed(b"x", 2), INTERNAL),
    ("flag 255", GZIP, prefixed(b"x", 255), INTERNAL),
    ("flag 128, of gRPC-Web", IDENTITY, prefixed(b"grpc-status:0", 128), INTERNAL),
    ("compressed, and no encoding", IDENTITY, prefixed(gzip.compress(b"x"), 1), INTERNAL),
    ("an encoding that is not known", "zstd", prefixed(b"x", 1), UNIMPLEMENTED),
    ("not gzip", GZIP, prefixed(b"not gzip at all", 1), INTERNAL),
    ("nothing, compressed", GZIP, prefixed(b"", 1), INTERNAL),
    ("gzip cut", GZIP, prefixed(gzip.compress(b"x" * 50)[:-9], 1), INTERNAL),
    ("gzip without its sums", GZIP, prefixed(gzip.compress(b"x" * 50)[:-8], 1), INTERNAL),
    ("gzip with a wrong sum", GZIP, prefixed(gzip.compress(b"x")[:-8] + bytes(8), 1), INTERNAL),
    ("zlib in the place of gzip", GZIP, prefixed(zlib.compress(b"x"), 1), INTERNAL),
    ("one byte too large", IDENTITY, prefixed(bytes(LIMIT + 1)), EXHAUSTED),
    ("told by its head", IDENTITY, prefixed(bytes(LIMIT + 1))[:5], EXHAUSTED),
    ("the largest head", IDENTITY, b"\0\xff\xff\xff\xff", EXHAUSTED),
    ("too large once decompressed", GZIP, prefixed(gzip.compress(bytes(LIMIT + 1)), 1), EXHAUSTED),
]  # fmt: skip


@pytest.mark.parametrize(
    ("encoding", "body", "code"), [case[1:] for case in FAULTS], ids=[case[0] for case in FAULTS]
)
def test_a_message_that_cannot_be(encoding: str, body: bytes, code: int) -> None:
    """Has the status that gRPC says, at once and byte by byte, and what was before it is not lost."""
    with pytest.raises(MessageFault) as fault:
        read(MessageReader(LIMIT, encoding), body)
    assert fault.value.code == code

    reader = MessageReader(LIMIT, encoding)
    assert read(reader, prefixed(b"before")) == [b"before"]
    with pytest.raises(MessageFault) as fault:
        for at in range(len(body)):
            read(reader, body[at : at + 1])
    assert fault.value.code == code


def test_the_limit_itself_is_a_size_that_may_be() -> None:
    """As it comes, and decompressed; -1 is no limit, and 0 lets empty messages through."""
    whole = bytes(LIMIT)
    assert read(MessageReader(LIMIT), prefixed(whole)) == [whole]
    assert read(MessageReader(LIMIT, GZIP), prefixed(gzip.compress(whole), 1)) == [whole]
    large = Random(1).randbytes(100_000).hex().encode() * 25
    assert read(MessageReader(-1), prefixed(large)) == [large]
    assert read(MessageReader(-1, GZIP), prefixed(gzip.compress(large), 1)) == [large]
    assert read(MessageReader(0), prefixed(b"")) == [b""]
    with pytest.raises(MessageFault):
        read(MessageReader(0), prefixed(b"x"))


@pytest.mark.parametrize("encoding", [GZIP, "deflate"])
def test_a_message_inflates_only_so_far(encoding: str) -> None:
    """A message of few bytes may have `INFLATION_FREE`, a larger one `INFLATION` times its own size."""
    reader = MessageReader(8 << 20, encoding)
    free = frame(bytes(INFLATION_FREE), encoding)
    beyond = frame(bytes(INFLATION_FREE + 1), encoding)
    mixed = Random(1).randbytes(30_000) + bytes(INFLATION * 30_000 - 40_000)
    assert len(free) < 1000

    assert read(reader, free) == [bytes(INFLATION_FREE)]
    assert read(reader, frame(mixed, encoding)) == [mixed]
    with pytest.raises(MessageFault, match="inflates too much") as fault:
        read(reader, beyond)
    assert fault.value.code == EXHAUSTED


def test_a_gzip_bomb_is_not_blown_up() -> None:
    """64 MB in 64 kB: the limit is looked at while it is decompressed."""
    packer = zlib.compressobj(9, wbits=31)
    bomb = b"".join(packer.compress(bytes(1 << 20)) for _ in range(64)) + packer.flush()
    reader = MessageReader(4 << 20, GZIP)
    tracemalloc.start()

    try:
        with pytest.raises(MessageFault) as fault:
            read(reader, prefixed(bomb, 1))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert fault.value.code == EXHAUSTED
    assert peak < 16 << 20


def test_what_nobody_has_taken_is_not_blown_up() -> None:
    """A thousand messages of 64 kB are 64 MB, but as long as they wait they are what has come."""
    body = prefixed(gzip.compress(bytes(64_000)), 1) * 1000
    reader = MessageReader(4 << 20, GZIP)
    tracemalloc.start()

    try:
        waiting = reader.feed(body)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < 1 << 20
    assert [reader.decompress(message) for message in waiting] == [bytes(64_000)] * 1000


@pytest.mark.parametrize("cut", [0, 3, 9])
def test_what_is_wrong_stands_behind_what_was_right(cut: int) -> None:
    """Messages that came in the same piece are not lost, and nothing behind the wrong one is given."""
    body = prefixed(b"one") + prefixed(b"two") + prefixed(b"x", 2) + prefixed(b"four")
    reader = MessageReader(LIMIT)

    assert [*reader.feed(body[:cut]), *reader.feed(body[cut:])] == [b"one", b"two"]
    assert reader.fault is not None
    assert reader.fault.code == INTERNAL


@pytest.mark.parametrize("behind", [b"x", gzip.compress(b"two")], ids=["a byte", "a member"])
def test_what_follows_the_end_of_gzip_is_not_passed_over(behind: bytes) -> None:
    """A message that is not all of what came is none."""
    with pytest.raises(MessageFault) as fault:
        read(MessageReader(LIMIT, GZIP), prefixed(gzip.compress(b"one") + behind, 1))
    assert fault.value.code == INTERNAL


def test_many_small_messages_in_one_piece_take_no_time() -> None:
    """A hundred thousand messages are not copied a hundred thousand times."""
    body = prefixed(b"x") * 100_000

    assert len(read(MessageReader(LIMIT), body)) == 100_000


def test_a_large_message_in_small_pieces_takes_no_time() -> None:
    """Nor is one message copied with each of its pieces."""
    reader = MessageReader(-1)
    body = prefixed(bytes(20_000_000))
    got: list[bytes] = []
    for at in range(0, len(body), 1000):
        got += read(reader, body[at : at + 1000])

    assert [len(message) for message in got] == [20_000_000]
