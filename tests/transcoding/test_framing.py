"""Framings: the same frames before the same fault, however the bytes are cut; and the bytes of each end."""
# ruff: noqa: E501 -- one case, one row

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.transcoding.frame_decoders import (
    FrameDecoder,
    FrameError,
    FrameTooLarge,
    JsonArrayDecoder,
    JsonSeqDecoder,
    NdjsonDecoder,
    SniffingDecoder,
)
from gateway.transcoding.frame_encoders import (
    FrameEncoder,
    JsonArrayEncoder,
    JsonSeqEncoder,
    NdjsonEncoder,
    SseEncoder,
    gap_as_any,
    status_as_any,
)

Decoder = Callable[[int], FrameDecoder]
LIMIT = 24


def read(decoder: FrameDecoder, chunks: Iterable[bytes]) -> tuple[list[bytes], str]:
    """Returns the frames of a body that comes in these chunks, and the fault that ends it."""
    frames: list[bytes] = []
    try:
        for chunk in chunks:
            for frame in decoder.feed(chunk):
                frames.append(frame)  # noqa: PERF402 -- a fault must not lose those before it
        frames += decoder.close()
    except FrameError as error:
        return frames, f"{type(error).__name__} {error.number}: {error}"
    return frames, ""


def cuts(body: bytes) -> Iterator[list[bytes]]:
    """Yields a body whole, cut once and twice at every place, and byte by byte."""
    yield [body]
    yield [body[at : at + 1] for at in range(len(body))]
    for at in range(len(body) + 1):
        yield [body[:at], body[at:]]
    for one, two in itertools.combinations(range(len(body) + 1), 2):
        yield [body[:one], body[one:two], body[two:]]


LINES: list[tuple[str, bytes, list[bytes], str]] = [
    ("nothing", b"", [], ""),
    ("one line", b'{"a":1}\n', [b'{"a":1}'], ""),
    ("the last needs no end", b"{}\n[1]", [b"{}", b"[1]"], ""),
    ("empty lines are skipped", b"\n\n{}\n \t\r\n\n{}\n\n", [b"{}", b"{}"], ""),
    ("CRLF", b"{}\r\n{}\r\n", [b"{}\r", b"{}\r"], ""),
    ("UTF-8", '"é→😀"\n'.encode(), ['"é→😀"'.encode()], ""),
    ("what no JSON is a parser says", b"\x0b\n", [b"\x0b"], ""),
    ("a line of the limit", b"x" * LIMIT + b"\n", [b"x" * LIMIT], ""),
    ("one byte more", b"{}\n" + b"x" * (LIMIT + 1) + b"\n{}\n", [b"{}"], "FrameTooLarge 1: longer than 24 bytes"),
    ("more without an end", b"{}\n{}\n" + b"x" * (LIMIT + 1), [b"{}"] * 2, "FrameTooLarge 2: longer than 24 bytes"),
]  # fmt: skip
SEQUENCES: list[tuple[str, bytes, list[bytes], str]] = [
    ("nothing", b"", [], ""),
    ("nothing but space", b" \n\t", [], ""),
    ("one text", b'\x1e{"a":1}\n', [b'{"a":1}\n'], ""),
    ("a text of several lines", b"\x1e[1,\n2]\n\x1e3\n", [b"[1,\n2]\n", b"3\n"], ""),
    ("separators in a row are no texts", b"\x1e\x1e1\n\x1e\x1e\n\x1e2\n\x1e", [b"1\n", b"2\n"], ""),
    ("space before the first", b"\n \x1e1\n", [b"1\n"], ""),
    ("no separator", b"1\n\x1e2\n", [], "FrameError 0: expected a record separator, 0x1E"),
    ("one byte too long", b"\x1e1\n\x1e" + b"x" * LIMIT + b"\n\x1e", [b"1\n"], "FrameTooLarge 1: longer than 24 bytes"),
]  # fmt: skip
ARRAYS: list[tuple[str, bytes, list[bytes], str]] = [
    ("an empty array", b"[]", [], ""),
    ("an empty array with spaces", b" \t\r\n[ \n ] \r\n", [], ""),
    ("one element", b"[{}]", [b"{}"], ""),
    ("spaces", b' [ {"a": 1} , 2 ] ', [b'{"a": 1}', b"2"], ""),
    ("scalars", b'[1,"x",null]', [b"1", b'"x"', b"null"], ""),
    ("nested", b"[[1,[2]],{}]", [b"[1,[2]]", b"{}"], ""),
    ("objects with commas", b'[{"a":[1,2]},{"b":{}}]', [b'{"a":[1,2]}', b'{"b":{}}'], ""),
    ("brackets in strings", b'["],[","}{"]', [b'"],["', b'"}{"'], ""),
    ("quotes in strings", rb'["\"],[\"","\\"]', [rb'"\"],[\""', rb'"\\"'], ""),
    ("escapes at the end", rb'["\\\\\"",1]', [rb'"\\\\\""', b"1"], ""),
    ("UTF-8", '["é→😀",1]'.encode(), ['"é→😀"'.encode(), b"1"], ""),
    ("an element of the limit", b'["' + b"x" * (LIMIT - 2) + b'",1]', [b'"' + b"x" * (LIMIT - 2) + b'"', b"1"], ""),
    ("no array", b'{"a":1}', [], "FrameError 0: expected a JSON array"),
    ("nothing", b"", [], "FrameError 0: the body ends before the array does"),
    ("spaces alone", b"  ", [], "FrameError 0: the body ends before the array does"),
    ("cut after an element", b"[1,2", [b"1"], "FrameError 1: the body ends before the array does"),
    ("cut after a comma", b"[1,", [b"1"], "FrameError 1: the body ends before the array does"),
    ("cut in a string", b'[1,"a', [b"1"], "FrameError 1: the body ends before the array does"),
    ("cut in an escape", b'["a\\', [], "FrameError 0: the body ends before the array does"),
    ("a missing first element", b"[,1]", [], "FrameError 0: an element is missing before the comma"),
    ("a missing element", b"[1, ,2]", [b"1"], "FrameError 1: an element is missing before the comma"),
    ("a comma at the end", b"[1,]", [b"1"], "FrameError 1: an element is missing before the bracket"),
    ("a wrong bracket", b"[1,2}", [b"1"], "FrameError 1: '}' closes what is no object"),
    ("more after the array", b"[1] x", [b"1"], "FrameError 1: there is more after the array"),
    ("a second array", b"[1]\n[2]", [b"1"], "FrameError 1: there is more after the array"),
    ("a bracket too many", b"[1]]", [b"1"], "FrameError 1: there is more after the array"),
    ("an element too long", b'[1,"' + b"x" * LIMIT + b'"]', [b"1"], "FrameTooLarge 1: longer than 24 bytes"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("decoder", "body", "frames", "fault"),
    [
        *[(NdjsonDecoder, *row[1:]) for row in LINES],
        *[(JsonSeqDecoder, *row[1:]) for row in SEQUENCES],
        *[(JsonArrayDecoder, *row[1:]) for row in ARRAYS],
        *[(SniffingDecoder, *row[1:]) for row in LINES if row[0] != "CRLF"],
        *[(SniffingDecoder, *row[1:]) for row in ARRAYS if row[1].lstrip().startswith(b"[")],
        *[(SniffingDecoder, *row[1:]) for row in SEQUENCES if row[1].startswith(b"\x1e")],
    ],
    ids=[
        *[f"lines: {row[0]}" for row in LINES],
        *[f"sequence: {row[0]}" for row in SEQUENCES],
        *[f"array: {row[0]}" for row in ARRAYS],
        *[f"sniffed lines: {row[0]}" for row in LINES if row[0] != "CRLF"],
        *[f"sniffed array: {row[0]}" for row in ARRAYS if row[1].lstrip().startswith(b"[")],
        *[f"sniffed sequence: {row[0]}" for row in SEQUENCES if row[1].startswith(b"\x1e")],
    ],
)
def test_the_same_frames_however_they_are_cut(
    decoder: Decoder, body: bytes, frames: list[bytes], fault: str
) -> None:
    """Cut at every byte, at every two, or not at all: the same frames, and then the same fault."""
    for chunks in cuts(body):
        assert read(decoder(LIMIT), chunks) == (frames, fault), chunks


def test_a_body_of_no_type_is_read_by_its_first_byte() -> None:
    """An empty body has no frames, and a bracket makes an array."""
    assert read(SniffingDecoder(LIMIT), [b"", b"  "]) == ([], "")
    assert read(SniffingDecoder(LIMIT), [b" \n", b"[1,", b"2]"]) == ([b"1", b"2"], "")
    assert read(SniffingDecoder(LIMIT), [b" \n", b"1\n", b"[2]"]) == ([b"1", b"[2]"], "")


@pytest.mark.parametrize(
    ("decoder", "chunk"),
    [(NdjsonDecoder, b"x" * (LIMIT + 1)), (JsonArrayDecoder, b"[" + b"1" * (LIMIT + 1))],
)
def test_what_is_too_long_is_told_before_it_ends(decoder: Decoder, chunk: bytes) -> None:
    """A frame is refused as soon as it is longer than the limit, and no more of it is kept."""
    with pytest.raises(FrameTooLarge):
        list(decoder(LIMIT).feed(chunk))


def test_spaces_behind_an_array_are_not_kept() -> None:
    """Whatever follows an array but spaces is a fault, and spaces cost nothing."""
    decoder = JsonArrayDecoder(LIMIT)

    assert list(decoder.feed(b"[1]")) == [b"1"]
    for _ in range(LIMIT * 3):
        assert list(decoder.feed(b" ")) == []
    assert decoder.close() == []


MEGABYTE = 1 << 20
LONG_BODIES: list[tuple[str, Decoder, bytes]] = [
    ("one long line", NdjsonDecoder, b'"' + b"x" * MEGABYTE + b'"\n'),
    ("many short lines", NdjsonDecoder, b"{}\n" * (MEGABYTE // 12)),
    ("one long element", JsonArrayDecoder, b'["' + b"x" * MEGABYTE + b'"]'),
    ("many short elements", JsonArrayDecoder, b"[" + b"1," * (MEGABYTE // 8) + b"1]"),
    ("many brackets", JsonArrayDecoder, b"[" + b"[" * (MEGABYTE // 8) + b"]" * (MEGABYTE // 8) + b"]"),
    ("many escapes", JsonArrayDecoder, b'["' + b"\\\\" * (MEGABYTE // 8) + b'"]'),
    ("spaces before an array", JsonArrayDecoder, b" " * MEGABYTE + b"[]"),
    ("spaces behind an array", JsonArrayDecoder, b"[]" + b" " * MEGABYTE),
    ("spaces before lines", SniffingDecoder, b"\n" * MEGABYTE + b"1"),
]  # fmt: skip


@pytest.mark.parametrize("size", [1, 1 << 16])
@pytest.mark.parametrize(
    ("decoder", "body"), [row[1:] for row in LONG_BODIES], ids=[row[0] for row in LONG_BODIES]
)
def test_the_work_is_linear(decoder: Decoder, body: bytes, size: int) -> None:
    """A long body is read in seconds, however it is cut; work that is not linear would take minutes."""
    started = time.process_time()

    _, fault = read(
        decoder(2 * MEGABYTE), (body[at : at + size] for at in range(0, len(body), size))
    )

    assert fault == ""
    assert time.process_time() - started < 8


class _Encoding:
    """What an encoder writes, from its start to one of its ends."""

    def __init__(self, encoder: FrameEncoder) -> None:
        self._encoder = encoder

    def clean(self, *messages: bytes, idle: bool = False) -> bytes:
        pause = self._encoder.heartbeat() if idle else b""
        body = b"".join(self._message(*numbered) + pause for numbered in enumerate(messages, 1))
        return self._encoder.start() + pause + body + self._encoder.end()

    def failed(self, *messages: bytes, retry: int | None = None) -> bytes:
        body = b"".join(itertools.starmap(self._message, enumerate(messages, 1)))
        end = self._encoder.error(STATUS, retry)
        assert end is not None
        return self._encoder.start() + body + end

    def missed(self, *messages: bytes) -> bytes:
        """Returns a stream with a gap after each message."""
        body = (
            self._message(*numbered) + self._encoder.gap(GAP, b"a-%d" % (numbered[0] + 3))
            for numbered in enumerate(messages, 1)
        )
        return self._encoder.start() + b"".join(body) + self._encoder.end()

    def _message(self, number: int, message: bytes) -> bytes:
        return self._encoder.message(message, b"a-%d" % number)


STATUS = b'{"code":5,"message":"gone"}'
AS_ANY = b'{"@type":"type.googleapis.com/google.rpc.Status","code":5,"message":"gone"}'
GAP = b'{"missed":3}'
GAP_AS_ANY = b'{"@type":"type.googleapis.com/gateway.v1.Gap","missed":3}'


def sse() -> SseEncoder:
    """Returns an encoder of events."""
    return SseEncoder(2000)


WRITTEN: list[tuple[Callable[[], Any], str, bytes, bytes, bytes, bytes]] = [
    (
        NdjsonEncoder,
        "application/x-ndjson",
        b"",
        b"1\n2\n",
        b"1\n" + AS_ANY + b"\n",
        AS_ANY + b"\n",
    ),
    (
        JsonArrayEncoder,
        "application/json",
        b"[]",
        b"[1,2]",
        b"[1," + AS_ANY + b"]",
        b"[" + AS_ANY + b"]",
    ),
    (
        JsonSeqEncoder,
        "application/json-seq",
        b"",
        b"\x1e1\n\x1e2\n",
        b"\x1e1\n\x1e" + AS_ANY + b"\n",
        b"\x1e" + AS_ANY + b"\n",
    ),
    (
        sse,
        "text/event-stream",
        b"retry: 2000\n\nid: end\nevent: end\ndata: {}\n\n",
        b"retry: 2000\n\nid: a-1\ndata: 1\n\nid: a-2\ndata: 2\n\nid: end\nevent: end\ndata: {}\n\n",
        b"retry: 2000\n\nid: a-1\ndata: 1\n\nid: end\nevent: error\ndata: " + STATUS + b"\n\n",
        b"retry: 2000\n\nid: end\nevent: error\ndata: " + STATUS + b"\n\n",
    ),
]


@pytest.mark.parametrize(
    ("encoder", "media_type", "none", "two", "failed", "failed_at_once"),
    WRITTEN,
    ids=[row[0].__name__ for row in WRITTEN],
)
def test_writes_its_ends(
    encoder: Callable[[], Any],
    media_type: str,
    none: bytes,
    two: bytes,
    failed: bytes,
    failed_at_once: bytes,
) -> None:
    """Each framing has a clean end and an end with an error, in exactly these bytes."""
    assert encoder().media_type == media_type
    assert _Encoding(encoder()).clean() == none
    assert _Encoding(encoder()).clean(b"1", b"2") == two
    assert _Encoding(encoder()).failed(b"1") == failed
    assert _Encoding(encoder()).failed() == failed_at_once


def test_an_error_that_may_pass_says_when_to_come_back() -> None:
    """Such an end leaves the last id as it is, so that a caller which comes back goes on from there."""
    expected = b"id: a-1\ndata: 1\n\nretry: 2500\nevent: error\ndata: " + STATUS + b"\n\n"

    assert _Encoding(sse()).failed(b"1", retry=2500) == b"retry: 2000\n\n" + expected


@pytest.mark.parametrize(
    ("encoder", "expected"),
    [
        (NdjsonEncoder, b"1\n" + GAP_AS_ANY + b"\n"),
        (JsonSeqEncoder, b"\x1e1\n\x1e" + GAP_AS_ANY + b"\n"),
        (JsonArrayEncoder, b"[1," + GAP_AS_ANY + b"]"),
        (
            sse,
            b"retry: 2000\n\nid: a-1\ndata: 1\n\nid: a-4\nevent: gap\ndata: " + GAP + b"\n\n"
            b"id: end\nevent: end\ndata: {}\n\n",
        ),
    ],
)
def test_writes_gaps(encoder: Callable[[], Any], expected: bytes) -> None:
    """Missing messages are told in their place, in exactly these bytes."""
    assert _Encoding(encoder()).missed(b"1") == expected


@pytest.mark.parametrize("encoder", [NdjsonEncoder, JsonSeqEncoder, JsonArrayEncoder, sse])
def test_a_cut_is_no_end(encoder: Callable[[], Any]) -> None:
    """A stream that was cut after a message is not what a clean end or an error looks like."""
    cut = encoder().start() + encoder().message(b"1", b"a-1")

    assert cut not in (_Encoding(encoder()).failed(), _Encoding(encoder()).failed(b"1"))
    if encoder not in (NdjsonEncoder, JsonSeqEncoder):  # their clean end is the HTTP message's
        assert cut != _Encoding(encoder()).clean(b"1")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
)  # fmt: skip
VALUES = st.lists(JSON, max_size=5)


@pytest.mark.parametrize(
    ("encoder", "decoder"),
    [
        (NdjsonEncoder, NdjsonDecoder),
        (JsonSeqEncoder, JsonSeqDecoder),
        (JsonArrayEncoder, JsonArrayDecoder),
    ],
)
@given(values=VALUES, idle=st.booleans(), places=st.lists(st.integers(0, 200), max_size=6))
@settings(deadline=None)
def test_what_is_written_is_read(
    encoder: type[Any], decoder: Decoder, values: list[Any], idle: bool, places: list[int]
) -> None:
    """What an encoder writes, with signs of life between, its decoder reads, however it is cut."""
    messages = [json.dumps(value, ensure_ascii=False).encode() for value in values]
    body = _Encoding(encoder()).clean(*messages, idle=idle)
    marks = sorted({0, len(body), *(place for place in places if place < len(body))})

    frames, fault = read(decoder(10_000), [body[a:b] for a, b in itertools.pairwise(marks)])

    assert fault == ""
    assert [json.loads(frame) for frame in frames] == values


@given(VALUES, st.booleans())
@settings(deadline=None)
def test_events_are_read_as_browsers_do(values: list[Any], idle: bool) -> None:
    """What the encoder of events writes, the algorithm of the HTML standard reads as one event a message."""
    messages = [json.dumps(value).encode() for value in values]
    text = _Encoding(sse()).clean(*messages, idle=idle).decode()
    events: list[tuple[str, str]] = []
    name = ""
    data: list[str] = []
    for line in text.split("\n"):
        key, _, value = line.partition(":")
        if not line:
            if data:
                events.append((name, "\n".join(data)))
            name, data = "", []
        elif key == "event":
            name = value.removeprefix(" ")
        elif key == "data":
            data.append(value.removeprefix(" "))

    assert [json.loads(text) for event, text in events if not event] == values
    assert events[-1] == ("end", "{}")


def test_a_status_in_a_stream_is_an_any() -> None:
    """The Status has a type of its own among messages, with all that it had."""
    assert status_as_any(STATUS) == AS_ANY


def test_a_gap_in_a_stream_is_an_any() -> None:
    """The Gap has a type of its own among messages."""
    assert gap_as_any(GAP) == GAP_AS_ANY
