"""The lines of a plain head, cut into headers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from gateway.doors.http.header_uses import TOKEN, UNUSUAL
from gateway.transcoding.host import is_host

_COLON: Final = ord(":")
BLANKS: Final = b" \t"
CONTROLS: Final = bytes((*range(9), *range(10, 32), 127))
"""No line has one of these (RFC 9110, section 5.5)."""
_NO_LINE: Final = b"\r\n"
"""No line is equal to it."""


class SharedLines:
    """Lines that many callers send to the byte, by numbers.

    Attributes:
        grew: whether a line was added; whoever looks sets it to False.
    """

    __slots__ = ("_before", "_headers", "_numbers", "_numbers_before", "grew")

    def __init__(self) -> None:
        self._before: list[bytes] = []
        """Where a shared line stood in the latest head: to compare it costs a tenth of a look-up.

        `_NO_LINE` where another line stood, which may have credentials.
        """
        self._numbers_before: list[int] = []
        """The numbers of these."""
        self._numbers: dict[bytes, int] = {}
        """Line -> number, from 1 on."""
        self._headers: list[tuple[bytes, bytes]] = []
        """Name in lower case and value of each, in the order of their numbers."""
        self.grew = False

    def __len__(self) -> int:
        """How many there are."""
        return len(self._headers)

    def split(self, lines: list[bytes]) -> tuple[tuple[int, ...], list[bytes]]:
        """Returns the numbers of those lines that are shared, and the other lines."""
        before, numbers_before = self._before, self._numbers_before
        if len(before) != len(lines):
            self._before = before = [_NO_LINE] * len(lines)
            self._numbers_before = numbers_before = [0] * len(lines)
        numbers: list[int] = []
        others: list[bytes] = []
        for at, line in enumerate(lines):
            if line == before[at]:
                numbers.append(numbers_before[at])
            elif number := self._numbers.get(line, 0):
                numbers.append(number)
                before[at], numbers_before[at] = line, number
            else:
                others.append(line)
        return tuple(numbers), others

    def add(self, line: bytes, name: bytes, value: bytes) -> None:
        """Shares a line, of which the name is in lower case."""
        self._headers.append((name, value))
        self._numbers[line] = len(self._headers)
        self.grew = True

    def headers(self, numbers: Sequence[int]) -> list[tuple[bytes, bytes]]:
        """Returns names and values of shared lines."""
        return [self._headers[number - 1] for number in numbers]

    def clear(self) -> None:
        """Forgets all; numbers begin anew."""
        self._numbers.clear()
        self._headers.clear()
        self._before = []


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
        or not all(_COLON in line for line in lines)
        or not all(map(TOKEN.fullmatch, names))
        or not UNUSUAL.isdisjoint(names)
        or (names.count(b"host"), names.count(b"content-length") > 1) != (1, False)
        or any(n == b"connection" and v.lower() != b"keep-alive" for n, v in headers)
        or not all(is_host(v) for n, v in headers if n == b"host")
    ):
        return False
    said = dict(headers).get(b"content-length", b"0")
    return said.isdigit() and length == int(said)
