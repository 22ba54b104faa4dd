"""Assembles header sections from HEADERS and CONTINUATION, and decodes them.

Each is decoded, also for a stream that is refused: HPACK's state belongs to the connection (RFC 9113, 4.3).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, NamedTuple

from hpack.exceptions import HPACKDecodingError

from grpc_wire.headers.block import HeaderBlockError
from grpc_wire.headers.decoder import HeaderDecoder
from grpc_wire.headers.section import HeaderSection
from grpc_wire.headers.skipping import SkippedBlock
from grpc_wire.http2 import frames
from grpc_wire.http2.errors import ConnectionFault, ErrorCode
from grpc_wire.http2.frames import Frame
from grpc_wire.http2.limits import Limits

PRIORITY_SIZE: Final = 5
"""Bytes of the deprecated priority fields (5.3.2)."""
_KEPT: Final = 64 * 1024
"""Minimum of `HeaderSections.max_buffered`, in bytes."""


class Section(NamedTuple):
    """A complete header section."""

    stream_id: int
    decoded: HeaderSection
    flags: int
    """Flags of its HEADERS frame."""


@dataclass(slots=True)
class _PartialSection:
    """A header section of which more frames are to come."""

    stream_id: int
    flags: int
    size: int = 0
    """Bytes of the block so far."""
    frames: int = 0
    parts: list[bytes] = field(default_factory=list)
    """Buffered parts of the block."""
    skipped: SkippedBlock | None = None


class HeaderSections:
    """Reads the header sections of one connection.

    Attributes:
        max_buffered: maximum bytes of a block that is buffered until it is complete. A longer one exceeds
            `Limits.header_list` in any case, and is skipped as it comes.
    """

    def __init__(self, decoder: HeaderDecoder, limits: Limits) -> None:
        self._max_block = max(limits.header_block, 2 * limits.header_list)
        self.max_buffered = max(_KEPT, 2 * limits.header_list)
        self._continuations = limits.continuations
        self._decoder = decoder
        self._partial: _PartialSection | None = None

    @property
    def open_stream(self) -> int:
        """Stream whose section is not complete; 0 if all are."""
        return 0 if self._partial is None else self._partial.stream_id

    def add_headers(self, frame: Frame) -> Section | None:
        """Reads HEADERS (6.2); returns the section if it is complete.

        Raises:
            ConnectionFault: the frame is invalid.
            HeaderBlockError: the block cannot be decoded.
        """
        frames.check_of_stream(frame)
        part = frames.without_padding(frame.flags, frame.payload)
        if frame.flags & frames.PRIORITIZED:
            if len(part) < PRIORITY_SIZE:
                raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "HEADERS without its priority")
            part = part[PRIORITY_SIZE:]
        return self._add(_PartialSection(frame.stream_id, frame.flags), part, frame.flags)

    def add_continuation(self, frame: Frame) -> Section | None:
        """Reads CONTINUATION (6.10); returns the section if it is complete.

        Raises:
            ConnectionFault: no section of this stream is incomplete, or this one is too long.
            HeaderBlockError: the block cannot be decoded.
        """
        partial = self._partial
        if partial is None or partial.stream_id != frame.stream_id:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "CONTINUATION of nothing")
        partial.frames += 1
        return self._add(partial, frame.payload, frame.flags)

    def _add(self, partial: _PartialSection, part: bytes, flags: int) -> Section | None:
        """Adds a part of a block, from a frame with some flags; returns the section if it is complete."""
        partial.size += len(part)
        if partial.size > self._max_block or partial.frames > self._continuations:
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "a header section without end")
        partial.parts.append(part)
        if partial.size > self.max_buffered:
            self._skip(partial)
        if not flags & frames.END_HEADERS:
            self._partial = partial
            return None
        self._partial = None
        if partial.skipped is not None:
            decoded = self._decoder.finish_skipping(partial.skipped)
        else:
            decoded = self._decoder.decode(b"".join(partial.parts))
        return Section(partial.stream_id, decoded, partial.flags)

    def _skip(self, partial: _PartialSection) -> None:
        """Skips what has come of a block that is too large to buffer."""
        if partial.skipped is None:
            partial.skipped = self._decoder.start_skipping()
        try:
            partial.skipped.feed(b"".join(partial.parts))
        except HPACKDecodingError as error:
            raise HeaderBlockError(str(error)) from error
        partial.parts.clear()
