"""The messages of an answer, from their bytes until the caller asks for them.

One of many is decompressed when it is asked for, and counts against the stream's window until then. An only
one is wanted as soon as it is there, for the end of the call is told when it is known to be readable; and its
bytes do not count, for nobody takes it before the end, and nghttp2 sends that into an open window alone.
"""

from __future__ import annotations

from collections import deque

from grpc_wire.codes import UNIMPLEMENTED
from grpc_wire.message import Compressed, MessageFault, MessageReader


class Responses:
    """What has come of one answer."""

    __slots__ = ("_messages", "_only", "_reader", "_unread")

    def __init__(self, limit: int, encoding: str, *, only: bool) -> None:
        """Takes the limit and the encoding of messages, and whether there is to be but one."""
        self._reader = MessageReader(limit, encoding)
        self._only = only
        self._messages: deque[tuple[bytes | Compressed, int]] = deque()
        self._unread = 0

    def __len__(self) -> int:
        """How many messages have come that were not taken."""
        return len(self._messages)

    @property
    def missing(self) -> int:
        """How many bytes of the message that has begun are still to come."""
        return self._reader.missing

    @property
    def partial(self) -> bool:
        """Whether a message has begun that is not whole."""
        return self._reader.partial

    def feed(self, data: bytes) -> int:
        """Takes bytes; returns how many of them count as read at once.

        Raises:
            MessageFault: something in them cannot be a message; those before it were kept.
        """
        reader = self._reader
        messages = reader.feed(data)
        if self._only:
            for message in messages:
                if self._messages:
                    raise MessageFault(UNIMPLEMENTED, "more than one response came")
                self._messages.append((reader.plain(message), 0))
        else:
            self._unread += len(data)
            if messages:
                self._messages.extend([(message, 0) for message in messages[:-1]])
                self._messages.append((messages[-1], self._unread))  # it stands for all of them
                self._unread = 0
        if reader.fault is not None:
            raise reader.fault
        return len(data) if self._only else 0

    def take(self) -> tuple[bytes | Compressed | None, int]:
        """Takes the first message, if there is one, as it came; says how many bytes count as read by that."""
        return self._messages.popleft() if self._messages else (None, 0)

    def plain(self, message: Compressed) -> bytes:
        """Returns a message decompressed.

        Raises:
            MessageFault: that cannot be.
        """
        return self._reader.plain(message)

    def clear(self) -> None:
        """Forgets what was not taken."""
        self._messages.clear()
