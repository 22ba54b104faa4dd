"""Primitives of HPACK that encoder and decoder share.

Source: RFC 7541, section 5.1 (integers), section 6 (first bits of a field), appendix A (static table).
"""

from __future__ import annotations

from typing import Final

from hpack.table import HeaderTable

DEFAULT_TABLE_SIZE: Final = 4096
STATIC: Final = ((b"", b""), *HeaderTable.STATIC_TABLE)
FIRST_DYNAMIC: Final = len(STATIC)

INDEXED: Final = 0x80
LITERAL_INDEXED: Final = 0x40
RESIZED: Final = 0x20
NEVER_INDEXED: Final = 0x10

MAX_CACHED: Final = 256
"""Maximum entries per cache of fields, or of runs of fields."""
_LARGEST_INTEGER: Final = 2**28
_MOST_SHIFT: Final = 28


class HeaderBlockError(Exception):
    """A header block cannot be decoded.

    The dynamic table is lost with it: the connection ends with COMPRESSION_ERROR (RFC 9113, 4.3).
    """


def read_integer(block: bytes, at: int, mask: int) -> tuple[int, int]:
    """Reads an integer (RFC 7541, 5.1); returns it and the offset behind it.

    Raises:
        HeaderBlockError: it is larger than any length or index that makes sense.
        IndexError: the block ends within it.
    """
    number = block[at] & mask
    at += 1
    if number < mask:
        return number, at
    shift = 0
    while True:
        byte = block[at]
        at += 1
        number += (byte & 0x7F) << shift
        if number > _LARGEST_INTEGER or shift > _MOST_SHIFT:
            raise HeaderBlockError("an integer that nothing needs")
        if byte < 0x80:
            return number, at
        shift += 7


def write_integer(number: int, mask: int, pattern: int) -> bytes:
    """Encodes an integer (RFC 7541, 5.1); `pattern` is the high bits of its first byte."""
    if number < mask:
        return bytes((pattern | number,))
    number -= mask
    written = [pattern | mask]
    while number >= 0x80:
        written.append(number & 0x7F | 0x80)
        number >>= 7
    written.append(number)
    return bytes(written)
