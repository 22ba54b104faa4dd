"""The HTTP status of a success, where the server names another than 200 in its initial metadata.

Sources: RFC 9110, 15.3 and 15.4: a 204, 205 or 304 has no content; a 206 is a range that was asked for; a 304
answers a condition; any other redirect says where to. HTML Living Standard, "Server-sent events": a reader of
events takes any success but 200 for the end.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from gateway.transcoding.metadata import Headers, Metadata

CONTENTLESS: Final = frozenset({204, 205, 304})
"""Statuses of answers that have no content."""
_STATUS: Final = re.compile(r"[23][0-9][0-9]", re.ASCII)
_OF_EVENTS: Final = (200, 204)
"""The successes that a reader of events knows; after a 204 it does not come back."""
_PARTIAL, _NOT_MODIFIED = 206, 304
_REDIRECTS: Final = frozenset({300, 301, 302, 303, 307, 308})
_LOWEST_REDIRECT: Final = 300
_CONDITIONS: Final = frozenset({"if-none-match", "if-modified-since"})


class InvalidSuccessStatus(ValueError):
    """A status that cannot be that of the answer; the text says why, without any value."""


def success_status(
    values: Sequence[str | bytes],
    *,
    request: Metadata,
    headers: Headers,
    safe: bool,
    raw: bool,
    may_be_empty: bool,
    events: bool = False,
) -> int:
    """Returns the status that a server names.

    Args:
        values: what it says.
        request: the metadata that it was sent.
        headers: the headers of the answer.
        safe: whether the method is GET or HEAD.
        raw: whether the body is the data of an HttpBody.
        may_be_empty: whether the answer can go without a body.
        events: whether the answer is Server-Sent Events.

    Raises:
        SenselessStatus: the answer cannot have it.
    """
    if len(values) != 1:
        raise InvalidSuccessStatus("there is more than one value")
    (value,) = values
    if not isinstance(value, str) or not _STATUS.fullmatch(value):
        raise InvalidSuccessStatus("it is no status of a success or of a redirect")
    status = int(value)
    asked = {key for key, _ in request}
    if events and status < _LOWEST_REDIRECT and status not in _OF_EVENTS:
        raise InvalidSuccessStatus("a reader of events takes it for the end")
    if status in CONTENTLESS and not may_be_empty:
        raise InvalidSuccessStatus("the answer has a body, and the status allows none")
    if status == _NOT_MODIFIED:
        if not safe or asked.isdisjoint(_CONDITIONS):
            raise InvalidSuccessStatus("a 304 answers a condition, and the server was sent none")
    elif status == _PARTIAL:
        if not raw or "range" not in asked or len(_values(headers, b"content-range")) != 1:
            raise InvalidSuccessStatus("a 206 is a range of data that was asked for")
    elif status >= _LOWEST_REDIRECT:
        _check_redirect(status, headers)
    return status


def _check_redirect(status: int, headers: Headers) -> None:
    if status not in _REDIRECTS:
        raise InvalidSuccessStatus("it is no redirect that anybody follows")
    locations = _values(headers, b"location")
    if len(locations) != 1 or not locations[0]:
        raise InvalidSuccessStatus("a redirect needs one location that passes")


def _values(headers: Headers, name: bytes) -> list[bytes]:
    return [value for each, value in headers if each == name]
