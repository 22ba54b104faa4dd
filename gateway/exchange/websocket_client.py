"""The client's side of one WebSocket: its frames, and those for it, in the dialect of its subprotocol.

As with an upload over HTTP, `gone` is the one reader: it reads ahead of the consumer of the frames. While the
read-ahead is full nothing is read, and a disconnect behind unread frames is noticed later.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from gateway.exchange.exchange import Exchange
from gateway.exchange.ports import ClientGone, WebSocket
from gateway.exchange.read_ahead import ReadAhead
from gateway.transcoding.metadata import Metadata
from gateway.transcoding.status import RESOURCE_EXHAUSTED, StatusError
from gateway.transcoding.websocket_protocol import HalfClose, HeadersFrame, Subprotocol


class WebSocketClient:
    """One client, after its handshake."""

    def __init__(
        self, exchange: Exchange, socket: WebSocket, dialect: Subprotocol, idle: asyncio.Timeout
    ) -> None:
        """Takes the connection; each frame, either way, puts `idle` off."""
        self._exchange = exchange
        self._socket = socket
        self._max_message = exchange.edge.limits.max_message
        self._idle_seconds = exchange.edge.limits.websocket_idle
        self._idle = idle
        self._ahead: ReadAhead[str | bytes] = ReadAhead()
        self._half_closed = False
        self.dialect = dialect
        self.sent_headers = False
        """Whether the initial metadata of the call were sent."""

    async def headers(self) -> HeadersFrame | None:
        """Waits for the metadata with which the call begins; None where the dialect has no such frame.

        Raises:
            StatusError: the first frame is another one.
        """
        frame = await self._next() if self.dialect.starts_with_headers else None
        return frame if isinstance(frame, HeadersFrame) else None

    async def messages(self) -> AsyncIterator[bytes]:
        """Yields the JSON of each message up to the half-close.

        Raises:
            StatusError: a frame is none of the dialect, or its message is too large.
        """
        limit = self._max_message
        while isinstance(message := await self._next(), bytes):
            if len(message) > limit:
                raise StatusError.of(
                    RESOURCE_EXHAUSTED, f"a message is larger than {limit} bytes", http_status=413
                )
            yield message
        self.half_close()

    async def _next(self) -> HeadersFrame | bytes | HalfClose:
        frame = await self._ahead.take()
        return self.dialect.read(
            frame if isinstance(frame, str) else None, frame if isinstance(frame, bytes) else None
        )

    def half_close(self) -> None:
        """Says that nobody takes what the client still sends."""
        self._half_closed = True
        self._ahead.clear()

    async def gone(self) -> None:
        """Reads the frames, and returns when the client has left."""
        while True:
            await self._ahead.room()
            try:
                frame = await self._socket.receive()
            except ClientGone:
                return
            self._exchange.bytes_in += size_in_bytes(frame)
            self._touch()
            if not self._half_closed:
                self._ahead.append(frame, size_in_memory(frame))

    async def send(self, frame: str) -> None:
        """Sends a frame; nothing is one that the dialect does not have."""
        if frame:
            self._exchange.bytes_out += size_in_bytes(frame)
            await self._socket.send(frame)
            self._touch()

    async def send_headers(self, metadata: Metadata) -> None:
        """Sends the frame of the initial metadata, unless the client was told them."""
        if not self.sent_headers:
            self.sent_headers = True
            await self.send(self.dialect.headers(metadata))

    async def close(self, frame: str, code: int, reason: str) -> None:
        """Sends the last frame, and closes the connection."""
        if frame:
            self._exchange.bytes_out += size_in_bytes(frame)
            await self._socket.send(frame)
        await self._socket.close(code, reason)

    def _touch(self) -> None:
        if self._idle_seconds is not None and not self._idle.expired():
            self._idle.reschedule(asyncio.get_running_loop().time() + self._idle_seconds)


def size_in_memory(data: str | bytes) -> int:
    """Returns the bytes that a frame takes in memory: a text has up to four for each character."""
    return len(data) if isinstance(data, bytes) or data.isascii() else 4 * len(data)


def size_in_bytes(data: str | bytes) -> int:
    """Returns the bytes that the payload of a frame has on the wire."""
    return len(data) if isinstance(data, bytes) or data.isascii() else len(data.encode())
