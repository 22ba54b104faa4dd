"""The streams of one connection, and what is known of those that are closed.

Source: RFC 9113, section 5.1 (stream states).
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import Final, NamedTuple

from grpc_wire.headers.section import Headers
from grpc_wire.http2.errors import ConnectionFault, ErrorCode
from grpc_wire.http2.limits import TINY, Budget, Limits

LARGEST_ID: Final = 2**31 - 1
_PRICE: Final = 2
"""What an early reset costs a client, where an answer earns 1."""
_SECTIONS: Final = 2
"""Header sections of one answer: its head, and its trailers."""
_LITTLE: Final = 4
"""Frames with less than `TINY` bytes that a stream's window has room for, beside large ones that they end."""


class Role(Enum):
    """Which side of the connection this is."""

    CLIENT = 0
    SERVER = 1


_REMEMBERED: Final[Mapping[Role, int]] = MappingProxyType({Role.CLIENT: 8192, Role.SERVER: 1024})
"""Streams that this side has reset, of which frames may still be under way: a client may give up at once as
many as it has open."""


class SendQueue:
    """Bytes, in their order.

    Attributes:
        size: how many wait.
    """

    __slots__ = ("_first", "_rest", "size")

    def __init__(self) -> None:
        self.size = 0
        self._first = memoryview(b"")
        self._rest = bytearray()

    def add(self, data: bytes) -> None:
        """Puts data behind what waits."""
        self.size += len(data)
        if self._first:
            self._rest += data
        else:
            self._first = memoryview(data)

    def take(self, size: int) -> memoryview:
        """Takes so many, which there must be."""
        self.size -= size
        if size > len(self._first):
            self._join()
        taken, self._first = self._first[:size], self._first[size:]
        if not self._first:
            self._join()
        return taken

    def _join(self) -> None:
        self._first = memoryview(b"".join((self._first, self._rest)))
        self._rest = bytearray()


@dataclass(slots=True)
class GivenUp:
    """What may still come, and was under way, of a stream that this side has reset.

    Attributes:
        window: bytes of data; below 0 if more came than the peer was allowed to send.
        sections: header sections.
        little: frames with next to no data.
    """

    window: int
    sections: int = _SECTIONS
    little: int = _LITTLE

    def takes(self, size: int) -> bool:
        """Counts a frame of data; whether it may have been under way."""
        self.window -= size
        if size < TINY:
            self.little -= 1
        return self.window >= 0 and self.little >= 0


class Lingering(NamedTuple):
    """A stream that a client has given up, of which the server is not told yet."""

    due: float
    """When it is to be told, on the clock of the budget of resets."""
    code: ErrorCode
    sent_end: bool
    """Whether all of the request was sent."""


@dataclass(slots=True, eq=False)
class Stream:
    """One stream that is not closed."""

    id: int
    send_window: int
    """What the peer lets this side send; below 0 where the peer has changed its mind (6.9.2)."""
    receive_window: int
    """What this side lets the peer send."""
    since: float = 0.0
    """When the client has opened it, on the clock of the budget of resets."""
    held: int = 0
    """Bytes that came and were not read yet."""
    queue: SendQueue | None = None
    """Data that waits for windows, or for the transport; None if there is none."""
    trailers: Headers | None = None
    """What ends this side when the queue is empty."""
    ending: bool = False
    """Whether this side ends when the queue is empty."""
    answered: bool = False
    """Whether this side has sent something."""
    received_headers: bool = False
    sent_end: bool = False
    received_end: bool = False
    missing: int | None = None
    """Bytes of the body that are still to come, where content-length said how many (8.1.1)."""

    @property
    def queued(self) -> int:
        """How many bytes wait."""
        return 0 if self.queue is None else self.queue.size

    def fits(self, size: int, *, end_stream: bool) -> bool:
        """Counts a piece of the body; whether content-length has it so (8.1.1)."""
        if self.missing is None:
            return True
        self.missing -= size
        return self.missing == 0 if end_stream else self.missing >= 0


class Streams:
    """Those that are open, by id."""

    def __init__(
        self, role: Role, resets: Budget, clock: Callable[[], float], limits: Limits
    ) -> None:
        self.role = role
        self.clock = clock
        self.now = clock()
        """When bytes last came, on that clock."""
        self.open: dict[int, Stream] = {}
        self.last_from_peer = 0
        """The highest id of a stream that the peer has opened."""
        self.next_own = 1
        """The id of the next stream that a client opens."""
        self.closing = False
        """Whether no new streams begin: one of the two sides goes away, or all ids are used."""
        self.lingering: dict[int, Lingering] = {}
        """Those that a client has given up early; the server still counts them as open."""
        self.early_resets = Budget(_PRICE * limits.early_resets, math.inf, clock)
        """Those that a client may reset early; what each answer earns is half of one."""
        self._reset: OrderedDict[int, GivenUp] = OrderedDict()
        self._remembered = _REMEMBERED[role]
        self._resets = resets
        self._rapid = limits.rapid
        self._early = limits.early

    def close(self, stream: Stream) -> None:
        """Forgets a stream that has ended on both sides, or was reset by the peer."""
        self.open.pop(stream.id, None)

    def close_if_ended(self, stream: Stream) -> None:
        """Forgets a stream if both sides have ended it."""
        if stream.sent_end and stream.received_end:
            del self.open[stream.id]

    def remember_reset(self, stream_id: int, window: int = 0) -> None:
        """Remembers that this side has reset a stream, so that what is under way is passed over.

        `window` is what the peer may send on it, if it was never open.
        """
        stream = self.open.pop(stream_id, None)
        if stream is not None:
            window = stream.receive_window
        self._reset.setdefault(stream_id, GivenUp(window))
        if len(self._reset) > self._remembered:
            self._reset.popitem(last=False)

    @property
    def used(self) -> int:
        """How many streams the peer counts as open."""
        return len(self.open) + len(self.lingering)

    def linger(self, stream: Stream, code: ErrorCode) -> bool:
        """Counts a stream that this side gives up; returns whether a client is to reset it later.

        It is, if it would be one more than a client may reset early and before an answer.
        """
        if self.role is Role.SERVER or stream.received_headers:
            return False
        due = stream.since + self._early
        if self.clock() >= due or self.early_resets.spend(_PRICE):
            return False
        self.lingering[stream.id] = Lingering(due, code, stream.sent_end)
        return True

    def count_given_up(self, stream: Stream) -> None:
        """Counts a stream that the peer has reset, or has made this side reset by a fault.

        One that was open for long is not counted: of those there are no more than may be open at once.

        Raises:
            ConnectionFault: there were too many that a server had begun to answer, for nothing.
        """
        begun = self.role is Role.SERVER and stream.received_headers
        if not begun or stream.answered or self.clock() - stream.since >= self._rapid:
            return
        if not self._resets.spend():
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "streams are opened and given up")

    def given_up(self, stream_id: int) -> GivenUp | None:
        """Returns what may still come of a stream that this side has reset; None if it has not, lately."""
        return self._reset.get(stream_id)

    def is_idle(self, stream_id: int) -> bool:
        """Whether a stream was never opened (5.1.1)."""
        if self.role is Role.SERVER:
            return stream_id > self.last_from_peer or stream_id % 2 == 0
        return stream_id >= self.next_own or stream_id % 2 == 0
