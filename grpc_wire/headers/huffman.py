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


class _State:
    """What has been read of a code.

    Attributes:
        number: in `hpack`'s table.
        steps: by the next byte; None: not needed yet.
    """

    __slots__ = ("number", "steps")

    def __init__(self, number: int) -> None:
        self.number = number
        self.steps: list[_Step | None] = [None] * 256


class _Step:
    """Result of a byte in a state.

    Attributes:
        state: the next one.
        decoded: the symbols whose codes the byte completes.
        may_end: whether the string may end there.
    """

    __slots__ = ("decoded", "may_end", "state")

    def __init__(self, state: _State, decoded: bytes, *, may_end: bool) -> None:
        self.state = state
        self.decoded = decoded
        self.may_end = may_end


_START: Final = _State(0)
_STATES: Final = {0: _START}
"""By number."""


def _join(before: _State, byte: int) -> _Step:
    """Returns the step of a byte, and remembers it.

    Raises:
        HPACKDecodingError: it is not in the code.
    """
    number, decoded, flags = before.number, b"", 0
    for half in (byte >> 4, byte & 0xF):
        number, flags, symbol = HUFFMAN_TABLE[number << 4 | half]
        if flags & HUFFMAN_FAIL:
            raise HPACKDecodingError("a string is not in the Huffman code")
        if flags & HUFFMAN_EMIT_SYMBOL:
            decoded += bytes((symbol,))
    state = _STATES.get(number)
    if state is None:
        state = _STATES[number] = _State(number)
    step = before.steps[byte] = _Step(state, decoded, may_end=bool(flags & HUFFMAN_COMPLETE))
    return step


def decode(text: bytes) -> bytes:
    """Decodes a Huffman-coded string.

    Raises:
        HPACKDecodingError: it is not in the code, or its padding is wrong.
    """
    state, may_end = _START, True
    parts = []
    for byte in text:
        step = state.steps[byte]
        if step is None:
            step = _join(state, byte)
        state, may_end = step.state, step.may_end
        parts.append(step.decoded)
    if not may_end:
        raise HPACKDecodingError("a string ends within a code")
    return b"".join(parts)
