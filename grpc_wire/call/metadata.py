"""Metadata to and from HTTP/2 headers.

Keys have lower-case letters, digits, `_`, `-` and `.`; values are printable ASCII. A key that ends in `-bin`
has bytes, sent as base64; one header may hold several, separated by commas. Keys that start with `grpc-` are
reserved; those of retries pass.

Source: gRPC over HTTP/2, "Custom-Metadata".
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from binascii import Error
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, Final, TypeAlias

from grpc_wire.headers.section import Headers

Metadata: TypeAlias = tuple[tuple[str, str | bytes], ...]

_KEY: Final = re.compile(r"[0-9a-z_.-]+")
_BINARY: Final = "-bin"
_RESERVED: Final = "grpc-"
_RESERVED_NAMES: Final = frozenset(
    {
        "accept-encoding",
        "content-length",
        "content-type",
        "grpc-accept-encoding",
        "grpc-encoding",
        "grpc-message",
        "grpc-status",
        "grpc-timeout",
        "te",
    }
)
"""Headers that are not metadata."""
_DROPPED_KEYS: Final = frozenset({"accept-encoding", "content-length", "content-type", "te"})
"""Keys that callers forward from HTTP; dropped, as grpc does: they describe another message."""
_RETRY_KEYS: Final = frozenset({"grpc-previous-rpc-attempts", "grpc-retry-pushback-ms"})
"""Reserved keys that a client which retries, and its server, tell each other as metadata (gRPC's A6)."""
_FORBIDDEN_KEYS: Final = frozenset(
    {"connection", "host", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"}
)
"""Keys that make an HTTP/2 message malformed (RFC 9113, 8.2.2 and 8.3.1)."""
_PRINTABLE: Final = bytes(range(0x20, 0x7F))
"""Printable ASCII."""
_MAX_CACHED: Final = 1024


def to_headers(metadata: Iterable[tuple[str, str | bytes]]) -> Headers:
    """Returns metadata as headers, without the keys that are dropped.

    Raises:
        ValueError: a key or a value is not allowed; which.
    """
    headers: list[tuple[bytes, bytes]] = []
    pairs: tuple[tuple[str, Any], ...] = tuple(metadata)  # what a caller passes may be anything
    for key, value in pairs:
        known = _NAMES.get(key)
        name, binary = _learn_name(key) if known is None else known
        if not name:
            continue
        if isinstance(value, str) and not binary:
            try:
                text = value.encode("ascii")
            except UnicodeEncodeError:
                raise _refusal(key, value) from None
        elif isinstance(value, bytes):
            text = b64encode(value).rstrip(b"=") if binary else value
        else:
            raise _refusal(key, value, binary=binary)
        if not text.isalnum():  # ids and numbers need no closer look
            if text.translate(None, _PRINTABLE):
                raise _refusal(key, text)
            text = text.strip()
        headers.append((name, text))
    return tuple(headers)


def _refusal(key: str, value: object, *, binary: bool = False) -> ValueError:
    if binary:
        return ValueError(f"metadata {key!r}: a key that ends in -bin has bytes for its value")
    if isinstance(value, str | bytes):
        return ValueError(f"metadata {key!r}: the value is not printable ASCII")
    return ValueError(f"metadata {key!r}: the value is neither str nor bytes")


_NAMES: Final[dict[str, tuple[bytes, bool]]] = {}
"""Key -> what `_name` returns."""


def _learn_name(key: str) -> tuple[bytes, bool]:
    """Returns what `_name` does, and remembers it."""
    if len(_NAMES) >= _MAX_CACHED:
        _NAMES.clear()
    _NAMES[key] = name = _name(key)
    return name


def _name(key: str) -> tuple[bytes, bool]:
    """Returns the header name of a key, empty if it is dropped, and whether its values are bytes.

    Raises:
        ValueError: it is no key.
    """
    if key in _DROPPED_KEYS:
        return b"", False
    binary = key.endswith(_BINARY)
    if not _KEY.fullmatch(key):
        raise ValueError(f"metadata {key!r}: a key has lower-case letters, digits, _, - and .")
    if key.startswith(_RESERVED) and not binary and key not in _RETRY_KEYS:
        raise ValueError(f"metadata {key!r}: keys that begin with grpc- are gRPC's own")
    if key in _FORBIDDEN_KEYS:
        raise ValueError(f"metadata {key!r}: this key is HTTP's own")
    return key.encode(), binary


def from_headers(headers: Headers) -> Metadata:
    """Returns the metadata among headers: all but pseudo-headers and those of HTTP and gRPC.

    Values of `-bin` keys that are not base64 are dropped.
    """
    metadata: list[tuple[str, str | bytes]] = []
    for name, value in headers:
        key = _metadata_key(name)
        if key is None:
            continue
        if key.endswith(_BINARY):
            for each in value.split(b","):
                part = each.strip(b" \t")  # a proxy may have joined several (RFC 9110, 5.3)
                try:
                    metadata.append((key, b64decode(part + b"=" * (-len(part) % 4), validate=True)))
                except Error:
                    continue
        else:
            metadata.append((key, value.decode("latin-1")))
    return tuple(metadata)


@lru_cache(maxsize=_MAX_CACHED)
def _metadata_key(name: bytes) -> str | None:
    key = name.decode("latin-1")
    return None if key in _RESERVED_NAMES or key.startswith(":") else key
