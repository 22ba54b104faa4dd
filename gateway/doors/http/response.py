"""One response as it travels: its head, and how its body ends (RFC 9112, sections 6 and 7).

HTTP/2 has the same head as fields, and frames the body itself (RFC 9113, section 8.1).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from http import HTTPStatus
from typing import Final

from gateway.doors.http.request import Request
from gateway.transcoding.metadata import Headers

_STATUS_LINES: Final[dict[int, tuple[Iterable[tuple[bytes, bytes]], bytes]]] = {}
"""Status -> what `status_line` was given last, and has returned."""
_CONTENTLESS: Final = (204, 304)
_CONNECTION_SPECIFIC: Final = frozenset(
    {b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"}
)
"""What makes a response over HTTP/2 malformed (RFC 9113, section 8.2.2)."""
_NO_NAME: Final = re.compile(rb"[^!#$%&'*+\-.^_`|~0-9A-Za-z]|^\Z")
_NO_VALUE: Final = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


class Response:
    """The response to one request.

    Attributes:
        started: whether the head was made.
        complete: whether the last of the body was.
        chunked: whether a part of the body is a chunk.
        keep_alive: whether the connection goes on after it.
    """

    __slots__ = (
        "_has_content",
        "_left",
        "_request",
        "chunked",
        "complete",
        "keep_alive",
        "started",
    )

    def __init__(self, request: Request) -> None:
        self._request = request
        self._has_content = request.method != "HEAD"
        self._left: int | None = None
        self.started = False
        self.complete = False
        self.chunked = False
        self.keep_alive = True

    def start(
        self,
        status: int,
        headers: Iterable[tuple[bytes, bytes]],
        defaults: Iterable[tuple[bytes, bytes]],
        *,
        keep_alive: bool,
    ) -> bytes:
        """Returns the head.

        Args:
            status: its HTTP status.
            headers: of the application.
            defaults: headers of the server, `Date` for one.
            keep_alive: whether the connection may go on after the response.

        Raises:
            ValueError: the status or a header is none.
        """
        self._start(status)
        self.keep_alive = keep_alive
        lines = [status_line(status, defaults)]
        lines += (b"%b: %b\r\n" % header for header in headers if self._passes(*header))
        if self._left is None and self._has_content:
            if self._request.version == "1.1":
                self.chunked = True
                lines.append(b"transfer-encoding: chunked\r\n")
            else:
                self.keep_alive = False  # the end of the connection is that of the body
        if not self.keep_alive:
            lines.append(b"connection: close\r\n")
        lines.append(b"\r\n")
        return b"".join(lines)

    def start_fields(
        self,
        status: int,
        headers: Iterable[tuple[bytes, bytes]],
        defaults: Iterable[tuple[bytes, bytes]],
    ) -> Headers:
        """Returns the head as the fields of HTTP/2: names in lower case, none of a connection.

        Args:
            status: its HTTP status.
            headers: of the application.
            defaults: headers of the server, `Date` for one.

        Raises:
            ValueError: the status or a header is none.
        """
        self._start(status)
        fields = [(b":status", b"%d" % status), *defaults]
        for name, value in headers:
            lower = name.lower()
            if self._passes(lower, value) and lower not in _CONNECTION_SPECIFIC:
                fields.append((lower, value.strip(b" \t")))
        return tuple(fields)

    def _start(self, status: int) -> None:
        if self.started:
            raise ValueError("the response has started already")
        if not 200 <= status <= 999:
            raise ValueError(f"{status} is no status of a response")
        self.started = True
        if status in _CONTENTLESS:
            self._has_content = False

    @property
    def is_empty(self) -> bool:
        """Whether the head says that there is no body, or none is allowed."""
        return not self._has_content or self._left == 0

    def _passes(self, name: bytes, value: bytes) -> bool:
        """Looks at a header; returns whether it is the application's to send, and not the connection's.

        Raises:
            ValueError: it is no header.
        """
        if _NO_NAME.search(name) or _NO_VALUE.search(value):
            raise ValueError("the response has a header that is none")
        lower = name.lower()
        if lower == b"content-length":
            self._left = int(value)
        elif lower == b"connection":
            if b"close" in (token.strip() for token in value.lower().split(b",")):
                self.keep_alive = False
            return False
        return lower != b"transfer-encoding"

    def body(self, part: bytes, *, more: bool) -> bytes:
        """Returns a part of the body as it travels; the last one with the end of the body.

        Raises:
            ValueError: the response has not started, has ended, or its `Content-Length` is another.
        """
        if not self.started or self.complete:
            raise ValueError("a part of a body stands outside of its response")
        self.complete = not more
        if not self._has_content:
            return b""
        if self.chunked:
            last = b"" if more else b"0\r\n\r\n"
            return b"%x\r\n%b\r\n%b" % (len(part), part, last) if part else last
        if self._left is not None:
            self._left -= len(part)
            if self._left < 0 or (self._left and not more):
                self.complete = False
                raise ValueError("the body is not as long as the Content-Length")
        return part


def status_line(status: int, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Returns the first lines of each response with a status: with some headers that seldom change.

    They are not changed in place: the server makes others of them once a second.
    """
    known = _STATUS_LINES.get(status)
    if known is not None and known[0] is headers:
        return known[1]
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = ""
    lines = [b"HTTP/1.1 %d %b\r\n" % (status, phrase.encode())]
    lines += (b"%b: %b\r\n" % header for header in headers)
    joined = b"".join(lines)
    _STATUS_LINES[status] = headers, joined
    return joined
