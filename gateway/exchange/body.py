"""The request's body, and the disconnect that follows it.

A door reports both in order, to one reader. A body that is one message is read to its end first, while
`gone` waits for that or for the deadline; then `gone` waits for the disconnect. The body of a stream is read
by `gone` itself, ahead of its consumer (`gateway.exchange.read_ahead`), so that a disconnect is noticed while
nothing is consumed. While the read-ahead is full nothing is read; a disconnect behind unread data is noticed
later.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

from gateway.exchange.ports import ClientGone, RequestBody
from gateway.exchange.read_ahead import ReadAhead
from gateway.transcoding.content_coding import ContentDecoder, content_decoder
from gateway.transcoding.status import (
    DEADLINE_EXCEEDED,
    RESOURCE_EXHAUSTED,
    StatusError,
)


class MessageBody:
    """A body that is one message."""

    __slots__ = ("_body", "_count", "_deadline", "_read", "_read_to_end")

    def __init__(
        self, body: RequestBody, deadline: float | None, count: Callable[[int], None] | None = None
    ) -> None:
        """Takes the body.

        Args:
            body: as it comes.
            deadline: time of the loop by which it must have ended; None: never.
            count: called with the bytes of each part.
        """
        self._body = body
        self._count = count
        self._deadline = deadline
        self._read = False
        self._read_to_end: asyncio.Event | None = None

    async def read(self, limit: int, content_encoding: str = "") -> bytes:
        """Reads the whole body, and decodes it where it has a coding, a piece a turn of the loop.

        Raises:
            StatusError: 413, it is longer than `limit` bytes, as it comes or decoded; 415, its coding is not
                known here; INVALID_ARGUMENT, its data are not of its coding.
            ClientGone: the client left before its end.
        """
        parts = _Parts(limit)
        size = 0
        decoder: ContentDecoder | None = None
        while not self._body.ended:
            part = await self._body.read()
            if not part:
                continue
            if self._count is not None:
                self._count(len(part))
            if not content_encoding:
                parts.append(part)
                continue
            size += len(part)
            if size > limit:
                raise body_too_large(limit)
            decoder = decoder or content_decoder(content_encoding)
            await parts.decode(part, decoder)
        if decoder is not None:
            decoder.close()
        self._read = True
        if self._read_to_end is not None:
            self._read_to_end.set()
        return parts.joined()

    async def gone(self) -> None:
        """Waits for `read` to end, and returns when the client has left.

        Raises:
            StatusError: DEADLINE_EXCEEDED, the body did not arrive in time.
        """
        if not self._read:
            self._read_to_end = asyncio.Event()
            try:
                async with asyncio.timeout_at(self._deadline):
                    await self._read_to_end.wait()
            except TimeoutError:
                late = "the body did not arrive in time"
                raise StatusError.of(DEADLINE_EXCEEDED, late) from None
        await self._body.gone()


class _Parts:
    """The parts of a body, of which all together have a limit."""

    __slots__ = ("_limit", "_parts", "_size")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._parts: list[bytes] = []
        self._size = 0

    def append(self, part: bytes) -> None:
        """Adds a part.

        Raises:
            StatusError: 413, it is one too many.
        """
        self._size += len(part)
        if self._size > self._limit:
            raise body_too_large(self._limit)
        self._parts.append(part)

    async def decode(self, data: bytes, decoder: ContentDecoder) -> None:
        """Adds data that have a coding.

        Raises:
            StatusError: they are not of it, or too much.
        """
        for number, piece in enumerate(decoder.feed(data)):
            if number:
                await asyncio.sleep(0)
            self.append(piece)

    def joined(self) -> bytes:
        """Returns the body."""
        return self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)


class UploadBody:
    """A body that is a stream of messages."""

    def __init__(self, body: RequestBody, count: Callable[[int], None] | None = None) -> None:
        self._body = body
        self._count = count
        self._ahead: ReadAhead[bytes | None] = ReadAhead()

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yields the body as it arrives, which is as `gone` reads it."""
        while (chunk := await self._ahead.take()) is not None:
            yield chunk

    async def gone(self) -> None:
        """Reads the body, and returns when the client has left."""
        while not self._body.ended:
            await self._ahead.room()
            try:
                part = await self._body.read()
            except ClientGone:
                return
            if part:
                if self._count is not None:
                    self._count(len(part))
                self._ahead.append(part, len(part))
        self._ahead.append(None, 0)
        await self._body.gone()


def body_too_large(limit: int) -> StatusError:
    """Makes the error for a body that is longer than one message may be."""
    return StatusError.of(
        RESOURCE_EXHAUSTED, f"the body is larger than {limit} bytes", http_status=413
    )
