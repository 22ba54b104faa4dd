"""SETTINGS of either side.

Sources: RFC 9113, section 6.5.2; RFC 8441, section 3; RFC 9218, section 2.1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from grpc_wire.http2 import frames
from grpc_wire.http2.errors import ConnectionFault, ErrorCode
from grpc_wire.http2.limits import Limits

HEADER_TABLE_SIZE: Final = 0x1
ENABLE_PUSH: Final = 0x2
MAX_CONCURRENT_STREAMS: Final = 0x3
INITIAL_WINDOW_SIZE: Final = 0x4
MAX_FRAME_SIZE: Final = 0x5
MAX_HEADER_LIST_SIZE: Final = 0x6
ENABLE_CONNECT_PROTOCOL: Final = 0x8
NO_RFC7540_PRIORITIES: Final = 0x9

DEFAULT_WINDOW: Final = 2**16 - 1
LARGEST_WINDOW: Final = 2**31 - 1
_MOST_STREAMS: Final = 2**31 - 1


@dataclass(slots=True)
class PeerSettings:
    """Current settings of the peer."""

    header_table: int = 4096
    least_header_table: int = 4096
    """Smallest value of SETTINGS_HEADER_TABLE_SIZE in the last SETTINGS; the next block must signal it (RFC
    7541, 4.2)."""
    concurrent_streams: int = _MOST_STREAMS
    initial_window: int = DEFAULT_WINDOW
    max_frame: int = frames.SMALLEST_MAX_FRAME
    max_header_list: int | None = None

    def take(self, payload: bytes, *, from_server: bool) -> None:
        """Applies the payload of SETTINGS; unknown identifiers are ignored.

        Raises:
            ConnectionFault: a value is out of range.
        """
        self.least_header_table = self.header_table
        for key, value in frames.read_settings(payload):
            if key == HEADER_TABLE_SIZE:
                self.header_table = value
                self.least_header_table = min(self.least_header_table, value)
            elif key == MAX_CONCURRENT_STREAMS:
                self.concurrent_streams = value
            elif key == INITIAL_WINDOW_SIZE:
                if value > LARGEST_WINDOW:
                    raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, f"a window of {value}")
                self.initial_window = value
            elif key == MAX_FRAME_SIZE:
                if not frames.SMALLEST_MAX_FRAME <= value <= frames.LARGEST_MAX_FRAME:
                    raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, f"frames of {value} bytes")
                self.max_frame = value
            elif key == MAX_HEADER_LIST_SIZE:
                self.max_header_list = value
            elif key == ENABLE_PUSH and value > (not from_server):
                raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, f"ENABLE_PUSH is {value}")


def own_settings(limits: Limits, *, client: bool) -> bytes:
    """Encodes SETTINGS for some limits."""
    values = [
        (HEADER_TABLE_SIZE, limits.header_table),
        (INITIAL_WINDOW_SIZE, limits.stream_window),
        (MAX_FRAME_SIZE, limits.frame),
        (MAX_HEADER_LIST_SIZE, limits.header_list),
    ]
    values.append(
        (ENABLE_PUSH, 0) if client else (MAX_CONCURRENT_STREAMS, limits.concurrent_streams)
    )
    if not client:
        values.append((NO_RFC7540_PRIORITIES, 1))
    if limits.extended_connect:
        values.append((ENABLE_CONNECT_PROTOCOL, 1))
    return frames.settings(values)
