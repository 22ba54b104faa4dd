"""The response of one HTTP request on its way to the door."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

from gateway.exchange.compression import Compression
from gateway.exchange.ports import ClientGone, Sink
from gateway.exchange.response import HttpResponse
from gateway.transcoding.metadata import Headers

_CLIENT_CLOSED_REQUEST = 499
"""nginx's status of a request whose client left; only middleware and logs see it."""


class ResponseWriter:
    """Adds the request id, compresses whole bodies, and drops the body of a response to HEAD.

    A body behind the response to HEAD would be read as the next response (RFC 9110, section 9.3.2).
    """

    __slots__ = (
        "_compression",
        "_sink",
        "accept_encoding",
        "head",
        "on_start",
        "policy_headers",
        "request_id",
        "status",
    )

    def __init__(self, sink: Sink, compression: Compression, *, head: bool) -> None:
        self._sink = sink
        self._compression = compression
        self.head = head
        self.accept_encoding = ""
        self.request_id = ""
        self.on_start: Callable[[int], None] | None = None
        """Called with the HTTP status when the head of the response is sent."""
        self.policy_headers: Sequence[tuple[bytes, bytes]] = ()
        """Headers that policies add to the response."""
        self.status = 0
        """The HTTP status that was sent; 0 before."""

    @property
    def started(self) -> bool:
        """Whether the head of the response was sent."""
        return self.status != 0

    def mark_started(self, status: int) -> None:
        """Remembers the HTTP status, and that a head was sent."""
        self.status = status
        if self.on_start is not None:
            self.on_start(status)

    @property
    def write_now(self) -> Callable[[bytes], bool] | None:
        """See `Sink.write_now`."""
        return self._sink.write_now

    def whole(self, response: HttpResponse) -> Awaitable[None]:
        """Sends a whole response, compressed where its caller asks and it pays."""
        self.mark_started(response.status)
        response.request_id = self.request_id
        if self.policy_headers:
            response.headers += tuple(self.policy_headers)
        response.compress(self._compression, self.accept_encoding)
        return self._sink.whole(response, head=self.head)

    async def start(self, status: int, headers: Headers) -> None:
        """Sends the head of a response whose body follows in parts."""
        self.mark_started(status)
        own = (*self.policy_headers, (b"x-request-id", self.request_id.encode()))
        await self._sink.start(status, (*headers, *own))

    async def write(self, data: bytes) -> None:
        """Sends a part of the body."""
        if not self.head:
            await self._sink.write(data)

    async def end(self, data: bytes = b"") -> None:
        """Sends the last part of the body."""
        await self._sink.end(b"" if self.head else data)

    async def give_up(self) -> None:
        """Ends a response that nobody waits for; middleware still sees what became of the request."""
        if not self.started:
            with suppress(ClientGone):
                await self.whole(HttpResponse(_CLIENT_CLOSED_REQUEST))

    def abort(self, error: Exception) -> None:
        """Cuts a response that has started."""
        self._sink.abort(error)
