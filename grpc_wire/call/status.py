"""Status of a call: codes, `grpc-status`, `grpc-message`, and what replaces them where they are missing.

Codes are numbers of `google.rpc.Code`.

Sources: gRPC over HTTP/2, "Responses" and "Errors"; gRPC's http-grpc-status-mapping.md.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final, NamedTuple
from urllib.parse import unquote_to_bytes

from grpc_wire.call.metadata import Metadata, from_headers, to_headers
from grpc_wire.headers.section import Headers
from grpc_wire.http2.errors import ErrorCode

OK: Final = 0
CANCELLED: Final = 1
UNKNOWN: Final = 2
DEADLINE_EXCEEDED: Final = 4
PERMISSION_DENIED: Final = 7
RESOURCE_EXHAUSTED: Final = 8
UNIMPLEMENTED: Final = 12
INTERNAL: Final = 13
UNAVAILABLE: Final = 14
UNAUTHENTICATED: Final = 16


_STATUS: Final = b"grpc-status"
_MESSAGE: Final = b"grpc-message"
_CONTENT_TYPE: Final = re.compile(rb"application/grpc(?:$|[+;])")
_TO_ESCAPE: Final = re.compile(rb"[^\x20-\x24\x26-\x7e]|^ +| +$")
_HIGHEST: Final = 16

_FROM_HTTP: Final[Mapping[int, int]] = {
    400: INTERNAL,
    401: UNAUTHENTICATED,
    403: PERMISSION_DENIED,
    404: UNIMPLEMENTED,
    429: UNAVAILABLE,
    502: UNAVAILABLE,
    503: UNAVAILABLE,
    504: UNAVAILABLE,
}
_FROM_RESET: Final[Mapping[int, int]] = {
    ErrorCode.REFUSED_STREAM: UNAVAILABLE,
    ErrorCode.CANCEL: CANCELLED,
    ErrorCode.ENHANCE_YOUR_CALM: RESOURCE_EXHAUSTED,
    ErrorCode.INADEQUATE_SECURITY: PERMISSION_DENIED,
}


class Status(NamedTuple):
    """Status of a call: code, message and trailing metadata."""

    code: int
    message: str = ""
    trailing: Metadata = ()


def to_trailers(status: Status) -> Headers:
    """Returns the trailers of a status, its message percent-encoded.

    Raises:
        ValueError: the trailing metadata are not allowed.
    """
    if status == (OK, "", ()):
        return OK_TRAILERS
    trailers = [(_STATUS, b"%d" % status.code)]
    if status.message:
        trailers.append((_MESSAGE, _escaped(status.message)))
    return (*trailers, *to_headers(status.trailing))


_OK_TRAILER: Final = (_STATUS, b"0")
OK_TRAILERS: Final[Headers] = (_OK_TRAILER,)
_OK: Final = Status(OK)


def from_trailers(headers: Headers) -> Status:
    """Returns the status in trailers; UNKNOWN without a valid `grpc-status`."""
    if len(headers) == 1 and headers[0] == _OK_TRAILER:
        return _OK
    fields = dict(headers)
    text = fields.get(_STATUS, b"")
    message = unquote_to_bytes(fields.get(_MESSAGE, b"")).decode(errors="replace")
    if not text.isdigit():
        return Status(UNKNOWN, message or "the answer has no grpc-status", from_headers(headers))
    code = int(text) if len(text) <= 2 else UNKNOWN
    return Status(code if code <= _HIGHEST else UNKNOWN, message, from_headers(headers))


def from_response(headers: Headers) -> Status | None:
    """Returns None if the headers of a response are gRPC's; else the status that they stand for."""
    fields = dict(headers)
    status, kind = fields.get(b":status", b""), fields.get(b"content-type", b"")
    if status == b"200" and is_grpc(kind):
        return None
    if _STATUS in fields and (status_sent := from_trailers(headers)).code != OK:
        return status_sent  # OK without a gRPC response is no success
    received = f"HTTP status {status.decode()}, content-type {kind.decode('latin-1') or 'none'}"
    if status == b"200":
        return Status(UNKNOWN, f"the answer is not gRPC: {received}")
    return Status(_FROM_HTTP.get(int(status), UNKNOWN), f"the answer is not gRPC: {received}")


@lru_cache(maxsize=64)
def is_grpc(content_type: bytes) -> bool:
    """Whether a content-type is `application/grpc`, with or without `+format`."""
    return _CONTENT_TYPE.match(content_type) is not None


def from_reset(code: int, reason: str = "") -> Status:
    """Returns the status of a stream that was reset (gRPC over HTTP/2, "Errors")."""
    try:
        name = ErrorCode(code).name
    except ValueError:
        name = f"{code:#x}"
    text = f"the stream was reset: {name}"
    return Status(_FROM_RESET.get(code, INTERNAL), f"{text}: {reason}" if reason else text)


def text_of(error: Exception) -> str:
    """Returns an error's text; if `str` of it raises, the type of that error."""
    try:
        return str(error)
    except Exception as fault:
        return f"(its text: {type(fault)})"


def _escaped(message: str) -> bytes:
    """Percent-encodes a message: what is not printable ASCII, `%`, and spaces at its ends."""
    return _TO_ESCAPE.sub(
        lambda match: b"".join(b"%%%02X" % byte for byte in match[0]),
        message.encode(errors="replace"),
    )
