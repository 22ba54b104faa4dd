"""One request as it arrives: its head, and what of its body is not read yet."""

from __future__ import annotations

from typing import TypeAlias

Headers: TypeAlias = list[tuple[bytes, bytes]]


class Request:
    """One request, of which at least the head has arrived.

    Attributes:
        method: as it came.
        path: percent-encoded, as it came.
        query: without its question mark.
        version: of HTTP, `1.0` or `1.1`.
        headers: in order; names in lower case.
        length: of the body in bytes; None if it comes in chunks.
        keep_alive: whether the connection goes on after the response.
        expects_continue: whether the client waits for `100 Continue`.
        complete: whether the whole body has arrived.
        buffered: bytes of the body that wait to be read.
        read_to_end: whether the whole body was read.
        discarded: bytes of the body that nobody will read.
    """

    __slots__ = (
        "_parts",
        "buffered",
        "complete",
        "discarded",
        "discards",
        "expects_continue",
        "headers",
        "keep_alive",
        "length",
        "method",
        "path",
        "query",
        "read_to_end",
        "version",
    )

    def __init__(
        self, method: str, path: str, query: bytes, version: str, headers: Headers
    ) -> None:
        self.method = method
        self.path = path
        self.query = query
        self.version = version
        self.headers = headers
        self.length: int | None = 0
        self.keep_alive = True
        self.expects_continue = False
        self.complete = False
        self.read_to_end = False
        self.buffered = 0
        self.discarded = 0
        self.discards = False
        self._parts: list[bytes] = []

    def append(self, part: bytes) -> None:
        """Adds a part of the body."""
        if self.discards:
            self.discarded += len(part)
            return
        self.buffered += len(part)
        self._parts.append(part)

    def read(self) -> bytes:
        """Returns what has arrived of the body since the last call."""
        parts = self._parts
        if not parts:
            return b""
        self._parts, self.buffered = [], 0
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def peek(self) -> bytes:
        """Returns what `read` would, and leaves it."""
        body = self.read()
        if body:
            self._parts, self.buffered = [body], len(body)
        return body

    def discard(self) -> None:
        """Drops the body, and what is still to come of it."""
        self.discards = True
        self.discarded += self.buffered
        self._parts, self.buffered = [], 0
