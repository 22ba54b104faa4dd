"""The HPACK table: static entries, then dynamic ones, each with the results of its checks.

A block that names an entry needs no check, however often the peer shifts the indices by adding entries.

Source: RFC 7541, sections 2.3 and 4.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, Final, TypeAlias

from grpc_wire.headers.block import DEFAULT_TABLE_SIZE, FIRST_DYNAMIC, MAX_CACHED, STATIC

TableEntry: TypeAlias = tuple[Any, int, str]
"""A field, its size (RFC 7541, 4.1), and why it is malformed (RFC 9113, 8.2.1); empty if it is not.

Any, and not a pair of bytes: of that, compiled code would make another object in each section. The fields of
two sections that are one entry are one object, so that they can be compared by their identity.
"""
FieldName: TypeAlias = tuple[bytes, int, str]
"""A name, the size of a field with it and an empty value, and why the name is malformed; empty if it is
not."""

_OVERHEAD: Final = 32
_SHORT: Final = 64
"""Longest name, in bytes, that is cached."""
_NAME: Final = re.compile(rb":?[!#$%&'*+.^_`|~0-9a-z-]+")
_NOT_IN_VALUES: Final = b"\x00\r\n"


def field_name(text: bytes) -> FieldName:
    """Returns a checked name; short ones are cached across connections."""
    return _cached_name(text) if len(text) <= _SHORT else _name(text)


def _name(text: bytes) -> FieldName:
    fault = "" if _NAME.fullmatch(text) else f"a field is named {text!r}"
    return text, len(text) + _OVERHEAD, fault


_cached_name = lru_cache(maxsize=MAX_CACHED)(_name)


def table_entry(name: FieldName, value: bytes) -> TableEntry:
    """Returns a checked field."""
    text, size, fault = name
    if not fault and not (value.isalnum() or _is_value(value)):  # `isalnum` costs less
        fault = f"the value of {text!r} cannot be one"
    return (text, value), size + len(value), fault


def _is_value(value: bytes) -> bool:
    """Returns whether a value has no NUL, CR or LF, and no blank at either end (RFC 9113, 8.2.1)."""
    if len(value.translate(None, _NOT_IN_VALUES)) < len(
        value
    ):  # costs less than to match a pattern
        return False
    return not value or (value[0] not in (0x09, 0x20) and value[-1] not in (0x09, 0x20))


_STATIC_ENTRIES: Final = [table_entry(field_name(text), value) for text, value in STATIC]


class HeaderTable:
    """Static and dynamic table in one list.

    Attributes:
        entries: by index; index 0 is unused.
        limit: maximum size of the dynamic table, in bytes (RFC 7541, 4.1).
    """

    def __init__(self) -> None:
        self.entries: Final = [*_STATIC_ENTRIES]
        self.limit = DEFAULT_TABLE_SIZE
        self._size = 0

    def add(self, added: TableEntry) -> None:
        """Inserts a dynamic entry, and evicts the oldest while the table is too large (4.4)."""
        self.entries.insert(FIRST_DYNAMIC, added)
        self._size += added[1]
        self._shrink()

    def clear(self) -> None:
        """Evicts all dynamic entries, as an entry larger than the table does (4.4)."""
        del self.entries[FIRST_DYNAMIC:]
        self._size = 0

    def resize(self, limit: int) -> None:
        """Sets the maximum size, and evicts entries beyond it (4.3)."""
        self.limit = limit
        self._shrink()

    def _shrink(self) -> None:
        while self._size > self.limit:
            _, size, _ = self.entries.pop()
            self._size -= size
