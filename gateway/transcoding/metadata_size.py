"""How large the metadata of a request are, and may be.

Sources: RFC 9113, section 6.5.2 (how header fields are counted); gRPC over HTTP/2, "Requests" (a limit of
8 KiB is suggested to servers); RFC 6585, section 5 (431).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from gateway.transcoding.status import RESOURCE_EXHAUSTED, StatusError

_FIELD_OVERHEAD: Final = 32
"""Bytes that each header field counts beside its name and its value."""


def metadata_size(metadata: Iterable[tuple[str, str | bytes]]) -> int:
    """Returns the size of metadata in bytes, as the header fields that they become are counted.

    Each counts its name, its value (bytes in base64, without padding) and 32.
    """
    size = 0
    for key, value in metadata:
        size += len(key) + _FIELD_OVERHEAD
        size += (4 * len(value) + 2) // 3 if isinstance(value, bytes) else len(value)
    return size


def check_metadata(metadata: Iterable[tuple[str, str | bytes]], limit: int) -> None:
    """Refuses request metadata larger than `limit` bytes, as `metadata_size` counts them.

    Raises:
        StatusError: RESOURCE_EXHAUSTED, over HTTP 431.
    """
    size = metadata_size(metadata)
    if size > limit:
        raise metadata_too_large(f"{size} bytes, of at most {limit}")


def metadata_too_large(sizes: str) -> StatusError:
    """Makes the error for metadata of a request that are larger than this edge or the server takes."""
    text = f"the request's headers that go to the server as metadata are too large: {sizes}"
    return StatusError.of(RESOURCE_EXHAUSTED, text, http_status=431)
