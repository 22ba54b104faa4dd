"""Header sections, put together from HEADERS and CONTINUATION, and decoded.

Each is decoded, whatever becomes of its stream, for the state of the compression is the connection's
(RFC 9113, 4.3).
"""

from __future__ import annotations

from typing import Final, NamedTuple

from grpc_wire import frames
from grpc_wire.errors import ConnectionFault, ErrorCode
from grpc_wire.frames import Frame
from grpc_wire.header_decoder import HeaderDecoder
from grpc_wire.header_rules import HeaderSection
from grpc_wire.limits import Limits

PRIORITY_SIZE: Final = 5
"""Fields of priority, which mean nothing any more (5.3.2)."""


class Section(NamedTuple):
    """A header section that is whole."""

    stream_id: int
    decoded: HeaderSection
    flags: int
    """Those of its HEADERS."""


class _Begun(NamedTuple):
    stream_id: int
    flags: int
    parts: list[bytes]


class HeaderSections:
    """Reads the header sections of one connection.

    Attributes:
        longest: how long a block may be.
    """

    def __init__(self, decoder: HeaderDecoder, limits: Limits) -> None:
        self.longest = max(limits.header_block, 2 * limits.header_list)
        self._continuations = limits.continuations
        self._decoder = decoder
        self._begun: _Begun | None = None

    def begin(self, frame: Frame) -> Section | None:
        """Takes HEADERS (6.2).

        Raises:
            ConnectionFault: the frame is wrong, or its block cannot be read.
        """
        frames.check_of_stream(frame)
        part = frames.without_padding(frame.flags, frame.payload)
        if frame.flags & frames.PRIORITIZED:
            if len(part) < PRIORITY_SIZE:
                raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "HEADERS without its priority")
            part = part[PRIORITY_SIZE:]
        if len(part) > self.longest:
            raise ConnectionFault(
                ErrorCode.ENHANCE_YOUR_CALM, "a header section too long to be read"
            )
        if frame.flags & frames.END_HEADERS:
            return Section(frame.stream_id, self._decoder.decode(part), frame.flags)
        self._begun = _Begun(frame.stream_id, frame.flags, [part])
        return None

    def go_on(self, frame: Frame) -> Section | None:
        """Takes CONTINUATION (6.10).

        Raises:
            ConnectionFault: it continues nothing, is too much, or the block cannot be read.
        """
        begun = self._begun
        if begun is None or begun.stream_id != frame.stream_id:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "CONTINUATION of nothing")
        begun.parts.append(frame.payload)
        size = sum(map(len, begun.parts))
        if size > self.longest or len(begun.parts) - 1 > self._continuations:
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "a header section without end")
        if not frame.flags & frames.END_HEADERS:
            return None
        self._begun = None
        block = b"".join(begun.parts)
        return Section(begun.stream_id, self._decoder.decode(block), begun.flags)
