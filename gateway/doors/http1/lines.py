"""The lines of a plain head, cut into headers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from gateway.doors.http.header_uses import TOKEN, UNUSUAL
from gateway.transcoding.host import is_host

BLANKS: Final = b" \t"
CONTROLS: Final = bytes((*range(9), *range(10, 32), 127))
"""No line has one of these (RFC 9110, section 5.5)."""


def cut(lines: Sequence[bytes]) -> tuple[tuple[bytes, bytes], ...]:
    """Returns the names in lower case, and the values."""
    parts = (line.partition(b":") for line in lines)
    return tuple((name.lower(), value.strip(BLANKS)) for name, _, value in parts)


def is_plain(lines: Sequence[bytes], headers: Sequence[tuple[bytes, bytes]], length: int) -> bool:
    """Whether lines are those of a head without anything unusual, of a request whose body has come.

    Args:
        lines: as they came.
        headers: the same, cut.
        length: bytes that have come behind the head.
    """
    names = [name for name, _ in headers]
    text = b"".join(lines)
    if (
        len(text.translate(None, CONTROLS)) != len(text)
        or not all(b":" in line for line in lines)
        or not all(map(TOKEN.fullmatch, names))
        or not UNUSUAL.isdisjoint(names)
        or (names.count(b"host"), names.count(b"content-length") > 1) != (1, False)
        or any(n == b"connection" and v.lower() != b"keep-alive" for n, v in headers)
        or not all(is_host(v) for n, v in headers if n == b"host")
    ):
        return False
    said = dict(headers).get(b"content-length", b"0")
    return said.isdigit() and length == int(said)
