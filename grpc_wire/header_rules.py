"""What the headers of a request, of an answer, and trailers must be like.

Source: RFC 9113, sections 8.1.1 (malformed messages), 8.2.2 (connection-specific fields), 8.3
(pseudo-header fields). Names and values alone (8.2.1) are looked at where blocks are read.
"""

from __future__ import annotations

from typing import Final

from grpc_wire.events import Headers

_OF_REQUESTS: Final = frozenset({b":method", b":scheme", b":path", b":authority"})
_OF_ANSWERS: Final = frozenset({b":status"})
_COLON: Final = ord(":")
_OF_THE_CONNECTION: Final = frozenset(
    {b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"}
)
_LOOKED_AT: Final = _OF_THE_CONNECTION | {b"te", b"content-length"}


def check_request(headers: Headers) -> int | None:
    """Returns the content-length of a request, if it says one.

    Raises:
        ValueError: the request is malformed; why.
    """
    pseudo, length = _check(headers, _OF_REQUESTS)
    if pseudo.get(b":method") == b"CONNECT":
        raise ValueError("CONNECT is not served")
    if not (b":method" in pseudo and b":scheme" in pseudo and pseudo.get(b":path")):
        raise ValueError("a pseudo-header is missing")
    return length


def check_answer(headers: Headers) -> tuple[int, int | None]:
    """Returns the status of an answer, and its content-length, if it says one.

    Raises:
        ValueError: the answer is malformed; why.
    """
    pseudo, length = _check(headers, _OF_ANSWERS)
    status = pseudo.get(b":status", b"")
    if len(status) != 3 or not status.isdigit():
        raise ValueError("there is no :status of three digits")
    return int(status), length


def check_trailers(headers: Headers) -> None:
    """Looks at trailers.

    Raises:
        ValueError: the trailers are malformed; why.
    """
    _check(headers, frozenset())


def _check(headers: Headers, allowed: frozenset[bytes]) -> tuple[dict[bytes, bytes], int | None]:
    pseudo: dict[bytes, bytes] = {}
    length: int | None = None
    in_front = True
    for name, value in headers:
        if name[0] == _COLON:
            if not in_front or name not in allowed or name in pseudo:
                raise ValueError(f"{name.decode()} is not allowed, or not there")
            pseudo[name] = value
            continue
        in_front = False
        if name in _LOOKED_AT:
            if name in _OF_THE_CONNECTION:
                raise ValueError(f"{name.decode()} is not for HTTP/2")
            if name == b"te":
                if value != b"trailers":
                    raise ValueError("te is something else than trailers")
            elif not value.isdigit() or length not in (None, int(value)):
                raise ValueError("content-length is not one number")
            else:
                length = int(value)
    return pseudo, length
