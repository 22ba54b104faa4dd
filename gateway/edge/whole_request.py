"""What comes of HTTP/1.1, if it is one whole request.

Rule: nothing of HTTP is decided here that httptools, with which uvicorn reads the same, could decide
differently. A request that asks for anything unusual is none: an upgrade, a target that is no path.
"""

from __future__ import annotations

from dataclasses import dataclass

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser


@dataclass(slots=True)
class WholeHead:
    """The head of a request of which all has come."""

    method: str
    path: str
    """As it came, percent-encoded."""
    query: bytes
    headers: list[tuple[bytes, bytes]]
    """Their names are in lower case."""
    length: int
    """Of the body, in bytes."""
    keep_alive: bool
    """Whether the connection is kept behind it."""


class WholeRequests:
    """Finds out whether some bytes are one whole request."""

    def __init__(self) -> None:
        self._parser = _Parser()

    def parse(self, data: bytes) -> tuple[WholeHead, bytes] | None:
        """Returns the head and the body of the request that some bytes are.

        None if they are more or less than one request, or one with something unusual.
        """
        request = self._parser.parse(data)
        if request is None or not self._parser.goes_on:
            self._parser.close()
            self._parser = _Parser()
        return request


class _Parser:
    """Of no use any more behind what is no whole request, or one that ends its connection."""

    __slots__ = (
        "_begun",
        "_complete",
        "_fields",
        "_headers",
        "_keep_alive",
        "_parser",
        "_parts",
        "_target",
        "goes_on",
    )

    def __init__(self) -> None:
        self._parser = HttpRequestParser(self)

    def parse(self, data: bytes) -> tuple[WholeHead, bytes] | None:
        self._begun = self._complete = 0
        self._target = b""
        self._fields: list[tuple[bytes, bytes]] = []
        self._parts: list[bytes] = []
        parser = self._parser
        try:
            parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade):
            return None
        if self._begun != 1 or self._complete != 1 or parser.should_upgrade():
            return None
        path, _, query = self._target.partition(b"?")
        if not path.startswith(b"/") or b"#" in self._target:
            return None
        keep_alive = self._keep_alive and parser.get_http_version() != "1.0"
        method, body = parser.get_method().decode("ascii"), b"".join(self._parts)
        head = WholeHead(method, path.decode("ascii"), query, self._headers, len(body), keep_alive)
        return head, body

    def close(self) -> None:
        """Parts the two that hold each other."""
        del self._parser

    # What the parser calls.

    def on_message_begin(self) -> None:
        self._begun += 1

    def on_url(self, part: bytes) -> None:
        self._target += part

    def on_header(self, name: bytes, value: bytes) -> None:
        self._fields.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        self._headers, self._fields = self._fields, []  # what is to come are trailers
        self._keep_alive = self._parser.should_keep_alive()

    def on_body(self, part: bytes) -> None:
        self._parts.append(part)

    def on_message_complete(self) -> None:
        self._complete += 1
        self.goes_on = self._parser.should_keep_alive()  # trailers have a say in that
