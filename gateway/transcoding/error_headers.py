"""The response headers of an error over HTTP.

Sources: RFC 9110, 10.2.3 (`Retry-After`) and 15.5.2 (a 401 has a challenge); gRPC over HTTP/2,
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
"""`Retry-After` of a 503 whose server names no delay."""
_UNAUTHORIZED: Final = 401
_CHALLENGE: Final = b"www-authenticate"
_OF_A_BODY: Final = b"content-"


def error_headers(error: StatusError, allowed: MetadataFilter) -> Headers:
    """Returns all response headers of an error: its own, and those for the metadata of its call.

    There is one `Retry-After` at most: a date that the server gives, else its longest delay
    (`StatusError.retry_seconds`, in whole seconds, rounded up); every 503 has one. Every 401 has a challenge:
    the server's, else that of `allowed`.
    """
    of_metadata: Headers = ()
    if error.initial or error.trailing:
        of_metadata = _metadata_headers(error, allowed)
    names = {name for name, _ in of_metadata}
    headers = error.headers
    if _RETRY_AFTER not in names:
        headers += _retry_after(error)
    headers += of_metadata
    if error.http_status == _UNAUTHORIZED and _CHALLENGE not in names:
        headers += allowed.challenge
    return headers


def _retry_after(error: StatusError) -> Headers:
    seconds = error.retry_seconds
    if seconds is None and error.http_status == HTTP_STATUS[UNAVAILABLE]:
        seconds = _RETRY_SECONDS
    return () if seconds is None else ((_RETRY_AFTER, b"%d" % ceil(seconds)),)


def _metadata_headers(error: StatusError, allowed: MetadataFilter) -> Headers:
    """Returns the headers for initial metadata, then those for trailing metadata, as far as they fit.

    A key that the initial metadata lack is looked for in the trailing metadata: a server that fails at once
    may send both in one block. The body of an error is the edge's, so `content-…` does not pass. Of
    `retry-after` the first date does.
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
        if not name.startswith(_OF_A_BODY) and name != _RETRY_AFTER
    )
    if date is not None:
        passing = ((_RETRY_AFTER, date), *passing)
    return allowed.fitting(passing + allowed.headers(error.trailing, prefix="grpc-trailer-"))
