"""HTTP headers <-> gRPC metadata, as the wires of RPC have them: all but what is the connection's own.

Source: gRPC over HTTP/2, "Custom-Metadata"; the Connect protocol, "Unary-Request".
"""

from __future__ import annotations

import re
from base64 import b64encode
from typing import Final

from gateway.transcoding.metadata import Headers, Metadata
from grpc_wire.call.metadata import from_headers

_HTTP: Final = frozenset(
    {
        *("accept", "accept-encoding", "connection", "content-encoding", "content-length"),
        *("content-type", "date", "expect", "host", "keep-alive", "proxy-connection", "server"),
        *("te", "trailer", "transfer-encoding", "upgrade", "user-agent", "x-content-type-options"),
        *("x-grpc-web", "x-request-id", "x-server-timeout", "x-user-agent"),
    }
)
"""Headers that describe a connection, a body or a client, and that the edge reads itself."""
_PREFIXES: Final = ("grpc-", "connect-", ":")
"""Names that the wires keep for themselves."""
_KEY: Final = re.compile(r"[0-9a-z_.-]+")
_NO_TEXT: Final = re.compile(rb"[^\x20-\x7e]")


def request_metadata(headers: Headers) -> Metadata:
    """Returns the metadata that a request's headers are; what cannot be metadata is left out."""
    return tuple(
        pair
        for pair in from_headers(headers)
        if _is_custom(pair[0])
        and (not isinstance(pair[1], str) or (pair[1].isascii() and pair[1].isprintable()))
    )


def response_headers(metadata: Metadata, prefix: bytes = b"") -> Headers:
    """Returns the headers, or trailers, of a call's metadata; each name begins with the prefix."""
    if not metadata:
        return ()
    return tuple(
        (prefix + key.encode(), header_text(value)) for key, value in metadata if _is_custom(key)
    )


def header_text(value: str | bytes) -> bytes:
    """Returns a value as it travels: bytes in base64 without padding."""
    if isinstance(value, bytes):
        return b64encode(value).rstrip(b"=")
    return _NO_TEXT.sub(b" ", value.encode("latin-1", errors="replace")).strip()


def _is_custom(key: str) -> bool:
    return key not in _HTTP and not key.startswith(_PREFIXES) and _KEY.fullmatch(key) is not None
