"""Header blocks that are sent.

What is the same for many calls is put into the table, while there is room; a value that changes with each
call is a literal that leaves the table alone. So is a timeout, but it is written once for all calls that have
the same. The Huffman code is not used, for it would cost more than the bytes that it saves.

Source: RFC 7541.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from hpack.table import table_entry_size

from grpc_wire.headers.block import (
    DEFAULT_TABLE_SIZE,
    FIRST_DYNAMIC,
    INDEXED,
    LITERAL_INDEXED,
    MOST_KEPT,
    NEVER_INDEXED,
    RESIZED,
    STATIC,
    write_integer,
)
from grpc_wire.headers.section import Headers

_STATIC_FIELDS: Final = {
    field: index for index, field in reversed(list(enumerate(STATIC[1:], 1))) if field[1]
}
_STATIC_NAMES: Final = {
    name: index for index, (name, _) in reversed(list(enumerate(STATIC[1:], 1)))
}
_LASTING: Final = frozenset(
    {
        b":authority",
        b":method",
        b":path",
        b":scheme",
        b":status",
        b"content-type",
        b"grpc-accept-encoding",
        b"grpc-encoding",
        b"grpc-status",
        b"te",
        b"user-agent",
    }
)
"""Names whose values are the same for many calls."""
_TIMEOUT: Final = b"grpc-timeout"
_KNOWN_AGAIN: Final = _LASTING | {_TIMEOUT} | {name for name, _ in _STATIC_FIELDS}
"""Names of which fields are written once for all calls that have the same."""
_SECRET: Final = frozenset({b"authorization", b"cookie", b"proxy-authorization", b"set-cookie"})
"""Names whose values no proxy is to put into a table either (RFC 7541, 7.1.3)."""


class _Fields(dict[tuple[bytes, bytes], bytes]):
    """Fields as they are written with one table; those that are not known are written when asked for.

    Attributes:
        size: of what is in the table.
        blocks: of headers that were written whole, and are written the same again.
    """

    def __init__(self, limit: int) -> None:
        super().__init__()
        self._limit = limit
        self.size = 0
        self.blocks: dict[Headers, bytes] = {}
        self._added: dict[tuple[bytes, bytes], int] = {}

    def __missing__(self, field: tuple[bytes, bytes]) -> bytes:
        name, value = field
        if field in _STATIC_FIELDS:
            return self._keep(field, write_integer(_STATIC_FIELDS[field], 0x7F, INDEXED))
        if field in self._added:
            index = FIRST_DYNAMIC + len(self._added) - 1 - self._added[field]
            return self._keep(field, write_integer(index, 0x7F, INDEXED))
        size = table_entry_size(name, value)
        if name in _LASTING and self.size + size <= self._limit:
            self.size += size
            self._added[field] = len(self._added)
            self.clear()  # what was added before has moved on by one
            self.blocks.clear()
            return _literal(name, value, 0x3F, LITERAL_INDEXED)
        return self._keep(field, _literal(name, value, 0x0F, 0))

    def _keep(self, field: tuple[bytes, bytes], written: bytes) -> bytes:
        if len(self) < MOST_KEPT:
            self[field] = written
        return written


class HeaderEncoder:
    """Writes the header blocks of one connection, in their order."""

    def __init__(self) -> None:
        self._limit = DEFAULT_TABLE_SIZE
        self._resized = b""
        self._fields = _Fields(self._limit)

    def allow_table(self, size: int) -> None:
        """Takes the peer's limit for the table; what is in it is given up if it changes."""
        size = min(size, DEFAULT_TABLE_SIZE)
        if size != self._limit:
            self._limit = size
            self._resized = b"\x20" + write_integer(size, 0x1F, RESIZED)
            self._fields = _Fields(size)

    def encode(self, headers: Headers, begin: Headers = ()) -> bytes:
        """Returns the block of some headers, behind others with which many begin."""
        parts = [self.encode_lasting(begin)] if begin else []
        fields = self._fields
        for field in headers:
            name, value = field
            varying = _BEGINS[name, len(value)]
            if varying is None:
                parts.append(fields[field])
            else:
                parts += (varying, value)
        if self._resized:
            parts.insert(0, self._resized)
            self._resized = b""
        return b"".join(parts)

    def encode_lasting(self, headers: Headers) -> bytes:
        """Returns the block of headers that are the same for many calls; it is looked up as a whole."""
        fields = self._fields
        block = fields.blocks.get(headers)
        if block is not None:
            return block
        size, resized = fields.size, self._resized
        block = self.encode(headers)
        if size == fields.size and not resized and len(fields.blocks) < MOST_KEPT:
            fields.blocks[headers] = block
        return block


def _literal(name: bytes, value: bytes, mask: int, pattern: int) -> bytes:
    return _named(name, mask, pattern) + _length(len(value)) + value


class _Begins(dict[tuple[bytes, int], bytes | None]):
    """How fields begin of which each has another value, by name and length; None if they are known again."""

    def __missing__(self, kind: tuple[bytes, int]) -> bytes | None:
        name, size = kind
        begin = None
        if name not in _KNOWN_AGAIN:
            begin = _named(name, 0x0F, NEVER_INDEXED if name in _SECRET else 0) + _length(size)
        if len(self) >= MOST_KEPT:
            self.clear()
        self[kind] = begin
        return begin


_BEGINS: Final = _Begins()


@lru_cache(maxsize=MOST_KEPT)
def _named(name: bytes, mask: int, pattern: int) -> bytes:
    """Returns the begin of a literal."""
    index = _STATIC_NAMES.get(name)
    if index is not None:
        return write_integer(index, mask, pattern)
    return bytes((pattern,)) + _length(len(name)) + name


@lru_cache(maxsize=MOST_KEPT)
def _length(size: int) -> bytes:
    return write_integer(size, 0x7F, 0)
