"""One request over HTTP and the response to it, whatever its version: what all who answer have in common.

The body is read as it arrives, with back-pressure to the socket; a response waits while the client does not
read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Protocol

from gateway.doors.http.rejection import Rejection
from gateway.doors.http.request import Request
from gateway.doors.http.response import Response
from gateway.exchange.ports import ClientGone
from gateway.transcoding.metadata import Headers


class Connected(Protocol):
    """What an exchange asks of its connection, or of its stream where a connection has many."""

    writing_paused: bool

    def write_continue(self) -> None:
        """Lets a client send the body that waits for it (RFC 9110, section 10.1.1)."""

    def write_head(
        self, response: Response, status: int, headers: Iterable[tuple[bytes, bytes]]
    ) -> None:
        """Writes the head of a response."""

    def write_body(
        self, response: Response, part: bytes, *, more: bool, trailers: Headers = ()
    ) -> None:
        """Writes a part of its body; behind the last one the trailers, where the version has them."""

    def write_now(self, response: Response, part: bytes) -> bool:
        """Writes a part if that needs no waiting; returns whether it did. Empty bytes only ask."""
        ...

    def write_whole(
        self,
        response: Response,
        status: int,
        headers: Iterable[tuple[bytes, bytes]],
        body: bytes,
        trailers: Headers = (),
    ) -> None:
        """Writes a whole response, with trailers where the version has them."""

    def body_read(self) -> None:
        """Reads more: what came was read."""

    def response_ended(self) -> None:
        """Goes on behind a whole response."""

    def response_cut(self) -> None:
        """Ends what carries the response, which cannot be completed."""


class HttpExchange:
    """One request, and the response to it.

    Attributes:
        request: the request.
        response: the response to it.
        client_gone: whether the client has left.
    """

    __slots__ = (
        "_connection",
        "_reader",
        "_writable",
        "client_gone",
        "request",
        "response",
    )

    def __init__(self, connection: Connected, request: Request, response: Response) -> None:
        self._connection = connection
        self._reader: asyncio.Future[None] | None = None
        self._writable: asyncio.Event | None = None
        self.request = request
        self.response = response
        self.client_gone = False

    # What the connection calls.

    def data_arrived(self) -> None:
        """Lets who answers read what has arrived of the body."""
        reader = self._reader
        if reader is not None and not reader.done():
            reader.set_result(None)

    def writing_resumed(self) -> None:
        """Lets who answers write again."""
        if self._writable is not None:
            self._writable.set()

    def disconnect(self) -> None:
        """Tells who answers that the client has left."""
        self.client_gone = True
        self.data_arrived()
        self.writing_resumed()

    # What those call who answer.

    async def read_body(self) -> bytes:
        """Waits for the next part of the body, which may be empty; then `request.read_to_end` is up to date.

        Raises:
            ClientGone: the client has left, or its response is complete.
        """
        request = self.request
        if request.expects_continue:
            request.expects_continue = False
            if not self.response.started:
                self._connection.write_continue()
        while True:
            if self.client_gone or self.response.complete:
                raise ClientGone
            if not request.read_to_end and (request.buffered or request.complete):
                part = request.read()
                self._connection.body_read()
                request.read_to_end = request.complete and not request.buffered
                return part
            self._reader = asyncio.get_running_loop().create_future()
            try:
                await self._reader
            finally:
                self._reader = None

    async def writable(self) -> None:
        """Waits while the client does not read.

        Raises:
            ClientGone: it has left.
        """
        while self._connection.writing_paused and not self.client_gone:
            if self._writable is None:
                self._writable = asyncio.Event()  # several tasks may write
            self._writable.clear()
            await self._writable.wait()
        if self.client_gone:
            raise ClientGone

    def write_head(self, status: int, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """Writes the head of the response.

        Raises:
            ValueError: it was written, or the status or a header is none.
        """
        self._connection.write_head(self.response, status, headers)

    def write_body(self, part: bytes, *, more: bool, trailers: Headers = ()) -> None:
        """Writes a part of the response's body; ends the response with the last one.

        Raises:
            ValueError: the response has not started, has ended, or has another length.
        """
        self._connection.write_body(self.response, part, more=more, trailers=trailers)
        if not more:
            self._end()

    def write_whole(
        self,
        status: int,
        headers: Iterable[tuple[bytes, bytes]],
        body: bytes,
        trailers: Headers = (),
    ) -> None:
        """Writes a whole response at once.

        Raises:
            ValueError: the status or a header is none.
        """
        self._connection.write_whole(self.response, status, headers, body, trailers)
        self._end()

    def fail(self) -> None:
        """Answers 500, or cuts a response that has started; nothing if the client has left."""
        if self.client_gone or self.response.complete:
            return
        if self.response.started:
            self._connection.response_cut()
            return
        body = Rejection(500, "internal error").body()
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        self.write_whole(500, headers, body)

    def cut(self) -> None:
        """Cuts a response that is not complete; nothing if the client has left."""
        if not self.client_gone and not self.response.complete:
            self._connection.response_cut()

    def _end(self) -> None:
        self.data_arrived()
        self._connection.response_ended()
