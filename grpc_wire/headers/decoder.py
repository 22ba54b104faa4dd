"""HPACK decoder, with the static table and the Huffman code of the `hpack` package.

A run of indexed fields at the start of a block is cached as decoded, until the dynamic table changes. Then
the same fields have other indices; the section that they make is found by the fields, with its checks. The
previous block is kept whole, for a client that sends the same request again.

Source: RFC 7541; RFC 9113, section 8.2.1 (field validity).
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, Final

from hpack.exceptions import HPACKDecodingError

from grpc_wire.headers import huffman
from grpc_wire.headers.block import (
    DEFAULT_TABLE_SIZE,
    INDEXED,
    LITERAL_INDEXED,
    MAX_CACHED,
    RESIZED,
    HeaderBlockError,
    read_integer,
)
from grpc_wire.headers.section import Headers, HeaderSection
from grpc_wire.headers.skipping import SkippedBlock
from grpc_wire.headers.table import FieldName, HeaderTable, TableEntry, field_name, table_entry

_HUFFMAN: Final = 0x80
_INDEX_0: Final = 0x80
_LARGE_INDEX: Final = 0xFF
_ONE_BYTE_EACH: Final = re.compile(rb"[\x81-\xfe]{1,64}")
"""A run of indexed fields whose indices fit into one byte each; short enough to cache."""
_MAX_RUNS: Final = 16
"""Maximum runs that are known by their fields."""
_MAX_RUN: Final = 2048
"""Maximum size of such a run (RFC 9113, 6.5.2): it may outlive the entries of the table."""

_MAX_BLOCK: Final = 1024
"""Maximum bytes of a block that is kept: an idle connection holds it."""

_EMPTY: Final = HeaderSection(())


class HeaderDecoder:
    """Decodes the header blocks of one connection, in the order in which they come."""

    def __init__(self, max_list: int) -> None:
        """Makes a decoder.

        Args:
            max_list: maximum size of a decoded section, in bytes (RFC 9113, 6.5.2).
        """
        self._max_list = max_list
        self._table = HeaderTable()
        self.known: Final[dict[bytes, HeaderSection]] = {}
        """Blocks that leave the dynamic table as it is, and their sections, until the table changes: runs of
        indexed fields. Most requests start with one; most responses and trailers are one."""
        self._runs: dict[Headers, HeaderSection] = {}
        """Runs by their fields, whatever the indices."""
        self._last_run, self._last_section = b"", _EMPTY
        """Run at the start of the previous block, and its section: most requests start with the same."""
        self._last_block, self._last_whole = b"", _EMPTY
        """The previous block, if it has left the table as it was, and its section."""
        self._prefixes: dict[bytes, tuple[FieldName, int]] = {}
        """First bytes of literals whose values differ: to the checked name, and the length of the value."""
        self._table_limit = DEFAULT_TABLE_SIZE

    def allow_table(self, size: int) -> None:
        """Sets the limit of the dynamic table (bytes), once the peer has acknowledged the setting."""
        self._table_limit = size
        self._invalidate()  # a cached block would pass `decode` without the check of the limit

    def decode(self, block: bytes) -> HeaderSection:
        """Decodes a block.

        Raises:
            HeaderBlockError: after this no block of the connection can be decoded.
        """
        known = self.known.get(block)
        if known is not None:
            return known
        if block and block == self._last_block:
            return self._last_whole
        self._last_block = block if len(block) <= _MAX_BLOCK else b""
        try:
            section = self._last_section
            size = section.length
            if size >= len(block) or block[size] & INDEXED or not block.startswith(self._last_run):
                section = self._read_run(block)
            if len(block) > section.length:
                section = self._decode(block, section)
        except (IndexError, HPACKDecodingError) as error:
            raise HeaderBlockError(str(error) or "truncated header block") from error
        if self._table.limit > self._table_limit:
            self._check_table()
        if self._last_block:
            self._last_whole = section
        return section

    def start_skipping(self) -> SkippedBlock:
        """Starts a block that is too large to buffer; feed it, then call `finish_skipping`."""
        self._invalidate()
        return SkippedBlock(self._table, self._resize)

    def finish_skipping(self, block: SkippedBlock) -> HeaderSection:
        """Ends a skipped block; returns its section, marked too large.

        Raises:
            HeaderBlockError: the block cannot be decoded.
        """
        block.close()
        self._check_table()
        return HeaderSection((), too_large=True, size=block.size)

    def _check_table(self) -> None:
        if self._table.limit > self._table_limit:
            raise HeaderBlockError("the table was not made smaller")

    def _read_run(self, block: bytes) -> HeaderSection:
        """Returns the section of the indexed fields at the start of a block; empty if there are none."""
        match = _ONE_BYTE_EACH.match(block)
        run = b"" if match is None else match[0]
        section = self.known.get(run) if run else _EMPTY
        if section is None:
            entries = self._table.entries
            fields = tuple([entries[byte & 0x7F][0] for byte in run])
            section = self._runs.get(fields) or self._decode_run(run)
            if len(self.known) < MAX_CACHED:
                self.known[run] = section
        self._last_run, self._last_section = run, section
        return section

    def _decode_run(self, run: bytes) -> HeaderSection:
        section = self._decode(run, _EMPTY)
        if section.size <= _MAX_RUN and not section.too_large:
            if len(self._runs) >= _MAX_RUNS:
                self._runs.clear()
            self._runs[section.headers] = section
        return section

    def _invalidate(self) -> None:
        """Empties the caches that depend on indices: the table has changed."""
        self.known.clear()
        self._last_run, self._last_section = b"", _EMPTY
        self._last_block, self._last_whole = b"", _EMPTY

    def _decode(self, block: bytes, prefix: HeaderSection) -> HeaderSection:
        """Decodes what follows a prefix."""
        headers: list[Any] = [*prefix.headers]
        fault, size, at, end = prefix.fault, prefix.size, prefix.length, len(block)
        entries, max_list, prefixes = self._table.entries, self._max_list, self._prefixes
        while at < end:
            first = block[at]
            if first < RESIZED:
                value_at = at + 3 + block[at + 1]
                known = prefixes.get(block[at:value_at])
                if known is not None and value_at + known[1] <= end:
                    at = value_at + known[1]
                    field, field_size, field_fault = table_entry(known[0], block[value_at:at])
                else:
                    literal_at = at
                    (field, field_size, field_fault), at = self._literal(block, at, 0x0F)
                    self._keep_prefix(block, literal_at, value_at, field)
            elif first & INDEXED:
                if _INDEX_0 < first < _LARGE_INDEX:
                    index = first & 0x7F
                    at += 1
                else:
                    index, at = _rare_index(block, at)
                field, field_size, field_fault = entries[index]
            elif first & LITERAL_INDEXED:
                added, at = self._literal(block, at, 0x3F)
                self._table.add(added)
                self._invalidate()
                field, field_size, field_fault = added
            else:
                if size:
                    raise HeaderBlockError("the table is resized within a block")
                limit, at = read_integer(block, at, 0x1F)
                self._resize(limit)
                continue
            size += field_size
            fault = fault or field_fault
            if size <= max_list:
                headers.append(field)
        return HeaderSection(tuple(headers), fault, size > max_list, size, end, prefix)

    def _literal(self, block: bytes, at: int, mask: int) -> tuple[TableEntry, int]:
        if block[at] & mask:
            index, at = read_integer(block, at, mask)
            name = field_name(self._table.entries[index][0][0])
        else:
            start = at + 1
            size = block[start] & 0x7F
            if size < 0x7F:
                at = start + 1 + size
                name = _short_name(block[start:at])
            else:
                text, at = _string(block, start)
                name = field_name(text)
        value, at = _string(block, at)
        return table_entry(name, value), at

    def _keep_prefix(
        self, block: bytes, at: int, value_at: int, field: tuple[bytes, bytes]
    ) -> None:
        """Caches the first bytes of a literal whose name is spelt out, if both lengths fit into one byte."""
        short = not block[at] & 0x0F and block[at + 1] < 0x7F and block[value_at - 1] < 0x7F
        if short and len(self._prefixes) < MAX_CACHED:
            self._prefixes[block[at:value_at]] = field_name(field[0]), len(field[1])

    def _resize(self, limit: int) -> None:
        if limit > self._table_limit:
            raise HeaderBlockError(f"a table of {limit} bytes")
        self._table.resize(limit)
        self._invalidate()


def _rare_index(block: bytes, at: int) -> tuple[int, int]:
    """Reads an index that needs several bytes; returns it and the offset behind it.

    Raises:
        HeaderBlockError: it is 0 (RFC 7541, 6.1).
    """
    index, at = read_integer(block, at, 0x7F)
    if index == 0:
        raise HeaderBlockError("index 0")
    return index, at


@lru_cache(maxsize=MAX_CACHED)
def _short_name(string: bytes) -> FieldName:
    """Reads a name; most come again, so they are cached."""
    return field_name(_string(string, 0)[0])


def _string(block: bytes, at: int) -> tuple[bytes, int]:
    """Reads a string (RFC 7541, 5.2); returns it and the offset behind it."""
    first = block[at]
    start = at + 1
    end = start + first
    if first < 0x7F and end <= len(block):
        return block[start:end], end
    size, at = read_integer(block, at, 0x7F)
    end = at + size
    if end > len(block):
        raise HeaderBlockError("a string longer than its block")
    text = block[at:end]
    return (huffman.decode(text) if first & _HUFFMAN else text), end
