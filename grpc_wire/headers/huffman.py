"""Decoder of the Huffman code of HPACK, one byte at a time.

`hpack`'s table of states consumes half a byte per step. Two steps are joined here when a byte first needs
them: to join all beforehand would take 0.1 s and 7 MB.

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
    """Result of a byte in a state: the next state, the decoded bytes, and whether the string may end there.

    The key is the state, shifted left by 8 bits, plus the byte; states are stored shifted.
    """

    def __missing__(self, key: int) -> tuple[int, bytes, int]:
        state, decoded, flags = key >> 8, b"", 0
        for half in (key >> 4 & 0xF, key & 0xF):
            state, flags, symbol = HUFFMAN_TABLE[state << 4 | half]
            if flags & HUFFMAN_FAIL:
                raise HPACKDecodingError("a string is not in the Huffman code")
            if flags & HUFFMAN_EMIT_SYMBOL:
                decoded += bytes((symbol,))
        step = self[key] = state << 8, decoded, flags & HUFFMAN_COMPLETE
        return step


_STEPS: Final = _Steps()


def decode(text: bytes) -> bytes:
    """Decodes a Huffman-coded string.

    Raises:
        HPACKDecodingError: it is not in the code, or its padding is wrong.
    """
    state, complete = 0, HUFFMAN_COMPLETE
    parts = []
    for byte in text:
        state, decoded, complete = _STEPS[state | byte]
        parts.append(decoded)
    if not complete:
        raise HPACKDecodingError("a string ends within a code")
    return b"".join(parts)
