"""Which sides of a call stream."""

from __future__ import annotations

from enum import Flag


class StreamType(Flag):
    """The sides of a call that stream; `CLIENT | SERVER == BIDI`."""

    UNARY = 0
    CLIENT = 1
    SERVER = 2
    BIDI = 3

    def __init__(self, sides: int) -> None:
        # read several times per call; `in` on a Flag, and `value`, take a microsecond
        self.client = bool(sides & 1)
        """Whether the client sends a stream of messages."""
        self.server = bool(sides & 2)
        """Whether the server sends a stream of messages."""
