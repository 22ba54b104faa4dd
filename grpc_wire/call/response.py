"""A response as a client reads it: headers and messages.

A message of a stream is decompressed when the caller reads it, and counts against the stream's window until
then. The single message of a unary response is decompressed on arrival, in its connection's turn: the call
ends only when it is known to be readable. Its bytes do not count, because no caller reads it before the end,
and nghttp2 sends trailers only into an open window.
"""

from __future__ import annotations

from functools import lru_cache
from typing import ClassVar, Final, NamedTuple, TypeAlias

from grpc_wire.call.message import (
    ENCODINGS,
    IDENTITY,
    CompressedMessage,
    MessageFault,
    MessageReader,
)
from grpc_wire.call.metadata import Metadata, from_headers
from grpc_wire.call.status import INTERNAL, UNIMPLEMENTED, Status, from_response
from grpc_wire.headers.section import Headers

_UPDATE_BYTES: Final = 8 * 1024
"""Bytes of a unary response after which they are reported as read; fewer leave the window open anyway."""

_Unread: TypeAlias = tuple[bytes | CompressedMessage, int]


class ManyResponses:
    """Messages of a streamed response.

    Attributes:
        missing: bytes still to come of the incomplete message.
        messages: unread messages as received, the next one last, each with the bytes that count as read when
            it is read; empty where none is left at all.
    """

    __slots__ = ("_later", "_reader", "_unread", "messages", "missing")

    compressed: ClassVar[None] = None
    """Nothing is decompressed before it is read."""

    def __init__(self, limit: int, encoding: str) -> None:
        self.missing = 0
        self.messages: list[_Unread] = []
        self._later: list[_Unread] | None = None
        """Messages behind all of those, in order. Two lists, because a deque takes 600 bytes at least."""
        self._reader = MessageReader(limit, encoding)
        self._unread = 0

    def feed(self, data: bytes) -> int:
        """Parses received bytes; returns how many count as read.

        Raises:
            MessageFault: a message is invalid; those before it are kept.
        """
        reader = self._reader
        messages = reader.feed(data)
        self._unread += len(data)
        if messages:
            unread: list[_Unread] = [(message, 0) for message in messages]
            unread[-1] = messages[-1], self._unread  # it stands for all of them
            self._unread = 0
            if not self.messages:
                unread.reverse()
                self.messages = unread
            elif self._later is None:
                self._later = unread
            else:
                self._later += unread
        if reader.fault is not None:
            raise reader.fault
        self.missing = reader.missing
        return 0

    def take(self) -> tuple[bytes, int]:
        """Removes the first message; returns it, and the bytes that count as read now.

        Raises:
            MessageFault: it cannot be decompressed.
        """
        message, size = self.messages.pop()
        if not self.messages and self._later is not None:
            self._later.reverse()
            self.messages, self._later = self._later, None
        if isinstance(message, bytes):
            return message, size
        return self._reader.decompress(message), size

    def check_end(self) -> None:
        """Checks that the response may end here.

        Raises:
            MessageFault: it may not.
        """
        if self._reader.has_partial:
            raise _not_whole()

    def clear(self) -> None:
        """Drops all messages."""
        self.messages.clear()
        self._later = None


class OneResponse:
    """Message of a unary response; same interface as `ManyResponses`.

    Attributes:
        compressed: the message, as long as it is not decompressed.
    """

    __slots__ = ("_reader", "_unread", "compressed", "messages", "missing")

    def __init__(self, limit: int, encoding: str) -> None:
        self.missing = 0
        self.messages: list[bytes] = []
        self.compressed: CompressedMessage | None = None
        self._reader = MessageReader(limit, encoding)
        self._unread = 0

    def feed(self, data: bytes) -> int:
        """Parses received bytes; returns how many count as read; see `ManyResponses`."""
        reader = self._reader
        for message in reader.feed(data):
            if self.messages or self.compressed is not None:
                raise MessageFault(UNIMPLEMENTED, "more than one response came")
            if isinstance(message, CompressedMessage):
                self.compressed = message
            else:
                self.messages.append(message)
        if reader.fault is not None:
            raise reader.fault
        self.missing = reader.missing
        self._unread += len(data)
        if self._unread < _UPDATE_BYTES:
            return 0
        read, self._unread = self._unread, 0
        return read

    def decompress(self) -> int:
        """Decompresses the message; returns its size in bytes.

        Raises:
            MessageFault: it cannot be decompressed.
        """
        packed, self.compressed = self.compressed, None
        message = b"" if packed is None else self._reader.decompress(packed)
        self.messages.append(message)
        return len(message)

    def take(self) -> tuple[bytes, int]:
        """Removes the message; see `ManyResponses`."""
        return self.messages.pop(), 0

    def clear(self) -> None:
        """Drops the message."""
        self.messages.clear()

    def check_end(self) -> None:
        """Checks that the response may end here; see `ManyResponses`."""
        if self._reader.has_partial:
            raise _not_whole()
        if not self.messages:
            raise MessageFault(UNIMPLEMENTED, "no response came")


Responses: TypeAlias = OneResponse | ManyResponses


def responses_of(limit: int, encoding: str, *, only_one: bool) -> Responses:
    """Returns what collects the messages of one call.

    Args:
        limit: bytes of the largest message; -1 is no limit.
        encoding: `grpc-encoding` of the response.
        only_one: whether the method has a single response.
    """
    return OneResponse(limit, encoding) if only_one else ManyResponses(limit, encoding)


def _not_whole() -> MessageFault:
    return MessageFault(INTERNAL, "the last message is not whole")


class ResponseHead(NamedTuple):
    """What the headers of a response say."""

    not_grpc: Status | None
    """Status that the response stands for, if it is not gRPC's."""
    unsupported: Status | None
    """Status if its messages have an encoding that is not supported."""
    encoding: str
    """`grpc-encoding` of the messages."""
    metadata: Metadata


@lru_cache(maxsize=64)
def read_response_headers(headers: Headers) -> ResponseHead:
    """Reads the headers of a response; cached."""
    encoding = dict(headers).get(b"grpc-encoding", IDENTITY.encode()).decode("latin-1")
    unreadable = None
    if encoding not in ENCODINGS:
        reason = f"the answer has a grpc-encoding that is not known: {encoding!r}"
        unreadable = Status(INTERNAL, reason)
    return ResponseHead(from_response(headers), unreadable, encoding, from_headers(headers))
