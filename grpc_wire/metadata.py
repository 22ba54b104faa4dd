"""Metadata <-> HTTP/2 headers.

Source: gRPC over HTTP/2, "Custom-Metadata": keys of lower-case letters, digits, `_`, `-` and `.`; values of
printable ASCII; a key that ends in `-bin` has bytes for its value, in base64, of which several may stand in
one header, joined by commas. `grpc-` is gRPC's own.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from binascii import Error
from collections.abc import Iterable
from functools import lru_cache
from typing import Final, TypeAlias

from grpc_wire.events import Headers

Metadata: TypeAlias = tuple[tuple[str, str | bytes], ...]

_KEY: Final = re.compile(r"[0-9a-z_.-]+")
_BINARY: Final = "-bin"
_RESERVED: Final = "grpc-"
_OWN: Final = frozenset(
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
"""What is not metadata, though it stands among it."""
_KEPT: Final = 1024


def to_headers(metadata: Iterable[tuple[str, str | bytes]]) -> Headers:
    """Returns metadata as headers.

    Raises:
        ValueError: a key or a value is not what gRPC allows; which.
    """
    return tuple([_to_header(key, value) for key, value in metadata])


def _to_header(key: str, value: str | bytes) -> tuple[bytes, bytes]:
    name = _name(key)
    if key.endswith(_BINARY):
        if not isinstance(value, bytes):
            raise ValueError(f"metadata {key!r}: a key that ends in -bin has bytes for its value")
        return name, b64encode(value).rstrip(b"=")
    text = value if isinstance(value, str) else value.decode("latin-1")
    if not (text.isascii() and text.isprintable()):
        raise ValueError(f"metadata {key!r}: the value is not printable ASCII")
    return name, text.strip(" ").encode()


@lru_cache(maxsize=_KEPT)
def _name(key: str) -> bytes:
    if not _KEY.fullmatch(key):
        raise ValueError(f"metadata {key!r}: a key has lower-case letters, digits, _, - and .")
    if key.startswith(_RESERVED) and not key.endswith(_BINARY):
        raise ValueError(f"metadata {key!r}: keys that begin with grpc- are gRPC's own")
    return key.encode()


def from_headers(headers: Headers) -> Metadata:
    """Returns the metadata among headers: all but pseudo-headers and what is HTTP's and gRPC's own.

    A value that is not base64 where it should be is left out, for nothing else can be done with it.
    """
    metadata: list[tuple[str, str | bytes]] = []
    for name, value in headers:
        key = _metadata_key(name)
        if key is None:
            continue
        if key.endswith(_BINARY):
            for part in value.split(b","):
                try:
                    metadata.append((key, b64decode(part + b"=" * (-len(part) % 4), validate=True)))
                except Error:
                    continue
        else:
            metadata.append((key, value.decode("latin-1")))
    return tuple(metadata)


@lru_cache(maxsize=_KEPT)
def _metadata_key(name: bytes) -> str | None:
    key = name.decode("latin-1")
    return None if key in _OWN or key.startswith(":") else key
