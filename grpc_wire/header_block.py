"""Header blocks: HPACK, with the tables and the Huffman code of the `hpack` package.

What is repeated is looked up: a block that is known gives the headers that it gave before, as long as the
table is what it was. The encoder puts into the table only what is the same for many calls, and only while
there is room; a value that changes with each call is a literal that leaves the table alone. It never uses
the Huffman code, which would cost more than the bytes that it saves.

Source: RFC 7541.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from hpack.exceptions import HPACKDecodingError
from hpack.huffman_table import decode_huffman
from hpack.table import HeaderTable, table_entry_size

from grpc_wire.errors import ConnectionFault, ErrorCode
from grpc_wire.events import Headers

DEFAULT_TABLE_SIZE: Final = 4096

_STATIC: Final = ((b"", b""), *HeaderTable.STATIC_TABLE)
_FIRST_DYNAMIC: Final = len(_STATIC)
_STATIC_FIELDS: Final = {
    field: index for index, field in reversed(list(enumerate(_STATIC[1:], 1))) if field[1]
}
_STATIC_NAMES: Final = {
    name: index for index, (name, _) in reversed(list(enumerate(_STATIC[1:], 1)))
}
_INDEXED: Final = 0x80
_LITERAL_INDEXED: Final = 0x40
_RESIZED: Final = 0x20
_NEVER_INDEXED: Final = 0x10
_HUFFMAN: Final = 0x80

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
_SECRET: Final = frozenset({b"authorization", b"cookie", b"proxy-authorization", b"set-cookie"})
"""Names whose values no proxy is to put into a table either (RFC 7541, 7.1.3)."""
_KEPT: Final = 256
"""How many blocks, fields or names are kept with what they mean."""
_LARGEST_INTEGER: Final = 2**28

_NAME: Final = re.compile(rb":?[!#$%&'*+.^_`|~0-9a-z-]+")
_VALUE: Final = re.compile(rb"(?:[^\x00\r\n\t ](?:[^\x00\r\n]*[^\x00\r\n\t ])?)?")


class HeaderSection(NamedTuple):
    """What a block means."""

    headers: Headers
    fault: str = ""
    """What is malformed in it (RFC 9113, 8.2.1), which is a fault of its stream alone."""
    too_large: bool = False
    """Whether there was more than may be, so that the headers are not all."""


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
        self._known: dict[bytes, HeaderSection] = {}
        self._malformed: dict[tuple[bytes, bytes], str] = {}
        self._table_limit = DEFAULT_TABLE_SIZE

    def allow_table(self, size: int) -> None:
        """Bounds the table, when the peer has acknowledged the setting that says so."""
        self._table_limit = size

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
            raise _bad(str(error) or "truncated header block") from error
        if self._table.maxsize > self._table_limit:
            raise _bad("the table was not made smaller")
        return section

    def _decode(self, block: bytes) -> HeaderSection:
        headers: list[tuple[bytes, bytes]] = []
        fault, size, at, end = "", 0, 0, len(block)
        changed = False
        while at < end:
            first = block[at]
            if first & _INDEXED:
                index, at = _integer(block, at, 0x7F)
                field = self._field(index)
                if self._malformed and not fault:
                    fault = self._malformed.get(field, "")
            elif first & _LITERAL_INDEXED:
                field, at = self._literal(block, at, 0x3F)
                self._add(field)
                changed = True
                fault = fault or _fault(field)
            elif first & _RESIZED:
                if size:
                    raise _bad("the table is resized within a block")
                limit, at = _integer(block, at, 0x1F)
                self._resize(limit)
                changed = True
                continue
            else:
                field, at = self._literal(block, at, 0x0F)
                fault = fault or _fault(field)
            size += 32 + len(field[0]) + len(field[1])
            if size <= self._max_list:
                headers.append(field)
        section = HeaderSection(tuple(headers), fault, size > self._max_list)
        self._keep(block, section, changed=changed)
        return section

    def _add(self, field: tuple[bytes, bytes]) -> None:
        self._table.add(*field)
        if fault := _fault(field):
            self._malformed = {f: w for f, w in self._malformed.items() if f in self._entries}
            self._malformed[field] = fault

    def _keep(self, block: bytes, section: HeaderSection, *, changed: bool) -> None:
        if changed:
            self._known.clear()
            return
        if len(self._known) >= _KEPT:
            self._known.clear()
        self._known[block] = section

    def _field(self, index: int) -> tuple[bytes, bytes]:
        if index < _FIRST_DYNAMIC:
            if index == 0:
                raise _bad("index 0")
            return _STATIC[index]
        return self._entries[index - _FIRST_DYNAMIC]

    def _literal(self, block: bytes, at: int, mask: int) -> tuple[tuple[bytes, bytes], int]:
        if block[at] & mask:
            index, at = _integer(block, at, mask)
            name = self._field(index)[0]
        else:
            name, at = _string(block, at + 1)
        value, at = _string(block, at)
        return (name, value), at

    def _resize(self, limit: int) -> None:
        if limit > self._table_limit:
            raise _bad(f"a table of {limit} bytes")
        self._table.maxsize = limit


def _fault(field: tuple[bytes, bytes]) -> str:
    """Returns what is malformed in a field, if something is."""
    name, value = field
    if not _NAME.fullmatch(name):
        return f"a field is named {name!r}"
    if not _VALUE.fullmatch(value):
        return f"the value of {name!r} cannot be one"
    return ""


def _bad(reason: str) -> ConnectionFault:
    return ConnectionFault(ErrorCode.COMPRESSION_ERROR, reason)


def _integer(block: bytes, at: int, mask: int) -> tuple[int, int]:
    """Reads an integer (RFC 7541, 5.1); returns it, and where it ends."""
    number = block[at] & mask
    at += 1
    if number < mask:
        return number, at
    shift = 0
    while True:
        byte = block[at]
        at += 1
        number += (byte & 0x7F) << shift
        if number > _LARGEST_INTEGER or shift > 28:
            raise _bad("an integer that nothing needs")
        if byte < 0x80:
            return number, at
        shift += 7


def _string(block: bytes, at: int) -> tuple[bytes, int]:
    """Reads a string (RFC 7541, 5.2); returns it, and where it ends."""
    huffman = block[at] & _HUFFMAN
    size, at = _integer(block, at, 0x7F)
    end = at + size
    if end > len(block):
        raise _bad("a string longer than its block")
    text = block[at:end]
    return (decode_huffman(text) if huffman else text), end


class HeaderEncoder:
    """Writes the header blocks of one connection, in their order."""

    def __init__(self) -> None:
        self._limit = DEFAULT_TABLE_SIZE
        self._resized = b""
        self._forget()

    def _forget(self) -> None:
        self._size = 0
        self._added: dict[tuple[bytes, bytes], int] = {}
        self._fields: dict[tuple[bytes, bytes], bytes] = {}

    def allow_table(self, size: int) -> None:
        """Takes the peer's limit for the table; what is in it is given up if it changes."""
        size = min(size, DEFAULT_TABLE_SIZE)
        if size != self._limit:
            self._limit = size
            self._resized = b"\x20" + _number(size, 0x1F, _RESIZED)
            self._forget()

    def encode(self, headers: Headers) -> bytes:
        """Returns the block of some headers."""
        parts = [self._fields.get(field) or self._encode(field) for field in headers]
        if self._resized:
            parts.insert(0, self._resized)
            self._resized = b""
        return b"".join(parts)

    def _encode(self, field: tuple[bytes, bytes]) -> bytes:
        name, value = field
        if field in _STATIC_FIELDS:
            return self._keep(field, _number(_STATIC_FIELDS[field], 0x7F, _INDEXED))
        if field in self._added:
            index = _FIRST_DYNAMIC + len(self._added) - 1 - self._added[field]
            return self._keep(field, _number(index, 0x7F, _INDEXED))
        if name in _LASTING:
            size = table_entry_size(name, value)
            if self._size + size <= self._limit:
                self._size += size
                self._added[field] = len(self._added)
                self._fields = {}  # what was added before has moved on by one
                return _literal(name, value, 0x3F, _LITERAL_INDEXED)
            return self._keep(field, _literal(name, value, 0x0F, 0))
        return _literal(name, value, 0x0F, _NEVER_INDEXED if name in _SECRET else 0)

    def _keep(self, field: tuple[bytes, bytes], written: bytes) -> bytes:
        if len(self._fields) < _KEPT:
            self._fields[field] = written
        return written


def _literal(name: bytes, value: bytes, mask: int, pattern: int) -> bytes:
    index = _STATIC_NAMES.get(name)
    if index is not None:
        return _number(index, mask, pattern) + _number(len(value), 0x7F, 0) + value
    return b"".join(
        (bytes((pattern,)), _number(len(name), 0x7F, 0), name, _number(len(value), 0x7F, 0), value)
    )


def _number(number: int, mask: int, pattern: int) -> bytes:
    """Writes an integer (RFC 7541, 5.1) behind a pattern of bits."""
    if number < mask:
        return bytes((pattern | number,))
    number -= mask
    written = [pattern | mask]
    while number >= 0x80:
        written.append(number & 0x7F | 0x80)
        number >>= 7
    written.append(number)
    return bytes(written)
