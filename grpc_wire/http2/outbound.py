"""Sending: frames that are ready, and DATA that waits for the peer's windows.

Streams that wait send one frame each in turn, the most urgent first. Trailers are sent behind queued DATA.

Sources: RFC 9113, sections 5.2 and 6.9 (flow control); RFC 9218, section 4.1 (urgency).
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
"""Maximum bytes of a DATA frame, even if the peer accepts more: other streams get their turn."""


class Outbound:
    """What is to be sent on one connection."""

    def __init__(self, streams: Streams, limits: Limits, control: Budget) -> None:
        self.peer = PeerSettings()
        self.drained: dict[int, None] = {}
        """Streams whose queue was sent to its end, since the last `StreamDrained`."""
        self.has_urgencies = False
        """Whether a stream has another urgency than most."""
        self._streams = streams
        self._limits = limits
        self._control = control
        self._encoder = HeaderEncoder()
        self._window = DEFAULT_WINDOW
        self._largest_frame = min(self.peer.max_frame, _LARGEST_FRAME)
        self.ready: list[bytes | memoryview] = []
        """Output, in pieces."""
        self._size = 0
        self._waiting: dict[int, Stream] = {}
        """Streams that have queued DATA and a stream window for it, in the order of their turns."""

    def take_output(self) -> bytes:
        """Returns the output, and refills it from the queues."""
        ready = self.ready
        if len(ready) == 1:
            piece = ready.pop()
            taken = piece if isinstance(piece, bytes) else bytes(piece)
        else:
            taken = b"".join(ready)
            ready.clear()
        self._size = 0
        if self._waiting:
            self._send_waiting()
        return taken

    def send_frame(self, frame: bytes) -> None:
        """Sends a frame that is not subject to flow control."""
        self.ready.append(frame)
        self._size += len(frame)

    def send_reply(self, frame: bytes) -> None:
        """Sends a reply to a frame of the peer.

        Raises:
            ConnectionFault: the peer does not read the replies.
        """
        self.check_peer_reads()
        self.send_frame(frame)

    def check_peer_reads(self) -> None:
        """Checks that a peer which causes output also reads it.

        Raises:
            ConnectionFault: ENHANCE_YOUR_CALM, more than `Limits.unsent` bytes wait.
        """
        if self._size > self._limits.unsent:
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "answers are not read")

    def send_headers(
        self, stream: Stream, headers: Headers, prefix: Headers = (), *, end_stream: bool
    ) -> None:
        """Sends a header section behind the stream's queued data.

        `prefix` comes first; its block is cached.
        """
        stream.has_sent = True
        if stream.queue is not None:
            stream.trailers = prefix + headers
            stream.end_queued = True
            return
        self._send_block(stream, self._encoder.encode(headers, prefix), end_stream=end_stream)

    def _send_block(self, stream: Stream, block: bytes, *, end_stream: bool) -> None:
        """Sends the block of a header section of a stream without queued data."""
        stream.has_sent = True
        frame = frames.headers(stream.id, block, self.peer.max_frame, end_stream=end_stream)
        self.ready.append(frame)
        self._size += len(frame)
        if end_stream:
            self._end(stream)

    def send_data(self, stream: Stream, data: bytes, *, end_stream: bool) -> int:
        """Sends data, or queues it; returns how many bytes are queued."""
        stream.has_sent = True
        size = len(data)
        if stream.queue is None and (not size or self._has_room(stream, size)):
            self._data_frame(stream, data, frames.END_STREAM if end_stream else 0)
            return 0
        was_drained = stream.id in self.drained
        if stream.queue is None:
            stream.queue = SendQueue()
        stream.queue.add(data)
        stream.end_queued = end_stream
        if stream.send_window > 0:
            self._waiting.setdefault(stream.id, stream)
            self._send_waiting()
        if not was_drained:
            self.drained.pop(stream.id, None)  # an event only for data that stayed in the queue
        return stream.queued

    def send_response(
        self, stream: Stream, head: Headers, data: list[bytes], trailers: Headers
    ) -> int:
        """Sends a complete response; returns how many bytes are queued."""
        size = len(data[0])
        if len(data) > 1 or not self._has_room(stream, size):
            self.send_headers(stream, head, end_stream=False)
            for piece in data:
                self.send_data(stream, piece, end_stream=False)
            self.send_headers(stream, trailers, end_stream=True)
            return stream.queued
        first, last = self._encoder.encode_cached(head), self._encoder.encode_cached(trailers)
        max_frame = self.peer.max_frame
        self.send_frame(frames.response_frames(stream.id, first, data[0], last, max_frame))
        self._window -= size
        if self._control.spent:
            self._control.earn(CONTROL_FRAMES_EARNED)
        stream.has_sent = True
        self._end(stream)
        return 0

    def send_whole(
        self,
        stream: Stream,
        head: Headers,
        data: bytes,
        prefix: Headers,
        trailers: Headers,
        literals: bytes,
    ) -> int:
        """Sends a complete response; returns how many bytes are queued."""
        size = len(data)
        block = self._encoder.encode(head, prefix, literals)
        if not (size and self._has_room(stream, size)):
            self._send_block(stream, block, end_stream=not (size or trailers))
            queued = self.send_data(stream, data, end_stream=not trailers) if size else 0
            if trailers:
                self.send_headers(stream, trailers, end_stream=True)
            return queued
        max_frame = self.peer.max_frame
        if trailers:
            last = self._encoder.encode_cached(trailers)
            self.send_frame(frames.response_frames(stream.id, block, data, last, max_frame))
        else:
            self.send_frame(frames.request_frames(stream.id, block, data, max_frame))
        self._window -= size
        if self._control.spent:
            self._control.earn(CONTROL_FRAMES_EARNED)
        stream.has_sent = True
        if stream.received_end:
            stream.sent_end = True
            del self._streams.open[stream.id]
        else:
            self._end(stream)
        return 0

    def send_informational(self, stream: Stream, headers: Headers) -> None:
        """Sends an informational response (1xx), unless the response has started."""
        if not stream.has_sent:
            block = self._encoder.encode(headers)
            self.send_frame(frames.headers(stream.id, block, self.peer.max_frame, end_stream=False))

    def send_request(self, stream: Stream, headers: Headers, prefix: Headers, data: bytes) -> None:
        """Sends a complete request; queues what windows have no room for."""
        size = len(data)
        block = self._encoder.encode(headers, prefix)
        if not self._has_room(stream, size):
            self._send_block(stream, block, end_stream=False)
            self.send_data(stream, data, end_stream=True)
            return
        self.send_frame(frames.request_frames(stream.id, block, data, self.peer.max_frame))
        self._window -= size
        stream.send_window -= size
        if self._control.spent:
            self._control.earn(CONTROL_FRAMES_EARNED)
        stream.sent_end = True

    def _has_room(self, stream: Stream, size: int) -> bool:
        """Whether data can be sent at once as one frame, and no stream waits for its turn."""
        return (
            not self._waiting
            and size <= stream.send_window
            and size <= self._window
            and size <= self._largest_frame
            and self._size < self._limits.output
        )

    def discard(self, stream: Stream) -> None:
        """Discards the queue of a stream."""
        stream.queue = None
        stream.trailers = None
        self._waiting.pop(stream.id, None)
        self.drained.pop(stream.id, None)

    def discard_all(self) -> None:
        """Discards all queues and pending `StreamDrained` events."""
        self._waiting.clear()
        self.drained.clear()

    def add_window(self, increment: int) -> None:
        """Applies a WINDOW_UPDATE of the connection.

        Raises:
            ConnectionFault: the window exceeds 2^31-1.
        """
        self._window += increment
        if self._window > LARGEST_WINDOW:
            raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "the connection's window")
        self._send_waiting()

    def add_stream_window(self, stream: Stream, increment: int) -> None:
        """Applies a WINDOW_UPDATE of a stream.

        Raises:
            StreamFault: the window exceeds 2^31-1.
        """
        if stream.send_window + increment > LARGEST_WINDOW:
            raise StreamFault(stream.id, ErrorCode.FLOW_CONTROL_ERROR, "the stream's window")
        self._change_window(stream, increment)
        self._send_waiting()

    def apply_settings(self, payload: bytes, *, from_server: bool) -> bool:
        """Applies and acknowledges the peer's SETTINGS; returns whether they change the windows of streams.

        Raises:
            ConnectionFault: a value is out of range, or the peer does not read.
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
            self._change_window(stream, change)
        self.send_reply(frames.frame(frames.SETTINGS, frames.ACK, 0))
        self._send_waiting()
        return change != 0

    def _change_window(self, stream: Stream, change: int) -> None:
        stream.send_window += change
        if stream.send_window <= 0:
            self._waiting.pop(stream.id, None)
        elif stream.queue is not None:
            self._waiting.setdefault(stream.id, stream)

    def _send_waiting(self) -> None:
        """Sends queued DATA as windows and output limit allow, one frame of each stream in turn."""
        waiting = self._waiting
        max_frame = self._largest_frame
        while waiting and self._window > 0 and self._size < self._limits.output:
            stream = waiting.pop(self._most_urgent() if self.has_urgencies else next(iter(waiting)))
            queue = stream.queue
            if queue is None:
                continue
            size = min(max_frame, stream.send_window, self._window, queue.size)
            data = queue.take(size)
            if queue.size:
                self._data_frame(stream, data, 0)
                if stream.send_window > 0:
                    waiting[stream.id] = stream
                continue
            stream.queue = None
            last = stream.end_queued and stream.trailers is None
            self._data_frame(stream, data, frames.END_STREAM if last else 0)
            self.drained[stream.id] = None
            if stream.trailers is not None:
                self.send_headers(stream, stream.trailers, end_stream=True)

    def set_urgency(self, stream: Stream, urgency: int) -> None:
        """Sets in which order streams that wait for the peer are sent (RFC 9218, 4.1)."""
        if stream.urgency != urgency:
            stream.urgency = urgency
            self.has_urgencies = True

    def _most_urgent(self) -> int:
        """Returns the stream that is sent next; of those that are as urgent, the one whose turn it is."""
        waiting = self._waiting
        return min(waiting, key=lambda stream_id: waiting[stream_id].urgency)

    def _data_frame(self, stream: Stream, data: bytes | memoryview, flags: int) -> None:
        """Sends one DATA frame, for which there is room."""
        size = len(data)
        stream.send_window -= size
        self._window -= size
        if self._control.spent:
            self._control.earn(CONTROL_FRAMES_EARNED)
        self.ready += (frames.data_head(size, flags, stream.id), data)
        self._size += HEAD_SIZE + size
        if flags:
            self._end(stream)

    def _end(self, stream: Stream) -> None:
        """Ends this side.

        A server that has responded before the request's end resets the stream with NO_ERROR (8.1).
        """
        stream.sent_end = True
        if stream.received_end:
            self._streams.close(stream)
        elif self._streams.role is Role.SERVER:
            self.send_frame(frames.rst_stream(stream.id, ErrorCode.NO_ERROR))
            self._streams.remember_reset(stream.id)
