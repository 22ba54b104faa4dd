"""All that goes out: frames ready to be sent, and data that waits for the peer's windows.

Of many streams that wait each sends one frame in turn. Trailers stand behind what is queued.

Source: RFC 9113, sections 5.2 and 6.9 (flow control).
"""

from __future__ import annotations

from typing import Final

from grpc_wire.headers.encoder import HeaderEncoder
from grpc_wire.headers.section import Headers
from grpc_wire.http2 import frames
from grpc_wire.http2.errors import ConnectionFault, ErrorCode, StreamFault
from grpc_wire.http2.frames import HEAD_SIZE
from grpc_wire.http2.limits import CONTROL_FRAMES_EARNED, Budget, Limits
from grpc_wire.http2.settings import DEFAULT_WINDOW, LARGEST_WINDOW, PeerSettings
from grpc_wire.http2.streams import Role, SendQueue, Stream, Streams

_LARGEST_FRAME: Final = 64 * 1024
"""Larger ones are not sent, whatever the peer takes: streams are to have their turns."""


class Outbound:
    """What is to be sent on one connection."""

    def __init__(self, streams: Streams, limits: Limits, control: Budget) -> None:
        self.peer = PeerSettings()
        self.drained: dict[int, None] = {}
        """Streams whose queue was let out."""
        self._streams = streams
        self._limits = limits
        self._control = control
        self._encoder = HeaderEncoder()
        self._window = DEFAULT_WINDOW
        self._largest_frame = min(self.peer.max_frame, _LARGEST_FRAME)
        self._ready: list[bytes | memoryview] = []
        self._size = 0
        self._waiting: dict[int, Stream] = {}
        """Streams that have something to send and a window of their own for it, in turn."""

    def __bool__(self) -> bool:
        """Whether there is something to send."""
        return bool(self._ready)

    def take(self) -> bytes:
        """Returns what is to be sent now, and makes ready what waited for room."""
        taken = b"".join(self._ready)
        self._ready.clear()
        self._size = 0
        if self._waiting:
            self._send_waiting()
        return taken

    def control(self, frame: bytes) -> None:
        """Sends a frame that no window holds back."""
        self._ready.append(frame)
        self._size += len(frame)

    def answer(self, frame: bytes) -> None:
        """Sends what the peer has asked for.

        Raises:
            ConnectionFault: it asks, and does not read the answers.
        """
        self.check_read()
        self.control(frame)

    def check_read(self) -> None:
        """Sees to it that a peer which asks for more reads what it is answered.

        Raises:
            ConnectionFault: it does not.
        """
        if self._size > self._limits.unsent:
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "answers are not read")

    def headers(
        self, stream: Stream, headers: Headers, begin: Headers = (), *, end_stream: bool
    ) -> None:
        """Sends a header section, behind what the stream has queued; many may have its begin."""
        stream.answered = True
        if stream.queue is not None:
            stream.trailers = begin + headers
            stream.ending = True
            return
        block = self._encoder.encode(headers, begin)
        frame = frames.headers(stream.id, block, self.peer.max_frame, end_stream=end_stream)
        self._ready.append(frame)
        self._size += len(frame)
        if end_stream:
            self._end(stream)

    def data(self, stream: Stream, data: bytes, *, end_stream: bool) -> int:
        """Sends data, or queues it; returns how much is queued."""
        stream.answered = True
        size = len(data)
        if stream.queue is None and (not size or self._has_room(stream, size)):
            self._data_frame(stream, data, frames.END_STREAM if end_stream else 0)
            return 0
        told = stream.id in self.drained
        if stream.queue is None:
            stream.queue = SendQueue()
        stream.queue.add(data)
        stream.ending = end_stream
        if stream.send_window > 0:
            self._waiting.setdefault(stream.id, stream)
            self._send_waiting()
        if not told:
            self.drained.pop(stream.id, None)  # to be told only of what was left in the queue
        return stream.queued

    def whole(
        self, stream: Stream, head: Headers, data: tuple[bytes, ...], trailers: Headers
    ) -> int:
        """Sends all that a side has to say; returns how much is queued."""
        size = len(data[0])
        if len(data) > 1 or not self._has_room(stream, size):
            self.headers(stream, head, end_stream=False)
            for piece in data:
                self.data(stream, piece, end_stream=False)
            self.headers(stream, trailers, end_stream=True)
            return stream.queued
        first, last = self._encoder.encode_lasting(head), self._encoder.encode_lasting(trailers)
        self._ready += frames.answer(stream.id, first, data[0], last, self.peer.max_frame)
        self._size += 3 * HEAD_SIZE + len(first) + size + len(last)
        self._window -= size
        if self._control.spent:
            self._control.earn(CONTROL_FRAMES_EARNED)
        stream.answered = True
        self._end(stream)
        return 0

    def request(self, stream: Stream, headers: Headers, begin: Headers, data: bytes) -> None:
        """Sends all that a client has to say on a stream, or queues what there is no room for."""
        size = len(data)
        if not self._has_room(stream, size):
            self.headers(stream, headers, begin, end_stream=False)
            self.data(stream, data, end_stream=True)
            return
        block = self._encoder.encode(headers, begin)
        self._ready += frames.request(stream.id, block, data, self.peer.max_frame)
        self._size += 2 * HEAD_SIZE + len(block) + size
        self._window -= size
        stream.send_window -= size
        if self._control.spent:
            self._control.earn(CONTROL_FRAMES_EARNED)
        stream.sent_end = True

    def _has_room(self, stream: Stream, size: int) -> bool:
        """Whether data can be sent as one frame, and nobody waits for its turn."""
        return (
            not self._waiting
            and size <= stream.send_window
            and size <= self._window
            and size <= self._largest_frame
            and self._size < self._limits.output
        )

    def drop(self, stream: Stream) -> None:
        """Forgets what is queued for a stream."""
        stream.queue = None
        stream.trailers = None
        self._waiting.pop(stream.id, None)
        self.drained.pop(stream.id, None)

    def forget(self) -> None:
        """Forgets what is queued for all, and what was to be told of it."""
        self._waiting.clear()
        self.drained.clear()

    def widen(self, increment: int) -> None:
        """Takes a WINDOW_UPDATE of the connection.

        Raises:
            ConnectionFault: the window is larger than a window can be.
        """
        self._window += increment
        if self._window > LARGEST_WINDOW:
            raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "the connection's window")
        self._send_waiting()

    def widen_stream(self, stream: Stream, increment: int) -> None:
        """Takes a WINDOW_UPDATE of a stream.

        Raises:
            StreamFault: the window is larger than a window can be.
        """
        if stream.send_window + increment > LARGEST_WINDOW:
            raise StreamFault(stream.id, ErrorCode.FLOW_CONTROL_ERROR, "the stream's window")
        self._move(stream, increment)
        self._send_waiting()

    def settings(self, payload: bytes, *, from_server: bool) -> bool:
        """Takes the peer's SETTINGS, and acknowledges them; returns whether they move the streams' windows.

        Raises:
            ConnectionFault: a value cannot be.
        """
        window = self.peer.initial_window
        self.peer.take(payload, from_server=from_server)
        self._encoder.allow_table(self.peer.least_header_table)
        self._encoder.allow_table(self.peer.header_table)
        self._largest_frame = min(self.peer.max_frame, _LARGEST_FRAME)
        change = self.peer.initial_window - window
        for stream in self._streams.open.values() if change else ():
            if stream.send_window + change > LARGEST_WINDOW:
                raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "a window after SETTINGS")
            self._move(stream, change)
        self.answer(frames.frame(frames.SETTINGS, frames.ACK, 0))
        self._send_waiting()
        return change != 0

    def _move(self, stream: Stream, change: int) -> None:
        stream.send_window += change
        if stream.send_window <= 0:
            self._waiting.pop(stream.id, None)
        elif stream.queue is not None:
            self._waiting.setdefault(stream.id, stream)

    def _send_waiting(self) -> None:
        """Lets out what windows and the transport have room for, a frame of each stream in turn."""
        waiting = self._waiting
        most = self._largest_frame
        while waiting and self._window > 0 and self._size < self._limits.output:
            stream = waiting.pop(next(iter(waiting)))
            queue = stream.queue
            if queue is None:
                continue
            size = min(most, stream.send_window, self._window, queue.size)
            data = queue.take(size)
            if queue.size:
                self._data_frame(stream, data, 0)
                if stream.send_window > 0:
                    waiting[stream.id] = stream
                continue
            stream.queue = None
            last = stream.ending and stream.trailers is None
            self._data_frame(stream, data, frames.END_STREAM if last else 0)
            self.drained[stream.id] = None
            if stream.trailers is not None:
                self.headers(stream, stream.trailers, end_stream=True)

    def _data_frame(self, stream: Stream, data: bytes | memoryview, flags: int) -> None:
        """Sends a frame of data that there is room for."""
        size = len(data)
        stream.send_window -= size
        self._window -= size
        if self._control.spent:
            self._control.earn(CONTROL_FRAMES_EARNED)
        self._ready += (frames.data_head(size, flags, stream.id), data)
        self._size += HEAD_SIZE + size
        if flags:
            self._end(stream)

    def _end(self, stream: Stream) -> None:
        """Ends this side; a server that has answered does not wait for the rest of a request (8.1)."""
        stream.sent_end = True
        if stream.received_end:
            self._streams.close(stream)
        elif self._streams.role is Role.SERVER:
            self.control(frames.rst_stream(stream.id, ErrorCode.NO_ERROR))
            self._streams.remember_reset(stream.id)
