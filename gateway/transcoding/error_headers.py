"""The response headers of an error over HTTP.

Sources: RFC 9110, 10.2.3 (`Retry-After`) and 15.5.2 (a 401 has a challenge); google/rpc/error_details.proto
(`RetryInfo`); gRPC over HTTP/2, "Trailers-Only".
"""

from __future__ import annotations

from math import ceil
from typing import Final

from gateway.transcoding.metadata import Headers, Metadata, MetadataFilter
from gateway.transcoding.retry import retry_seconds
from gateway.transcoding.status import HTTP_STATUS, UNAVAILABLE, StatusError

_RETRY_AFTER: Final = b"retry-after"
_RETRY_SECONDS: Final = 1
"""`Retry-After` of a 503 whose server names no delay."""
_UNAUTHORIZED: Final = 401
_CHALLENGE: Final = b"www-authenticate"
_OF_A_BODY: Final = b"content-"


def error_headers(error: StatusError, allowed: MetadataFilter) -> Headers:
    """Returns all response headers of an error: its own, and those for the metadata of its call.

    There is one `Retry-After` at most: a date that the server gives, else the longest delay of the server's
    header and of `RetryInfo` (in whole seconds, rounded up); every 503 has one. Every 401 has a challenge:
    the server's, else that of `allowed`.
    """
    headers = error.headers + _retry_after(error)
    if error.initial or error.trailing:
        headers = _with_one_retry_after(headers + _metadata_headers(error, allowed))
    if error.http_status == _UNAUTHORIZED and _CHALLENGE not in dict(headers):
        headers += allowed.challenge
    return headers


def _retry_after(error: StatusError) -> Headers:
    seconds = retry_seconds(error.status)
    if seconds is not None:
        return ((_RETRY_AFTER, b"%d" % ceil(seconds)),)
    if error.http_status == HTTP_STATUS[UNAVAILABLE]:
        return ((_RETRY_AFTER, b"%d" % _RETRY_SECONDS),)
    return ()


def _metadata_headers(error: StatusError, allowed: MetadataFilter) -> Headers:
    """Returns the headers for initial metadata, then those for trailing metadata, as far as they fit.

    A key that the initial metadata lack is looked for in the trailing metadata: a server that fails at once
    may send both in one block. The body of an error is the edge's, so `content-…` does not pass.
    """
    keys = {key for key, _ in error.initial}
    initial: Metadata = (
        *error.initial,
        *(pair for pair in error.trailing if pair[0] not in keys),
    )
    passing = tuple(
        header for header in allowed.headers(initial) if not header[0].startswith(_OF_A_BODY)
    )
    return allowed.fitting(passing + allowed.headers(error.trailing, prefix="grpc-trailer-"))


def _with_one_retry_after(headers: Headers) -> Headers:
    values = [value for name, value in headers if name == _RETRY_AFTER]
    if len(values) < 2:
        return headers
    dates = [value for value in values if not value.isdigit()]
    kept = dates[0] if dates else max(values, key=_numeric_order)
    others = tuple(header for header in headers if header[0] != _RETRY_AFTER)
    return (*others, (_RETRY_AFTER, kept))


def _numeric_order(digits: bytes) -> tuple[int, bytes]:
    """Returns what orders decimal integers of any length."""
    significant = digits.lstrip(b"0")
    return len(significant), significant
