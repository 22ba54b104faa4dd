"""uvicorn's two protocols, with what streams need of them beside.

Rule: as little as can be, for these are another project's insides; each has its test in tests/whole.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, Final, cast

import httptools
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.extensions import Extension, ServerExtensionFactory
from websockets.frames import Frame
from websockets.typing import ExtensionParameter

from gateway.edge.types import WRITE
from gateway.upgrade import handshake_headers, head_without_upgrade, is_websocket_handshake
from grpc_wire.limits import INFLATION, INFLATION_FREE

PIECE_BYTES: Final = 4096
"""Bytes of a WebSocket that are parsed in one turn of the event loop; at most some 700 frames."""
_MOST_PIPELINED: Final = 16
"""So many requests may wait behind one that is answered; who sends more is cut."""
_BAD_HANDSHAKE: Final = STATUS_LINE[400] + b"connection: close\r\ncontent-length: 0\r\n\r\n"
"""The response where the WebSocket library refuses a handshake and has none of its own."""
_INVALID_REQUEST: Final = "Invalid HTTP request received."


class HttpProtocol(HttpToolsProtocol):
    """HTTP, in which the request that is answered hears of the end, though others wait behind it.

    It switches to WebSocket for a handshake, and ignores every other `Upgrade` (RFC 9110, section 7.8).
    httptools takes a request that asks for an upgrade to end with its head, and goes on after it as if
    another request began there. So such a request is parsed anew, without the header that asks.
    """

    _answered: RequestResponseCycle | None = None
    _in_message = False
    _ends_with_response = False

    @property
    def idle(self) -> bool:
        """Whether all that came was answered, to the end of a request."""
        return self._all_answered and not self._in_message and not self.pipeline

    @property
    def _all_answered(self) -> bool:
        """Whether every request has its whole response, but for one whose head is being read."""
        last: RequestResponseCycle | None = self.cycle
        return last is None or last.response_complete

    @property
    def waits(self) -> bool:
        """Whether it closes by itself if no request comes."""
        return self.timeout_keep_alive_task is not None

    def wait_no_more(self) -> None:
        """Does not close for want of a request: somebody else has taken one."""
        self._unset_keepalive_if_required()

    def on_message_begin(self) -> None:
        """Takes the begin of a request."""
        self._in_message = True
        super().on_message_begin()

    def on_message_complete(self) -> None:
        """Takes the end of a request."""
        self._in_message = False
        if not self.parser.should_upgrade():
            super().on_message_complete()

    def data_received(self, data: bytes) -> None:
        """Parses what came; what follows a head that asks for an upgrade goes where that leads."""
        self._unset_keepalive_if_required()
        rest: bytes | None = None if self._ends_with_response else data
        while rest is not None and not self.transport.is_closing():
            try:
                self.parser.feed_data(rest)
                return
            except httptools.HttpParserUpgrade as upgrade:
                rest = self._after_upgrade(rest[upgrade.args[0] :])
            except httptools.HttpParserError:
                self.logger.warning(_INVALID_REQUEST)
                self.send_400_response(_INVALID_REQUEST)
                return

    def _after_upgrade(self, rest: bytes) -> bytes | None:
        """Decides about a request that asks for an upgrade; returns what is to be parsed now, if anything.

        Args:
            rest: what came behind the head of the request.
        """
        method, version = self.parser.get_method(), self.parser.get_http_version()
        if method == b"CONNECT":
            self._refuse_tunnel()
            return None
        if self._all_answered and is_websocket_handshake(method, version, self.headers):
            self.scope["method"] = method.decode("ascii")
            self.scope["headers"] = handshake_headers(self.headers)
            self.handle_websocket_upgrade()
            websocket = cast("WebSocketProtocol", self.transport.get_protocol())
            if rest and not self.transport.is_closing():
                websocket.data_received(rest)
            return None
        head = head_without_upgrade(method, self.url, version, self.headers)
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn does
        return head + rest

    def _refuse_tunnel(self) -> None:
        """Ends the connection: what follows a CONNECT is not HTTP (RFC 9110, section 9.3.6).

        If requests before it are not answered yet, the connection ends behind the last of their responses.
        """
        self._ends_with_response = True
        if self._all_answered:
            self.send_400_response(_INVALID_REQUEST)
        else:
            self.cycle.keep_alive = False

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._answered = cycle
        super()._start_asgi_task(cycle, app)

    def on_headers_complete(self) -> None:
        """Takes a request; one that has to wait does not keep the end of the connection from being read.

        What follows a body is none of its headers (RFC 9110, 6.5.1). One that asks for an upgrade is not
        taken yet: `data_received` decides what it is.
        """
        if self.parser.should_upgrade():
            return
        self.scope["headers"] = self.headers.copy()
        super().on_headers_complete()
        if len(self.pipeline) > _MOST_PIPELINED:
            self.transport.abort()
        elif self.pipeline:
            self.flow.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tells the request that is answered; uvicorn itself tells only the last one that came."""
        cycle = self._answered
        if cycle is not None and not cycle.response_complete:
            cycle.disconnected = True
            cycle.message_event.set()
        super().connection_lost(exc)


class DirectWrite:
    """The extension `protoway.write` of the request that a connection answers."""

    __slots__ = ("cycle",)

    def __init__(self) -> None:
        self.cycle: RequestResponseCycle | None = None

    def __call__(self, part: bytes) -> bool:
        """Writes a part of a body, unless `send` would wait, or do another thing than write a chunk."""
        cycle = self.cycle
        if (
            cycle is None
            or cycle.flow.write_paused
            or cycle.disconnected
            or cycle.response_complete
            or not cycle.chunked_encoding
            or cycle.transport.is_closing()
        ):
            return False
        if part:  # an empty chunk would be the last
            cycle.transport.write(b"%x\r\n%b\r\n" % (len(part), part))
        return True


class DirectHttpProtocol(HttpProtocol):
    """HTTP for an application that lets nobody wrap `send`: it may write without it.

    A thousand readers of one stream are a thousand tasks; what wakes a task, steps through all that awaits
    within it, and makes an event of a message, is more than half of what delivery costs.
    """

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._write = DirectWrite()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._write.cycle = cycle
        cycle.scope["extensions"] = {WRITE: {"write": self._write}}
        super()._start_asgi_task(cycle, app)

    def connection_lost(self, exc: Exception | None) -> None:
        """Parts the last request from what writes for it: each holds the other."""
        super().connection_lost(exc)
        self._write.cycle = None


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
    """WebSocket, with bounded work in each turn of the loop and back-pressure for pings.

    What comes is parsed `PIECE_BYTES` at a time, each in a turn of the event loop, and no further than the
    application takes its messages; nothing before it has accepted the handshake. Of pings that a client does
    not read the answers to, the last is answered (RFC 6455, 5.5.3). The fragments of a message are joined as
    they come. Of a handshake its path is logged. The library's own lines, which tell headers and frames at
    the level `debug`, are left out.
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
        """Takes the handshake; then parses what came, or as much as one turn has time for."""
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
        """Begins to ping, for the handshake has been accepted; parses what came before it was."""
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

    async def receive(self) -> Any:
        """Gives the next message; when there are no more, what has come behind it is parsed."""
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
        """Ends; what was not parsed is for nobody."""
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
    """Compression of which a frame inflates no further than a message over gRPC may."""

    def __init__(self, deflate: Extension) -> None:
        self.name = deflate.name
        self.encode = deflate.encode  # type: ignore[method-assign] # the same
        self._deflate = deflate

    def decode(self, frame: Frame, *, max_size: int | None = None) -> Frame:
        """Decompresses a frame; websockets closes with 1009 where it becomes too large."""
        inflated = max(INFLATION_FREE, INFLATION * len(frame.data))
        most = inflated if max_size is None else min(max_size, inflated)
        return self._deflate.decode(frame, max_size=most)


class _BoundedDeflateFactory(ServerExtensionFactory):
    """Makes such compression of what another factory has agreed on."""

    def __init__(self, factory: ServerExtensionFactory) -> None:
        self.name = factory.name
        self._factory = factory

    def process_request_params(
        self, params: Sequence[ExtensionParameter], accepted_extensions: Sequence[Extension]
    ) -> tuple[list[ExtensionParameter], Extension]:
        """Agrees as the other factory does."""
        agreed, deflate = self._factory.process_request_params(params, accepted_extensions)
        return agreed, _BoundedDeflate(deflate)
