"""WebSockets on streams of HTTP/2: the handshake is an extended CONNECT (RFC 8441).

Behind the handshake a stream carries the frames that a connection of HTTP/1.1 would.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from gateway.doors.http.request import Headers, Request
from gateway.doors.http.response import Response
from gateway.doors.http.websocket import WebSocketProtocol
from gateway.doors.http2.tunnel import Tunnel
from grpc_wire.http2.events import HeadersReceived

if TYPE_CHECKING:
    from gateway.doors.http2.connection import Http2Connection

WEBSOCKET: Final = b"websocket"
_KEY: Final = b64encode(bytes(16))
"""A key of 16 bytes, which the handshake of HTTP/1.1 needs and that of HTTP/2 has not (5.1)."""
_OF_HTTP1: Final = frozenset({b"connection", b"upgrade", b"sec-websocket-accept"})
"""Headers of the response to a handshake that HTTP/2 has not."""


class Http2WebSocket(WebSocketProtocol):
    """One WebSocket on a stream."""

    __slots__ = ("_tunnel",)

    def start(self, connection: Http2Connection, event: HeadersReceived) -> Tunnel:
        """Has the handshake answered on a stream, which is returned."""
        self._tunnel = Tunnel(connection, event)
        connection.transport.register(event.stream_id, self._tunnel)
        self._tunnel.start(self)
        return self._tunnel

    def _write_accepted(self, headers: Headers) -> None:
        fields = Response(self._request).start_fields(
            200,
            (each for each in headers if each[0] not in _OF_HTTP1),
            self._door.state.default_headers,
        )
        self._tunnel.send_head(fields)

    def _write_refusal_head(
        self, response: Response, status: int, headers: Iterable[tuple[bytes, bytes]]
    ) -> None:
        fields = response.start_fields(status, headers, self._door.state.default_headers)
        self._tunnel.send_head(fields)


def handshake_of(request: Request) -> Request:
    """Returns an extended CONNECT as the request that HTTP/1.1 would have."""
    request.headers = [
        *(each for each in request.headers if each[0] != b"sec-websocket-key"),
        (b"sec-websocket-key", _KEY),
    ]
    return request
