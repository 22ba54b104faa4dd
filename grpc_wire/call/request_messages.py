"""Messages of a request, as its handler reads them.

Bytes are parsed, decompressed and counted as read when the handler asks for a message. So the client's
window stays closed while the handler does not read.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Final, cast

from grpc_wire.call.message import (
    IDENTITY,
    CompressedMessage,
    MessageFault,
    MessageReader,
    single_message,
)
from grpc_wire.call.status import INTERNAL

_NONE: Final[Iterator[bytes]] = iter(())
_JOINED_BYTES: Final = 16 * 1024
"""Chunks are joined up to this many bytes before parsing; a larger one is not copied."""


class RequestMessages:
    """Received bytes of one request, and the messages in them.

    Attributes:
        half_closed: whether nothing more will come.
        bytes_consumed: bytes parsed since the owner has set it to 0.
        parsed: uncompressed messages that are parsed; may be read directly.
    """

    __slots__ = (
        "_chunks",
        "_limits",
        "_messages",
        "_reader",
        "bytes_consumed",
        "half_closed",
        "parsed",
    )

    def __init__(
        self, limit: int, encoding: str, data: bytes = b"", *, half_closed: bool = False
    ) -> None:
        """Starts with the data that came with the headers.

        Args:
            limit: maximum bytes of a message; -1 is no limit.
            encoding: `grpc-encoding` of the request.
            data: received bytes.
            half_closed: whether these are all.
        """
        self.half_closed = half_closed
        self.bytes_consumed = 0
        self._limits = limit, encoding
        self._reader: MessageReader | None = None
        self._chunks = deque((data,)) if data else deque[bytes]()
        self._messages: Iterator[bytes | CompressedMessage] = _NONE
        self.parsed: Iterator[bytes] = _NONE

    @property
    def missing(self) -> int:
        """Bytes still to come of the incomplete message."""
        return 0 if self._reader is None else self._reader.missing

    def append(self, chunk: bytes, *, half_closed: bool) -> None:
        """Adds received bytes."""
        self._chunks.append(chunk)
        self.half_closed = half_closed

    def take(self) -> bytes | None:
        """Returns the next message; None if it has not come, or, once half-closed, if there are no more.

        Raises:
            MessageFault: it is invalid.
        """
        message = next(self._messages, None)
        if message is None:
            message = self._parse()
        return (
            self._message_reader().decompress(message)
            if isinstance(message, CompressedMessage)
            else message
        )

    def _parse(self) -> bytes | CompressedMessage | None:
        """Parses received bytes; returns the first message."""
        reader = self._message_reader()
        while self._chunks and reader.fault is None:
            data = self._next()
            self._messages = messages = iter(reader.feed(data))
            if self._limits[1] == IDENTITY:
                self.parsed = cast("Iterator[bytes]", messages)
            self.bytes_consumed += len(data)
            message = next(self._messages, None)
            if message is not None:
                return message
        if reader.fault is not None:
            raise reader.fault
        if self.half_closed and reader.has_partial:
            raise MessageFault(INTERNAL, "the request ends within a message")
        return None

    def _message_reader(self) -> MessageReader:
        """Returns the reader. A request that is a single message in one piece needs none."""
        reader = self._reader = self._reader or MessageReader(*self._limits)
        return reader

    def _next(self) -> bytes:
        """Removes and returns the next chunk, small ones joined."""
        chunks = self._chunks
        taken = [chunks.popleft()]
        size = len(taken[0])
        while chunks and size + len(chunks[0]) <= _JOINED_BYTES:
            size += len(chunks[0])
            taken.append(chunks.popleft())
        return b"".join(taken)

    def take_single(self) -> bytes | None:
        """Returns the message of a complete request that came in one piece.

        None, and nothing changes, for any other request.
        """
        if not self.half_closed or len(self._chunks) != 1 or self._reader is not None:
            return None
        message = single_message(self._chunks[0], self._limits[0])
        if message is not None:
            self._chunks.clear()
        return message

    def close(self) -> None:
        """Discards what was not read."""
        self._chunks.clear()
        self._messages = self.parsed = _NONE
        self.half_closed = True
