"""Frames: what is kept of received ones, and encoding those that are sent.

Source: RFC 9113, section 4.1 (frame format) and section 6 (frame definitions).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from struct import Struct
from typing import Final

from grpc_wire.http2.errors import ConnectionFault, ErrorCode

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
"""First bytes of a client (RFC 9113, 3.4)."""
SMALLEST_MAX_FRAME: Final = 2**14
LARGEST_MAX_FRAME: Final = 2**24 - 1
HEAD_SIZE: Final = 9

DATA: Final = 0x0
HEADERS: Final = 0x1
PRIORITY: Final = 0x2
RST_STREAM: Final = 0x3
SETTINGS: Final = 0x4
PUSH_PROMISE: Final = 0x5
PING: Final = 0x6
GOAWAY: Final = 0x7
WINDOW_UPDATE: Final = 0x8
CONTINUATION: Final = 0x9
PRIORITY_UPDATE: Final = 0x10

END_STREAM: Final = 0x1
ACK: Final = 0x1
END_HEADERS: Final = 0x4
PADDED: Final = 0x8
PRIORITIZED: Final = 0x20
"""Flag PRIORITY of HEADERS."""

ID_BITS: Final = 2**31 - 1
"""The bits of a stream id; the one before them is reserved."""
_HEAD: Final = Struct(">LBL")
"""Length and type, flags, stream id."""
_COMMON_SIZES: Final = 512
"""Sizes of payloads below this have the first bytes of their heads in tables."""


def _first_bytes(kind: int, flags: int) -> tuple[bytes, ...]:
    """Returns length, type and flags of a frame's head for each common size of its payload."""
    return tuple([size.to_bytes(3, "big") + bytes((kind, flags)) for size in range(_COMMON_SIZES)])


_HEADERS: Final = _first_bytes(HEADERS, END_HEADERS)
_LAST_HEADERS: Final = _first_bytes(HEADERS, END_HEADERS | END_STREAM)
_DATA: Final = _first_bytes(DATA, 0)
_LAST_DATA: Final = _first_bytes(DATA, END_STREAM)
"""Of the frames of whole requests and responses."""
_UINT32: Final = Struct(">L")
_TWO_UINT32: Final = Struct(">LL")
_SETTING: Final = Struct(">HL")


@dataclass(slots=True)
class Frame:
    """One frame; the reserved bit of the stream id is cleared."""

    kind: int
    flags: int
    stream_id: int
    payload: bytes


class ReceiveBuffer:
    """Bytes of a connection that were received and are not processed: a backlog, or the start of a frame.

    Attributes:
        has_backlog: whether whole frames wait, because a call processes a limited number.
        is_empty: whether nothing was kept.
    """

    def __init__(self) -> None:
        self.has_backlog = False
        self.is_empty = True
        self._data = b""
        """Bytes of the backlog, from offset `_at` on."""
        self._at = 0
        self._rest = bytearray()
        """Start of an incomplete frame."""
        self._wanted = 0
        """Lower bound of its length, in bytes."""

    def join(self, data: bytes) -> tuple[bytes, int]:
        """Returns new bytes behind those that were kept, and the offset of the next frame in them.

        Nothing, if they do not complete the frame that has begun: then all is kept.
        """
        if self.has_backlog:
            self.has_backlog = False
            kept, at, self._data = self._data, self._at, b""
            data, at = (kept[at:] + data, 0) if data else (kept, at)
        elif self._rest:
            if len(self._rest) + len(data) < self._wanted:
                self._rest += data
                return b"", 0
            data, at = b"".join((self._rest, data)), 0
            self._rest.clear()
        else:
            at = 0
        self.is_empty = True
        return data, at

    def postpone(self, data: bytes, at: int) -> None:
        """Keeps the frames from an offset on for the next call of `join`."""
        self.has_backlog, self.is_empty = True, False
        self._data, self._at = data, at

    def keep(self, rest: bytes, wanted: int) -> None:
        """Keeps the start of a frame; `wanted` is a lower bound of its length, in bytes."""
        self._rest += rest
        self._wanted = wanted
        self.is_empty = False


def read_head(data: bytes, at: int) -> tuple[int, int, int]:
    """Returns length and type as one number, flags, and the stream id with its reserved bit.

    Raises:
        IndexError or struct.error: there are fewer than `HEAD_SIZE` bytes.
    """
    word = data[at] << 24 | data[at + 1] << 16 | data[at + 2] << 8 | data[at + 3]
    stream_id = data[at + 5] << 24 | data[at + 6] << 16 | data[at + 7] << 8 | data[at + 8]
    return word, data[at + 4], stream_id


if hasattr(read_head, "__code__"):  # interpreted, where `struct` is the faster one
    globals()["read_head"] = _HEAD.unpack_from


def frame(kind: int, flags: int, stream_id: int, payload: bytes = b"") -> bytes:
    """Encodes a frame."""
    return _HEAD.pack(len(payload) << 8 | kind, flags, stream_id) + payload


def data_head(size: int, flags: int, stream_id: int) -> bytes:
    """Encodes the head of a DATA frame; its payload follows."""
    return _HEAD.pack(size << 8 | DATA, flags, stream_id)


def headers(stream_id: int, block: bytes, max_frame: int, *, end_stream: bool) -> bytes:
    """Encodes a header block as HEADERS, and CONTINUATION where it is longer than a frame."""
    flags = END_STREAM if end_stream else 0
    size = len(block)
    if size <= max_frame:
        return _HEAD.pack(size << 8 | HEADERS, flags | END_HEADERS, stream_id) + block
    parts = [block[at : at + max_frame] for at in range(0, len(block), max_frame)]
    first, *between, last = parts
    return b"".join(
        (
            frame(HEADERS, flags, stream_id, first),
            *(frame(CONTINUATION, 0, stream_id, part) for part in between),
            frame(CONTINUATION, END_HEADERS, stream_id, last),
        )
    )


def request_frames(stream_id: int, head: bytes, data: bytes, max_frame: int) -> bytes:
    """Encodes a complete request whose data fits into one frame."""
    key, last = stream_id.to_bytes(4, "big"), _first(_LAST_DATA, len(data))
    if len(head) > max_frame:
        first = headers(stream_id, head, max_frame, end_stream=False)
        return b"%b%b%b%b" % (first, last, key, data)
    return b"%b%b%b%b%b%b" % (_first(_HEADERS, len(head)), key, head, last, key, data)


def response_frames(
    stream_id: int, head: bytes, data: bytes, trailers: bytes, max_frame: int
) -> bytes:
    """Encodes a complete response whose data fits into one frame."""
    key, middle = stream_id.to_bytes(4, "big"), _first(_DATA, len(data))
    if len(head) > max_frame or len(trailers) > max_frame:
        first = headers(stream_id, head, max_frame, end_stream=False)
        last = headers(stream_id, trailers, max_frame, end_stream=True)
        return b"%b%b%b%b%b" % (first, middle, key, data, last)
    first, last = _first(_HEADERS, len(head)), _first(_LAST_HEADERS, len(trailers))
    return b"%b%b%b%b%b%b%b%b%b" % (first, key, head, middle, key, data, last, key, trailers)


def _first(common: tuple[bytes, ...], size: int) -> bytes:
    """Returns length, type and flags of a frame's head, for a payload of `size` bytes."""
    return common[size] if size < _COMMON_SIZES else size.to_bytes(3, "big") + common[0][3:]


def settings(values: Iterable[tuple[int, int]]) -> bytes:
    """Encodes SETTINGS of (identifier, value) pairs."""
    return frame(SETTINGS, 0, 0, b"".join(_SETTING.pack(key, value) for key, value in values))


def read_settings(payload: bytes) -> list[tuple[int, int]]:
    """Returns (identifier, value) pairs of a SETTINGS payload, whose length is a multiple of 6."""
    return list(_SETTING.iter_unpack(payload))


def window_update(stream_id: int, increment: int) -> bytes:
    """Encodes WINDOW_UPDATE; stream 0 is the connection."""
    return frame(WINDOW_UPDATE, 0, stream_id, _UINT32.pack(increment))


def rst_stream(stream_id: int, code: int) -> bytes:
    """Encodes RST_STREAM."""
    return frame(RST_STREAM, 0, stream_id, _UINT32.pack(code))


def goaway(last_stream_id: int, code: int, debug: bytes = b"") -> bytes:
    """Encodes GOAWAY."""
    return frame(GOAWAY, 0, 0, _TWO_UINT32.pack(last_stream_id, code) + debug)


def read_goaway(payload: bytes) -> tuple[int, int, bytes]:
    """Returns last stream id, code and debug data of a GOAWAY payload of at least 8 bytes."""
    last, code = _TWO_UINT32.unpack_from(payload)
    return last & ID_BITS, code, payload[_TWO_UINT32.size :]


def read_uint32(payload: bytes) -> int:
    """Returns the error code of RST_STREAM."""
    number: int = _UINT32.unpack(payload)[0]
    return number


def read_increment(payload: bytes) -> int:
    """Returns the increment of WINDOW_UPDATE."""
    return read_uint32(payload) & ID_BITS


def depends_on_itself(stream_id: int, priority: bytes) -> bool:
    """Whether the deprecated priority fields name their own stream (RFC 7540, section 5.3.1)."""
    return read_uint32(priority[:4]) & ID_BITS == stream_id


def check_size(frame: Frame, size: int) -> None:
    """Raises ConnectionFault (FRAME_SIZE_ERROR) if the payload of a frame has another size."""
    if len(frame.payload) != size:
        reason = f"frame type {frame.kind} with {len(frame.payload)} bytes"
        raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, reason)


def check_of_connection(frame: Frame) -> None:
    """Raises ConnectionFault (PROTOCOL_ERROR) if a frame of the connection names a stream."""
    if frame.stream_id:
        reason = f"frame type {frame.kind} on stream {frame.stream_id}"
        raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, reason)


def check_of_stream(frame: Frame) -> None:
    """Raises ConnectionFault (PROTOCOL_ERROR) if a frame of a stream names none."""
    if not frame.stream_id:
        reason = f"frame type {frame.kind} without a stream"
        raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, reason)


def without_padding(flags: int, payload: bytes) -> bytes:
    """Returns the payload of DATA or HEADERS without its padding.

    Raises:
        ConnectionFault: the padding is as long as the payload, or longer (6.1, 6.2).
    """
    if not flags & PADDED:
        return payload
    if not payload:
        raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "a padded frame without a pad length")
    padding = payload[0]
    if padding >= len(payload):
        raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "padding longer than its frame")
    return payload[1 : len(payload) - padding]
