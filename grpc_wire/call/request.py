"""Headers of requests as a server reads them, and limits of the headers with which it responds.

Source: gRPC over HTTP/2, "Requests"; compression.md for unknown encodings.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from grpc_wire.call.message import ACCEPTED, ENCODINGS, IDENTITY, MessageFault
from grpc_wire.call.status import (
    INTERNAL,
    RESOURCE_EXHAUSTED,
    UNIMPLEMENTED,
    Status,
    is_grpc,
    to_trailers,
)
from grpc_wire.call.timeout import parse_timeout
from grpc_wire.headers.section import Headers, list_size

CONTENT_TYPE: Final = (b"content-type", b"application/grpc")
RESPONSE_HEADERS: Final[Headers] = ((b":status", b"200"), CONTENT_TYPE)
"""First headers of every gRPC response."""
_IDENTITY: Final = IDENTITY.encode()
_READ_NAMES: Final = frozenset(
    {
        b":method",
        b":path",
        b"content-type",
        b"grpc-accept-encoding",
        b"grpc-encoding",
        b"grpc-timeout",
        b"te",
    }
)
_MAX_CACHED: Final = 256
MIN_RESPONSE_HEADERS: Final = 256
"""Upper bound of a response's headers without metadata, as SETTINGS_MAX_HEADER_LIST_SIZE counts them. A
client that accepts less cannot get a response."""


@dataclass(frozen=True, slots=True)
class Request:
    """What the headers of a request say to gRPC. Cached: many requests have the same."""

    path: str
    timeout: float | None
    encoding: str
    accepts: bytes
    """`grpc-accept-encoding` of the client."""


class Refusal(Exception):
    """A request is not gRPC's; `response` is the response, headers only."""

    def __init__(self, response: Headers) -> None:
        self.response = response
        super().__init__(response)


def read_request(headers: Headers, prefix: Headers = ()) -> Request:
    """Reads the headers of a request.

    Args:
        headers: of the request.
        prefix: fields at the start that other requests share; part of the cache's key.

    Raises:
        Refusal: they are not gRPC's, or ask for what is not supported.
    """
    more = [field for field in headers[len(prefix) :] if field[0] in _READ_NAMES]
    return _read(prefix, *more)


@lru_cache(maxsize=_MAX_CACHED)
def _read(prefix: Headers, *more: tuple[bytes, bytes]) -> Request:
    fields = dict((*prefix, *more))
    if fields.get(b":method") != b"POST":
        raise _refusal(b"405", Status(INTERNAL, "the method of gRPC is POST"), (b"allow", b"POST"))
    if not is_grpc(fields.get(b"content-type", b"")):
        raise _refusal(b"415", Status(INTERNAL, "the content-type is not one of gRPC"))
    if fields.get(b"te") != b"trailers":
        raise _refusal(b"200", Status(INTERNAL, "'te: trailers' is missing: a proxy may drop them"))
    encoding_sent = fields.get(b"grpc-encoding")
    encoding = IDENTITY if encoding_sent is None else encoding_sent.decode("latin-1")
    if encoding not in ENCODINGS:
        reason = Status(UNIMPLEMENTED, f"grpc-encoding {encoding!r} is not known")
        raise _refusal(b"200", reason, ACCEPTED)
    path = fields[b":path"].decode("latin-1")
    accepts = fields.get(b"grpc-accept-encoding", _IDENTITY)
    text = fields.get(b"grpc-timeout")
    timeout = None if text is None else _timeout(text)
    return Request(path, timeout, encoding, accepts)


def _timeout(text: bytes) -> float:
    try:
        return parse_timeout(text)
    except ValueError as error:
        raise _refusal(b"200", Status(INTERNAL, str(error))) from None


def _refusal(http: bytes, status: Status, *also: tuple[bytes, bytes]) -> Refusal:
    return Refusal(((b":status", http), CONTENT_TYPE, *also, *to_trailers(status)))


def header_list_refusal(sizes: str) -> Headers:
    """Returns the response to a request whose headers are too large; `sizes` has their size and the limit."""
    status = Status(RESOURCE_EXHAUSTED, f"Received metadata larger than max ({sizes})")
    return RESPONSE_HEADERS + to_trailers(status)


def response_headers_fault(head: Headers, limit: int | None) -> MessageFault | None:
    """Returns the error if headers of a response exceed the client's limit; else None.

    The limit is in bytes (RFC 9113, 6.5.2).
    """
    if limit is None or (size := list_size(head)) <= limit:
        return None
    text = f"Initial metadata larger than the client takes ({size} vs. {limit})"
    return MessageFault(RESOURCE_EXHAUSTED, text)


def limit_trailers(trailers: Headers, limit: int | None) -> Headers:
    """Returns trailers, or RESOURCE_EXHAUSTED in their place if they exceed the client's limit.

    The limit is in bytes (RFC 9113, 6.5.2).
    """
    size = list_size(RESPONSE_HEADERS + trailers)
    if limit is None or size <= limit:
        return trailers
    text = f"Trailing metadata larger than the client takes ({size} vs. {limit})"
    instead = to_trailers(Status(RESOURCE_EXHAUSTED, text))
    if list_size(RESPONSE_HEADERS + instead) > limit:
        return to_trailers(Status(RESOURCE_EXHAUSTED))
    return instead
