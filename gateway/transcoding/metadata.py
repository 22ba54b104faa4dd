"""HTTP headers, or a JSON object, <-> gRPC metadata, with an allow-list in each direction.

Source: gRPC over HTTP/2, "Custom-Metadata": keys consist of lower-case letters, digits, `_`, `-` and `.`; the
value of a key that ends in `-bin` is bytes, in base64 over HTTP; the prefix `grpc-` is reserved.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, TypeAlias

from gateway.transcoding import scalars
from gateway.transcoding.violations import quoted

Metadata: TypeAlias = tuple[tuple[str, str | bytes], ...]
Headers: TypeAlias = tuple[tuple[bytes, bytes], ...]

PREFIX: Final = b"grpc-metadata-"
"""A header with this prefix is always forwarded, under the rest of its name."""

TRACE_KEYS: Final = frozenset({"baggage", "traceparent", "tracestate", "x-request-id"})
"""Metadata keys for tracing: unique per request, without effect on the response."""

DEFAULT_REQUEST_HEADERS: Final = (
    "accept-language",
    "authorization",
    "baggage",
    "traceparent",
    "tracestate",
    "x-request-id",
)
DEFAULT_RESPONSE_HEADERS: Final = (
    "cache-control",
    "etag",
    "location",
    "retry-after",
    "www-authenticate",
)
DEFAULT_CHALLENGE: Final = "Bearer"
DEFAULT_STATUS_KEY: Final = "x-http-code"

_KEY: Final = re.compile(r"[0-9a-z_.-]+")
_TEXT: Final = re.compile(r"[\x20-\x7e]*")
_CONTROLS: Final = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_RESERVED: Final = ("grpc-",)
_CONNECTION_HEADERS: Final = frozenset(
    {"connection", "host", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"}
)
"""Headers that make an HTTP/2 message malformed (RFC 9113, 8.2.2 and 8.3.1)."""
_EDGE_HEADERS: Final = _CONNECTION_HEADERS | {
    *("content-length", "content-type", "trailer", "x-content-type-options", "x-request-id")
}
"""Response headers that only the edge sets."""
_LINE_OVERHEAD: Final = len(": \r\n")


class MetadataFilter:
    """The allow-lists: request headers that become metadata, and metadata that become response headers."""

    def __init__(
        self,
        request_headers: Iterable[str],
        response_headers: Iterable[str],
        *,
        challenge: str = DEFAULT_CHALLENGE,
        status_key: str = DEFAULT_STATUS_KEY,
        max_response_header_bytes: int | None = None,
        withheld: Iterable[str] = (),
    ) -> None:
        """Compiles the lists.

        Args:
            request_headers: names of the request headers that become metadata.
            response_headers: keys of the initial metadata that become response headers.
            challenge: `WWW-Authenticate` of a 401 for which the server sent none; empty: none.
            status_key: key of the initial metadata with the HTTP status of a success; empty: none. It never
                becomes a header.
            max_response_header_bytes: maximum bytes of response headers made of metadata; None: no limit.
            withheld: metadata keys that no client sets, whatever else says.
        """
        self.withheld = frozenset(withheld)
        """Metadata keys that no client sets."""
        keys = (name.lower() for name in request_headers)
        self.request = {key.encode("ascii"): key for key in keys if key not in self.withheld}
        """Allowed request header -> metadata key; see `PREFIX` for others."""
        self.status_key = status_key.lower()
        """Key of the initial metadata with the HTTP status of a success; empty: none."""
        response = {name.lower() for name in response_headers} - _EDGE_HEADERS - {self.status_key}
        self._response = frozenset(key for key in response if not key.startswith(_RESERVED))
        self.challenge: Headers = ((b"www-authenticate", challenge.encode()),) if challenge else ()
        """`WWW-Authenticate` of a 401 for which the server sent none; empty: none."""
        self._max_response_header_bytes = max_response_header_bytes

    def metadata_key(self, header: bytes) -> str | None:
        """Returns the metadata key for a lower-case request header; None: not forwarded.

        Raises:
            ValueError: after `PREFIX` comes no valid metadata key.
        """
        key = self.request.get(header)
        if key is None and header.startswith(PREFIX):
            key = checked_key(header[len(PREFIX) :].decode("latin-1"))
        return None if key in self.withheld else key

    def without_withheld(self, metadata: Metadata) -> list[tuple[str, str | bytes]]:
        """Returns metadata of a client without those that no client sets."""
        return [pair for pair in metadata if pair[0] not in self.withheld]

    def headers(self, metadata: Metadata, prefix: str = "") -> Headers:
        """Returns the response headers for metadata.

        Args:
            metadata: initial metadata without a prefix, trailing metadata with one.
            prefix: prepended to each name. Without one, only keys on the allow-list pass.
        """
        passing = self.trailing(metadata) if prefix else self.initial(metadata)
        return tuple(((prefix + key).encode(), header_value(value)) for key, value in passing)

    def fitting(self, headers: Headers) -> Headers:
        """Returns the headers that fit into `max_response_header_bytes`, in order.

        A header that exceeds the rest of the limit is left out: proxies refuse a response whose head is
        larger than their buffer. A header counts the bytes of its line in HTTP/1.1.
        """
        limit = self._max_response_header_bytes
        if limit is None or not headers:
            return headers
        fitting: list[tuple[bytes, bytes]] = []
        for header in headers:
            size = len(header[0]) + len(header[1]) + _LINE_OVERHEAD
            if size <= limit:
                fitting.append(header)
                limit -= size
        return tuple(fitting)

    def initial(self, metadata: Metadata) -> Metadata:
        """Returns the initial metadata on the allow-list."""
        return tuple(pair for pair in metadata if pair[0] in self._response)

    def trailing(self, metadata: Metadata) -> Metadata:
        """Returns the trailing metadata without reserved keys and without the status key."""
        return tuple(
            pair
            for pair in metadata
            if not pair[0].startswith(_RESERVED) and pair[0] != self.status_key
        )


def checked_key(key: str) -> str:
    """Returns the key, if request metadata can have it.

    Raises:
        ValueError: the key is invalid or reserved.
    """
    if not _KEY.fullmatch(key) or key.startswith(_RESERVED) or key in _CONNECTION_HEADERS:
        raise ValueError(f"{quoted(key)} cannot be a metadata key")
    return key


def metadata_object(metadata: Metadata) -> dict[str, str | list[str]]:
    """Returns metadata as a JSON object; a key that occurs more than once has an array of its values."""
    values: dict[str, list[str]] = {}
    for key, value in metadata:
        text = scalars.bytes_to_json(value) if isinstance(value, bytes) else value
        values.setdefault(key, []).append(text)
    return {key: texts[0] if len(texts) == 1 else texts for key, texts in values.items()}


def metadata_value(key: str, value: bytes) -> str | bytes:
    """Returns the metadata value for a header value, without leading and trailing spaces.

    Such spaces make an HTTP/2 request malformed (RFC 9113, 8.2.1), and servers close the connection. They
    occur in WebSocket frames; an HTTP/1.1 parser removes them.

    Raises:
        ValueError: the value is not printable ASCII, or not base64 for a key that ends in `-bin`.
    """
    text = value.decode("latin-1").strip(" ")
    if key.endswith("-bin"):
        return scalars.bytes_from_json(text)
    if not _TEXT.fullmatch(text):
        raise ValueError("expected printable ASCII")
    return text


def header_value(value: str | bytes) -> bytes:
    """Returns a metadata value as a header value (RFC 9110, 5.5): bytes in base64, no control characters."""
    text = scalars.bytes_to_json(value) if isinstance(value, bytes) else value
    return _CONTROLS.sub(b" ", text.encode("latin-1", errors="replace"))
