"""Header sections, put together from HEADERS and CONTINUATION, and decoded.

Each is decoded, whatever becomes of its stream, for the state of the compression is the connection's
(RFC 9113, 4.3).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, NamedTuple

from hpack.exceptions import HPACKDecodingError

from grpc_wire.headers.block import HeaderBlockError
from grpc_wire.headers.decoder import HeaderDecoder
from grpc_wire.headers.section import HeaderSection
from grpc_wire.headers.skipping import PassedBlock
from grpc_wire.http2 import frames
from grpc_wire.http2.errors import ConnectionFault, ErrorCode
from grpc_wire.http2.frames import Frame
from grpc_wire.http2.limits import Limits

PRIORITY_SIZE: Final = 5
"""Fields of priority, which mean nothing any more (5.3.2)."""
_KEPT: Final = 64 * 1024
"""Bytes of a block that is kept until it is whole, at least."""


class Section(NamedTuple):
    """A header section that is whole."""

    stream_id: int
    decoded: HeaderSection
    flags: int
    """Those of its HEADERS."""


@dataclass(slots=True)
class _Begun:
    """A header section that is not whole."""

    stream_id: int
    flags: int
    size: int = 0
    """Bytes of the block that have come."""
    frames: int = 0
    parts: list[bytes] = field(default_factory=list)
    """What has come, unless it is too much to be kept."""
    passed: PassedBlock | None = None


class HeaderSections:
    """Reads the header sections of one connection.

    Attributes:
        kept: bytes of a block that is kept until it is whole. A longer one is larger than `header_list`
            whatever it says, and is read as it comes.
    """

    def __init__(self, decoder: HeaderDecoder, limits: Limits) -> None:
        self._longest = max(limits.header_block, 2 * limits.header_list)
        self.kept = max(_KEPT, 2 * limits.header_list)
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
        return self._add(_Begun(frame.stream_id, frame.flags), part, frame.flags)

    def go_on(self, frame: Frame) -> Section | None:
        """Takes CONTINUATION (6.10).

        Raises:
            ConnectionFault: it continues nothing, is too much, or the block cannot be read.
        """
        begun = self._begun
        if begun is None or begun.stream_id != frame.stream_id:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "CONTINUATION of nothing")
        begun.frames += 1
        return self._add(begun, frame.payload, frame.flags)

    def _add(self, begun: _Begun, part: bytes, flags: int) -> Section | None:
        """Adds a part of a block, of a frame with some flags; returns the section if it is the last."""
        begun.size += len(part)
        if begun.size > self._longest or begun.frames > self._continuations:
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "a header section without end")
        begun.parts.append(part)
        if begun.size > self.kept:
            self._pass_over(begun)
        if not flags & frames.END_HEADERS:
            self._begun = begun
            return None
        self._begun = None
        if begun.passed is not None:
            decoded = self._decoder.passed(begun.passed)
        else:
            decoded = self._decoder.decode(b"".join(begun.parts))
        return Section(begun.stream_id, decoded, begun.flags)

    def _pass_over(self, begun: _Begun) -> None:
        """Reads what has come of a block that is too large to be kept."""
        if begun.passed is None:
            begun.passed = self._decoder.pass_over()
        try:
            begun.passed.feed(b"".join(begun.parts))
        except HPACKDecodingError as error:
            raise HeaderBlockError(str(error)) from error
        begun.parts.clear()
