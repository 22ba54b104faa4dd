"""Content codings: which a request's body may have, its decoding in pieces, and the coding of an answer.

Sources: RFC 9110, 8.4 (`Content-Encoding`), 8.4.1.2 (`deflate` is zlib's format, RFC 1950), 8.4.1.3 (`gzip`,
RFC 1952, of which several members may follow one another; `x-gzip` is the same) and 12.5.3
(`Accept-Encoding`, of a request and of an answer). A body has one coding at most: each more would multiply
the work for a byte.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from functools import lru_cache
from typing import Final, NamedTuple, Protocol

from gateway.transcoding.negotiation import media_type, weighted
from gateway.transcoding.status import (
    INVALID_ARGUMENT,
    RESOURCE_EXHAUSTED,
    StatusError,
    bad_request,
)
from gateway.transcoding.violations import quoted
from grpc_wire.limits import INFLATION, INFLATION_FREE, max_inflated

_PIECE: Final = 16 * 1024
"""Bytes of the largest decoded piece."""
_STEP: Final = 4 * 1024
"""Encoded bytes that zlib is given at a time; it copies what it leaves of them."""
_KEPT: Final = 256
_GZIP: Final = "gzip"
_DEFLATE: Final = "deflate"
_NAMES: Final = {_GZIP: _GZIP, "x-gzip": _GZIP, _DEFLATE: _DEFLATE}
_FORMAT: Final = {_GZIP: 16, _DEFLATE: 0}
"""What zlib wants added to the size of its window, by coding; the caller's first choice comes first."""
_LEVEL: Final = 1
"""zlib's fastest: the next ones take twice the time for a tenth less."""
_LARGE: Final = (zlib.MAX_WBITS, 8)
_SMALL: Final = (13, 6)
"""Window (its binary logarithm) and `memLevel` of zlib for small bodies; large ones take 50 µs to clear."""
_SMALL_BYTES: Final = 16 * 1024
_OF_STREAM: Final = (12, 5)
"""The same for a stream, which keeps its 28 KiB as long as it lasts."""
_COMPRESSIBLE: Final = frozenset(
    {
        *("application/json", "application/json-seq", "application/x-ndjson", "application/xml"),
        *("application/javascript", "application/yaml", "application/x-yaml", "application/toml"),
    }
)


class ContentDecoder(Protocol):
    """Decodes one body as it arrives."""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yields the decoded bytes in pieces of at most 16 KiB, some of which may be empty.

        The work for a piece is bounded, whatever the data are, so other work can be done between two.

        Raises:
            StatusError: INVALID_ARGUMENT, the data are not of the coding that the body is said to have; 413,
                what they stand for is larger than a message of their size may be over gRPC (`max_inflated`).
        """
        ...

    def close(self) -> None:
        """Checks, behind the end of the body, that its data were complete.

        Raises:
            StatusError: INVALID_ARGUMENT, they were not.
        """
        ...


def content_decoder(content_encoding: str) -> ContentDecoder:
    """Returns what decodes a body with this `Content-Encoding`; empty is none.

    Raises:
        StatusError: 415, the coding is not known here, or there are several.
    """
    coding = _coding(content_encoding) if content_encoding else ""
    return _ZlibDecoder(coding) if coding else _IDENTITY


@lru_cache(maxsize=_KEPT)
def _coding(content_encoding: str) -> str:
    """Returns the one coding that a body has; empty if it has none."""
    names = [name.strip().lower() for name in content_encoding.split(",")]
    codings = [name for name in names if name not in ("", "identity")]
    if not codings:
        return ""
    if len(codings) > 1 or codings[0] not in _NAMES:
        raise StatusError.of(
            INVALID_ARGUMENT,
            f"a body with Content-Encoding {quoted(content_encoding)} is not taken",
            http_status=415,
            headers=((b"accept-encoding", ", ".join(_FORMAT).encode()),),
        )
    return _NAMES[codings[0]]


class _Identity:
    """For a body that has no coding."""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yields the data as they are."""
        yield data

    def close(self) -> None:
        """Finds nothing wrong."""


_IDENTITY: Final = _Identity()


class _ZlibDecoder:
    """Decodes gzip, of one member or several, or deflate."""

    def __init__(self, coding: str) -> None:
        self._coding = coding
        self._stream: zlib._Decompress | None = None
        """The member that is read; None before the first and between two."""
        self._ended = False
        """Whether a member has ended."""
        self._came = self._decoded = 0
        """Bytes of the body so far, as it came and decoded."""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yields the decoded bytes in pieces."""
        self._came += len(data)
        for begin in range(0, len(data), _STEP):
            rest = data[begin : begin + _STEP]
            more = True
            while more:
                piece, rest = self._decode(rest)
                # a full piece may have left some of its output behind in zlib
                more = bool(rest) or (len(piece) == _PIECE and self._stream is not None)
                self._check_size(len(piece))
                yield piece

    def _check_size(self, more: int) -> None:
        self._decoded += more
        if self._decoded > max_inflated(self._came):
            raise StatusError.of(
                RESOURCE_EXHAUSTED,
                f"the body is larger than {INFLATION} times its size in {self._coding}, "
                f"and than {INFLATION_FREE} bytes",
                http_status=413,
            )

    def _decode(self, data: bytes) -> tuple[bytes, bytes]:
        """Decodes one piece of one member; returns it, and the data behind it."""
        stream = self._stream
        if stream is None:
            if self._ended and self._coding != _GZIP:
                raise self._wrong("there is more after its end")
            stream = self._stream = zlib.decompressobj(_FORMAT[self._coding] + zlib.MAX_WBITS)
        try:
            piece = stream.decompress(data, _PIECE)
        except zlib.error:
            behind = "there is something else after its end" if self._ended else "it is not"
            raise self._wrong(behind) from None
        if not stream.eof:
            return piece, stream.unconsumed_tail
        self._stream, self._ended = None, True
        return piece, stream.unused_data

    def close(self) -> None:
        """Checks that the last member was complete."""
        if self._stream is not None:
            raise self._wrong("it ends too early")

    def _wrong(self, problem: str) -> StatusError:
        return bad_request(
            [("content-encoding", f"the body is said to be {self._coding}: {problem}")]
        )


class AcceptedCoding(NamedTuple):
    """What an `Accept-Encoding` means for an answer."""

    coding: str
    """The one that the caller likes best; empty is none."""
    required: bool
    """Whether the caller refuses an answer without it (`identity;q=0`)."""


@lru_cache(maxsize=_KEPT)
def accepted_coding(accept_encoding: str) -> AcceptedCoding:
    """Reads an `Accept-Encoding`; of equals gzip is first, and a caller that says nothing asks for none."""
    weights: dict[str, float] = {}
    for item in weighted(accept_encoding):
        name = _NAMES.get(item.name, item.name)
        weights[name] = max(item.quality, weights.get(name, 0.0))
    others = weights.get("*", 0.0)
    coding = max(_FORMAT, key=lambda name: weights.get(name, others))
    weight = weights.get(coding, others)
    if weight <= 0 or weight < weights.get("identity", 0.0):
        return AcceptedCoding("", required=False)
    refused = weights.get("identity", weights.get("*", 1.0)) == 0
    return AcceptedCoding(coding, required=refused)


@lru_cache(maxsize=_KEPT)
def is_compressible(content_type: str) -> bool:
    """Whether data of a type are likely to become smaller; those of media mostly are compressed already."""
    name = media_type(content_type)
    return name in _COMPRESSIBLE or name.startswith("text/") or name.endswith(("+json", "+xml"))


def compress(data: bytes, coding: str) -> bytes:
    """Returns a whole body in a coding."""
    wbits, memory = _SMALL if len(data) <= _SMALL_BYTES else _LARGE
    stream = zlib.compressobj(_LEVEL, zlib.DEFLATED, _FORMAT[coding] + wbits, memory)
    return stream.compress(data) + stream.flush()


class StreamCompressor:
    """Compresses a body that goes on: what was given is all in what was returned."""

    __slots__ = ("_stream",)

    def __init__(self, coding: str) -> None:
        wbits, memory = _OF_STREAM
        self._stream = zlib.compressobj(_LEVEL, zlib.DEFLATED, _FORMAT[coding] + wbits, memory)

    def compress(self, data: bytes) -> bytes:
        """Returns the next bytes, which end where a reader can decode all of `data`."""
        return self._stream.compress(data) + self._stream.flush(zlib.Z_SYNC_FLUSH)

    def finish(self, data: bytes) -> bytes:
        """Returns the last bytes, with the checksum."""
        return self._stream.compress(data) + self._stream.flush()
