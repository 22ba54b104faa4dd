"""What the headers of a request, of an answer, and trailers must be like.

Source: RFC 9113, sections 8.1.1 (malformed messages), 8.2.2 (connection-specific fields), 8.3
(pseudo-header fields). Names and values alone (8.2.1) are looked at where blocks are read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from grpc_wire.events import Headers

_OF_REQUESTS: Final = frozenset({b":method", b":scheme", b":path", b":authority"})
_OF_ANSWERS: Final = frozenset({b":status"})
_SWITCHING_PROTOCOLS: Final = 101
_WITHOUT_CONTENT: Final = frozenset({204, 304})
"""Answers whose content-length is that of another one (RFC 9110, 8.6)."""
_COLON: Final = ord(":")
_OF_THE_CONNECTION: Final = frozenset(
    {b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"}
)
_LOOKED_AT: Final = _OF_THE_CONNECTION | {b"te", b"content-length", b"host"}


@dataclass(slots=True)
class HeaderSection:
    """What a header block means; one that is known when it comes again is looked at once."""

    headers: Headers
    fault: str = ""
    """What is malformed in it (RFC 9113, 8.2.1), which is a fault of its stream alone."""
    too_large: bool = False
    """Whether there was more than may be, so that the headers are not all."""
    _answer: tuple[int, int | None] | None = None
    _are_trailers: bool = False

    def check_request(self) -> int | None:
        """Returns the content-length of a request, if it says one.

        Raises:
            ValueError: the request is malformed; why.
        """
        found, length = _check(self.headers, _OF_REQUESTS)
        if found.get(b":method") == b"CONNECT":
            raise ValueError("CONNECT is not served")
        if not (b":method" in found and b":scheme" in found and found.get(b":path")):
            raise ValueError("a pseudo-header is missing")
        host = found.get(b"host")
        if host is not None and host.lower() != found.get(b":authority", host).lower():
            raise ValueError("host and :authority are not the same")
        return length

    def check_answer(self) -> tuple[int, int | None]:
        """Returns the status of an answer, and its content-length, if it says one.

        Raises:
            ValueError: the answer is malformed; why.
        """
        if self._answer is None:
            found, length = _check(self.headers, _OF_ANSWERS)
            text = found.get(b":status", b"")
            if len(text) != 3 or not text.isdigit():
                raise ValueError("there is no :status of three digits")
            status = int(text)
            if status < 100 or status == _SWITCHING_PROTOCOLS:
                raise ValueError(f":status {status} is not for HTTP/2")
            self._answer = status, None if status in _WITHOUT_CONTENT else length
        return self._answer

    def check_trailers(self) -> None:
        """Looks at trailers.

        Raises:
            ValueError: the trailers are malformed; why.
        """
        if not self._are_trailers:
            _check(self.headers, frozenset())
            self._are_trailers = True


def _check(headers: Headers, allowed: frozenset[bytes]) -> tuple[dict[bytes, bytes], int | None]:
    found: dict[bytes, bytes] = {}
    length: int | None = None
    in_front = True
    for name, value in headers:
        if name[0] == _COLON:
            if not in_front or name not in allowed or name in found:
                raise ValueError(f"{name.decode()} is not allowed, or not there")
            found[name] = value
            continue
        in_front = False
        if name in _LOOKED_AT:
            if name in _OF_THE_CONNECTION:
                raise ValueError(f"{name.decode()} is not for HTTP/2")
            if name == b"te":
                if value != b"trailers":
                    raise ValueError("te is something else than trailers")
            elif name == b"host":
                found.setdefault(name, value)
            elif not value.isdigit() or length not in (None, int(value)):
                raise ValueError("content-length is not one number")
            else:
                length = int(value)
    return found, length
