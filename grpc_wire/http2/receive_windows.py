"""What the peer may send: the windows of the connection and of its streams.

The connection's window is given back when data has come, for one stream that is not read shall not hold the
others; a stream's, when its data has been read. So what is held is bounded by streams x windows.

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
    """The windows that this side gives."""

    def __init__(self, outbound: Outbound, limits: Limits) -> None:
        """Gives the connection its window."""
        self._outbound = outbound
        self._size = self._left = limits.connection_window
        self._stream_size = limits.stream_window
        self.initial = max(limits.stream_window, DEFAULT_WINDOW)
        """What a stream begins with: until the peer has acknowledged less, it may send more (6.9.3)."""
        if self._size > DEFAULT_WINDOW:
            outbound.control(frames.window_update(0, self._size - DEFAULT_WINDOW))

    def acknowledged(self, streams: Iterable[Stream]) -> None:
        """Takes back from the streams that are open what the peer has taken off its side of them."""
        for stream in streams if self.initial > self._stream_size else ():
            stream.receive_window -= self.initial - self._stream_size
        self.initial = self._stream_size

    def take(self, size: int) -> None:
        """Counts what has come, of whatever stream.

        Raises:
            ConnectionFault: it is more than was given, or the peer does not read what it is given.
        """
        self._left -= size
        if self._left * 2 <= self._size:
            self._widen()

    def take_of(self, stream: Stream, size: int) -> None:
        """Counts what has come of a stream that is open.

        Raises:
            ConnectionFault: it is more than was given to all, or the peer does not read what it is given.
            StreamFault: it is more than was given to this one.
        """
        self._left -= size
        if self._left * 2 <= self._size:
            self._widen()
        stream.receive_window -= size
        if stream.receive_window < 0:
            raise StreamFault(stream.id, ErrorCode.FLOW_CONTROL_ERROR, "more than its window")
        stream.held += size

    def consumed(self, stream: Stream, size: int) -> None:
        """Gives back what was read, when it is worth a frame."""
        stream.held -= size
        room = self._stream_size - stream.receive_window - stream.held
        if room * 2 >= self._stream_size:
            self._give(stream, room)

    def expect(self, stream: Stream, size: int) -> None:
        """Gives as much as lets so many bytes come without a halt."""
        room = min(size, LARGEST_WINDOW) - stream.receive_window
        if room > 0:
            self._give(stream, room)

    def _widen(self) -> None:
        if self._left < 0:
            raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "more than the connection's window")
        self._outbound.check_read()
        self._outbound.control(frames.window_update(0, self._size - self._left))
        self._left = self._size

    def _give(self, stream: Stream, size: int) -> None:
        if not stream.received_end:
            stream.receive_window += size
            self._outbound.control(frames.window_update(stream.id, size))
