"""Callbacks of a connection: to the calls on its streams, and to the server or channel that owns it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from grpc_wire.http2.events import (
    DataReceived,
    GoAwayReceived,
    HeadersReceived,
    RequestTooLarge,
    StreamReset,
)

if TYPE_CHECKING:
    from grpc_wire.transport.transport import Transport


class StreamCallbacks(Protocol):
    """What a connection calls on the call of a stream.

    On a client, an event that ends the response is the last: the connection has ended the stream.
    """

    def headers_received(self, event: HeadersReceived) -> None:
        """A header section came."""

    def data_received(self, event: DataReceived) -> None:
        """Bytes came; `Transport.consumed` lets the peer send as many again."""

    def drained(self) -> None:
        """The sender may go on, after `Transport.send_data` returned True."""

    def reset(self, event: StreamReset) -> None:
        """The stream was reset: nothing more comes, nothing can be sent."""

    def lost(self, reason: str) -> None:
        """The connection has ended: nothing more comes, nothing can be sent."""


class TransportCallbacks(Protocol):
    """What a connection calls on its server or channel."""

    def opened(self, transport: Transport) -> None:
        """The socket is open."""

    def connected(self, transport: Transport) -> None:
        """The peer's first SETTINGS came."""

    def requested(self, transport: Transport, event: HeadersReceived) -> None:
        """A request came (on a server): pass its stream to `Transport.register`, or end it."""

    def oversized(self, transport: Transport, event: RequestTooLarge) -> None:
        """A request came whose headers exceed the limit (on a server): respond, or reset its stream."""

    def changed(self, transport: Transport) -> None:
        """SETTINGS came, so the peer may take more streams, or fewer; or a drain's last stream has ended."""

    def going_away(self, transport: Transport, event: GoAwayReceived) -> None:
        """The peer accepts no new streams."""

    def disconnected(self, transport: Transport, reason: str) -> None:
        """The connection has ended, after its streams' callbacks."""
