"""What a server asks of the head of a request before anybody is called, and what a client asks of answers.

Source: gRPC over HTTP/2, "Requests"; compression.md for an encoding that is not known.
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
OPENING: Final[Headers] = ((b":status", b"200"), CONTENT_TYPE)
"""How every answer of gRPC begins."""
_IDENTITY: Final = IDENTITY.encode()
_LOOKED_AT: Final = frozenset(
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
_KEPT: Final = 256
LEAST_HEAD: Final = 256
"""Bytes that the head of an answer without metadata has at most, as limits count them. A client that takes
less cannot be answered."""


@dataclass(frozen=True, slots=True)
class Request:
    """What the head of a request says to gRPC; the same for many."""

    path: str
    timeout: float | None
    encoding: str
    accepts: bytes
    """What the client can read: its `grpc-accept-encoding`."""


class Refusal(Exception):
    """A request that is not one of gRPC; `answer` is all that is said to it."""

    def __init__(self, answer: Headers) -> None:
        self.answer = answer
        super().__init__(answer)


def read_request(headers: Headers, begin: Headers = ()) -> Request:
    """Reads the head of a request.

    Args:
        headers: the head.
        begin: what it begins with as others do.

    Raises:
        Refusal: it is not one of gRPC, or asks for what is not known here.
    """
    more = [field for field in headers[len(begin) :] if field[0] in _LOOKED_AT]
    return _read(begin, *more)


@lru_cache(maxsize=_KEPT)
def _read(begin: Headers, *more: tuple[bytes, bytes]) -> Request:
    found = dict((*begin, *more))
    if found.get(b":method") != b"POST":
        raise _refusal(b"405", Status(INTERNAL, "the method of gRPC is POST"), (b"allow", b"POST"))
    if not is_grpc(found.get(b"content-type", b"")):
        raise _refusal(b"415", Status(INTERNAL, "the content-type is not one of gRPC"))
    if found.get(b"te") != b"trailers":
        raise _refusal(b"200", Status(INTERNAL, "'te: trailers' is missing: a proxy may drop them"))
    said = found.get(b"grpc-encoding")
    encoding = IDENTITY if said is None else said.decode("latin-1")
    if encoding not in ENCODINGS:
        reason = Status(UNIMPLEMENTED, f"grpc-encoding {encoding!r} is not known")
        raise _refusal(b"200", reason, ACCEPTED)
    path = found[b":path"].decode("latin-1")
    accepts = found.get(b"grpc-accept-encoding", _IDENTITY)
    text = found.get(b"grpc-timeout")
    timeout = None if text is None else _timeout(text)
    return Request(path, timeout, encoding, accepts)


def _timeout(text: bytes) -> float:
    try:
        return parse_timeout(text)
    except ValueError as error:
        raise _refusal(b"200", Status(INTERNAL, str(error))) from None


def _refusal(http: bytes, status: Status, *also: tuple[bytes, bytes]) -> Refusal:
    return Refusal(((b":status", http), CONTENT_TYPE, *also, *to_trailers(status)))


def refusal_of(sizes: str) -> Headers:
    """Returns the answer to a request whose headers are too large: their size, and the limit."""
    status = Status(RESOURCE_EXHAUSTED, f"Received metadata larger than max ({sizes})")
    return OPENING + to_trailers(status)


def head_fault(head: Headers, limit: int | None) -> MessageFault | None:
    """Returns what is wrong with the head of an answer that the client does not take (RFC 9113, 6.5.2)."""
    if limit is None or (size := list_size(head)) <= limit:
        return None
    text = f"Initial metadata larger than the client takes ({size} vs. {limit})"
    return MessageFault(RESOURCE_EXHAUSTED, text)


def within_limit(trailers: Headers, limit: int | None) -> Headers:
    """Returns trailers, or those that say that the client does not take so much (RFC 9113, 6.5.2)."""
    size = list_size(OPENING + trailers)
    if limit is None or size <= limit:
        return trailers
    text = f"Trailing metadata larger than the client takes ({size} vs. {limit})"
    instead = to_trailers(Status(RESOURCE_EXHAUSTED, text))
    if list_size(OPENING + instead) > limit:
        return to_trailers(Status(RESOURCE_EXHAUSTED))
    return instead
