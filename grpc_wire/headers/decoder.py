"""Header blocks that come, with the static table and the Huffman code of the `hpack` package.

What a block begins with is known when it comes again, as far as it names nothing but entries of the table,
and as long as the table is what it was.

Source: RFC 7541; RFC 9113, section 8.2.1 (what names and values may have).
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from hpack.exceptions import HPACKDecodingError

from grpc_wire.headers import huffman
from grpc_wire.headers.block import (
    DEFAULT_TABLE_SIZE,
    INDEXED,
    LITERAL_INDEXED,
    MOST_KEPT,
    RESIZED,
    HeaderBlockError,
    read_integer,
)
from grpc_wire.headers.section import HeaderSection
from grpc_wire.headers.skipping import PassedBlock
from grpc_wire.headers.table import Entry, HeaderTable, Name, entry, name_of

_HUFFMAN: Final = 0x80
_INDEX_0: Final = 0x80
_LARGE_INDEX: Final = 0xFF
_ONE_BYTE_EACH: Final = re.compile(rb"[\x80-\xfe]{1,64}")
"""Indexed fields, with indices that have room in a byte; so few that keeping them costs little."""

_EMPTY: Final = HeaderSection(())


class HeaderDecoder:
    """Reads the header blocks of one connection, in their order."""

    def __init__(self, max_list: int) -> None:
        """Makes a decoder.

        Args:
            max_list: bytes of the largest header section, decoded (RFC 9113, 6.5.2).
        """
        self._max_list = max_list
        self._table = HeaderTable()
        self._known: dict[bytes, HeaderSection] = {}
        """Runs of indexed fields: most requests begin with one, most answers and trailers are but one."""
        self._latest, self._begin = b"", _EMPTY
        """The run that the block before began with: most requests begin as that one did."""
        self._prefixes: dict[bytes, tuple[Name, int]] = {}
        """How literals begin of which each has another value: the name, and how long the value is."""
        self._table_limit = DEFAULT_TABLE_SIZE

    def allow_table(self, size: int) -> None:
        """Bounds the table, when the peer has acknowledged the setting that says so."""
        self._table_limit = size
        self._forget()  # for `decode` is to look whether the table is small enough

    def decode(self, block: bytes) -> HeaderSection:
        """Reads a block.

        Raises:
            HeaderBlockError: after this no block of the connection can be decoded.
        """
        known = self._known.get(block)
        if known is not None:
            return known
        try:
            section = self._begin
            size = section.length
            if size >= len(block) or block[size] & INDEXED or not block.startswith(self._latest):
                section = self._run(block)
            if len(block) > section.length:
                section = self._decode(block, section)
        except (IndexError, HPACKDecodingError) as error:
            raise HeaderBlockError(str(error) or "truncated header block") from error
        if self._table.limit > self._table_limit:
            self._check_table()
        return section

    def pass_over(self) -> PassedBlock:
        """Begins a block that is too large to be kept, which is to be fed with it and given to `passed`."""
        self._forget()
        return PassedBlock(self._table, self._resize)

    def passed(self, block: PassedBlock) -> HeaderSection:
        """Ends such a block.

        Raises:
            HeaderBlockError: the block cannot be decoded.
        """
        block.close()
        self._check_table()
        return HeaderSection((), too_large=True, size=block.size)

    def _check_table(self) -> None:
        if self._table.limit > self._table_limit:
            raise HeaderBlockError("the table was not made smaller")

    def _run(self, block: bytes) -> HeaderSection:
        """Reads the indexed fields that a block begins with."""
        found = _ONE_BYTE_EACH.match(block)
        run = b"" if found is None else found[0]
        section = self._known.get(run) if run else _EMPTY
        if section is None:
            section = self._decode(run, _EMPTY)
            if len(self._known) < MOST_KEPT:
                self._known[run] = section
        self._latest, self._begin = run, section
        return section

    def _forget(self) -> None:
        """Forgets what indices meant: the table has changed."""
        self._known.clear()
        self._latest, self._begin = b"", _EMPTY

    def _decode(self, block: bytes, begin: HeaderSection) -> HeaderSection:
        """Reads what is behind the begin of a block."""
        headers = [*begin.headers]
        fault, size, at, end = begin.fault, begin.size, begin.length, len(block)
        entries, most, prefixes = self._table.entries, self._max_list, self._prefixes
        while at < end:
            first = block[at]
            if first < RESIZED:
                value_at = at + 3 + block[at + 1]
                known = prefixes.get(block[at:value_at])
                if known is not None and value_at + known[1] <= end:
                    at = value_at + known[1]
                    field, field_size, field_fault = entry(known[0], block[value_at:at])
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
                self._forget()
                field, field_size, field_fault = added
            else:
                if size:
                    raise HeaderBlockError("the table is resized within a block")
                limit, at = read_integer(block, at, 0x1F)
                self._resize(limit)
                continue
            size += field_size
            fault = fault or field_fault
            if size <= most:
                headers.append(field)
        return HeaderSection(tuple(headers), fault, size > most, size, end, begin)

    def _literal(self, block: bytes, at: int, mask: int) -> tuple[Entry, int]:
        if block[at] & mask:
            index, at = read_integer(block, at, mask)
            (text, _), _, _ = self._table.entries[index]
            name = name_of(text)
        else:
            begin = at + 1
            size = block[begin] & 0x7F
            if size < 0x7F:
                at = begin + 1 + size
                name = _short_name(block[begin:at])
            else:
                text, at = _string(block, begin)
                name = name_of(text)
        value, at = _string(block, at)
        return entry(name, value), at

    def _keep_prefix(
        self, block: bytes, at: int, value_at: int, field: tuple[bytes, bytes]
    ) -> None:
        """Keeps how a literal begins, if its name stands there, and both lengths have room in a byte."""
        short = not block[at] & 0x0F and block[at + 1] < 0x7F and block[value_at - 1] < 0x7F
        if short and len(self._prefixes) < MOST_KEPT:
            self._prefixes[block[at:value_at]] = name_of(field[0]), len(field[1])

    def _resize(self, limit: int) -> None:
        if limit > self._table_limit:
            raise HeaderBlockError(f"a table of {limit} bytes")
        self._table.resize(limit)
        self._forget()


def _rare_index(block: bytes, at: int) -> tuple[int, int]:
    """Reads the index of a field, which has no room in the first byte; or is 0, which is none (6.1)."""
    index, at = read_integer(block, at, 0x7F)
    if index == 0:
        raise HeaderBlockError("index 0")
    return index, at


@lru_cache(maxsize=MOST_KEPT)
def _short_name(string: bytes) -> Name:
    """Reads a name, which is most often one that came before."""
    return name_of(_string(string, 0)[0])


def _string(block: bytes, at: int) -> tuple[bytes, int]:
    """Reads a string (RFC 7541, 5.2); returns it, and where it ends."""
    first = block[at]
    begin = at + 1
    end = begin + first
    if first < 0x7F and end <= len(block):
        return block[begin:end], end
    size, at = read_integer(block, at, 0x7F)
    end = at + size
    if end > len(block):
        raise HeaderBlockError("a string longer than its block")
    text = block[at:end]
    return (huffman.decode(text) if first & _HUFFMAN else text), end
