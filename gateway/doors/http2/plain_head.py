"""What the head of a unary request says that is answered directly, and the bounds of what is cached of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from gateway.doors.http.header_uses import Use
from gateway.exchange.request import Request
from gateway.transcoding.metadata import Headers, Metadata

MAX_ENTRIES: Final = 1024
"""Maximum entries of each cache; a full cache is emptied."""
MAX_FIELD: Final = 512
"""Maximum bytes of a cached field."""
MAX_SHARED: Final = 24
"""Maximum fields that are cached together; browsers send some 15."""
_OWN_USES: Final = (Use.METADATA, Use.REQUEST_ID)


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
    is_shared: bool = False
    """Whether it says nothing about who calls, so that it may be kept."""


class HeadStart(NamedTuple):
    """What the fields say with which a client starts its heads; it may be kept for that client.

    Fields that name the caller are not in it: they are read with the rest of each head.
    """

    request: Request
    query: bytes
    metadata: Metadata
    timeout: float | None
    own_at: tuple[int, ...]
    """Indices of the fields that become metadata, or name the request."""
    is_shared: bool
    """Whether the fields say nothing about who calls."""


def keep(cache: dict[Any, Any], key: object, value: object) -> None:
    """Adds an entry; a full cache is emptied first."""
    if len(cache) >= MAX_ENTRIES:
        cache.clear()
    cache[key] = value


def own_indices(
    fields: Headers,
    uses: Mapping[bytes, tuple[Use, str]],
    learn: Callable[[bytes], tuple[Use, str]],
) -> tuple[int, ...]:
    """Returns the indices of the fields that become metadata, or name the request.

    Raises:
        ReadAllError: as `learn` does, for a name of which `uses` knows nothing.
    """
    return tuple(
        [
            index
            for index, (name, _) in enumerate(fields)
            if (uses.get(name) or learn(name))[0] in _OWN_USES
        ]
    )
