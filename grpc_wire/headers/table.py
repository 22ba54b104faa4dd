"""The table that indices of a header block mean: the static entries, and behind them what a peer put in.

Of each entry is known what a block that names it needs to know, so that naming it costs next to nothing,
however often the peer moves all indices by putting something in.

Source: RFC 7541, sections 2.3 and 4.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, TypeAlias

from grpc_wire.headers.block import DEFAULT_TABLE_SIZE, FIRST_DYNAMIC, MOST_KEPT, STATIC

Entry: TypeAlias = tuple[tuple[bytes, bytes], int, str]
"""A field, its size (RFC 7541, 4.1), and what is malformed in it (RFC 9113, 8.2.1), if something is."""
Name: TypeAlias = tuple[bytes, int, str]
"""A name, the size of a field that has it and no value, and what is malformed in it, if something is."""

_OVERHEAD: Final = 32
_SHORT: Final = 64
"""Bytes of a name that is kept."""
_NAME: Final = re.compile(rb":?[!#$%&'*+.^_`|~0-9a-z-]+")
_VALUE: Final = re.compile(rb"(?:[^\x00\r\n\t ](?:[^\x00\r\n]*[^\x00\r\n\t ])?)?")


def name_of(text: bytes) -> Name:
    """Returns what is to be known of a name; of a short one it is kept, whoever sends it."""
    return _kept(text) if len(text) <= _SHORT else _name(text)


def _name(text: bytes) -> Name:
    fault = "" if _NAME.fullmatch(text) else f"a field is named {text!r}"
    return text, len(text) + _OVERHEAD, fault


_kept = lru_cache(maxsize=MOST_KEPT)(_name)


def entry(name: Name, value: bytes) -> Entry:
    """Returns what is to be known of a field."""
    text, size, fault = name
    if not fault and not (value.isalnum() or _VALUE.fullmatch(value)):  # most are quickly seen
        fault = f"the value of {text!r} cannot be one"
    return (text, value), size + len(value), fault


_STATIC_ENTRIES: Final = [entry(name_of(text), value) for text, value in STATIC]


class HeaderTable:
    """Both tables, in one list.

    Attributes:
        entries: by their index; the one of index 0 is none.
        limit: bytes that the dynamic ones may have.
    """

    def __init__(self) -> None:
        self.entries: Final = [*_STATIC_ENTRIES]
        self.limit = DEFAULT_TABLE_SIZE
        self._size = 0

    def add(self, added: Entry) -> None:
        """Puts an entry before all others, and gives up the oldest as far as there is no room (4.4)."""
        self.entries.insert(FIRST_DYNAMIC, added)
        self._size += added[1]
        self._shrink()

    def clear(self) -> None:
        """Gives up all entries, as for one that is larger than the table (4.4)."""
        del self.entries[FIRST_DYNAMIC:]
        self._size = 0

    def resize(self, limit: int) -> None:
        """Takes another limit (4.3)."""
        self.limit = limit
        self._shrink()

    def _shrink(self) -> None:
        while self._size > self.limit:
            _, size, _ = self.entries.pop()
            self._size -= size
