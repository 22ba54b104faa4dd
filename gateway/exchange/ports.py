"""What a door gives to an exchange: the request's body, a sink for the response, or a WebSocket.

A door is where requests come in: HTTP/1.1, ASGI. The exchange speaks to these protocols alone, so it knows
neither sockets nor ASGI events.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

from gateway.exchange.response import HttpResponse
from gateway.transcoding.metadata import Headers


class ClientGone(Exception):
    """The client has disconnected; nobody waits for a response."""


class RequestBody(Protocol):
    """The body of one HTTP request. One task reads it."""

    whole_body: bytes | None
    """The whole body, where all of it is there and nobody has read it; else None."""
    ended: bool
    """Whether the last part was read."""

    async def read(self) -> bytes:
        """Waits for the next part, which may be empty.

        Raises:
            ClientGone: the client disconnected before the end.
        """
        ...

    async def gone(self) -> None:
        """Returns when the client has disconnected; awaited only behind the end of the body."""
        ...


class Sink(Protocol):
    """Where the response to one HTTP request goes. Each method raises ClientGone if nobody reads it."""

    @property
    def write_now(self) -> Callable[[bytes], bool] | None:
        """What writes a part of a body that has started, without waiting; None where the door cannot.

        It returns False, and has written nothing, where `write` would wait. Empty bytes only ask whether it
        would.
        """
        ...

    def whole(self, response: HttpResponse, *, head: bool) -> Awaitable[None] | None:
        """Sends a whole response; for a HEAD request (`head`) without its body.

        Returns:
            None if it was sent; else what sends it.
        """
        ...

    async def start(self, status: int, headers: Headers) -> None:
        """Sends the head of a response whose body follows in parts."""
        ...

    async def write(self, data: bytes) -> None:
        """Sends a part of the body; waits while the client does not read."""
        ...

    async def end(self, data: bytes, trailers: Headers = ()) -> None:
        """Sends the last part of the body, which may be empty, and the trailers, where the door can."""
        ...

    def abort(self, error: Exception) -> None:
        """Cuts a response that has started, so that the client sees that it is incomplete."""
        ...


class WebSocket(Protocol):
    """One WebSocket (RFC 6455). One task receives. `receive` and `send` raise ClientGone."""

    async def accept(self, subprotocol: str | None) -> None:
        """Completes the handshake."""
        ...

    async def refuse(self, response: HttpResponse) -> None:
        """Answers the handshake with an error."""
        ...

    async def receive(self) -> str | bytes:
        """Waits for the next message."""
        ...

    async def send(self, text: str) -> None:
        """Sends a text message; waits while the client does not read."""
        ...

    async def close(self, code: int, reason: str) -> None:
        """Closes the connection (RFC 6455, section 7.4)."""
        ...


async def until_sent(sending: Awaitable[None] | None) -> None:
    """Waits until a whole response is sent."""
    if sending is not None:
        await sending
