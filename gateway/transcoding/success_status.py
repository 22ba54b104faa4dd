"""The HTTP status of a success, if the server sets another one than 200 in its initial metadata.

Sources: RFC 9110, 15.3 and 15.4: a 204, 205 or 304 has no content; a 206 requires a range request; a 304
    requires
a conditional request; any other redirect requires `Location`. HTML Living Standard, "Server-sent events": an
EventSource closes on any success but 200.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from gateway.transcoding.metadata import Headers, Metadata

CONTENTLESS: Final = frozenset({204, 205, 304})
"""Statuses of responses without content."""
_STATUS: Final = re.compile(r"[23][0-9][0-9]", re.ASCII)
_EVENT_STREAM: Final = (200, 204)
"""Successes for an event stream; after a 204 an EventSource does not reconnect."""
_PARTIAL, _NOT_MODIFIED = 206, 304
_REDIRECTS: Final = frozenset({300, 301, 302, 303, 307, 308})
_LOWEST_REDIRECT: Final = 300
_CONDITIONS: Final = frozenset({"if-none-match", "if-modified-since"})


class InvalidSuccessStatus(ValueError):
    """The response cannot have the status. The text is the reason, without values, to be logged once."""


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
    """Returns the status that the server sets.

    Args:
        values: the metadata values with the status.
        request: metadata of the request.
        headers: headers of the response.
        safe: whether the method is GET or HEAD.
        raw: whether the body is the data of an HttpBody.
        may_be_empty: whether the response can do without a body.
        events: whether the response is Server-Sent Events.

    Raises:
        InvalidSuccessStatus: the response cannot have this status.
    """
    if len(values) != 1:
        raise InvalidSuccessStatus("there is more than one value")
    (value,) = values
    if not isinstance(value, str) or not _STATUS.fullmatch(value):
        raise InvalidSuccessStatus("it is not a 2xx or 3xx status")
    status = int(value)
    request_keys = {key for key, _ in request}
    if events and status < _LOWEST_REDIRECT and status not in _EVENT_STREAM:
        raise InvalidSuccessStatus("an EventSource accepts 200 and 204 only")
    if status in CONTENTLESS and not may_be_empty:
        raise InvalidSuccessStatus("the response has a body, which the status forbids")
    if status == _NOT_MODIFIED:
        if not safe or request_keys.isdisjoint(_CONDITIONS):
            raise InvalidSuccessStatus("a 304 requires a conditional request")
    elif status == _PARTIAL:
        if not raw or "range" not in request_keys or len(_values(headers, b"content-range")) != 1:
            raise InvalidSuccessStatus(
                "a 206 requires a range request for raw data, and one content-range"
            )
    elif status >= _LOWEST_REDIRECT:
        _check_redirect(status, headers)
    return status


def _check_redirect(status: int, headers: Headers) -> None:
    if status not in _REDIRECTS:
        raise InvalidSuccessStatus("it is not a redirect that clients follow")
    locations = _values(headers, b"location")
    if len(locations) != 1 or not locations[0]:
        raise InvalidSuccessStatus("a redirect requires one location on the allow-list")


def _values(headers: Headers, name: bytes) -> list[bytes]:
    return [value for each, value in headers if each == name]
