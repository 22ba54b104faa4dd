"""Content codings of a request's body: RFC 9110, 8.4; RFC 1950; RFC 1952."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.transcoding.content_coding import content_decoder
from gateway.transcoding.status import INVALID_ARGUMENT, StatusError

CODERS: dict[str, Callable[[bytes], bytes]] = {"gzip": gzip.compress, "deflate": zlib.compress}
MOST = 16 * 1024


def decoded(content_encoding: str, *chunks: bytes) -> bytes:
    """Decodes a body that comes in chunks."""
    decoder = content_decoder(content_encoding)
    pieces = [piece for chunk in chunks for piece in decoder.feed(chunk)]
    decoder.close()
    assert max(map(len, pieces), default=0) <= MOST
    return b"".join(pieces)


def refusal(content_encoding: str, *chunks: bytes) -> StatusError:
    """Returns the error that a body is."""
    with pytest.raises(StatusError) as caught:
        decoded(content_encoding, *chunks)
    return caught.value


@pytest.mark.parametrize("coding", CODERS)
@given(data=st.binary(max_size=300), cuts=st.lists(st.integers(0, 350), max_size=5))
def test_a_body_is_decoded_however_it_is_cut(coding: str, data: bytes, cuts: list[int]) -> None:
    """The same bytes come out, whatever pieces they come in."""
    encoded = CODERS[coding](data)
    edges = [0, *sorted(cut for cut in cuts if cut < len(encoded)), len(encoded)]
    chunks = [encoded[a:b] for a, b in pairwise(edges)]

    assert decoded(coding, *chunks) == data


@pytest.mark.parametrize(
    ("content_encoding", "coding"),
    [
        ("GZip", "gzip"),
        ("x-gzip", "gzip"),
        ("gzip, ", "gzip"),
        ("identity, gzip", "gzip"),
        ("Deflate", "deflate"),
        ("identity", ""),
        ("", ""),
        (" , identity", ""),
    ],
)
def test_a_coding_has_more_than_one_spelling(content_encoding: str, coding: str) -> None:
    """Names have no case, `x-gzip` is gzip, and `identity` is none (RFC 9110, 8.4.1 and 5.6.1)."""
    encoded = CODERS[coding](b"abc") if coding else b"abc"

    assert decoded(content_encoding, encoded) == b"abc"


@pytest.mark.parametrize("coding", ["br", "zstd", "compress", "gzip, gzip", "gzip;q=1", "\x00"])
def test_other_codings_are_415(coding: str) -> None:
    """So are several of them; the answer says which would be taken (RFC 9110, 12.5.3)."""
    with pytest.raises(StatusError) as caught:
        content_decoder(coding)

    assert caught.value.http_status == 415
    assert caught.value.headers == ((b"accept-encoding", b"gzip, deflate"),)


def test_members_of_gzip_follow_one_another() -> None:
    """They are one body (RFC 1952, 2.2), empty ones too."""
    members = [gzip.compress(part) for part in (b"ab", b"", b"c" * 100_000)]

    assert decoded("gzip", b"".join(members)) == b"ab" + b"c" * 100_000
    assert decoded("gzip", *members) == b"ab" + b"c" * 100_000


@pytest.mark.parametrize("coding", CODERS)
@pytest.mark.parametrize("behind", [b"\x00", b"x", b"garbage that is longer than a header"])
def test_what_follows_the_end_is_wrong(coding: str, behind: bytes) -> None:
    """In one piece with it, or later."""
    encoded = CODERS[coding](b"abc")

    for chunks in ((encoded + behind,), (encoded, behind)):
        assert refusal(coding, *chunks).code == INVALID_ARGUMENT


def test_deflate_has_one_stream_with_its_header() -> None:
    """It is zlib's format, and neither followed by another nor raw (RFC 9110, 8.4.1.2)."""
    raw = zlib.compressobj(wbits=-15)

    assert refusal("deflate", zlib.compress(b"a") * 2).http_status == 400
    assert refusal("deflate", raw.compress(b"a") + raw.flush()).http_status == 400


@pytest.mark.parametrize("coding", CODERS)
def test_what_ends_too_early_is_wrong(coding: str) -> None:
    """Wherever it is cut, the checksum included."""
    encoded = CODERS[coding](b"abc" * 10)

    for size in range(1, len(encoded)):
        error = refusal(coding, encoded[:size])
        assert (error.http_status, "truncated" in error.status.message) == (400, True)


@pytest.mark.parametrize("coding", CODERS)
def test_a_wrong_checksum_is_wrong(coding: str) -> None:
    """What was damaged on the way is not taken."""
    encoded = bytearray(CODERS[coding](b"abc" * 10))
    encoded[-5 if coding == "gzip" else -1] ^= 1

    assert refusal(coding, bytes(encoded)).http_status == 400


def test_a_bomb_comes_out_in_pieces() -> None:
    """Whoever has had enough has had no more than that."""
    bomb = gzip.compress(bytes(100 * 2**20))
    pieces = content_decoder("gzip").feed(bomb)

    assert sum(len(next(pieces)) for _ in range(64)) <= 64 * MOST


def test_empty_members_are_steps_too() -> None:
    """Many that say nothing are not worked through at once."""
    member = gzip.compress(b"")
    pieces = list(content_decoder("gzip").feed(member * 1000))

    assert len(pieces) >= 1000
    assert b"".join(pieces) == b""


@given(st.binary(max_size=200))
def test_whatever_comes_is_refused_or_what_zlib_makes_of_it(data: bytes) -> None:
    """No other exception is raised, and nothing is made up."""
    for coding, wbits in (("gzip", 31), ("deflate", 15)):
        try:
            found = decoded(coding, data)
        except StatusError:
            continue
        assert found == (zlib.decompress(data, wbits) if data else b"")
