"""HTTP headers, or a JSON object, <-> gRPC metadata, by an allow-list each way.

Source: gRPC over HTTP/2, "Custom-Metadata": keys of lower-case letters, digits, `_`, `-` and `.`; a key that
ends in `-bin` has bytes for its value, which HTTP carries in base64; `grpc-` is gRPC's own.
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
"""A header of this name passes whatever the allow-list says, under the name that follows."""

TRACE_KEYS: Final = frozenset({"baggage", "traceparent", "tracestate", "x-request-id"})
"""What only traces a request: no two have the same, and it says nothing of what is asked."""

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
_OF_HTTP: Final = frozenset(
    {"connection", "host", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"}
)
"""What makes a message of HTTP/2 malformed (RFC 9113, 8.2.2 and 8.3.1)."""
_OF_THE_EDGE: Final = _OF_HTTP | {"content-length", "content-type", "trailer", "x-request-id"}
"""Response headers that frame the answer or name the request; metadata never set them."""
_LINE_OVERHEAD: Final = len(": \r\n")


class MetadataFilter:
    """Which headers become metadata, and which metadata becomes headers."""

    def __init__(
        self,
        request_headers: Iterable[str],
        response_headers: Iterable[str],
        *,
        challenge: str = DEFAULT_CHALLENGE,
        status_key: str = DEFAULT_STATUS_KEY,
        max_response_header_bytes: int | None = None,
    ) -> None:
        """Compiles the lists.

        Args:
            request_headers: names of the request headers that become metadata.
            response_headers: keys of the initial metadata that become response headers.
            challenge: `WWW-Authenticate` of a 401 whose server gave none; empty is none.
            status_key: the key of initial metadata that names the status of a success; empty is none.
                It becomes no header.
            max_response_header_bytes: bytes of response headers that are made of metadata; None is no limit.
        """
        self.request = {name.lower().encode("ascii"): name.lower() for name in request_headers}
        """The request headers that pass, and the keys as which they do; see `PREFIX` for the others."""
        self.status_key = status_key.lower()
        """The key of initial metadata that names the status of a success; empty is none."""
        response = {name.lower() for name in response_headers} - _OF_THE_EDGE - {self.status_key}
        self._response = frozenset(key for key in response if not key.startswith(_RESERVED))
        self.challenge: Headers = ((b"www-authenticate", challenge.encode()),) if challenge else ()
        """The header of a 401 whose server gave none."""
        self._max_answer_headers = max_response_header_bytes

    def metadata_key(self, header: bytes) -> str | None:
        """Returns the metadata key for a request header (in lower case), or None if it does not pass.

        Raises:
            ValueError: the header asks to pass under a name that metadata cannot have.
        """
        key = self.request.get(header)
        if key is None and header.startswith(PREFIX):
            key = checked_key(header[len(PREFIX) :].decode("latin-1"))
        return key

    def headers(self, metadata: Metadata, prefix: str = "") -> Headers:
        """Returns the response headers for metadata, their names behind `prefix`.

        Without a prefix only the allow-list passes, for a name of HTTP's own would speak for the edge.
        """
        passing = self.trailing(metadata) if prefix else self.initial(metadata)
        return tuple(((prefix + key).encode(), header_value(value)) for key, value in passing)

    def fitting(self, headers: Headers) -> Headers:
        """Returns the headers made of metadata that fit into the head of an answer, in their order.

        A header that does not fit in what those before it have left is left out: proxies refuse a whole
        answer whose head is larger than their buffer. Counted are the bytes of its line.
        """
        limit = self._max_answer_headers
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
        """Returns those initial metadata that a caller is told."""
        return tuple(pair for pair in metadata if pair[0] in self._response)

    def trailing(self, metadata: Metadata) -> Metadata:
        """Returns those trailing metadata that a caller is told: all but gRPC's own, and no status."""
        return tuple(
            pair
            for pair in metadata
            if not pair[0].startswith(_RESERVED) and pair[0] != self.status_key
        )


def checked_key(key: str) -> str:
    """Returns a key that request metadata can have.

    Raises:
        ValueError: it is none, or one that is gRPC's or HTTP's own.
    """
    if not _KEY.fullmatch(key) or key.startswith(_RESERVED) or key in _OF_HTTP:
        raise ValueError(f"{quoted(key)} cannot be a metadata key")
    return key


def metadata_object(metadata: Metadata) -> dict[str, str | list[str]]:
    """Returns metadata as a JSON object: a string for each key, or an array where it occurs again."""
    values: dict[str, list[str]] = {}
    for key, value in metadata:
        text = scalars.bytes_to_json(value) if isinstance(value, bytes) else value
        values.setdefault(key, []).append(text)
    return {key: texts[0] if len(texts) == 1 else texts for key, texts in values.items()}


def metadata_value(key: str, value: bytes) -> str | bytes:
    """Returns the metadata value for a header's value, without the spaces around it.

    With them a request of HTTP/2 is malformed (RFC 9113, 8.2.1), and a server that is sent many such ends the
    connection. A frame of a WebSocket can have them; HTTP/1.1 cannot.

    Raises:
        ValueError: it is not printable ASCII, or not base64 where the key ends in `-bin`.
    """
    text = value.decode("latin-1").strip(" ")
    if key.endswith("-bin"):
        return scalars.bytes_from_json(text)
    if not _TEXT.fullmatch(text):
        raise ValueError("expected printable ASCII")
    return text


def header_value(value: str | bytes) -> bytes:
    """Returns what upstream says as a header can hold it (RFC 9110, 5.5); bytes are in base64."""
    text = scalars.bytes_to_json(value) if isinstance(value, bytes) else value
    return _CONTROLS.sub(b" ", text.encode("latin-1", errors="replace"))
