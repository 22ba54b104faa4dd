"""What the head of a unary request says that is answered directly, and the bounds of what is cached of it."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from gateway.exchange.request import Request
from gateway.transcoding.metadata import Metadata

MAX_ENTRIES: Final = 1024
"""Maximum entries of each cache; a full cache is emptied."""
MAX_FIELD: Final = 512
"""Maximum bytes of a cached field."""
MAX_SHARED: Final = 24
"""Maximum fields that are cached together; browsers send some 15."""


class PlainHead(NamedTuple):
    """What the head of a unary request says."""

    request: Request
    query: bytes
    request_id: str
    """The caller's; empty if it gave none, or one that cannot travel."""
    metadata: Metadata
    """Without an id that the edge makes."""
    timeout: float | None = None
    """Seconds that the caller allows, beside those of `request.head`; None: it says none."""


def keep(cache: dict[Any, Any], key: object, value: object) -> None:
    """Adds an entry; a full cache is emptied first."""
    if len(cache) >= MAX_ENTRIES:
        cache.clear()
    cache[key] = value
