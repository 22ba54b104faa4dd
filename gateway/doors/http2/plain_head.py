"""What the head of a unary request says that is answered directly, and what is kept of it for the next one.

A client's heads are mostly alike: they differ in few fields, those that are read of each head. A pattern has
all else, so a head like it is compared with it, mostly by identity, and only those fields are read.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from gateway.doors.http.header_uses import ReadAllError, Use
from gateway.exchange.request import Request
from gateway.transcoding.metadata import Headers, Metadata

MAX_ENTRIES: Final = 1024
"""Maximum entries of each cache; a full cache is emptied."""
MAX_FIELD: Final = 512
"""Maximum bytes of a cached field."""
MAX_SHARED: Final = 24
"""Maximum fields that are cached together; browsers send some 15."""
_COLON: Final = ord(":")
_PRINTABLE: Final = bytes(range(0x20, 0x7F))
# Names of their own: to look a member of an enum up costs more than to compare it.
_SHARE: Final = Use.SHARED
_IGNORE: Final = Use.IGNORED
_TARGET: Final = Use.TARGET
_OWN_USES: Final = (Use.METADATA, Use.REQUEST_ID, Use.TIMEOUT)

Own: TypeAlias = tuple[tuple[int, Use, str], ...]
"""Fields that are read of each head: index, use, and key of metadata."""


class HeadPattern:
    """What a head says, but for the fields that are read of each head: no credentials.

    Attributes:
        request: the request.
        metadata: of shared fields.
        kept: the fields of the last head like this; of those that are read of each head, or not at all, the
            names.
        own: fields that are read of each head.
        path: as it came, without the query.
        is_shared: whether other clients may send the same head: it says nothing about who calls.
    """

    __slots__ = ("is_shared", "kept", "metadata", "own", "path", "request")

    def __init__(
        self,
        request: Request,
        metadata: Metadata,
        kept: list[Any],
        own: Own,
        path: bytes,
        *,
        is_shared: bool,
    ) -> None:
        self.request = request
        self.metadata = metadata
        self.kept = kept
        self.own = own
        self.path = path
        self.is_shared = is_shared

    def is_like(self, fields: Headers) -> bool:
        """Returns whether a head differs in nothing but values of fields of which this has the names."""
        kept, others = self.kept, _objects(fields)
        if len(kept) != len(others):
            return False
        for index in range(len(kept)):
            mine, other = kept[index], others[index]
            if mine is other:
                continue
            if isinstance(mine, bytes):
                if mine != other[0]:
                    return False
            elif mine != other:
                return False
            else:  # in HPACK's table it is another entry now
                kept[index] = other
        return True


@dataclass(slots=True, init=False)
class PlainHead:
    """What the head of a unary request says."""

    request: Request
    query: bytes
    request_id: str
    """The caller's; empty if it gave none, or one that cannot travel."""
    metadata: Metadata
    """Without an id that the edge makes."""
    timeout: float | None
    """Seconds that the caller allows, beside those of `request.head`; None: it says none."""
    pattern: HeadPattern | None = field(compare=False)
    """Of this head; None if all of its fields have to be read together."""

    def __init__(
        self,
        request: Request,
        query: bytes,
        request_id: str,
        metadata: Metadata,
        timeout: float | None = None,
        pattern: HeadPattern | None = None,
    ) -> None:
        self.request = request
        self.query = query
        self.request_id = request_id
        self.metadata = metadata
        self.timeout = timeout
        self.pattern = pattern

    @property
    def is_shared(self) -> bool:
        """Whether it says nothing about who calls, so that it may be kept."""
        return self.pattern is not None and self.pattern.is_shared


def keep(cache: dict[Any, Any], key: object, value: object) -> None:
    """Adds an entry; a full cache is emptied first."""
    if len(cache) >= MAX_ENTRIES:
        cache.clear()
    cache[key] = value


def sort_fields(
    fields: Headers,
    uses: dict[bytes, tuple[Use, str]],
    learn: Callable[[bytes], tuple[Use, str]],
) -> tuple[Headers, list[Any], Own, bool]:
    """Sorts the fields of a head by their use.

    Returns:
        The shared ones; `kept` and `own` of a `HeadPattern`; and whether another head may have other values
        of fields that are neither.

    Raises:
        ReadAllError: there is something unusual about them.
    """
    shared: list[Any] = []
    kept: list[Any] = []
    own: list[tuple[int, Use, str]] = []
    ignores = False
    for index, each in enumerate(_objects(fields)):
        pair: tuple[bytes, bytes] = each
        name, value = pair
        use, key = uses.get(name) or learn(name)
        if use is _SHARE and len(value) <= MAX_FIELD:
            shared.append(each)
            kept.append(each)
        elif (use is _TARGET and value.find(b"?") < 0) or (use is _IGNORE and name[0] == _COLON):
            kept.append(each)
        elif use is _IGNORE:
            kept.append(name)
            ignores = ignores or name != b"content-length"  # callers send few lengths
        elif use is _TARGET or use in _OWN_USES:
            kept.append(name)
            own.append((index, use, key))
        else:
            raise ReadAllError
    if len(shared) > MAX_SHARED:
        raise ReadAllError
    return tuple(shared), kept, tuple(own), ignores


def _objects(fields: Headers) -> tuple[Any, ...]:
    """Returns fields as objects that can be kept: of pairs, compiled code would make others."""
    return fields


def metadata_text(value: bytes) -> str:
    """Returns the value of metadata that is printable ASCII.

    Raises:
        ReadAllError: it is anything else.
    """
    if value.translate(None, _PRINTABLE):
        raise ReadAllError
    return value.decode("ascii")
