"""uvicorn's WebSocket protocol, with what back-pressure, floods and logs need beside.

Rule: as little as can be, for these are another project's insides; each has its test in tests/whole.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import STATUS_LINE
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.extensions import Extension, ServerExtensionFactory
from websockets.frames import Frame
from websockets.typing import ExtensionParameter

from grpc_wire.call.message import max_inflated

PIECE_BYTES: Final = 4096
"""Bytes of a WebSocket that are parsed in one turn of the event loop; at most some 700 frames."""
_BAD_HANDSHAKE: Final = STATUS_LINE[400] + b"connection: close\r\ncontent-length: 0\r\n\r\n"
"""The response where the WebSocket library refuses a handshake and has none of its own."""


class _WithoutQuery(logging.Filter):
    """Cuts the query off the targets in uvicorn's lines: it may hold credentials."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Lets every line pass."""
        if isinstance(record.args, tuple):
            record.args = tuple(
                each.partition("?")[0] if isinstance(each, str) else each for each in record.args
            )
        return True


_WEBSOCKET_LOG: Final = logging.getLogger("uvicorn.error.websocket")
_WEBSOCKET_LOG.addFilter(_WithoutQuery())


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """WebSocket with bounded work in each turn of the loop, and back-pressure for pings.

    - What comes is parsed `PIECE_BYTES` at a time, each in a turn of the event loop; nothing before the
      application has accepted the handshake, or while there are messages that it has not taken.
    - While a client does not read, only the last of its pings is answered (RFC 6455, 5.5.3).
    - The fragments of a message are joined as they come.
    - Of a handshake only the path is logged; the library's debug lines, which show headers and frames, are
      off.
    """

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.logger = self.conn.logger = _WEBSOCKET_LOG
        self.conn.debug = False
        self.conn.available_extensions = [
            _BoundedDeflateFactory(each) for each in self.conn.available_extensions or ()
        ]
        self._waiting = b""
        """What has come; it is parsed up to `_at`."""
        self._at = 0
        self._due = False
        self._pong = b""

    def data_received(self, data: bytes) -> None:
        """Takes the handshake; then parses one piece of what came, and the rest in later turns."""
        if not self.handshake_initiated:
            self._read_handshake(data)
        elif self.handshake_complete and not self._waiting and len(data) <= PIECE_BYTES:
            super().data_received(data)
        elif data:
            self._waiting, self._at = self._waiting[self._at :] + data, 0
            self._go_on_later()

    def _read_handshake(self, head: bytes) -> None:
        super().data_received(head)
        if not self.handshake_initiated:  # the library refused it as it read it
            self.transport.write(b"".join(self.conn.data_to_send()) or _BAD_HANDSHAKE)
            self.transport.close()

    def start_keepalive(self) -> None:
        """Starts the pings when the handshake is accepted; parses what came before that."""
        super().start_keepalive()
        if self._waiting:
            self._go_on_later()

    def _go_on_later(self) -> None:
        self.transport.pause_reading()
        if self.handshake_complete and not self._due and not self.read_paused:
            self._due = True
            self.loop.call_soon(self._go_on)

    def _go_on(self) -> None:
        """Parses the next piece, unless the application has messages that it has not taken."""
        self._due = False
        if self.transport.is_closing() or self.conn.parser_exc is not None:
            self._waiting = b""
            return
        if self._waiting and not self.read_paused:
            piece = self._waiting[self._at : self._at + PIECE_BYTES]
            self._at += PIECE_BYTES
            if self._at >= len(self._waiting):
                self._waiting = b""
            super().data_received(piece)
        if self._waiting:
            self._go_on_later()
        elif not self.read_paused:
            self.transport.resume_reading()

    async def send(self, message: Any) -> None:
        """Sends a message; one that refuses the handshake completes it, which uvicorn logs as missing."""
        await super().send(message)
        if self.close_sent:
            self.handshake_complete = True

    async def receive(self) -> Any:
        """Returns the next message; then more of what has come can be parsed."""
        message = await super().receive()
        if self._waiting:
            self._go_on_later()
        return message

    def handle_cont(self, event: Frame) -> None:
        """Takes a fragment; a message of many small ones is no larger than its bytes."""
        message: Any = self.frames[0]
        if not isinstance(message, bytearray):
            message = bytearray(message)
            self.frames = [message]
        message += event.data
        if event.fin:
            self.send_receive_event_to_app()

    def handle_ping(self) -> None:
        """Answers pings; while the client does not read, with the last answers alone."""
        pong = b"".join(self.conn.data_to_send())
        if self.writable.is_set() or self.conn.close_sent is not None:
            self.transport.write(pong)
        elif pong:
            self._pong = pong

    def resume_writing(self) -> None:
        """Writes again."""
        super().resume_writing()
        if self._pong and not self.transport.is_closing():
            self.transport.write(self._pong)
        self._pong = b""

    def connection_lost(self, exc: Exception | None) -> None:
        """Drops what was not parsed."""
        self._waiting = b""
        super().connection_lost(exc)

    def keepalive_timeout(self) -> None:
        """Gives up a client that has not answered a ping, if its answer would have been seen."""
        if self.read_paused and self.writable.is_set():
            # the pong may lie behind messages that the upstream does not take yet
            self.pong_timer = self.pending_ping_payload = None
            self.schedule_ping()
            return
        super().keepalive_timeout()
        if not self.writable.is_set():
            # a client that reads nothing would not let the connection close either
            self.transport.abort()


class _BoundedDeflate(Extension):
    """permessage-deflate whose frames become no larger than `max_inflated` says."""

    def __init__(self, deflate: Extension) -> None:
        self.name = deflate.name
        self.encode = deflate.encode  # type: ignore[method-assign] # the same
        self._deflate = deflate

    def decode(self, frame: Frame, *, max_size: int | None = None) -> Frame:
        """Decompresses a frame; websockets closes with 1009 where it becomes too large."""
        inflated = max_inflated(len(frame.data))
        most = inflated if max_size is None else min(max_size, inflated)
        return self._deflate.decode(frame, max_size=most)


class _BoundedDeflateFactory(ServerExtensionFactory):
    """Negotiates as another factory does, and bounds what that has agreed on."""

    def __init__(self, factory: ServerExtensionFactory) -> None:
        self.name = factory.name
        self._factory = factory

    def process_request_params(
        self, params: Sequence[ExtensionParameter], accepted_extensions: Sequence[Extension]
    ) -> tuple[list[ExtensionParameter], Extension]:
        """Returns the parameters that were agreed on, and the extension."""
        agreed, deflate = self._factory.process_request_params(params, accepted_extensions)
        return agreed, _BoundedDeflate(deflate)
