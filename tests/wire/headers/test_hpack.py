"""RFC 7541: the compression of headers, as a peer may get it wrong, or use all of it."""
# ruff: noqa: E501 -- one case, one row

from __future__ import annotations

import gc
import sys
import time
import tracemalloc
from types import FrameType

import pytest
from hpack import Decoder, Encoder
from hpack.exceptions import HPACKDecodingError
from hpack.huffman import HuffmanEncoder
from hpack.huffman_constants import REQUEST_CODES, REQUEST_CODES_LENGTH
from hpack.huffman_table import decode_huffman
from hypothesis import given, settings
from hypothesis import strategies as st

from grpc_wire.headers import huffman
from grpc_wire.headers.block import HeaderBlockError
from grpc_wire.headers.decoder import HeaderDecoder
from grpc_wire.headers.encoder import HeaderEncoder
from grpc_wire.headers.section import Headers
from grpc_wire.http2.connection import Role
from grpc_wire.http2.errors import ErrorCode
from grpc_wire.http2.events import HeadersReceived, RequestTooLarge
from tests.wire.http2 import octets as h2
from tests.wire.http2.stage import (
    ANSWER,
    REQUEST,
    SERVER,
    Case,
    Outcome,
    Stage,
    State,
    check,
    fails,
    parameters,
    tells,
)

COMPRESSION = ErrorCode.COMPRESSION_ERROR
START = h2.block(REQUEST)


def test_a_run_keeps_its_checks_when_its_indices_move() -> None:
    """A value of its own in each request moves the indices of all others, which are checked once all the same."""
    encoder, decoder = Encoder(), HeaderDecoder(2**16)
    sections = [
        decoder.decode(encoder.encode([*REQUEST, (b"x-app", b"one"), (b"x-token", b"%d" % number)]))
        for number in range(5)
    ]

    assert [section.headers[-1] for section in sections] == [
        (b"x-token", b"%d" % n) for n in range(5)
    ]
    assert sections[3].prefix is not None
    assert sections[3].prefix is sections[4].prefix


def test_an_index_of_0_ends_a_run() -> None:
    """RFC 7541, 6.1: it is an error, also behind fields that are known."""
    decoder = HeaderDecoder(2**16)
    with pytest.raises(HeaderBlockError):
        decoder.decode(b"\x82\x80")


def test_nothing_large_is_kept_of_names() -> None:
    """What is known of names outlives connections, so it is bounded by bytes too."""
    gc.collect()
    tracemalloc.start()
    try:
        stage = Stage(Role.SERVER, State.IDLE)
        before, _ = tracemalloc.get_traced_memory()
        for stream in range(1, 101, 2):
            name = b"%d" % stream + b"a" * 20_000
            stage.hear(h2.headers(stream, [*REQUEST, (name, b"")]))
            stage.frames()
        del stage
        gc.collect()
        assert tracemalloc.get_traced_memory()[0] - before < 200_000
    finally:
        tracemalloc.stop()


def broken(clause: str, octets: bytes) -> Case:
    """Returns a case of a block that cannot be read."""
    return Case(clause, SERVER, State.IDLE, h2.headers(1, octets), fails(COMPRESSION))


def read(clause: str, octets: bytes, *fields: tuple[bytes, bytes]) -> Case:
    """Returns a case of a block that has these fields behind those of a request."""
    outcome: Outcome = tells(
        HeadersReceived(1, REQUEST + fields, end_stream=False, is_trailers=False)
    )
    return Case(clause, SERVER, State.IDLE, h2.headers(1, octets), outcome)


BROKEN = [
    broken("2.3.3-index-0", START + h2.indexed(0)),
    broken("2.3.3-index-beyond-the-tables", START + h2.indexed(62)),
    broken("2.3.3-index-far-beyond-the-tables", START + h2.indexed(1 << 30)),
    broken("2.3.3-name-beyond-the-tables", START + h2.integer(62, 6, 0x40) + h2.string(b"1")),
    broken("2.3.3-name-beyond-the-tables-not-indexed", START + h2.integer(99, 4) + h2.string(b"1")),
    broken("2.3.3-name-beyond-the-tables-never-indexed", START + h2.integer(99, 4, 0x10) + h2.string(b"1")),
    broken("4.4-entry-that-was-evicted", START + h2.remembered(b"a", b"1") + h2.remembered(b"b", bytes(4096 - 33)) + h2.indexed(63)),
    broken("5.1-integer-cut", START + b"\xff"),
    broken("5.1-integer-cut-later", START + b"\xff\x80\x80"),
    broken("5.1-integer-that-never-ends", START + b"\xff" + b"\x80" * 5000),
    broken("5.1-integer-overflow", START + b"\xff" + b"\xff" * 40 + b"\x01"),
    broken("5.1-integer-of-64-bits", START + b"\xff" + b"\xff" * 9 + b"\x7f"),
    broken("5.1-length-overflow", START + b"\x00\x7f" + b"\xff" * 9 + b"\x7f"),
    broken("5.2-nothing-but-a-literal", START + b"\x00"),
    broken("5.2-name-cut", START + b"\x00\x05abc"),
    broken("5.2-value-missing", START + b"\x00\x01a"),
    broken("5.2-value-cut", START + b"\x00\x01a\x05abc"),
    broken("5.2-value-cut-to-nothing", START + b"\x00\x01a\x01"),
    broken("5.2-huffman-cut", START + b"\x00\x01a\x85\x1f"),
    broken("5.2-huffman-end-of-string", START + b"\x00\x01a\x84\xff\xff\xff\xff"),
    broken("5.2-huffman-padding-of-8-bits", START + b"\x00\x01a\x82\x1f\xff"),  # 'a' is 00011
    broken("5.2-huffman-padding-of-zeros", START + b"\x00\x01a\x81\x18"),
    broken("5.2-huffman-padding-alone", START + b"\x00\x01a\x81\xff"),
    broken("4.2-table-size-above-the-limit", h2.table_size(4097) + START),
    broken("4.2-table-size-far-above-the-limit", h2.table_size(1 << 40) + START),
    broken("4.2-table-size-behind-a-field", START + h2.table_size(0)),
    broken("4.2-table-size-between-fields", h2.indexed(3) + h2.table_size(0) + START),
    broken("6.3-table-size-cut", b"\x3f"),
]  # fmt: skip

WHOLE = [
    read("4.2-table-size-of-the-limit", h2.table_size(4096) + START),
    read("4.2-table-size-twice", h2.table_size(0) + h2.table_size(4096) + START),
    read("4.4-an-entry-larger-than-the-table-empties-it",
         START + h2.remembered(b"a", b"1") + h2.remembered(b"b", b"x" * 4096) + h2.remembered(b"c", b"3") + h2.indexed(62),
         (b"a", b"1"), (b"b", b"x" * 4096), (b"c", b"3"), (b"c", b"3")),
    read("4.3-a-table-of-nothing", h2.table_size(0) + START + h2.remembered(b"a", b"1"), (b"a", b"1")),
    read("4.4-the-name-of-an-entry-that-the-new-one-evicts",
         START + h2.remembered(b"a", b"x" * 4000) + h2.integer(62, 6, 0x40) + h2.string(b"y" * 4000) + h2.indexed(62),
         (b"a", b"x" * 4000), (b"a", b"y" * 4000), (b"a", b"y" * 4000)),
    read("5.2-huffman", START + b"\x00\x01a\x81\x1f", (b"a", b"a")),
    read("5.2-huffman-of-nothing", START + b"\x00\x01a\x80", (b"a", b"")),
    read("6.2.1-name-of-the-static-table", START + h2.integer(58, 6, 0x40) + h2.string(b"me") + h2.indexed(62), (b"user-agent", b"me"), (b"user-agent", b"me")),
    read("6.2.2-name-of-the-dynamic-table", START + h2.remembered(b"a", b"1") + h2.integer(62, 4) + h2.string(b"2"), (b"a", b"1"), (b"a", b"2")),
    read("6.2.3-never-indexed", START + b"\x10" + h2.string(b"a") + h2.string(b"1"), (b"a", b"1")),
    read("5.1-integer-with-leading-zeros", START + b"\x00" + b"\x7f\x80\x00" + b"n" * 127 + b"\x00", (b"n" * 127, b"")),
    read("6.1-a-field-of-the-static-table", START + h2.indexed(16), (b"accept-encoding", b"gzip, deflate")),
]  # fmt: skip


@parameters(BROKEN)
def test_a_block_that_cannot_be_read(case: Case, role: Role) -> None:
    """Ends the connection: its table is lost (RFC 9113, 4.3)."""
    check(case, role)


@parameters(WHOLE)
def test_a_block_that_uses_what_there_is(case: Case, role: Role) -> None:
    """Every representation, and the corners of the table."""
    check(case, role)


def test_the_same_bytes_mean_another_field_when_the_table_has_changed() -> None:
    """An index counts from the newest entry, also in a block that was read before, byte by byte."""
    stage = Stage(Role.SERVER)
    again = START + h2.indexed(62) + h2.indexed(63)
    stage.hear(h2.headers(1, START + h2.remembered(b"a", b"1") + h2.remembered(b"b", b"2")))
    told = [*stage.hear(h2.headers(3, again)), *stage.hear(h2.headers(5, again))]
    stage.hear(h2.headers(7, START + h2.remembered(b"c", b"3")))
    told += stage.hear(h2.headers(9, again))
    stage.hear(h2.headers(11, h2.table_size(0) + h2.table_size(4096) + START))

    assert [event.headers[-2:] for event in told if isinstance(event, HeadersReceived)] == [
        ((b"b", b"2"), (b"a", b"1")),
        ((b"b", b"2"), (b"a", b"1")),
        ((b"c", b"3"), (b"b", b"2")),
    ]
    stage.hear(h2.headers(13, again))
    stage.has_failed(COMPRESSION)


def test_we_count_from_the_newest_entry_too() -> None:
    """What we put in moves on by one with each that follows."""
    stage = Stage(Role.CLIENT)
    for path in (b"/a", b"/b", b"/a", b"/c", b"/b", b"/a"):
        fields = (*REQUEST[:2], (b":path", path), *REQUEST[3:])
        stage.connection.open_stream(fields)
        assert stage.fields(stage.frames()) == [fields]


@pytest.mark.parametrize("table", [4096, 60, 0])
def test_whole_answers_are_read_as_they_were_meant(table: int) -> None:
    """Also when others have put something into the table since, and when the client's table changes."""
    stage = Stage(Role.SERVER)
    plain, zipped = ANSWER, (*ANSWER, (b"grpc-encoding", b"gzip"))
    done, late = ((b"grpc-status", b"0"),), ((b"grpc-status", b"0"), (b"user-agent", b"x" * 30))
    answers = [(head, end) for head in (plain, zipped) for end in (done, done, late)]
    for number, (head, end) in enumerate(answers * 4):
        if number == len(answers) * 2:
            stage.hear(h2.settings((1, table)))
            stage.decoder.max_allowed_table_size = table
        stream = 2 * number + 1
        stage.hear(h2.headers(stream, START, end=True))
        stage.connection.send_response(stream, head, [b"data"], end)
        sent = stage.frames()
        assert [bytes(f.payload) for f in sent if f.kind == h2.Kind.DATA] == [b"data"]
        assert stage.fields(sent) == [head, end]


def test_a_broken_block_has_an_end_soon() -> None:
    """An integer of many bytes is not computed to its end."""
    stage = Stage(Role.SERVER)
    started = time.process_time()
    stage.hear(h2.headers(1, b"\xff" + b"\xff" * 16_000, more=True), h2.continuation(1, b"\x7f"))

    assert time.process_time() - started < 1
    stage.has_failed(COMPRESSION)


def test_malformed_names_cost_no_more_than_others() -> None:
    """A block that fills the table with them again and again is read as quickly as one that does so with good ones."""

    def cost(first: bytes) -> float:
        names = (first + bytes((a, b)) for a in range(97, 123) for b in range(97, 123))
        block = b"".join(h2.remembered(name, b"") for name in names) * 15
        stage = Stage(Role.SERVER)
        started = time.process_time()
        stage.hear(h2.headers(1, block))
        assert [type(event) for event in stage.told[1:]] in ([], [RequestTooLarge])
        return time.process_time() - started

    good = min(cost(b"x") for _ in range(3))
    assert min(cost(b"X") for _ in range(3)) < 10 * good


def test_a_table_lives_across_blocks() -> None:
    """What one request has put in, the next may name; an entry is evicted by size."""
    stage = Stage(Role.SERVER)
    for number in range(100):
        stage.hear(h2.headers(2 * number + 1, START + h2.remembered(b"n%02d" % number, b"x" * 65)))
    fields = START + h2.indexed(62) + h2.indexed(62 + 39)  # 100 bytes each: forty in 4096

    (event,) = stage.hear(h2.headers(201, fields))

    assert isinstance(event, HeadersReceived)
    assert [name for name, _ in event.headers[len(REQUEST) :]] == [b"n99", b"n60"]
    stage.hear(h2.headers(203, START + h2.indexed(62 + 40)))
    stage.has_failed(COMPRESSION)


def test_a_peer_that_puts_in_a_value_with_each_call() -> None:
    """As Envoy does with its request ids: what was put in before moves on, until it is evicted."""
    stage, encoder = Stage(Role.SERVER), Encoder()
    for number in range(300):
        own = (b"x-request-id", b"%036d" % number)
        block = encoder.encode([*REQUEST, own, (b"x-team", b"rates"), own])
        (event,) = stage.hear(h2.headers(2 * number + 1, block, end=True))
        assert isinstance(event, HeadersReceived)
        assert event.headers == (*REQUEST, own, (b"x-team", b"rates"), own)


def test_a_malformed_field_stays_one_in_the_table() -> None:
    """Each block that names it is malformed, wherever it has moved to; others are not."""
    stage = Stage(Role.SERVER)
    stage.hear(h2.headers(1, START + h2.remembered(b"X", b"1")))
    for number in range(5):
        stage.hear(h2.headers(4 * number + 3, START + h2.remembered(b"a", b"%d" % number)))
        stage.frames()
        stage.hear(h2.headers(4 * number + 5, START + h2.indexed(63 + number)))
        (reset,) = stage.frames()
        assert (reset.kind, reset.stream) == (h2.Kind.RST_STREAM, 4 * number + 5)


def test_what_is_put_in_costs_the_same_beside_many_fields() -> None:
    """Fields that are named by index are not looked at anew because another was put in."""
    block = h2.block(REQUEST)

    def extra(fields: int) -> int:
        named = h2.indexed(16) * fields
        value = h2.string(b"x-a") + h2.string(b"1")
        return _calls(block + named + b"\x40" + value) - _calls(block + named + b"\x00" + value)

    assert extra(100) == extra(10)


def _calls(block: bytes) -> int:
    """Returns how many functions are called to read a block that comes again and again, not in a row."""
    decoder = HeaderDecoder(16_384)
    calls = 0

    def count(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    for last in (b"0", b"1", b"2"):
        decoder.decode(block)
        decoder.decode(block[:-1] + last)
    sys.setprofile(count)
    try:
        decoder.decode(block)
    finally:
        sys.setprofile(None)
    return calls


def test_a_block_that_comes_again() -> None:
    """It is the same section, until the table has moved; then it is read anew."""
    decoder = HeaderDecoder(16_384)
    put_in = [b"\x40" + h2.string(b"x-a") + h2.string(value) for value in (b"1", b"2")]
    block = h2.indexed(62) + b"\x00" + h2.string(b"x-b") + h2.string(b"3")
    decoder.decode(put_in[0])
    first = decoder.decode(block)

    assert decoder.decode(block) is first
    assert decoder.decode(b"") != first
    assert decoder.decode(block).headers == ((b"x-a", b"1"), (b"x-b", b"3"))
    assert decoder.decode(put_in[1]).headers == decoder.decode(h2.indexed(62)).headers
    assert decoder.decode(block).headers == ((b"x-a", b"2"), (b"x-b", b"3"))
    long = b"\x00" + h2.string(b"x-c") + b"\x7f" + b"\x81\x10" + b"y" * 2176
    assert decoder.decode(long).headers == ((b"x-c", b"y" * 2176),)
    assert decoder.decode(b"").headers == ()


def test_a_begin_that_is_known_means_another_field_once_the_table_has_moved() -> None:
    """A block that begins like one before is read with the table as it is now."""
    decoder = HeaderDecoder(16_384)
    kept = [b"\x40" + h2.string(b"x-a") + h2.string(value) for value in (b"1", b"2")]
    more = b"\x00" + h2.string(b"x-b") + h2.string(b"3")
    for put_in, value in zip(kept, (b"1", b"2"), strict=True):
        decoder.decode(put_in)
        for _ in range(2):
            assert decoder.decode(h2.indexed(62) + more).headers == (
                (b"x-a", value),
                (b"x-b", b"3"),
            )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (b":method", b"POST"),
        (b":authority", b"a"),
        (b"content-length", b"1"),
        (b"host", b"b"),
    ],
)
def test_what_follows_a_begin_that_is_known_is_looked_at_together_with_it(
    name: bytes, value: bytes
) -> None:
    """8.3: what cannot stand behind a begin is malformed, however often that has come with something else."""
    decoder = HeaderDecoder(16_384)
    for field in ((b":authority", b"a"), (b"content-length", b"2")):
        decoder.decode(b"\x40" + h2.string(field[0]) + h2.string(field[1]))
    begin = b"".join(map(h2.indexed, (2, 6, 4, 63, 62)))  # GET, http, /, and what was put in

    def length(name: bytes, value: bytes) -> int | None:
        more = b"\x00" + h2.string(name) + h2.string(value)
        return decoder.decode(begin + more).check_request()

    assert length(b"x-a", b"1") == length(b"host", b"A") == length(b"content-length", b"2") == 2
    with pytest.raises(ValueError, match="not"):
        length(name, value)
    assert length(b"x-a", b"1") == 2


NAMES = st.sampled_from(
    [b"x-a", b"x-b", b"grpc-timeout", b"user-agent", b"authorization", b"x" * 90]
)
VALUES = st.binary(max_size=60).map(lambda value: value.translate(None, b"\r\n\0").strip(b" \t"))
SECTIONS = st.lists(
    st.tuples(st.lists(st.tuples(NAMES, VALUES), max_size=6), st.booleans()),
    min_size=1,
    max_size=12,
)


@settings(max_examples=40)
@given(SECTIONS, st.sampled_from([0, 100, 4096]))
def test_what_another_encodes_is_read(
    sections: list[tuple[list[tuple[bytes, bytes]], bool]], size: int
) -> None:
    """Any sequence of sections, with Huffman codes and without, with any table."""
    stage, encoder = Stage(Role.SERVER), Encoder()
    encoder.header_table_size = size
    for number, (fields, coded) in enumerate(sections):
        whole = (*REQUEST, *fields)
        block = encoder.encode(list(whole), huffman=coded)
        (event,) = stage.hear(h2.headers(2 * number + 1, block, end=True))
        assert event == HeadersReceived(2 * number + 1, whole, end_stream=True, is_trailers=False)


@settings(max_examples=40)
@given(SECTIONS, st.sampled_from([0, 100, 4096, 65536]))
def test_what_we_encode_another_reads(
    sections: list[tuple[list[tuple[bytes, bytes]], bool]], size: int
) -> None:
    """Any sequence of sections, with any table that the peer allows."""
    stage = Stage(Role.SERVER, peer_settings=[(1, size)])
    stage.decoder.max_allowed_table_size = size
    stage.decoder.header_table_size = min(size, 4096)
    for number, (fields, _) in enumerate(sections):
        stage.hear(h2.headers(2 * number + 1, REQUEST))
        whole: Headers = (*ANSWER, *fields)
        stage.connection.send_headers(2 * number + 1, whole, end_stream=True)
        assert stage.fields(stage.frames()) == [whole]


@given(st.binary(max_size=200))
def test_5_2_any_bytes_in_the_huffman_code(text: bytes) -> None:
    """Are read as they were written."""
    assert huffman.decode(HuffmanEncoder(REQUEST_CODES, REQUEST_CODES_LENGTH).encode(text)) == text


@given(st.binary(max_size=8))
def test_5_2_any_bytes_as_the_huffman_code(octets: bytes) -> None:
    """Are refused where another decoder refuses them, and read as it reads them."""
    try:
        text = decode_huffman(octets)
    except HPACKDecodingError:
        with pytest.raises(HPACKDecodingError):
            huffman.decode(octets)
    else:
        assert huffman.decode(octets) == text


@pytest.mark.parametrize("name", [b"authorization", b"cookie", b"x-api-key"])
def test_7_1_3_secrets_do_not_leave_with_what_may_be_guessed(name: bytes) -> None:
    """Whether a secret enters the table is ours to choose; that it is read whole is not."""
    stage = Stage(Role.CLIENT)
    for _ in range(3):
        stage.connection.open_stream((*REQUEST, (name, b"secret")))
        assert stage.fields(stage.frames())[0][-1] == (name, b"secret")


@pytest.mark.parametrize("name", [b"authorization", b"cookie"])
def test_7_1_3_no_proxy_is_to_put_a_secret_into_a_table(name: bytes) -> None:
    """A literal that is never indexed, however often it is written."""
    encoder = HeaderEncoder()
    for value in (b"secret", b"secret", b"another"):
        assert encoder.encode(((name, value),))[0] & 0xF0 == 0x10
    assert encoder.encode(((b"x-other", b"secret"),))[0] & 0xF0 == 0


def test_more_kinds_of_fields_than_are_kept() -> None:
    """Are written as all others, before and after; the first of them too, when they come again."""
    encoder, decoder = HeaderEncoder(), Decoder()
    fields = [(b"x-%d" % (number % 700), b"v" * (number % 300)) for number in range(1400)]
    for field in fields:
        assert tuple(decoder.decode(encoder.encode((field,)), raw=True)) == (field,)
