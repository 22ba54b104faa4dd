"""The Huffman code of headers, read a byte at a time.

The states are those of `hpack`, which go on by half a byte each. Two of them are one here, put together when
they first come: to have all beforehand would take a tenth of a second, and 7 MB that few need.

Source: RFC 7541, section 5.2 and appendix B.
"""

from __future__ import annotations

from typing import Final

from hpack.exceptions import HPACKDecodingError
from hpack.huffman_table import (
    HUFFMAN_COMPLETE,
    HUFFMAN_EMIT_SYMBOL,
    HUFFMAN_FAIL,
    HUFFMAN_TABLE,
)


class _Steps(dict[int, tuple[int, bytes, int]]):
    """Where a byte leads: the next state, what was said, and whether the text may end there.

    The key is the state, shifted by a byte, and the byte; states are kept as they stand in a key.
    """

    def __missing__(self, key: int) -> tuple[int, bytes, int]:
        state, said, flags = key >> 8, b"", 0
        for half in (key >> 4 & 0xF, key & 0xF):
            state, flags, symbol = HUFFMAN_TABLE[state << 4 | half]
            if flags & HUFFMAN_FAIL:
                raise HPACKDecodingError("a string is not in the Huffman code")
            if flags & HUFFMAN_EMIT_SYMBOL:
                said += bytes((symbol,))
        step = self[key] = state << 8, said, flags & HUFFMAN_COMPLETE
        return step


_STEPS: Final = _Steps()


def decode(text: bytes) -> bytes:
    """Returns what a text says.

    Raises:
        HPACKDecodingError: it is not in the code, or its padding is not as it should be.
    """
    state, complete = 0, HUFFMAN_COMPLETE
    parts = []
    for byte in text:
        state, said, complete = _STEPS[state | byte]
        parts.append(said)
    if not complete:
        raise HPACKDecodingError("a string ends within a code")
    return b"".join(parts)
