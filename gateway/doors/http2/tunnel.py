"""A stream as the transport of another protocol: what CONNECT opens (RFC 9113, section 8.5; RFC 8441).

DATA is what is read and written. The end of the stream either way is that of a TCP connection; a reset is its
loss. Reading that is paused leaves the stream's window closed.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from grpc_wire.headers.section import Headers
from grpc_wire.http2.errors import ErrorCode
from grpc_wire.http2.events import DataReceived, HeadersReceived, StreamReset

if TYPE_CHECKING:
    from gateway.doors.http2.connection import Http2Connection


class Tunnel(asyncio.Transport):
    """One stream, under an asyncio protocol."""

    __slots__ = (
        *("_closing", "_connection", "_ended", "_id", "_paused", "_protocol", "_reading"),
        *("_received", "_writing_paused"),
    )

    def __init__(self, connection: Http2Connection, event: HeadersReceived) -> None:
        """Takes the request that opens it."""
        super().__init__()
        self._connection = connection
        self._id = event.stream_id
        self._protocol: asyncio.Protocol
        self._received = event.data
        """What came while reading was paused."""
        self._ended = event.end_stream
        """Whether the client has ended its side."""
        self._reading = True
        self._writing_paused = False
        self._closing = False

    def start(self, protocol: asyncio.Protocol) -> None:
        """Connects a protocol."""
        self._protocol = protocol
        protocol.connection_made(self)
        self._deliver()

    # What the connection calls.

    def headers_received(self, event: HeadersReceived) -> None:
        """Takes trailers for the end."""
        del event
        self._end_reading()

    def data_received(self, event: DataReceived) -> None:
        """Passes bytes on, unless reading is paused."""
        self._received = self._received + event.data if self._received else event.data
        self._ended = event.end_stream
        self._deliver()

    def _deliver(self) -> None:
        if not self._reading or self._closing:
            return
        if received := self._received:
            self._received = b""
            if not self._ended:
                self._connection.transport.consumed(self._id, len(received))
            self._protocol.data_received(received)
        if self._ended and not self._received:
            self._end_reading()

    def _end_reading(self) -> None:
        self._ended = True
        if not self._closing and not self._protocol.eof_received():
            self.close()

    def drained(self) -> None:
        """Lets the protocol write again; leaves the stream if all was written."""
        if self._closing:
            self._connection.sent(self._id)
            return
        self._connection.left(self._id)
        if self._writing_paused:
            self._writing_paused = False
            self._protocol.resume_writing()

    def reset(self, event: StreamReset) -> None:
        """See `lost`."""
        self.lost(event.reason)

    def lost(self, reason: str) -> None:
        """Tells the protocol that the client has left."""
        del reason
        self._connection.left(self._id)
        was_closing, self._closing = self._closing, True
        if not was_closing:
            self._protocol.connection_lost(None)

    # What the protocol calls.

    def send_head(self, fields: Headers, *, end: bool = False) -> None:
        """Sends the head of the response."""
        self._connection.transport.send_headers(self._id, fields, end_stream=end)

    def write(self, data: Any) -> None:
        """Sends bytes; the protocol is told where the client does not read."""
        if self._closing or not data:
            return
        if self._connection.transport.send_data(self._id, bytes(data)):
            self._connection.waits(self._id)
            if not self._writing_paused:
                self._writing_paused = True
                self._protocol.pause_writing()

    def close(self) -> None:
        """Ends the stream behind what was written."""
        if self._closing:
            return
        self._closing = True
        self._connection.transport.send_data(self._id, b"", end_stream=True)
        self._connection.response_ended(self._id)
        self._connection.loop.call_soon(self._protocol.connection_lost, None)

    def abort(self) -> None:
        """Resets the stream."""
        if not self._closing:
            self._closing = True
            self._connection.left(self._id)
            self._connection.transport.reset(self._id, ErrorCode.CANCEL)
            self._connection.loop.call_soon(self._protocol.connection_lost, None)

    def is_closing(self) -> bool:
        """Whether nothing more can be written."""
        return self._closing

    def pause_reading(self) -> None:
        """Passes nothing on, until `resume_reading`."""
        self._reading = False

    def is_reading(self) -> bool:
        """Whether bytes are passed on."""
        return self._reading and not self._closing

    def resume_reading(self) -> None:
        """Passes on what came, in the next turn."""
        if not self._reading:
            self._reading = True
            if self._received or self._ended:
                self._connection.loop.call_soon(self._deliver)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Returns what the connection's own transport says."""
        return self._connection.transport.socket.get_extra_info(name, default)
