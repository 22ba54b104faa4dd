"""Web origins (RFC 6454): their serialization, the same-origin check, and lists of allowed ones."""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import IPv6Address
from typing import Final

_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_WEBSOCKET_SCHEMES: Final = {"ws": "http", "wss": "https"}
_MAX_PORT: Final = 65535
_SCHEME: Final = re.compile(r"[a-z][a-z0-9+.-]*")
_BELOW: Final = "://*."
"""Separates scheme and domain in a pattern for all subdomains."""
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


def origin_pattern(text: str) -> str:
    """Normalizes an item of a list of allowed origins.

    It is `*` for any origin, an origin, or `SCHEME://*.DOMAIN` with an optional port: every origin whose host
    is one or more labels in front of the domain, and not the domain itself.

    Args:
        text: the item, as an operator has written it.

    Raises:
        ValueError: it is none of them; the text says what to write. The domain of a pattern has a dot, or is
            `localhost`: `https://*.com` would allow nearly anybody.
    """
    if text == "*":
        return text
    if not text.isascii():
        raise ValueError(
            f"{text!r} is not an origin: write an international name in ASCII (xn--…), as browsers send it"
        )
    if text.lower() == "null":
        raise ValueError(
            "'null' is not an origin: every sandboxed frame and local file has it, so it names nobody"
        )
    scheme, below, rest = text.partition(_BELOW)
    if not below:
        if "*" in text:
            raise ValueError(
                f"{text!r} is not an origin: * stands for whole labels, https://*.HOST"
            )
        return serialized_origin(text)
    try:
        scheme, _, rest = serialized_origin(f"{scheme}://{rest}").partition("://")
    except ValueError as error:
        raise ValueError(str(error).replace("://", _BELOW, 1)) from None
    *parents, last = rest.partition(":")[0].split(".")
    if not last or not all(parents) or last.isdigit() or (not parents and last != "localhost"):
        raise ValueError(f"{text!r} is too wide: after *. comes a domain with a dot, or localhost")
    return f"{scheme}{_BELOW}{rest}"


class Origins:
    """A list of allowed origins.

    Attributes:
        any: whether every origin is allowed, `null` too.
    """

    __slots__ = ("_below", "_exact", "any")

    def __init__(self, patterns: Iterable[str] = ()) -> None:
        """Takes items that `origin_pattern` has normalized."""
        patterns = frozenset(patterns)
        self.any = "*" in patterns
        self._exact = frozenset(each for each in patterns if "*" not in each)
        self._below = frozenset(each.replace(_BELOW, "://") for each in patterns if _BELOW in each)

    def allow(self, origin: str) -> bool:
        """Returns whether an origin is in the list.

        Args:
            origin: the value of an `Origin` header; one that is no origin is not in it.
        """
        if self.any:
            return True
        try:
            origin = serialized_origin(origin)
        except ValueError:
            return False
        return origin in self._exact or (bool(self._below) and self._is_below(origin))

    def _is_below(self, origin: str) -> bool:
        scheme, _, rest = origin.partition("://")
        label, dot, rest = rest.partition(".")
        while label and dot:
            if f"{scheme}://{rest}" in self._below:
                return True
            label, dot, rest = rest.partition(".")
        return False


def is_same_origin(origin: str, host: str, *, secure: bool) -> bool:
    """Returns whether an origin is that of the request's own URL.

    Args:
        origin: the value of the `Origin` header.
        host: `Host` header of the request.
        secure: whether the request came over TLS. Without TLS both `http` and `https` match, since a proxy
            may have terminated TLS.
    """
    try:
        origin = serialized_origin(origin)
        scheme = origin.partition("://")[0]
        if scheme != "https" and (secure or scheme != "http"):
            return False
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
