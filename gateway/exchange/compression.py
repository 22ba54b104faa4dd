"""Which answers are compressed: those whose caller asks, of a type and a size for which it pays.

What the server says of its answer is respected: a coding that it has already, `no-transform`, a range, and an
entity tag that stands for these very bytes (RFC 9110, 8.8.3 and 7.7; RFC 9111, 5.2.2.6). An answer that would
have been compressed for somebody else says so by `Vary` (RFC 9110, 12.5.5).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from gateway.transcoding.content_coding import (
    StreamCompressor,
    accepted_coding,
    compress,
    is_compressible,
)
from gateway.transcoding.metadata import Headers

_VARY: Final = (b"vary", b"Accept-Encoding")
_LONGEST_TYPE: Final = 128
"""Characters of a media type that are looked at, and kept; an HttpBody may say anything."""
_CODED: Final = frozenset({b"content-encoding", b"content-range"})


@dataclass(frozen=True, slots=True)
class Compression:
    """What an operator allows."""

    whole: bool
    """Whether answers of one message, and errors, are compressed."""
    min_bytes: int
    """Bytes of the smallest that is, unless its caller refuses it otherwise."""
    streams: bool
    """Whether streams are."""

    def of_whole(
        self, content_type: str, headers: Headers, body: bytes, accept_encoding: str
    ) -> tuple[Headers, bytes]:
        """Returns the headers and the body that a whole answer is sent with."""
        if len(body) < self.min_bytes and not _required(accept_encoding):
            return headers, body
        if not (self.whole and body and _pays(content_type, headers)):
            return headers, body
        headers = _varied(headers)
        coding = accepted_coding(accept_encoding).coding
        if not coding:
            return headers, body
        return (*headers, (b"content-encoding", coding.encode())), compress(body, coding)

    def of_stream(
        self, content_type: str, headers: Headers, accept_encoding: str
    ) -> tuple[Headers, StreamCompressor | None]:
        """Returns the headers of a stream, and what compresses it; None if nothing does."""
        if not self.streams or not _pays(content_type, headers):
            return headers, None
        headers = _varied(headers)
        coding = accepted_coding(accept_encoding).coding
        if not coding:
            return headers, None
        return (*headers, (b"content-encoding", coding.encode())), StreamCompressor(coding)


def _required(accept_encoding: str) -> bool:
    return bool(accept_encoding) and accepted_coding(accept_encoding).required


def _pays(content_type: str, headers: Headers) -> bool:
    if not is_compressible(content_type[:_LONGEST_TYPE]):
        return False
    return not headers or not any(_forbids(name, value) for name, value in headers)


def _forbids(name: bytes, value: bytes) -> bool:
    """Whether a header says that the body is to stay as it is."""
    if name == b"etag":
        return not value.startswith(b"W/")
    return name in _CODED or (name == b"cache-control" and b"no-transform" in value.lower())


def _varied(headers: Headers) -> Headers:
    """Returns headers with a `Vary` that names `Accept-Encoding`."""
    if not headers:
        return (_VARY,)
    named = b",".join(value for name, value in headers if name == b"vary").lower()
    names = {name.strip() for name in named.split(b",")}
    return headers if names & {b"*", b"accept-encoding"} else (*headers, _VARY)
