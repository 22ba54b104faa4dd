"""What leaves a connection: all of one turn of the event loop in one write, at the end of the turn.

A sender is told when to wait: for the peer's windows, for the socket, or for the next turn if this one has
done much, for others want theirs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from grpc_wire.http2.connection import Connection

QUEUED: Final = 64 * 1024
"""Of a stream, what may wait for the peer's windows before its sender does."""
BUFFERED: Final = 64 * 1024
"""What the socket may hold before it is full; what is written then is held beside that."""
TURN_BYTES: Final = 64 * 1024
TURN_MESSAGES: Final = 64
"""What may be sent in one turn."""


class Writer:
    """The way out of one connection.

    Attributes:
        shut: whether nothing more may be written.
        writes: how often something was.
        blocked: the streams whose senders wait.
    """

    def __init__(
        self, connection: Connection, drained: Callable[[int], None], react: Callable[[], None]
    ) -> None:
        """Makes a writer.

        Args:
            connection: whose output is written.
            drained: told of a stream whose sender need not wait any more.
            react: called when the connection has events, which come of taking its output.
        """
        self.shut = False
        self.writes = 0
        self._connection = connection
        self._tell = drained
        self._react = react
        self._loop = asyncio.get_running_loop()
        self._socket: asyncio.Transport
        self.blocked: set[int] = set()
        self._touched = False
        self._paused = False
        self._bytes = 0
        self._messages = 0
        self._joining = 0
        """The stream of which data was sent last, in this turn, if nothing of it is queued."""
        self._joined: list[bytes] = []
        """What it has sent since."""

    def attach(self, socket: asyncio.Transport) -> None:
        """Takes the socket that is written to."""
        self._socket = socket
        socket.set_write_buffer_limits(BUFFERED)  # with TLS it takes more by itself

    def touch(self) -> None:
        """Sees to it that what is to be sent leaves at the end of this turn."""
        if not self._touched:
            self._touched = True
            self._loop.call_soon(self._flush)

    def hold(self) -> bool:
        """Begins to receive: what comes of it shall leave behind the tasks that begin in it."""
        self.part()
        held, self._touched = self._touched, True
        return held

    def release(self, *, held: bool) -> None:
        """Has received; `held` is what `hold` has returned."""
        if not held:
            self._loop.call_soon(self._flush)

    def count(self, size: int) -> None:
        """Counts a message of one who does not wait."""
        if not self._touched:
            self.touch()
        self._bytes += size
        self._messages += 1

    def send(self, stream_id: int, data: bytes, *, end_stream: bool = False) -> bool:
        """Sends data; returns whether the sender is to wait for `Stream.drained` before it sends more.

        What follows data of the same stream is joined: many small messages are one frame.
        """
        queued = 0
        if stream_id == self._joining:
            self._joined.append(data)
            if end_stream:
                self.part(end_stream=True)
        else:
            self.part()
            queued = self._connection.send_data(stream_id, data, end_stream=end_stream)
            if not (queued or end_stream):
                self._joining = stream_id
            self.touch()
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

    def part(self, *, end_stream: bool = False) -> None:
        """Lets out what was joined, before anything that is to stand behind it."""
        if self._joined:
            data = b"".join(self._joined)
            self._joined.clear()
            self._connection.send_data(self._joining, data, end_stream=end_stream)
        self._joining = 0

    def queued(self, stream_id: int) -> int:
        """Returns how many bytes of a stream wait until the peer reads."""
        self.part()
        return self._connection.queued(stream_id)

    def drained(self, stream_id: int) -> None:
        """Lets a stream go on, whose queue is empty, unless the socket is full."""
        if self._paused:
            self.blocked.add(stream_id)
        else:
            self.blocked.discard(stream_id)
            self._tell(stream_id)

    def pause(self) -> None:
        """Writes nothing more until `resume`: the socket's buffer is full."""
        self._paused = True

    def resume(self) -> None:
        """Writes again."""
        self._paused = False
        self._flush()

    def write(self) -> None:
        """Writes now what there is."""
        self.part()
        connection = self._connection
        closed = self.shut or self._socket.is_closing()
        while connection.has_output and not (self._paused or closed):
            self.writes += 1
            self._socket.write(connection.take_output())
        if connection.has_events:
            self._react()

    def _flush(self) -> None:
        self._touched = False
        self._bytes = self._messages = 0
        self.write()
        if self._paused:
            return
        for stream_id in tuple(self.blocked) if self.blocked else ():
            if self._connection.queued(stream_id) <= QUEUED:
                self.drained(stream_id)
