"""Content codings: incremental decoding of request bodies, and compression of responses.

Sources: RFC 9110, 8.4 (`Content-Encoding`), 8.4.1.2 (`deflate` is zlib's format, RFC 1950), 8.4.1.3 (`gzip`,
RFC 1952, with one or more members; `x-gzip` is the same) and 12.5.3 (`Accept-Encoding`, in requests and
responses). A body may have one coding: each further one would multiply the decompressed size.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from functools import lru_cache
from typing import Final, NamedTuple, Protocol

from gateway.transcoding.negotiation import media_type, parse_weighted
from gateway.transcoding.status import (
    INVALID_ARGUMENT,
    RESOURCE_EXHAUSTED,
    StatusError,
    bad_request,
)
from gateway.transcoding.violations import quoted
from grpc_wire.call.message import INFLATION, INFLATION_FREE, max_inflated

_PIECE: Final = 16 * 1024
"""Maximum bytes of a decoded piece."""
_STEP: Final = 4 * 1024
"""Encoded bytes per call of zlib, which copies unconsumed input."""
_CACHE_SIZE: Final = 256
_GZIP: Final = "gzip"
_DEFLATE: Final = "deflate"
_NAMES: Final = {_GZIP: _GZIP, "x-gzip": _GZIP, _DEFLATE: _DEFLATE}
_FORMAT: Final = {_GZIP: 16, _DEFLATE: 0}
"""Coding -> flag added to zlib's `wbits`; in order of preference."""
_LEVEL: Final = 1
"""zlib's fastest level; the next ones take twice the time for 10 % fewer bytes."""
_LARGE: Final = (zlib.MAX_WBITS, 8)
"""zlib's `wbits` and `memLevel` for a whole body of more than `_SMALL_BYTES`."""
_SMALL: Final = (13, 6)
"""The same for a smaller body; clearing the memory of `_LARGE` takes 50 µs."""
_SMALL_BYTES: Final = 16 * 1024
_STREAM: Final = (12, 5)
"""The same for a stream, which holds its 28 KiB until it ends."""
_COMPRESSIBLE: Final = frozenset(
    {
        *("application/json", "application/json-seq", "application/x-ndjson", "application/xml"),
        *("application/javascript", "application/yaml", "application/x-yaml", "application/toml"),
    }
)


class ContentDecoder(Protocol):
    """Decodes one body incrementally."""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yields the decoded bytes in pieces of at most 16 KiB; a piece may be empty.

        The work per piece is bounded for any input, so the caller can yield to the event loop between pieces.

        Raises:
            StatusError: INVALID_ARGUMENT, the data do not have the coding of `Content-Encoding`; over HTTP
                413, the body decompresses to more than `max_inflated` allows.
        """
        ...

    def close(self) -> None:
        """Checks that the data were complete; called at the end of the body.

        Raises:
            StatusError: INVALID_ARGUMENT, the data are truncated.
        """
        ...


def content_decoder(content_encoding: str) -> ContentDecoder:
    """Returns the decoder for a `Content-Encoding`; empty: no coding.

    Raises:
        StatusError: over HTTP 415, the coding is not supported, or there are several.
    """
    coding = _coding(content_encoding) if content_encoding else ""
    return _ZlibDecoder(coding) if coding else _IDENTITY


@lru_cache(maxsize=_CACHE_SIZE)
def _coding(content_encoding: str) -> str:
    """Returns the coding of a body; empty: none."""
    names = [name.strip().lower() for name in content_encoding.split(",")]
    codings = [name for name in names if name not in ("", "identity")]
    if not codings:
        return ""
    if len(codings) > 1 or codings[0] not in _NAMES:
        raise StatusError.of(
            INVALID_ARGUMENT,
            f"Content-Encoding {quoted(content_encoding)} is not supported",
            http_status=415,
            headers=((b"accept-encoding", ", ".join(_FORMAT).encode()),),
        )
    return _NAMES[codings[0]]


class _IdentityDecoder:
    """Decodes a body without a coding."""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yields the data unchanged."""
        yield data

    def close(self) -> None:
        """Does nothing."""


_IDENTITY: Final = _IdentityDecoder()


class _ZlibDecoder:
    """Decodes gzip, with one or more members, or deflate."""

    def __init__(self, coding: str) -> None:
        self._coding = coding
        self._stream: zlib._Decompress | None = None
        """Decompressor of the current member; None before the first and between members."""
        self._ended = False
        """Whether a member has ended."""
        self._received = self._decoded = 0
        """Bytes of the body so far, encoded and decoded."""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yields the decoded bytes in pieces."""
        self._received += len(data)
        for start in range(0, len(data), _STEP):
            rest = data[start : start + _STEP]
            more = True
            while more:
                piece, rest = self._decode(rest)
                # after a full piece zlib may have more output
                more = bool(rest) or (len(piece) == _PIECE and self._stream is not None)
                self._check_size(len(piece))
                yield piece

    def _check_size(self, more: int) -> None:
        self._decoded += more
        if self._decoded > max_inflated(self._received):
            raise StatusError.of(
                RESOURCE_EXHAUSTED,
                f"the body is larger than {INFLATION} times its size in {self._coding}, "
                f"and than {INFLATION_FREE} bytes",
                http_status=413,
            )

    def _decode(self, data: bytes) -> tuple[bytes, bytes]:
        """Decodes one piece of one member; returns the piece and the unconsumed data."""
        stream = self._stream
        if stream is None:
            if self._ended and self._coding != _GZIP:
                raise self._invalid("more data after its end")
            stream = self._stream = zlib.decompressobj(_FORMAT[self._coding] + zlib.MAX_WBITS)
        try:
            piece = stream.decompress(data, _PIECE)
        except zlib.error:
            problem = "invalid data after its end" if self._ended else "invalid data"
            raise self._invalid(problem) from None
        if not stream.eof:
            return piece, stream.unconsumed_tail
        self._stream, self._ended = None, True
        return piece, stream.unused_data

    def close(self) -> None:
        """Checks that the last member was complete."""
        if self._stream is not None:
            raise self._invalid("it is truncated")

    def _invalid(self, problem: str) -> StatusError:
        return bad_request(
            [("content-encoding", f"the body is not valid {self._coding}: {problem}")]
        )


class AcceptedCoding(NamedTuple):
    """The result of negotiating `Accept-Encoding`."""

    coding: str
    """The coding that the caller prefers; empty: none."""
    required: bool
    """Whether the caller refuses a response without it (`identity;q=0`)."""


@lru_cache(maxsize=_CACHE_SIZE)
def accepted_coding(accept_encoding: str) -> AcceptedCoding:
    """Parses an `Accept-Encoding`. Of equal weights gzip wins; without the header there is no coding."""
    weights: dict[str, float] = {}
    for item in parse_weighted(accept_encoding):
        name = _NAMES.get(item.name, item.name)
        weights[name] = max(item.quality, weights.get(name, 0.0))
    others = weights.get("*", 0.0)
    coding = max(_FORMAT, key=lambda name: weights.get(name, others))
    weight = weights.get(coding, others)
    if weight <= 0 or weight < weights.get("identity", 0.0):
        return AcceptedCoding("", required=False)
    refused = weights.get("identity", weights.get("*", 1.0)) == 0
    return AcceptedCoding(coding, required=refused)


@lru_cache(maxsize=_CACHE_SIZE)
def is_compressible(content_type: str) -> bool:
    """Whether compression pays for a media type; images, audio and video are mostly compressed already."""
    name = media_type(content_type)
    return name in _COMPRESSIBLE or name.startswith("text/") or name.endswith(("+json", "+xml"))


def compress(data: bytes, coding: str) -> bytes:
    """Compresses a whole body."""
    wbits, memory = _SMALL if len(data) <= _SMALL_BYTES else _LARGE
    stream = zlib.compressobj(_LEVEL, zlib.DEFLATED, _FORMAT[coding] + wbits, memory)
    return stream.compress(data) + stream.flush()


class StreamCompressor:
    """Compresses a body in parts; a reader can decode each part when it arrives."""

    __slots__ = ("_stream",)

    def __init__(self, coding: str) -> None:
        wbits, memory = _STREAM
        self._stream = zlib.compressobj(_LEVEL, zlib.DEFLATED, _FORMAT[coding] + wbits, memory)

    def compress(self, data: bytes) -> bytes:
        """Compresses the next part, and flushes."""
        return self._stream.compress(data) + self._stream.flush(zlib.Z_SYNC_FLUSH)

    def finish(self, data: bytes) -> bytes:
        """Compresses the last part, and ends the body with its checksum."""
        return self._stream.compress(data) + self._stream.flush()
