"""Skips header blocks that are too large to buffer; only their effect on the dynamic table is kept.

A block of a refused stream must still be decoded, because the dynamic table belongs to the connection
(RFC 9113, 4.3). At most one field that may enter the table is buffered.

Source: RFC 7541, sections 4.4 (an entry larger than the table empties it) and 6.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from grpc_wire.headers import huffman
from grpc_wire.headers.block import (
    INDEXED,
    LITERAL_INDEXED,
    RESIZED,
    HeaderBlockError,
    read_integer,
)
from grpc_wire.headers.table import HeaderTable, field_name, table_entry

_RUN: Final = re.compile(rb"[\x81-\xfe]+")
"""Indexed fields whose index fits into one byte."""
_HUFFMAN: Final = 0x80
_LONGEST_CODE: Final = 30
"""Longest Huffman code of a byte, in bits (RFC 7541, appendix B)."""
_OVERHEAD: Final = 32


class SkippedBlock:
    """One block.

    Attributes:
        size: lower bound of the section's size so far: bytes received, and 32 for each field.
    """

    def __init__(self, table: HeaderTable, resize: Callable[[int], None]) -> None:
        """Starts a block.

        Args:
            table: of the connection.
            resize: applies a dynamic table size update (RFC 7541, 6.3).
        """
        self.size = 0
        self._table = table
        self._resize = resize
        self._rest = b""
        """Start of a field of which more is to come."""
        self._bytes_to_skip = 0
        """Bytes of a string that are still to be skipped."""
        self._value_follows = False
        """Whether the next string is the value of a field whose name was skipped."""
        self._begun = False

    def feed(self, data: bytes) -> None:
        """Reads a part of the block.

        Raises:
            HeaderBlockError: the block cannot be decoded.
            HPACKDecodingError: a string is not in the Huffman code.
        """
        self.size += len(data)
        skipped = min(self._bytes_to_skip, len(data))
        self._bytes_to_skip -= skipped
        block, at = self._rest + data[skipped:], 0
        try:
            while at < len(block):
                at = self._field(block, at)
                self.size += _OVERHEAD
        except IndexError:  # the field is not whole
            pass
        self._rest = block[at:]

    def close(self) -> None:
        """Checks that the block ends with a complete field.

        Raises:
            HeaderBlockError: it does not.
        """
        if self._rest or self._bytes_to_skip or self._value_follows:
            raise HeaderBlockError("truncated header block")

    def _field(self, block: bytes, at: int) -> int:
        """Reads a field, or a run of indexed ones; returns the offset behind it.

        Raises:
            IndexError: it is incomplete.
        """
        first = block[at]
        if self._value_follows:
            at = self._skip_string(block, at)
            self._value_follows = False
        elif first & INDEXED:
            at = self._indexed(block, at)
        elif first & LITERAL_INDEXED:
            at = self._added(block, at)
        elif first & RESIZED:
            if self._begun:
                raise HeaderBlockError("the table is resized within a block")
            limit, at = read_integer(block, at, 0x1F)
            self._resize(limit)
            return at
        else:
            at = self._literal(block, at)
        self._begun = True
        return at

    def _indexed(self, block: bytes, at: int) -> int:
        run = _RUN.match(block, at)
        if run is not None:
            self._name_at(max(run[0]) & 0x7F)
            return run.end()
        index, at = read_integer(block, at, 0x7F)
        self._name_at(index)
        return at

    def _name_at(self, index: int) -> bytes:
        """Returns the name of a table entry."""
        entries = self._table.entries
        if not 0 < index < len(entries):
            raise HeaderBlockError(f"index {index}")
        name: bytes = entries[index][0][0]
        return name

    def _literal(self, block: bytes, at: int) -> int:
        index, at = read_integer(block, at, 0x0F)
        if index:
            self._name_at(index)
            return self._skip_string(block, at)
        return self._skip_pair(block, at)

    def _added(self, block: bytes, at: int) -> int:
        """Reads a field that enters the table if it fits; returns the offset behind it."""
        index, at = read_integer(block, at, 0x3F)
        if index:
            name = self._name_at(index)
        elif self._fits(block, at, 0):
            name, at = _text(block, at)
        else:
            self._table.clear()
            return self._skip_pair(block, at)
        if not self._fits(block, at, len(name)):
            self._table.clear()
            return self._skip_string(block, at)
        value, at = _text(block, at)
        self._table.add(table_entry(field_name(name), value))
        return at

    def _fits(self, block: bytes, at: int, size: int) -> bool:
        """Whether the string at an offset, with `size` bytes beside it, may fit into the table."""
        length, _ = read_integer(block, at, 0x7F)
        least = length * 8 // _LONGEST_CODE if block[at] & _HUFFMAN else length
        return least + size + _OVERHEAD <= self._table.limit

    def _skip_pair(self, block: bytes, at: int) -> int:
        """Skips a name and its value; returns the offset behind them."""
        at = self._skip_string(block, at)
        if self._bytes_to_skip:
            self._value_follows = True
            return at
        return self._skip_string(block, at)

    def _skip_string(self, block: bytes, at: int) -> int:
        """Skips a string, of which a part may still be to come; returns the offset behind it."""
        length, at = read_integer(block, at, 0x7F)
        end = at + length
        self._bytes_to_skip = max(0, end - len(block))
        return min(end, len(block))


def _text(block: bytes, at: int) -> tuple[bytes, int]:
    """Reads a string (RFC 7541, 5.2); returns it and the offset behind it.

    Raises:
        IndexError: it is incomplete.
    """
    length, start = read_integer(block, at, 0x7F)
    end = start + length
    if end > len(block):
        raise IndexError
    text = block[start:end]
    return (huffman.decode(text) if block[at] & _HUFFMAN else text), end
