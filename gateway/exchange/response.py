"""Whole HTTP responses: a body with its status, and errors as `google.rpc.Status`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from gateway.exchange.compression import Compression
from gateway.transcoding.endpoint import EncodedBody
from gateway.transcoding.error_body import PROBLEM_JSON, STATUS_JSON
from gateway.transcoding.error_headers import error_headers
from gateway.transcoding.metadata import Headers, Metadata, MetadataFilter, header_value
from gateway.transcoding.negotiation import prefers_problem
from gateway.transcoding.rpc.wire import RpcWire
from gateway.transcoding.status import StatusError
from gateway.transcoding.transcoder import Transcoder, allow_header

_CACHED_TYPES: Final = 64
"""Maximum entries of the cache of media types: a contract has few, an HttpBody may have many."""
_MAX_CACHED_TYPE: Final = 256
"""Maximum characters of a cached media type; an HttpBody may have any."""
_VALUES: Final[dict[str, bytes]] = {}
"""Media type -> value of `Content-Type`."""
NO_SNIFFING: Final = (b"x-content-type-options", b"nosniff")
"""Browsers take a body for what its media type says: an HttpBody may be anybody's text (Fetch, 3.6)."""
_WITHOUT_LENGTH: Final = (204, 304)
"""Statuses whose response without a body has no `Content-Length` either (RFC 9112, section 6.3)."""


@dataclass(slots=True, init=False)
class HttpResponse:
    """A whole HTTP response."""

    status: int
    body: bytes
    content_type: str
    """Empty: the response has no body."""
    headers: Headers
    """All headers but those of the body and the request id."""
    request_id: str
    trailers: Headers
    """Of HTTP/2; other doors leave them out."""

    def __init__(
        self,
        status: int,
        body: bytes = b"",
        content_type: str = "",
        headers: Headers = (),
        request_id: str = "",
        trailers: Headers = (),
    ) -> None:
        self.status = status
        self.body = body
        self.content_type = content_type
        self.headers = headers
        self.request_id = request_id
        self.trailers = trailers

    def compress(self, compression: Compression, accept_encoding: str) -> None:
        """Compresses the body once, where the caller's `Accept-Encoding` asks for it and it pays."""
        self.headers, self.body = compression.of_whole(
            self.content_type, self.headers, self.body, accept_encoding
        )

    def all_headers(self) -> list[tuple[bytes, bytes]]:
        """Returns all headers."""
        of_body: Headers = ()
        if self.content_type:
            length = b"%d" % len(self.body)
            of_body = (
                (b"content-type", _value(self.content_type)),
                (b"content-length", length),
                NO_SNIFFING,
            )
        elif self.status not in _WITHOUT_LENGTH:
            of_body = ((b"content-length", b"0"),)
        return [*of_body, *self.headers, (b"x-request-id", self.request_id.encode())]

    def header_lines(self) -> bytes:
        """Returns all headers as lines of HTTP/1.1."""
        if not self.content_type:
            return header_lines(*self.all_headers())
        others = b""
        if self.headers:
            others = b"\r\n".join(map(b": ".join, self.headers)) + b"\r\n"
        # of a literal format, for mypyc puts such a one together by itself
        return (
            b"content-type: %b\r\ncontent-length: %d\r\nx-content-type-options: nosniff\r\n"
            b"%bx-request-id: %b\r\n"
        ) % (_value(self.content_type), len(self.body), others, self.request_id.encode())


def header_lines(*headers: tuple[bytes, bytes]) -> bytes:
    """Returns headers as lines of HTTP/1.1."""
    return b"\r\n".join([*map(b": ".join, headers), b""])


def _value(media_type: str) -> bytes:
    value = _VALUES.get(media_type)
    if value is None:
        value = header_value(media_type)
        if len(media_type) <= _MAX_CACHED_TYPE:
            if len(_VALUES) >= _CACHED_TYPES:
                _VALUES.clear()
            _VALUES[media_type] = value
    return value


def options(methods: list[str]) -> HttpResponse:
    """Makes the response to OPTIONS: the methods that a path takes."""
    return HttpResponse(204, headers=(allow_header(methods),))


def failure(
    transcoder: Transcoder, metadata: MetadataFilter, error: StatusError, accept: str
) -> HttpResponse:
    """Makes the response of an error: the JSON of its Status, or problem details for who asks for them.

    Its headers have the metadata of the failed call, as those of a success have.
    """
    media_type, body = error_body(transcoder, error, accept)
    return HttpResponse(error.http_status, body, media_type, error_headers(error, metadata))


def unary_response(
    wire: RpcWire, message: bytes, initial: Metadata, trailing: Metadata
) -> HttpResponse:
    """Makes the response of a unary call on a wire of RPC that went well."""
    end, trailers = wire.end(None, trailing)
    body, head = wire.message(message), wire.head(initial)
    if end:
        body += end
    if trailers and wire.is_whole:
        head, trailers = head + trailers, ()
    return HttpResponse(200, body, wire.content_type, head, trailers=trailers)


def error_body(transcoder: Transcoder, error: StatusError, accept: str) -> EncodedBody:
    """Returns the body of an error in the form that the caller asks for."""
    if prefers_problem(accept):
        return PROBLEM_JSON, transcoder.errors.problem(error)
    return STATUS_JSON, transcoder.errors.status(error.status)
