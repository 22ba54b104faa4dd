"""Header blocks that come, with the table and the Huffman code of the `hpack` package.

What is repeated is looked up: indexed fields that follow each other mean what they meant before, as long as
the table is what it was.

Source: RFC 7541; RFC 9113, section 8.2.1 (what names and values may have).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, NamedTuple

from hpack.exceptions import HPACKDecodingError
from hpack.huffman_table import decode_huffman
from hpack.table import HeaderTable, table_entry_size

from grpc_wire.events import Headers
from grpc_wire.header_block import (
    DEFAULT_TABLE_SIZE,
    FIRST_DYNAMIC,
    INDEXED,
    LITERAL_INDEXED,
    MOST_KEPT,
    RESIZED,
    STATIC,
    bad_block,
    read_integer,
)

_HUFFMAN: Final = 0x80
_ONE_BYTE_EACH: Final = re.compile(rb"[\x80-\xfe]{1,64}")
"""Indexed fields, with indices that have room in a byte; so few that keeping them costs little."""

_NAME: Final = re.compile(rb":?[!#$%&'*+.^_`|~0-9a-z-]+")
_VALUE: Final = re.compile(rb"(?:[^\x00\r\n\t ](?:[^\x00\r\n]*[^\x00\r\n\t ])?)?")


@dataclass(slots=True)
class HeaderSection:
    """What a block means."""

    headers: Headers
    fault: str = ""
    """What is malformed in it (RFC 9113, 8.2.1), which is a fault of its stream alone."""
    too_large: bool = False
    """Whether there was more than may be, so that the headers are not all."""


class _Run(NamedTuple):
    """Indexed fields that follow each other."""

    fields: list[tuple[bytes, bytes]]
    size: int
    fault: str


class HeaderDecoder:
    """Reads the header blocks of one connection, in their order."""

    def __init__(self, max_list: int) -> None:
        """Makes a decoder.

        Args:
            max_list: bytes of the largest header section, decoded (RFC 9113, 6.5.2).
        """
        self._max_list = max_list
        self._table = HeaderTable()
        self._entries = self._table.dynamic_entries
        self._runs: dict[bytes, _Run] = {}
        self._known: dict[bytes, HeaderSection] = {}
        """Blocks of nothing but one run, as most answers and trailers are."""
        self._malformed: dict[tuple[bytes, bytes], str] = {}
        self._table_limit = DEFAULT_TABLE_SIZE

    def allow_table(self, size: int) -> None:
        """Bounds the table, when the peer has acknowledged the setting that says so."""
        self._table_limit = size
        self._known.clear()  # for `decode` is to look whether the table is small enough

    def decode(self, block: bytes) -> HeaderSection:
        """Reads a block.

        Raises:
            ConnectionFault: COMPRESSION_ERROR, after which no block can be read any more.
        """
        known = self._known.get(block)
        if known is not None:
            return known
        try:
            section = self._decode(block)
        except (IndexError, HPACKDecodingError) as error:
            raise bad_block(str(error) or "truncated header block") from error
        if self._table.maxsize > self._table_limit:
            raise bad_block("the table was not made smaller")
        if len(self._known) < MOST_KEPT and _ONE_BYTE_EACH.fullmatch(block):
            self._known[block] = section
        return section

    def _decode(self, block: bytes) -> HeaderSection:
        headers: list[tuple[bytes, bytes]] = []
        fault, size, at, end = "", 0, 0, len(block)
        while at < end:
            first = block[at]
            if first & INDEXED:
                run, at = self._indexed(block, at)
                size += run.size
                fault = fault or run.fault
                if size <= self._max_list:
                    headers += run.fields
                continue
            if first & LITERAL_INDEXED:
                field, at = self._literal(block, at, 0x3F)
                self._add(field)
            elif first & RESIZED:
                if size:
                    raise bad_block("the table is resized within a block")
                limit, at = read_integer(block, at, 0x1F)
                self._resize(limit)
                continue
            else:
                field, at = self._literal(block, at, 0x0F)
            size += table_entry_size(*field)
            fault = fault or _fault(field)
            if size <= self._max_list:
                headers.append(field)
        return HeaderSection(tuple(headers), fault, size > self._max_list)

    def _indexed(self, block: bytes, at: int) -> tuple[_Run, int]:
        """Reads the indexed fields that follow each other; returns them, and where they end."""
        written = _ONE_BYTE_EACH.match(block, at)
        if written is None:
            index, at = read_integer(block, at, 0x7F)
            return self._run([index]), at
        known = self._runs.get(written[0])
        if known is None:
            known = self._run([byte & 0x7F for byte in written[0]])
            if len(self._runs) < MOST_KEPT:
                self._runs[written[0]] = known
        return known, written.end()

    def _run(self, indices: list[int]) -> _Run:
        fields = [self._field(index) for index in indices]
        faults = [self._malformed[field] for field in fields if field in self._malformed]
        return _Run(fields, sum(table_entry_size(*f) for f in fields), "".join(faults[:1]))

    def _add(self, field: tuple[bytes, bytes]) -> None:
        self._table.add(*field)
        self._forget()
        if fault := _fault(field):
            if len(self._malformed) >= MOST_KEPT:  # no table has room for so many
                self._malformed = {f: w for f, w in self._malformed.items() if f in self._entries}
            self._malformed[field] = fault

    def _field(self, index: int) -> tuple[bytes, bytes]:
        if index < FIRST_DYNAMIC:
            if index == 0:
                raise bad_block("index 0")
            return STATIC[index]
        return self._entries[index - FIRST_DYNAMIC]

    def _literal(self, block: bytes, at: int, mask: int) -> tuple[tuple[bytes, bytes], int]:
        if block[at] & mask:
            index, at = read_integer(block, at, mask)
            name = self._field(index)[0]
        else:
            name, at = _string(block, at + 1)
        value, at = _string(block, at)
        return (name, value), at

    def _resize(self, limit: int) -> None:
        if limit > self._table_limit:
            raise bad_block(f"a table of {limit} bytes")
        self._table.maxsize = limit
        self._forget()

    def _forget(self) -> None:
        """Forgets what indices have meant."""
        self._runs.clear()
        self._known.clear()


def _fault(field: tuple[bytes, bytes]) -> str:
    """Returns what is malformed in a field, if something is."""
    name, value = field
    if not _NAME.fullmatch(name):
        return f"a field is named {name!r}"
    if not _VALUE.fullmatch(value):
        return f"the value of {name!r} cannot be one"
    return ""


def _string(block: bytes, at: int) -> tuple[bytes, int]:
    """Reads a string (RFC 7541, 5.2); returns it, and where it ends."""
    huffman = block[at] & _HUFFMAN
    size, at = read_integer(block, at, 0x7F)
    end = at + size
    if end > len(block):
        raise bad_block("a string longer than its block")
    text = block[at:end]
    return (decode_huffman(text) if huffman else text), end
