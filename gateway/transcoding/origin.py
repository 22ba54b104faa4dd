"""Origins of pages (RFC 6454): whether two are the same, and whether one is the edge's own."""

from __future__ import annotations

import re
from ipaddress import IPv6Address
from typing import Final

_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_OF_WEBSOCKET: Final = {"ws": "http", "wss": "https"}
_MAX_PORT: Final = 65535
_SCHEME: Final = re.compile(r"[a-z][a-z0-9+.-]*")
_AUTHORITY: Final = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9._~-]+)(?::([0-9]{0,5}))?")


def serialized_origin(text: str) -> str:
    """Returns an origin as browsers serialize it (RFC 6454, sections 4 and 6.2).

    Scheme and host are in lower case, and a port that is the scheme's default is left out. Two origins are
    the same if these are equal. Clients other than browsers name the scheme of the WebSocket they open: `ws`
    and `wss` stand for `http` and `https`.

    Args:
        text: the value of an `Origin` header, or what an operator wrote.

    Raises:
        ValueError: it is not `SCHEME://HOST` or `SCHEME://HOST:PORT`; says so. `null` is the origin of pages
            that have none, and equals nothing.
    """
    scheme, separator, authority = text.lower().partition("://")
    if not separator or not _SCHEME.fullmatch(scheme):
        raise ValueError(f"{text!r} is not an origin: expected SCHEME://HOST or SCHEME://HOST:PORT")
    scheme = _OF_WEBSOCKET.get(scheme, scheme)
    try:
        return f"{scheme}://{_serialized_authority(scheme, authority)}"
    except ValueError as error:
        raise ValueError(f"{text!r} is not an origin: {error}") from None


def is_same_origin(origin: str, host: str, *, secure: bool) -> bool:
    """Returns whether an origin is that of the URL that a request was sent to.

    Args:
        origin: of the page, serialized.
        host: the value of the request's `Host` header.
        secure: whether the request came over TLS. One that did not may have come so to a proxy in front, so
            both `http` and `https` may then be the scheme of its URL.
    """
    scheme = origin.partition("://")[0]
    if scheme != "https" and (secure or scheme != "http"):
        return False
    try:
        return origin == f"{scheme}://{_serialized_authority(scheme, host.lower())}"
    except ValueError:
        return False


def _serialized_authority(scheme: str, authority: str) -> str:
    match = _AUTHORITY.fullmatch(authority)
    if match is None:
        raise ValueError("after the scheme come a host in ASCII and, at most, a port")
    host, digits = match.groups()
    if host.startswith("["):
        host = f"[{IPv6Address(host[1:-1])}]"
    if not digits:
        return host
    port = int(digits)
    if port > _MAX_PORT:
        raise ValueError(f"a port is at most {_MAX_PORT}")
    return host if port == _DEFAULT_PORTS.get(scheme) else f"{host}:{port}"
