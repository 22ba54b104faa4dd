"""Who stands around a connection: the calls on its streams, and the server or channel that owns it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from grpc_wire.http2.events import DataReceived, GoAwayReceived, HeadersReceived, StreamReset

if TYPE_CHECKING:
    from grpc_wire.transport.transport import Transport


class Stream(Protocol):
    """What a call is to its connection."""

    def headers_received(self, event: HeadersReceived) -> None:
        """Takes a header section."""

    def data_received(self, event: DataReceived) -> None:
        """Takes bytes; `Transport.consumed` lets the peer send as many again."""

    def drained(self) -> None:
        """Goes on to send, after `Transport.send_data` said to wait."""

    def reset(self, event: StreamReset) -> None:
        """Ends: the stream was reset. Nothing more comes, nothing can be sent."""

    def lost(self, reason: str) -> None:
        """Ends: the connection has ended. Nothing more comes, nothing can be sent."""


class Owner(Protocol):
    """What a server or a channel is to its connections."""

    def opened(self, transport: Transport) -> None:
        """The socket is open."""

    def connected(self, transport: Transport) -> None:
        """The peer's first settings have come."""

    def requested(self, transport: Transport, event: HeadersReceived) -> None:
        """Takes a request (on a server), whose stream it gives to `Transport.adopt` or ends at once."""

    def changed(self, transport: Transport) -> None:
        """The last stream has ended, or the peer's settings have changed: it may take more, or fewer."""

    def going_away(self, transport: Transport, event: GoAwayReceived) -> None:
        """The peer takes no new streams."""

    def disconnected(self, transport: Transport, reason: str) -> None:
        """The connection has ended; its streams have been told."""
