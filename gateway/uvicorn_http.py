"""uvicorn's HTTP protocol, with what streams and upgrades need beside.

Rule: as little as can be, for these are another project's insides; each has its test in tests/whole.
"""

from __future__ import annotations

from typing import Any, Final, cast

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from gateway.edge.types import WRITE
from gateway.upgrade import handshake_headers, head_without_upgrade, is_websocket_handshake
from gateway.uvicorn_websocket import WebSocketProtocol

_MOST_PIPELINED: Final = 16
"""Maximum requests that wait behind the active one; beyond it the connection is aborted."""
_INVALID_REQUEST: Final = "Invalid HTTP request received."


class HttpProtocol(HttpToolsProtocol):
    """HTTP that reports a disconnect to the active request, not only to the last pipelined one.

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
        """Takes the end of a request; if a trailer says `close`, the parser reads nothing behind it."""
        self._in_message = False
        if self.parser.should_upgrade():
            return
        if not self.parser.should_keep_alive():
            self._end_with_response()
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
                if self.transport.is_closing():  # `on_headers_complete` has cut it
                    return
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

    def _end_with_response(self) -> None:
        """Ends the connection behind the response to the request that came last."""
        self.cycle.keep_alive = False
        if self.cycle.response_complete:
            self.transport.close()

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
            raise ConnectionAbortedError  # else the parser would go on with what has come behind it
        if self.pipeline:
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
