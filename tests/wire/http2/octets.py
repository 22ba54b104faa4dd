"""Frames of HTTP/2 in bytes, by hand: nothing here knows grpc_wire, so that both cannot be wrong alike.

Source: RFC 9113, sections 4 and 6; RFC 7541, sections 5 and 6.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from enum import IntEnum
from typing import NamedTuple, TypeAlias

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
END_STREAM = ACK = 0x1
END_HEADERS = 0x4
PADDED = 0x8
WITH_PRIORITY = 0x20
TOP = 2**31 - 1
"""The highest stream id, and the widest window."""

Fields: TypeAlias = Iterable[tuple[bytes, bytes]]


class Kind(IntEnum):
    """Types of frames."""

    DATA = 0
    HEADERS = 1
    PRIORITY = 2
    RST_STREAM = 3
    SETTINGS = 4
    PUSH_PROMISE = 5
    PING = 6
    GOAWAY = 7
    WINDOW_UPDATE = 8
    CONTINUATION = 9


FLAGS = {
    Kind.DATA: END_STREAM | PADDED,
    Kind.HEADERS: END_STREAM | END_HEADERS | PADDED | WITH_PRIORITY,
    Kind.SETTINGS: ACK,
    Kind.PING: ACK,
    Kind.CONTINUATION: END_HEADERS,
}
"""The flags that have a meaning; no other may be sent (4.1)."""


class Setting(IntEnum):
    """Identifiers of settings."""

    HEADER_TABLE_SIZE = 1
    ENABLE_PUSH = 2
    MAX_CONCURRENT_STREAMS = 3
    INITIAL_WINDOW_SIZE = 4
    MAX_FRAME_SIZE = 5
    MAX_HEADER_LIST_SIZE = 6


class Frame(NamedTuple):
    """A frame that was read."""

    kind: int
    flags: int
    stream: int
    payload: bytes

    @property
    def code(self) -> int:
        """The error code of RST_STREAM or GOAWAY; the increment of WINDOW_UPDATE."""
        return int.from_bytes(self.payload[4:8] if self.kind == Kind.GOAWAY else self.payload[:4])

    @property
    def last_stream(self) -> int:
        """The last stream of GOAWAY."""
        return int.from_bytes(self.payload[:4])


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """Returns a frame of any type."""
    head = struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream)
    return head + payload


def parse(octets: bytes) -> list[Frame]:
    """Reads whole frames, and sees that nothing undefined is in them."""
    frames = []
    while octets:
        size, kind, flags = int.from_bytes(octets[:3]), octets[3], octets[4]
        stream = int.from_bytes(octets[5:9])
        assert len(octets) >= 9 + size, "a frame is cut"
        assert stream <= TOP, "the reserved bit is set"
        assert not flags & ~FLAGS.get(Kind(kind), 0), "an undefined flag is set"
        frames.append(Frame(kind, flags, stream, octets[9 : 9 + size]))
        octets = octets[9 + size :]
    return frames


def padded(payload: bytes, pad: int | None) -> tuple[int, bytes]:
    """Returns the flag and the payload with so much padding; None is none at all."""
    return (0, payload) if pad is None else (PADDED, bytes([pad]) + payload + bytes(pad))


def data(stream: int, content: bytes = b"", *, end: bool = False, pad: int | None = None) -> bytes:
    """Returns a DATA frame."""
    flag, payload = padded(content, pad)
    return frame(Kind.DATA, flag | (END_STREAM if end else 0), stream, payload)


def headers(
    stream: int,
    fields: Fields | bytes = b"",
    *,
    end: bool = False,
    more: bool = False,
    pad: int | None = None,
    priority: bytes = b"",
) -> bytes:
    """Returns a HEADERS frame of fields, or of a block as it is; `more`: CONTINUATION is to follow."""
    content = fields if isinstance(fields, bytes) else block(fields)
    flag, payload = padded(priority + content, pad)
    flag |= (END_STREAM if end else 0) | (0 if more else END_HEADERS)
    return frame(Kind.HEADERS, flag | (WITH_PRIORITY if priority else 0), stream, payload)


def continuation(stream: int, content: bytes = b"", *, more: bool = False) -> bytes:
    """Returns a CONTINUATION frame."""
    return frame(Kind.CONTINUATION, 0 if more else END_HEADERS, stream, content)


def priority(stream: int, on: int = 0, weight: int = 15) -> bytes:
    """Returns a PRIORITY frame."""
    return frame(Kind.PRIORITY, 0, stream, struct.pack(">IB", on, weight))


def priority_update(stream: int, value: bytes) -> bytes:
    """Returns PRIORITY_UPDATE (RFC 9218, 7.1)."""
    return frame(0x10, 0, 0, stream.to_bytes(4) + value)


def reset(stream: int, code: int = 8) -> bytes:
    """Returns a RST_STREAM frame."""
    return frame(Kind.RST_STREAM, 0, stream, struct.pack(">I", code))


def settings(*pairs: tuple[int, int], flags: int = 0, stream: int = 0) -> bytes:
    """Returns a SETTINGS frame."""
    return frame(
        Kind.SETTINGS, flags, stream, b"".join(struct.pack(">HI", *pair) for pair in pairs)
    )


def push_promise(stream: int, promised: int, fields: Fields) -> bytes:
    """Returns a PUSH_PROMISE frame."""
    payload = struct.pack(">I", promised) + block(fields)
    return frame(Kind.PUSH_PROMISE, END_HEADERS, stream, payload)


def ping(content: bytes = b"ping.ing", *, ack: bool = False) -> bytes:
    """Returns a PING frame."""
    return frame(Kind.PING, ACK if ack else 0, 0, content)


def goaway(last: int = 0, code: int = 0, debug: bytes = b"", *, stream: int = 0) -> bytes:
    """Returns a GOAWAY frame."""
    return frame(Kind.GOAWAY, 0, stream, struct.pack(">II", last, code) + debug)


def window(stream: int, increment: int) -> bytes:
    """Returns a WINDOW_UPDATE frame."""
    return frame(Kind.WINDOW_UPDATE, 0, stream, struct.pack(">I", increment))


def integer(value: int, prefix: int, first: int = 0) -> bytes:
    """Returns an integer of HPACK behind the bits of `first` (RFC 7541, 5.1)."""
    top = (1 << prefix) - 1
    if value < top:
        return bytes([first | value])
    octets = bytearray([first | top])
    value -= top
    while value >= 128:
        octets.append(value % 128 | 128)
        value //= 128
    return bytes([*octets, value])


def string(value: bytes) -> bytes:
    """Returns a string of HPACK, not compressed (RFC 7541, 5.2)."""
    return integer(len(value), 7) + value


def literal(name: bytes, value: bytes) -> bytes:
    """Returns a field that enters no table (RFC 7541, 6.2.2)."""
    return b"\x00" + string(name) + string(value)


def remembered(name: bytes, value: bytes) -> bytes:
    """Returns a field that enters the table (RFC 7541, 6.2.1)."""
    return b"\x40" + string(name) + string(value)


def indexed(index: int) -> bytes:
    """Returns a field of a table (RFC 7541, 6.1); 62 is the newest of the dynamic one."""
    return integer(index, 7, 0x80)


def table_size(size: int) -> bytes:
    """Returns a change of the table's size (RFC 7541, 6.3)."""
    return integer(size, 5, 0x20)


def block(fields: Fields) -> bytes:
    """Returns a block of fields that enter no table."""
    return b"".join(literal(name, value) for name, value in fields)
