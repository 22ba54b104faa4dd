"""HPACK encoder.

Values that many calls share enter the dynamic table while it has room; nothing is evicted. Other fields are
literals that leave the table alone. Encoded fields and runs of fields are cached. Strings are not
Huffman-coded: that would cost more CPU than the bytes are worth.

Source: RFC 7541.
"""

from __future__ import annotations

from typing import Final

from hpack.table import table_entry_size

from grpc_wire.headers.block import (
    DEFAULT_TABLE_SIZE,
    FIRST_DYNAMIC,
    INDEXED,
    LITERAL_INDEXED,
    MAX_CACHED,
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
_INDEXED_NAMES: Final = frozenset(
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
        b"x-content-type-options",
    }
)
"""Names whose fields enter the dynamic table: many calls have the same values."""
_TIMEOUT: Final = b"grpc-timeout"
_CACHED_NAMES: Final = _INDEXED_NAMES | {_TIMEOUT} | {name for name, _ in _STATIC_FIELDS}
"""Names whose encoded fields are cached."""
_NEVER_INDEXED: Final = frozenset(
    {b"authorization", b"cookie", b"proxy-authorization", b"set-cookie"}
)
"""Names whose values no intermediary may put into a table either (RFC 7541, 7.1.3)."""


class _Fields:
    """Cache of encoded fields for one dynamic table.

    Attributes:
        size: bytes of the dynamic table in use.
        blocks: encoded runs of fields, by the fields.
        prefix: the run at the start of the last section, which is mostly that of the next, too.
        prefix_block: its block.
        latest: the run that `encode_cached` has returned last.
        latest_block: its block.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.size = 0
        self.blocks: dict[Headers, bytes] = {}
        self.prefix: Headers = ()
        self.prefix_block = b""
        self.latest: Headers | None = None
        self.latest_block = b""
        self._known: dict[tuple[bytes, bytes], bytes] = {}
        self._added: dict[tuple[bytes, bytes], int] = {}

    def encoded(self, field: tuple[bytes, bytes]) -> bytes:
        """Returns a field as it is encoded now; it may enter the table."""
        known = self._known.get(field)
        return self._encode(field) if known is None else known

    def _encode(self, field: tuple[bytes, bytes]) -> bytes:
        name, value = field
        if field in _STATIC_FIELDS:
            return self._keep(field, write_integer(_STATIC_FIELDS[field], 0x7F, INDEXED))
        if field in self._added:
            index = FIRST_DYNAMIC + len(self._added) - 1 - self._added[field]
            return self._keep(field, write_integer(index, 0x7F, INDEXED))
        size = table_entry_size(name, value)
        if name in _INDEXED_NAMES and self.size + size <= self._limit:
            self.size += size
            self._added[field] = len(self._added)
            self._known.clear()  # indices of older entries have grown by one
            self.blocks.clear()
            self.prefix, self.prefix_block = (), b""
            self.latest = None
            return _literal_name(name, 0x3F, LITERAL_INDEXED) + encode_length(len(value)) + value
        return self._keep(field, encode_literals((field,)))

    def _keep(self, field: tuple[bytes, bytes], written: bytes) -> bytes:
        if len(self._known) < MAX_CACHED:
            self._known[field] = written
        return written


class HeaderEncoder:
    """Encodes the header blocks of one connection, in the order in which they are sent."""

    def __init__(self) -> None:
        self._limit = DEFAULT_TABLE_SIZE
        self._resized = b""
        self._fields = _Fields(self._limit)

    def allow_table(self, size: int) -> None:
        """Applies the peer's SETTINGS_HEADER_TABLE_SIZE (bytes); a change empties the table."""
        size = min(size, DEFAULT_TABLE_SIZE)
        if size != self._limit:
            self._limit = size
            self._resized = b"\x20" + write_integer(size, 0x1F, RESIZED)
            self._fields = _Fields(size)

    def encode(self, headers: Headers, prefix: Headers = (), literals: bytes = b"") -> bytes:
        """Returns the block of `prefix`, `headers` and `literals`; the block of the prefix is cached.

        `literals` are fields that `encode_literals` has encoded, for this connection or for others.
        """
        fields = self._fields
        if prefix is fields.prefix:  # to hash a long one would cost more than the rest
            block = fields.prefix_block
        elif not prefix:
            block = b""
        else:
            block = self.encode_cached(prefix)
            if prefix in fields.blocks:
                fields.prefix, fields.prefix_block = prefix, block
        if self._resized:
            block, self._resized = self._resized + block, b""
        for field in headers:
            name, value = field
            start = _STARTS.get(name)
            if start is None:
                start = _learn_start(name)
            if start:
                block = b"%b%b%b%b" % (block, start, encode_length(len(value)), value)
            else:
                block += fields.encoded(field)
        return block + literals if literals else block

    def encode_cached(self, headers: Headers) -> bytes:
        """Returns the block of headers that many calls share, from the cache if the table is unchanged."""
        fields = self._fields
        if headers is fields.latest:
            return fields.latest_block
        block = fields.blocks.get(headers)
        if block is None:
            size, resized = fields.size, self._resized
            block = self.encode(headers)
            if size != fields.size or resized or len(fields.blocks) >= MAX_CACHED:
                return block
            fields.blocks[headers] = block
        fields.latest, fields.latest_block = headers, block
        return block


def encode_literals(headers: Headers) -> bytes:
    """Returns fields as literals that leave the dynamic table alone: the same bytes on every connection."""
    return b"".join(
        [encode_name(name) + encode_length(len(value)) + value for name, value in headers]
    )


def encode_name(name: bytes) -> bytes:
    """Returns what `encode_literals` begins a field with; the length of its value follows."""
    return _literal_name(name, 0x0F, NEVER_INDEXED if name in _NEVER_INDEXED else 0)


_STARTS: Final[dict[bytes, bytes]] = {}
"""First bytes of literals, by name; empty for names whose fields are cached with their values."""


def _learn_start(name: bytes) -> bytes:
    """Returns what `_STARTS` has of a name, and remembers it."""
    if len(_STARTS) >= MAX_CACHED:
        _STARTS.clear()
    _STARTS[name] = start = b"" if name in _CACHED_NAMES else encode_name(name)
    return start


def _literal_name(name: bytes, mask: int, pattern: int) -> bytes:
    """Returns the first bytes of a literal: the pattern and its name."""
    index = _STATIC_NAMES.get(name)
    if index is not None:
        return write_integer(index, mask, pattern)
    return bytes((pattern,)) + encode_length(len(name)) + name


_COMMON_LENGTHS: Final = 512
_LENGTHS: Final = tuple([write_integer(size, 0x7F, 0) for size in range(_COMMON_LENGTHS)])


def encode_length(size: int) -> bytes:
    """Returns what is sent before a string of `size` bytes that is not Huffman-coded."""
    return _LENGTHS[size] if size < _COMMON_LENGTHS else write_integer(size, 0x7F, 0)
