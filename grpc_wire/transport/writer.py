"""Sending of one connection: everything of a turn of the event loop in one write, at the end of the turn.

A sender must wait for the peer's windows, for the socket, or for the next turn if this one has sent much.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from grpc_wire.http2.connection import Connection

QUEUED: Final = 64 * 1024
"""Bytes of a stream that may wait for the peer's windows before its sender must wait."""
BUFFERED: Final = 64 * 1024
"""High-water mark of the socket's buffer, in bytes; a write beyond it is buffered too."""
TURN_BYTES: Final = 64 * 1024
TURN_MESSAGES: Final = 64
"""Bytes and messages that may be sent in one turn."""


class Writer:
    """The output of one connection.

    Attributes:
        closed: whether nothing more may be written.
        write_count: how often something was written to the socket.
        blocked: streams whose senders wait.
        joining: stream of the last DATA of this turn, if nothing of it is queued; 0 for none.
        is_scheduled: whether a write at the end of this turn is scheduled, or someone will see to it.
    """

    def __init__(
        self,
        connection: Connection,
        on_drained: Callable[[int], None],
        on_events: Callable[[], None],
    ) -> None:
        """Makes a writer.

        Args:
            connection: whose output is written.
            on_drained: called with the id of a stream whose sender may go on.
            on_events: called when taking output has caused events.
        """
        self.closed = False
        self.write_count = 0
        self._connection = connection
        self._ready, self._emptied = connection.ready, connection.drained
        self._on_drained = on_drained
        self._on_events = on_events
        self._loop = asyncio.get_running_loop()
        self._socket: asyncio.Transport
        self.blocked: set[int] = set()
        self.joining = 0
        self.is_scheduled = False
        self._paused = False
        self._bytes = 0
        self._messages = 0
        self._joined: list[bytes] = []
        """Data of that stream since then."""

    def attach(self, socket: asyncio.Transport) -> None:
        """Sets the socket."""
        self._socket = socket
        socket.set_write_buffer_limits(BUFFERED)  # asyncio's TLS buffers more beside this

    def schedule_flush(self) -> None:
        """Schedules a write at the end of this turn."""
        if not self.is_scheduled:
            self.is_scheduled = True
            self._loop.call_soon(self._flush)

    def flush(self) -> None:
        """Writes now, unless a write is scheduled."""
        if not self.is_scheduled:
            self._flush()

    def send(self, stream_id: int, data: bytes, *, end_stream: bool = False) -> bool:
        """Sends data; returns whether the sender must wait before it sends more.

        It waits for `StreamCallbacks.drained`. Consecutive data of one stream is joined: many small messages
        become one frame.
        """
        queued = 0
        if stream_id == self.joining:
            self._joined.append(data)
            if end_stream:
                self.send_joined(end_stream=True)
        else:
            self.send_joined()
            queued = self._connection.send_data(stream_id, data, end_stream=end_stream)
            if not (queued or end_stream):
                self.joining = stream_id
            self.schedule_flush()
        self._bytes += len(data)
        self._messages += 1
        if (
            self._paused
            or self._bytes >= TURN_BYTES
            or self._messages >= TURN_MESSAGES
            or queued > QUEUED
        ):
            self.blocked.add(stream_id)
            return True
        return False

    def send_now(self, stream_id: int, data: bytes) -> bool:
        """Sends data unless something of the stream waits for the peer; returns whether it was sent.

        For senders that nobody would wait for: they send small data to many streams in a turn, so the limits
        of a turn do not count.
        """
        if self._paused or stream_id in self.blocked or self.queued(stream_id):
            return False
        if data:
            self._connection.send_data(stream_id, data)
            self.schedule_flush()
        return True

    def send_joined(self, *, end_stream: bool = False) -> None:
        """Sends joined data, before anything that must come behind it."""
        if self._joined:
            data = b"".join(self._joined)
            self._joined.clear()
            self._connection.send_data(self.joining, data, end_stream=end_stream)
        self.joining = 0

    def queued(self, stream_id: int) -> int:
        """Returns how many bytes of a stream wait until the peer reads."""
        self.send_joined()
        return self._connection.queued(stream_id)

    def drained(self, stream_id: int) -> None:
        """Lets the sender of a stream go on, unless the socket's buffer is full."""
        if self._paused:
            self.blocked.add(stream_id)
        else:
            self.blocked.discard(stream_id)
            self._on_drained(stream_id)

    def pause(self) -> None:
        """Stops writing until `resume`: the socket's buffer is full."""
        self._paused = True

    def resume(self) -> None:
        """Writes again."""
        self._paused = False
        self._flush()

    def write(self) -> None:
        """Writes all output now."""
        if self.joining:
            self.send_joined()
        ready, socket = self._ready, self._socket
        closed = self.closed or socket.is_closing()
        while ready and not (self._paused or closed):
            self.write_count += 1
            socket.write(self._connection.take_output())
        if self._emptied:
            self._on_events()

    def _flush(self) -> None:
        self.is_scheduled = False
        self._bytes = self._messages = 0
        self.write()
        if self._paused:
            return
        for stream_id in tuple(self.blocked) if self.blocked else ():
            if self._connection.queued(stream_id) <= QUEUED:
                self.drained(stream_id)
