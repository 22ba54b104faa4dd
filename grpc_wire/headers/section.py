"""What the headers of a request, of an answer, and trailers must be like.

Source: RFC 9113, sections 8.1.1 (malformed messages), 8.2.2 (connection-specific fields), 8.3
(pseudo-header fields). Names and values alone (8.2.1) are looked at where blocks are read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias

Headers: TypeAlias = tuple[tuple[bytes, bytes], ...]
"""Fields in the order in which they came or are sent: names in lower case, pseudo-headers first."""

_OF_REQUESTS: Final = frozenset({b":method", b":scheme", b":path", b":authority"})
_OF_ANSWERS: Final = frozenset({b":status"})
_OF_TRAILERS: Final[frozenset[bytes]] = frozenset()
_SWITCHING_PROTOCOLS: Final = 101
_WITHOUT_CONTENT: Final = frozenset({204, 304})
"""Answers whose content-length is that of another one (RFC 9110, 8.6)."""
_COLON: Final = ord(":")
_OF_THE_CONNECTION: Final = frozenset(
    {b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"}
)
_LOOKED_AT: Final = _OF_THE_CONNECTION | {b"te", b"content-length", b"host"}


def list_size(headers: Headers) -> int:
    """Returns the size of a header section as SETTINGS_MAX_HEADER_LIST_SIZE counts it (RFC 9113, 6.5.2)."""
    return sum([len(name) + len(value) for name, value in headers]) + 32 * len(headers)


@dataclass(slots=True, eq=False)
class _Found:
    """What is to be known of some headers; the same for all that add nothing to it."""

    fields: dict[bytes, bytes]
    """Pseudo-headers, and host."""
    length: int | None = None
    """What content-length says."""
    in_front: bool = True
    """Whether a pseudo-header may still follow."""
    is_request: bool = False
    """Whether they are known to be in order for a request."""


_NOTHING: Final = _Found({})


@dataclass(slots=True, eq=False)
class HeaderSection:
    """What a header block means; one that is known when it comes again is looked at once.

    A block may begin like others: then only what follows is looked at.
    """

    headers: Headers
    fault: str = ""
    """What is malformed in it (RFC 9113, 8.2.1), which is a fault of its stream alone."""
    too_large: bool = False
    """Whether there was more than may be, so that the headers are not all."""
    size: int = 0
    """As its limit counts it (RFC 9113, 6.5.2)."""
    length: int = 0
    """Of the block."""
    begin: HeaderSection | None = None
    """What it begins with, as others do."""
    _allowed: frozenset[bytes] | None = None
    _found: _Found = _NOTHING
    """What was found when those pseudo-headers were allowed."""
    _answer: tuple[int, int | None] | None = None

    def check_request(self) -> int | None:
        """Returns the content-length of a request, if it says one.

        Raises:
            ValueError: the request is malformed; why.
        """
        found = self.look(_OF_REQUESTS)
        if not found.is_request:
            _check_request(found.fields)
            found.is_request = True
        return found.length

    def check_answer(self) -> tuple[int, int | None]:
        """Returns the status of an answer, and its content-length, if it says one.

        Raises:
            ValueError: the answer is malformed; why.
        """
        if self._answer is None:
            found = self.look(_OF_ANSWERS)
            text = found.fields.get(b":status", b"")
            if len(text) != 3 or not text.isdigit():
                raise ValueError("there is no :status of three digits")
            status = int(text)
            if status < 100 or status == _SWITCHING_PROTOCOLS:
                raise ValueError(f":status {status} is not for HTTP/2")
            self._answer = status, None if status in _WITHOUT_CONTENT else found.length
        return self._answer

    def check_trailers(self) -> None:
        """Looks at trailers.

        Raises:
            ValueError: the trailers are malformed; why.
        """
        self.look(_OF_TRAILERS)

    def look(self, allowed: frozenset[bytes]) -> _Found:
        """Looks at it as one that has these pseudo-headers, or some of them.

        Raises:
            ValueError: it is malformed; why.
        """
        if self._allowed is not allowed:
            if self.begin is None:
                self._found = _look_at(self.headers, allowed, _NOTHING)
            else:
                more = self.headers[len(self.begin.headers) :]
                self._found = _look_at(more, allowed, self.begin.look(allowed))
            self._allowed = allowed
        return self._found


def _check_request(fields: dict[bytes, bytes]) -> None:
    if fields.get(b":method") == b"CONNECT":
        raise ValueError("CONNECT is not served")
    if not (b":method" in fields and b":scheme" in fields and fields.get(b":path")):
        raise ValueError("a pseudo-header is missing")
    host = fields.get(b"host")
    if host is not None and host.lower() != fields.get(b":authority", host).lower():
        raise ValueError("host and :authority are not the same")


def _look_at(headers: Headers, allowed: frozenset[bytes], before: _Found) -> _Found:
    """Looks at headers that follow others; returns what was found there if they add nothing to it."""
    in_front = before.in_front
    for name, _ in headers:
        if in_front or name[0] == _COLON or name in _LOOKED_AT:
            return _look_closely(headers, allowed, before)
    return before


def _look_closely(headers: Headers, allowed: frozenset[bytes], before: _Found) -> _Found:
    fields, length, in_front = before.fields.copy(), before.length, before.in_front
    for name, value in headers:
        if name[0] == _COLON:
            if not in_front or name not in allowed or name in fields:
                raise ValueError(f"{name.decode()} is not allowed, or not there")
            fields[name] = value
            continue
        in_front = False
        if name in _LOOKED_AT:
            if name in _OF_THE_CONNECTION:
                raise ValueError(f"{name.decode()} is not for HTTP/2")
            if name == b"te":
                if value != b"trailers":
                    raise ValueError("te is something else than trailers")
            elif name == b"host":
                fields.setdefault(name, value)
            elif not value.isdigit() or length not in (None, int(value)):
                raise ValueError("content-length is not one number")
            else:
                length = int(value)
    return _Found(fields, length, in_front)
