"""The client's side of one exchange: what it sends, and that it leaves.

ASGI reports both through the one `receive`, which only one task may await at a time. A body that is one
message is read to its end first, while `gone` waits for that or the deadline; then `gone` awaits the
disconnect. Of a stream `gone` is the reader: it reads ahead of the consumer (`gateway.edge.read_ahead`), so
that a disconnect is noticed while nothing is consumed. While the read-ahead is full nothing is read, so a
disconnect behind unread data is noticed later.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from enum import Enum
from types import TracebackType
from typing import Self

from gateway.edge.read_ahead import ReadAhead
from gateway.edge.types import Receive
from gateway.transcoding.content_coding import ContentDecoder, content_decoder
from gateway.transcoding.deadline import Deadline
from gateway.transcoding.status import (
    DEADLINE_EXCEEDED,
    RESOURCE_EXHAUSTED,
    UNAVAILABLE,
    StatusError,
)


class ClientGone(Exception):
    """The client has left; there is nobody to answer."""


class HttpClient:
    """The body of one HTTP request that is one message."""

    def __init__(self, receive: Receive, deadline: Deadline) -> None:
        """Takes the request, and when its body has to be there."""
        self._receive = receive
        self._deadline = deadline
        self._read = False
        self._read_to_end: asyncio.Event | None = None

    async def body(self, limit: int, content_encoding: str = "") -> bytes:
        """Reads the whole body, and decodes it where it has a coding, a piece a turn of the loop.

        Raises:
            StatusError: 413, it is longer than `limit` bytes, as it comes or decoded; 415, its coding is not
                known here; INVALID_ARGUMENT, its data are not of its coding.
            ClientGone: the client left before its end.
        """
        parts = _Parts(limit)
        size = 0
        decoder: ContentDecoder | None = None
        more = True
        while more:
            event = await self._receive()
            if event["type"] == "http.disconnect":
                raise ClientGone
            more = event.get("more_body", False)
            if part := event.get("body", b""):
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
        """Waits for `body` to read to the end, and returns when the client has left.

        Raises:
            StatusError: DEADLINE_EXCEEDED, the body did not arrive in time.
        """
        if not self._read:
            self._read_to_end = asyncio.Event()
            try:
                async with asyncio.timeout_at(self._deadline.at):
                    await self._read_to_end.wait()
            except TimeoutError:
                late = "the body did not arrive in time"
                raise StatusError.of(DEADLINE_EXCEEDED, late) from None
        await _disconnect(self._receive)


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


class UploadClient:
    """The body of one HTTP request that is a stream of messages."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._ahead: ReadAhead[bytes | None] = ReadAhead()

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yields the body as it arrives, which is as `gone` reads it."""
        while (chunk := await self._ahead.take()) is not None:
            yield chunk

    async def gone(self) -> None:
        """Reads the body, and returns when the client has left."""
        more = True
        while more:
            await self._ahead.room()
            event = await self._receive()
            if event["type"] == "http.disconnect":
                return
            more = event.get("more_body", False)
            if chunk := event.get("body", b""):
                self._ahead.append(chunk, len(chunk))
        self._ahead.append(None, 0)
        await _disconnect(self._receive)


async def _disconnect(receive: Receive) -> None:
    """Waits for the client to leave, after the end of its body."""
    if (await receive())["type"] != "http.disconnect":
        # a middleware that gives the body again cannot tell when the client leaves
        await asyncio.get_running_loop().create_future()


def body_too_large(limit: int) -> StatusError:
    """Makes the error for a body that is longer than one message may be."""
    return StatusError.of(
        RESOURCE_EXHAUSTED, f"the body is larger than {limit} bytes", http_status=413
    )


class Interruption(Enum):
    """Why a block ended that would have gone on."""

    CLIENT_GONE = "the client has left"
    SHUTDOWN = "the server is shutting down"


class Attendance:
    """A block that ends at once when the client leaves, or when the edge shuts down.

    It is to its task what `asyncio.timeout` is: the task is cancelled, and what comes out of the block is
    ClientGone, or a StatusError with UNAVAILABLE. Source of the pattern: `asyncio.timeouts`.
    """

    def __init__(
        self,
        gone: Callable[[], Awaitable[None]],
        attendances: set[Attendance] | None = None,
        *,
        patience: float = 0,
    ) -> None:
        """Makes the block.

        Args:
            gone: returns when the client has left; what it raises comes out of the block.
            attendances: where whoever shuts the edge down finds this block, to interrupt it; None for a
                block that will end soon by itself, and is let finish.
            patience: seconds before it looks for the client at all. A block that has ended by then is
                spared a task, which costs more than all that is said in its request.
        """
        self._gone = gone
        self._patience = patience
        self._attendances = attendances
        self.interruption: Interruption | None = None
        self._reason: Exception | None = None

    def __enter__(self) -> Self:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a client is attended by a task")
        self.task = task
        self._cancelling = task.cancelling()
        self._watch: asyncio.TimerHandle | asyncio.Task[None]
        if self._patience:
            loop = asyncio.get_running_loop()
            self._watch = loop.call_later(self._patience, self._begin_watching)
        else:
            self._begin_watching()
        if self._attendances is not None:
            self._attendances.add(self)
        return self

    def _begin_watching(self) -> None:
        self._watch = asyncio.ensure_future(self._watching())

    async def _watching(self) -> None:
        try:
            await self._gone()
        except Exception as error:
            self._reason = error
        self.interrupt(Interruption.CLIENT_GONE)

    def interrupt(self, interruption: Interruption) -> None:
        """Ends the block; the first reason counts."""
        if self.interruption is None:
            self.interruption = interruption
            self.task.cancel()

    def end(self) -> None:
        """Looks for the client no longer; the block goes on."""
        self._watch.cancel()

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        if self._attendances is not None:
            self._attendances.discard(self)
        self._watch.cancel()
        if self.interruption is None or self.task.uncancel() > self._cancelling:
            return
        if error_type is None or issubclass(error_type, asyncio.CancelledError):
            if self.interruption is Interruption.CLIENT_GONE:
                raise self._reason or ClientGone
            raise StatusError.of(UNAVAILABLE, self.interruption.value)
