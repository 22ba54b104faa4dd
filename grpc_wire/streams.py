"""The streams of one connection, and what is known of those that are closed.

Source: RFC 9113, section 5.1 (stream states).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Final

from grpc_wire.budget import Budget
from grpc_wire.errors import ConnectionFault, ErrorCode
from grpc_wire.events import Headers
from grpc_wire.send_queue import SendQueue

LARGEST_ID: Final = 2**31 - 1
_REMEMBERED: Final = 1024
"""Streams that this side has reset, of which frames may still be under way."""


class Role(Enum):
    """Which side of the connection this is."""

    CLIENT = 0
    SERVER = 1


@dataclass(slots=True, eq=False)
class Stream:
    """One stream that is not closed."""

    id: int
    send_window: int
    """What the peer lets this side send; below 0 where the peer has changed its mind (6.9.2)."""
    receive_window: int
    """What this side lets the peer send."""
    since: float = 0.0
    """When a client has opened it, on the clock of the budget of resets."""
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
        self, role: Role, resets: Budget, clock: Callable[[], float], rapid: float
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
        self._reset: OrderedDict[int, None] = OrderedDict()
        self._resets = resets
        self._rapid = rapid

    def close(self, stream: Stream) -> None:
        """Forgets a stream that has ended on both sides, or was reset by the peer."""
        self.open.pop(stream.id, None)

    def close_if_ended(self, stream: Stream) -> None:
        """Forgets a stream if both sides have ended it."""
        if stream.sent_end and stream.received_end:
            del self.open[stream.id]

    def remember_reset(self, stream_id: int) -> None:
        """Remembers that this side has reset a stream, so that what is under way is passed over."""
        self.open.pop(stream_id, None)
        self._reset[stream_id] = None
        if len(self._reset) > _REMEMBERED:
            self._reset.popitem(last=False)

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

    def was_reset(self, stream_id: int) -> bool:
        """Whether this side may have reset the stream, lately.

        A client gives up as many at once as it has open, and a server sends nothing of its own accord: all
        that comes of a client's stream that is closed may have been under way.
        """
        if self.role is Role.CLIENT:
            return not self.is_idle(stream_id)
        return stream_id in self._reset

    def is_idle(self, stream_id: int) -> bool:
        """Whether a stream was never opened (5.1.1)."""
        if self.role is Role.SERVER:
            return stream_id > self.last_from_peer or stream_id % 2 == 0
        return stream_id >= self.next_own or stream_id % 2 == 0
