"""Requests that ask for another protocol on their connection (RFC 9110, section 7.8).

The edge speaks one other protocol, WebSocket. Everything here is a pure function of a request's head; names
of headers are in lower case.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, TypeAlias

Headers: TypeAlias = Iterable[tuple[bytes, bytes]]

_HOP_BY_HOP: Final = (b"connection", b"upgrade", b"content-length")


def is_websocket_handshake(method: bytes, version: str, headers: Headers) -> bool:
    """Returns whether a request that asks for an upgrade is a handshake of RFC 6455, section 4.2.1.

    That is a GET over HTTP/1.1 which lists `websocket` among its protocols and has no content. HTTP/1.0 has
    no upgrades, and a request with content is not a handshake.

    Args:
        method: of the request.
        version: of HTTP, as `1.1`.
        headers: all of the request.
    """
    if method != b"GET" or version != "1.1":
        return False
    protocols: list[bytes] = []
    for name, value in headers:
        if name == b"transfer-encoding" or (name == b"content-length" and value.strip(b"0")):
            return False
        if name == b"upgrade":
            protocols += (token.strip().lower() for token in value.split(b","))
    return b"websocket" in protocols


def handshake_headers(headers: Headers) -> list[tuple[bytes, bytes]]:
    """Returns the headers of a handshake, in which WebSocket is the only protocol that is asked for."""
    kept = [header for header in headers if header[0] not in _HOP_BY_HOP]
    return [*kept, (b"connection", b"Upgrade"), (b"upgrade", b"websocket")]


def head_without_upgrade(method: bytes, target: bytes, version: str, headers: Headers) -> bytes:
    """Returns the head of the same request without its `Upgrade` headers, as it travels."""
    lines = [b"%b %b HTTP/%b" % (method, target, version.encode())]
    lines += (b"%b: %b" % header for header in headers if header[0] != b"upgrade")
    return b"\r\n".join((*lines, b"", b""))
