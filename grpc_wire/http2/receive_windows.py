"""Flow control of what the peer sends: the windows of the connection and of its streams.

The connection's window is restored when data arrives: one stream that is not read does not block the others.
A stream's window is restored when its data is read. So memory is bounded by streams times windows.

Source: RFC 9113, sections 5.2 and 6.9 (flow control).
"""

from __future__ import annotations

from collections.abc import Iterable

from grpc_wire.http2 import frames
from grpc_wire.http2.errors import ConnectionFault, ErrorCode, StreamFault
from grpc_wire.http2.limits import Limits
from grpc_wire.http2.outbound import Outbound
from grpc_wire.http2.settings import DEFAULT_WINDOW, LARGEST_WINDOW
from grpc_wire.http2.streams import Stream


class ReceiveWindows:
    """The windows that this side grants."""

    def __init__(self, outbound: Outbound, limits: Limits) -> None:
        """Grants the connection its window."""
        self._outbound = outbound
        self.size = self.left = limits.connection_window
        """The connection's window, and what is left of it, in bytes."""
        self._stream_size = limits.stream_window
        self.initial = max(limits.stream_window, DEFAULT_WINDOW)
        """Window of a new stream, in bytes: until the peer acknowledges a smaller one, it may use the default
        (6.9.3)."""
        if self.size > DEFAULT_WINDOW:
            outbound.send_frame(frames.window_update(0, self.size - DEFAULT_WINDOW))

    def settings_acknowledged(self, streams: Iterable[Stream]) -> None:
        """Shrinks the windows of open streams as the peer has, by acknowledging SETTINGS."""
        for stream in streams if self.initial > self._stream_size else ():
            stream.receive_window -= self.initial - self._stream_size
        self.initial = self._stream_size

    def count_closed(self, size: int) -> None:
        """Counts received bytes of a closed stream.

        Raises:
            ConnectionFault: they exceed the connection's window, or the peer does not read.
        """
        self.left -= size
        if self.left * 2 <= self.size:
            self.update_connection()

    def count_data(self, stream: Stream, size: int) -> None:
        """Counts received bytes of an open stream.

        Raises:
            ConnectionFault: they exceed the connection's window, or the peer does not read.
            StreamFault: they exceed the stream's window.
        """
        self.left -= size
        if self.left * 2 <= self.size:
            self.update_connection()
        stream.receive_window -= size
        if stream.receive_window < 0:
            raise StreamFault(stream.id, ErrorCode.FLOW_CONTROL_ERROR, "more than its window")
        stream.unread += size

    def consumed(self, stream: Stream, size: int) -> None:
        """Counts bytes that were read; grants them again once that is worth a frame."""
        stream.unread -= size
        room = self._stream_size - stream.receive_window - stream.unread
        if room * 2 >= self._stream_size:
            self._send_update(stream, room)

    def expect(self, stream: Stream, size: int) -> None:
        """Grants enough for `size` more bytes to come without a halt."""
        room = min(size, LARGEST_WINDOW) - stream.receive_window
        if room > 0:
            self._send_update(stream, room)

    def update_connection(self) -> None:
        """Grants the connection's window again: half of it is used up.

        Raises:
            ConnectionFault: the peer has sent more than it, or does not read.
        """
        if self.left < 0:
            raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "more than the connection's window")
        self._outbound.check_peer_reads()
        self._outbound.send_frame(frames.window_update(0, self.size - self.left))
        self.left = self.size

    def _send_update(self, stream: Stream, size: int) -> None:
        if not stream.received_end:
            stream.receive_window += size
            self._outbound.send_frame(frames.window_update(stream.id, size))
