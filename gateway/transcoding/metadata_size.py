"""The size of request metadata, and its limit.

Sources: RFC 9113, section 6.5.2 (size of a header list); gRPC over HTTP/2, "Requests" (servers may limit it
    to
8 KiB); RFC 6585, section 5 (431).
"""

from __future__ import annotations

from typing import Final

from gateway.transcoding.metadata import Metadata
from gateway.transcoding.status import RESOURCE_EXHAUSTED, StatusError

_FIELD_OVERHEAD: Final = 32
"""Bytes that each header field counts in addition to name and value."""


def metadata_size(metadata: Metadata) -> int:
    """Returns the size of metadata as an HTTP/2 header list, in bytes.

    A pair counts its key, its value (bytes in base64 without padding) and 32.
    """
    size = 0
    for key, value in metadata:
        size += len(key) + _FIELD_OVERHEAD
        size += (4 * len(value) + 2) // 3 if isinstance(value, bytes) else len(value)
    return size


def check_metadata(metadata: Metadata, limit: int) -> None:
    """Checks that `metadata_size` is at most `limit`.

    Raises:
        StatusError: RESOURCE_EXHAUSTED (HTTP 431), it is larger.
    """
    size = metadata_size(metadata)
    if size > limit:
        raise metadata_too_large(f"{size} bytes, of at most {limit}")


def metadata_too_large(sizes: str) -> StatusError:
    """Makes the error for request metadata larger than the edge or the server accepts."""
    text = f"the request's headers that go to the server as metadata are too large: {sizes}"
    return StatusError.of(RESOURCE_EXHAUSTED, text, http_status=431)
