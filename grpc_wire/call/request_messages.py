"""The messages of a request, from their bytes until whoever handles the call asks for them.

Bytes are cut, decompressed and counted as read when a message is asked for, and no sooner: of a handler that
does not read, the client's window stays closed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Final, cast

from grpc_wire.call.message import IDENTITY, Compressed, MessageFault, MessageReader, only
from grpc_wire.call.status import INTERNAL

_NONE: Final[Iterator[bytes]] = iter(())
_AT_ONCE: Final = 16 * 1024
"""Bytes that are cut together, of chunks that are smaller; a large one is not copied."""


class Received:
    """What has come of one request.

    Attributes:
        half_closed: whether nothing more will come.
        read: how many bytes were read since somebody has set it to 0.
        cut: messages that may be taken without asking, for they are cut, and none of them is compressed.
    """

    __slots__ = ("_chunks", "_limits", "_messages", "_reader", "cut", "half_closed", "read")

    def __init__(
        self, limit: int, encoding: str, data: bytes = b"", *, half_closed: bool = False
    ) -> None:
        """Takes the limit and the encoding of messages, and what has come already."""
        self.half_closed = half_closed
        self.read = 0
        self._limits = limit, encoding
        self._reader: MessageReader | None = None
        self._chunks = deque((data,)) if data else deque[bytes]()
        self._messages: Iterator[bytes | Compressed] = _NONE
        self.cut: Iterator[bytes] = _NONE

    @property
    def missing(self) -> int:
        """How many bytes of the message that has begun are still to come."""
        return 0 if self._reader is None else self._reader.missing

    def append(self, chunk: bytes, *, half_closed: bool) -> None:
        """Takes bytes."""
        self._chunks.append(chunk)
        self.half_closed = half_closed

    def take(self) -> bytes | None:
        """Takes the next message; None if it is not there yet, or, once half-closed, if there is none.

        Raises:
            MessageFault: it cannot be a message.
        """
        message = next(self._messages, None)
        if message is None:
            message = self._cut()
        return self._read_by().plain(message) if isinstance(message, Compressed) else message

    def _cut(self) -> bytes | Compressed | None:
        """Cuts what has come into messages; returns the first."""
        reader = self._read_by()
        while self._chunks and reader.fault is None:
            data = self._next()
            self._messages = messages = iter(reader.feed(data))
            if self._limits[1] == IDENTITY:
                self.cut = cast("Iterator[bytes]", messages)
            self.read += len(data)
            message = next(self._messages, None)
            if message is not None:
                return message
        if reader.fault is not None:
            raise reader.fault
        if self.half_closed and reader.partial:
            raise MessageFault(INTERNAL, "the request ends within a message")
        return None

    def _read_by(self) -> MessageReader:
        """Returns the reader, which a request of one message in one piece does without."""
        reader = self._reader = self._reader or MessageReader(*self._limits)
        return reader

    def _next(self) -> bytes:
        """Takes a chunk, or several that are small."""
        chunks = self._chunks
        taken = [chunks.popleft()]
        size = len(taken[0])
        while chunks and size + len(chunks[0]) <= _AT_ONCE:
            size += len(chunks[0])
            taken.append(chunks.popleft())
        return b"".join(taken)

    def only(self) -> bytes | None:
        """Takes the message of a request that has ended and came in one piece; else takes nothing."""
        if not self.half_closed or len(self._chunks) != 1 or self._reader is not None:
            return None
        message = only(self._chunks[0], self._limits[0])
        if message is not None:
            self._chunks.clear()
        return message

    def close(self) -> None:
        """Forgets what was not taken: nobody is to take it."""
        self._chunks.clear()
        self._messages = self.cut = _NONE
        self.half_closed = True
