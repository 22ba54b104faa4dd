"""Header blocks that are too large to be kept: each part is read as it comes, and only the table is kept.

A block that belongs to a stream which is refused must be read to its end all the same, for the dynamic table
is the connection's (RFC 9113, 4.3). What is held of it is at most one field that may become an entry.

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
from grpc_wire.headers.table import HeaderTable, entry, name_of

_RUN: Final = re.compile(rb"[\x81-\xfe]+")
"""Indexed fields with indices that have room in a byte."""
_HUFFMAN: Final = 0x80
_LONGEST_CODE: Final = 30
"""Bits of a byte in the Huffman code, at most (RFC 7541, appendix B)."""
_OVERHEAD: Final = 32


class PassedBlock:
    """One block.

    Attributes:
        size: of what has come, at least: its bytes as they came, and 32 for each field.
    """

    def __init__(self, table: HeaderTable, resize: Callable[[int], None]) -> None:
        """Begins a block, of which nothing was read.

        Args:
            table: of the connection.
            resize: takes another limit of the table (RFC 7541, 6.3).
        """
        self.size = 0
        self._table = table
        self._resize = resize
        self._rest = b""
        """Begin of a field that is not whole."""
        self._skip = 0
        """Bytes of a string, still to come, that mean nothing."""
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
        skipped = min(self._skip, len(data))
        self._skip -= skipped
        block, at = self._rest + data[skipped:], 0
        try:
            while at < len(block):
                at = self._field(block, at)
                self.size += _OVERHEAD
        except IndexError:  # the field is not whole
            pass
        self._rest = block[at:]

    def close(self) -> None:
        """Sees to it that the block ends with a field.

        Raises:
            HeaderBlockError: it does not.
        """
        if self._rest or self._skip or self._value_follows:
            raise HeaderBlockError("truncated header block")

    def _field(self, block: bytes, at: int) -> int:
        """Reads one field, or a run of indexed ones; returns where it ends. IndexError: it is not whole."""
        first = block[at]
        if self._value_follows:
            at = self._pass(block, at)
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
            self._name(max(run[0]) & 0x7F)
            return run.end()
        index, at = read_integer(block, at, 0x7F)
        self._name(index)
        return at

    def _name(self, index: int) -> bytes:
        """Returns the name of an entry."""
        entries = self._table.entries
        if not 0 < index < len(entries):
            raise HeaderBlockError(f"index {index}")
        return entries[index][0][0]

    def _literal(self, block: bytes, at: int) -> int:
        index, at = read_integer(block, at, 0x0F)
        if index:
            self._name(index)
            return self._pass(block, at)
        return self._pass_both(block, at)

    def _added(self, block: bytes, at: int) -> int:
        """Reads a field that becomes an entry, if it is not larger than the table."""
        index, at = read_integer(block, at, 0x3F)
        if index:
            name = self._name(index)
        elif self._fits(block, at, 0):
            name, at = _text(block, at)
        else:
            self._table.clear()
            return self._pass_both(block, at)
        if not self._fits(block, at, len(name)):
            self._table.clear()
            return self._pass(block, at)
        value, at = _text(block, at)
        self._table.add(entry(name_of(name), value))
        return at

    def _fits(self, block: bytes, at: int, size: int) -> bool:
        """Whether an entry may fit into the table, with a string that begins here beside `size` bytes."""
        length, _ = read_integer(block, at, 0x7F)
        least = length * 8 // _LONGEST_CODE if block[at] & _HUFFMAN else length
        return least + size + _OVERHEAD <= self._table.limit

    def _pass_both(self, block: bytes, at: int) -> int:
        """Passes over a name and its value."""
        at = self._pass(block, at)
        if self._skip:
            self._value_follows = True
            return at
        return self._pass(block, at)

    def _pass(self, block: bytes, at: int) -> int:
        """Passes over a string, of which not all need have come."""
        length, at = read_integer(block, at, 0x7F)
        end = at + length
        self._skip = max(0, end - len(block))
        return min(end, len(block))


def _text(block: bytes, at: int) -> tuple[bytes, int]:
    """Reads a string (RFC 7541, 5.2); returns it, and where it ends. IndexError: it is not whole."""
    length, begin = read_integer(block, at, 0x7F)
    end = begin + length
    if end > len(block):
        raise IndexError
    text = block[begin:end]
    return (huffman.decode(text) if block[at] & _HUFFMAN else text), end
