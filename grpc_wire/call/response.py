"""The messages of an answer, from their bytes until the caller asks for them.

One of many is decompressed when it is asked for, and counts against the stream's window until then. An only
one is decompressed as soon as it is there, in its connection's turn, for the end of the call is told when it
is known to be readable; and its bytes do not count, for nobody takes it before the end, and nghttp2 sends
that into an open window alone.
"""

from __future__ import annotations

from collections import deque
from functools import lru_cache
from typing import ClassVar, Final, NamedTuple, TypeAlias

from grpc_wire.call.message import ENCODINGS, IDENTITY, Compressed, MessageFault, MessageReader
from grpc_wire.call.metadata import Metadata, from_headers
from grpc_wire.call.status import INTERNAL, UNIMPLEMENTED, Status, from_answer
from grpc_wire.headers.section import Headers

_WORTH_TELLING: Final = 8 * 1024
"""Bytes of a message that were read; fewer leave the window of a stream open."""


class ManyResponses:
    """What has come of an answer that is a stream.

    Attributes:
        missing: how many bytes of the message that has begun are still to come.
        messages: those that were not taken, as they came, and how many bytes count as read by taking them.
    """

    __slots__ = ("_reader", "_unread", "messages", "missing")

    packed: ClassVar[None] = None
    """None of them is decompressed before it is taken."""

    def __init__(self, limit: int, encoding: str) -> None:
        self.missing = 0
        self.messages: deque[tuple[bytes | Compressed, int]] = deque()
        self._reader = MessageReader(limit, encoding)
        self._unread = 0

    def feed(self, data: bytes) -> int:
        """Takes bytes; returns how many count as read.

        Raises:
            MessageFault: something in them cannot be a message; those before it were kept.
        """
        reader = self._reader
        messages = reader.feed(data)
        self._unread += len(data)
        if messages:
            self.messages.extend([(message, 0) for message in messages[:-1]])
            self.messages.append((messages[-1], self._unread))  # it stands for all of them
            self._unread = 0
        if reader.fault is not None:
            raise reader.fault
        self.missing = reader.missing
        return 0

    def take(self) -> tuple[bytes, int]:
        """Takes the first message; returns it, and how many bytes count as read by that.

        Raises:
            MessageFault: it cannot be decompressed.
        """
        message, size = self.messages.popleft()
        return self._reader.plain(message), size

    def check_end(self) -> None:
        """Sees to it that the answer may end here.

        Raises:
            MessageFault: it may not.
        """
        if self._reader.partial:
            raise _not_whole()


class OneResponse:
    """What has come of an answer that is one message; attributes and methods are those of many.

    Attributes:
        packed: the message, if it is not decompressed yet.
    """

    __slots__ = ("_reader", "_unread", "messages", "missing", "packed")

    def __init__(self, limit: int, encoding: str) -> None:
        self.missing = 0
        self.messages: list[bytes] = []
        self.packed: Compressed | None = None
        self._reader = MessageReader(limit, encoding)
        self._unread = 0

    def feed(self, data: bytes) -> int:
        """Takes bytes; returns how many count as read; see `ManyResponses`."""
        reader = self._reader
        for message in reader.feed(data):
            if self.messages or self.packed is not None:
                raise MessageFault(UNIMPLEMENTED, "more than one response came")
            if isinstance(message, Compressed):
                self.packed = message
            else:
                self.messages.append(message)
        if reader.fault is not None:
            raise reader.fault
        self.missing = reader.missing
        self._unread += len(data)
        if self._unread < _WORTH_TELLING:
            return 0
        read, self._unread = self._unread, 0
        return read

    def unpack(self) -> int:
        """Decompresses the message; returns how many bytes it has.

        Raises:
            MessageFault: it cannot be decompressed.
        """
        packed, self.packed = self.packed, None
        message = b"" if packed is None else self._reader.plain(packed)
        self.messages.append(message)
        return len(message)

    def take(self) -> tuple[bytes, int]:
        """Takes the message; see `ManyResponses`."""
        return self.messages.pop(), 0

    def check_end(self) -> None:
        """Sees to it that the answer may end here; see `ManyResponses`."""
        if self._reader.partial:
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


class AnswerHead(NamedTuple):
    """What it says."""

    wrong: Status | None
    """What it stands for if it is not gRPC's."""
    unreadable: Status | None
    """What it stands for if there are messages, and nobody here can read them."""
    encoding: str
    """Of the messages."""
    metadata: Metadata


@lru_cache(maxsize=64)
def read_head(headers: Headers) -> AnswerHead:
    """Reads the head of an answer."""
    encoding = dict(headers).get(b"grpc-encoding", IDENTITY.encode()).decode("latin-1")
    unreadable = None
    if encoding not in ENCODINGS:
        reason = f"the answer has a grpc-encoding that is not known: {encoding!r}"
        unreadable = Status(INTERNAL, reason)
    return AnswerHead(from_answer(headers), unreadable, encoding, from_headers(headers))
