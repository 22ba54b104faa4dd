"""Web origins (RFC 6454): their serialization, and the same-origin check."""

from __future__ import annotations

import re
from ipaddress import IPv6Address
from typing import Final

_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_WEBSOCKET_SCHEMES: Final = {"ws": "http", "wss": "https"}
_MAX_PORT: Final = 65535
_SCHEME: Final = re.compile(r"[a-z][a-z0-9+.-]*")
_AUTHORITY: Final = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9._~-]+)(?::([0-9]{0,5}))?")


def serialized_origin(text: str) -> str:
    """Normalizes an origin (RFC 6454, sections 4 and 6.2).

    Scheme and host are in lower case, and the default port of the scheme is omitted. Two origins are the same
    if the results are equal. `ws` and `wss`, which clients other than browsers send, become `http` and
    `https`.

    Args:
        text: the value of an `Origin` header or of a setting.

    Raises:
        ValueError: it is not `SCHEME://HOST` or `SCHEME://HOST:PORT`. An example is `null`, the opaque
            origin.
    """
    scheme, separator, authority = text.lower().partition("://")
    if not separator or not _SCHEME.fullmatch(scheme):
        raise ValueError(f"{text!r} is not an origin: expected SCHEME://HOST or SCHEME://HOST:PORT")
    scheme = _WEBSOCKET_SCHEMES.get(scheme, scheme)
    try:
        return f"{scheme}://{_serialized_authority(scheme, authority)}"
    except ValueError as error:
        raise ValueError(f"{text!r} is not an origin: {error}") from None


def is_same_origin(origin: str, host: str, *, secure: bool) -> bool:
    """Returns whether an origin is that of the request's own URL.

    Args:
        origin: origin of the page, serialized.
        host: `Host` header of the request.
        secure: whether the request came over TLS. Without TLS both `http` and `https` match, since a proxy
            may have terminated TLS.
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
