"""The response headers of an error over HTTP.

Sources: RFC 9110, 10.2.3 (`Retry-After`) and 15.5.2 (a 401 has `WWW-Authenticate`); gRPC over HTTP/2,
"Trailers-Only".
"""

from __future__ import annotations

from math import ceil
from typing import Final

from gateway.transcoding.metadata import Headers, Metadata, MetadataFilter
from gateway.transcoding.retry import is_date
from gateway.transcoding.status import HTTP_STATUS, UNAVAILABLE, StatusError

_RETRY_AFTER: Final = b"retry-after"
_RETRY_SECONDS: Final = 1.0
"""`Retry-After` of a 503 for which the server gives no delay."""
_UNAUTHORIZED: Final = 401
_CHALLENGE: Final = b"www-authenticate"
_BODY_PREFIX: Final = b"content-"


def error_headers(error: StatusError, allowed: MetadataFilter) -> Headers:
    """Returns all response headers of an error: its own, and those made of the call's metadata.

    There is at most one `Retry-After`: the server's date, or else its longest delay
    (`StatusError.retry_seconds`, rounded up to seconds). Every 503 has one. Every 401 has `WWW-Authenticate`:
    the server's, that of the error, or else the one of `allowed`.
    """
    metadata_headers: Headers = ()
    if error.initial or error.trailing:
        metadata_headers = _metadata_headers(error, allowed)
    names = {name for name, _ in metadata_headers}
    headers = error.headers
    if _RETRY_AFTER not in names:
        headers += _retry_after(error)
    headers += metadata_headers
    if error.http_status == _UNAUTHORIZED and _CHALLENGE not in {*names, *dict(error.headers)}:
        headers += allowed.challenge
    return headers


def _retry_after(error: StatusError) -> Headers:
    seconds = error.retry_seconds
    if seconds is None and error.http_status == HTTP_STATUS[UNAVAILABLE]:
        seconds = _RETRY_SECONDS
    return () if seconds is None else ((_RETRY_AFTER, b"%d" % ceil(seconds)),)


def _metadata_headers(error: StatusError, allowed: MetadataFilter) -> Headers:
    """Returns the headers for initial metadata, then those for trailing metadata, up to the size limit.

    Trailing metadata also count as initial metadata for keys that those lack: in a Trailers-Only response a
    server sends both in one block. `content-…` headers are left out, because the body is the edge's. Of
    `retry-after` only the first date passes.
    """
    keys = {key for key, _ in error.initial}
    initial: Metadata = (
        *error.initial,
        *(pair for pair in error.trailing if pair[0] not in keys),
    )
    dates = (
        value for name, value in allowed.headers(initial) if name == _RETRY_AFTER and is_date(value)
    )
    date = next(dates, None)
    passing = tuple(
        (name, value)
        for name, value in allowed.headers(initial)
        if not name.startswith(_BODY_PREFIX) and name != _RETRY_AFTER
    )
    if date is not None:
        passing = ((_RETRY_AFTER, date), *passing)
    return allowed.fitting(passing + allowed.headers(error.trailing, prefix="grpc-trailer-"))
