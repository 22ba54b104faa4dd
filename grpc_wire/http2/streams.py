"""The streams of one connection: open ones, and what may still arrive of those that were reset.

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
_EARLY_RESET_COST: Final = 2
"""What an early reset spends; a response earns 1."""
_HEADER_SECTIONS: Final = 2
"""Header sections of a response: its head, and trailers."""
_SMALL_FRAMES: Final = 4
"""Frames with less than `TINY` bytes that a window has room for beside large ones: they end messages."""


class Role(Enum):
    """Which side of the connection this is."""

    CLIENT = 0
    SERVER = 1


_REMEMBERED: Final[Mapping[Role, int]] = MappingProxyType({Role.CLIENT: 8192, Role.SERVER: 1024})
"""How many reset streams are remembered, because frames may still arrive. A client may cancel all its open
streams at once."""


class SendQueue:
    """Data that waits to be sent. A large message is queued as it was given, not copied.

    Attributes:
        size: bytes that wait.
    """

    __slots__ = ("_first", "_rest", "size")

    def __init__(self) -> None:
        self.size = 0
        self._first = memoryview(b"")
        self._rest = bytearray()

    def add(self, data: bytes) -> None:
        """Appends data."""
        self.size += len(data)
        if self._first:
            self._rest += data
        else:
            self._first = memoryview(data)

    def take(self, size: int) -> memoryview:
        """Removes and returns `size` bytes, which must be there."""
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
class ResetStream:
    """What may still arrive of a stream that this side has reset, because it was under way.

    Attributes:
        window: bytes of DATA; below 0 if more came than the peer was allowed to send.
        sections: header sections.
        small_frames: DATA frames with less than `TINY` bytes.
    """

    window: int
    sections: int = _HEADER_SECTIONS
    small_frames: int = _SMALL_FRAMES

    def allows_data(self, size: int) -> bool:
        """Counts a DATA frame of `size` bytes; returns whether it may have been under way."""
        self.window -= size
        if size < TINY:
            self.small_frames -= 1
        return self.window >= 0 and self.small_frames >= 0


class DeferredReset(NamedTuple):
    """A stream that a client has given up, and whose RST_STREAM is not sent yet."""

    due: float
    """When to send it, in seconds of the connection's clock."""
    code: ErrorCode
    sent_end: bool
    """Whether the request was sent to its end."""


@dataclass(slots=True, eq=False, init=False)
class Stream:
    """One open stream."""

    id: int
    send_window: int
    """Bytes that this side may send; below 0 after the peer has shrunk its windows (6.9.2)."""
    receive_window: int
    """Bytes that the peer may send."""
    opened_at: float
    """When it was opened, in seconds of the connection's clock."""
    unread: int
    """Bytes that were received and not read."""
    queue: SendQueue | None
    """Data that waits for a window or for the transport; None if none does."""
    trailers: Headers | None
    """Trailers to send when the queue is empty."""
    end_queued: bool
    """Whether this side ends when the queue is empty."""
    has_sent: bool
    """Whether this side has sent a frame of the stream."""
    received_headers: bool
    sent_end: bool
    received_end: bool
    urgency: int
    """0 is sent first, 7 last (RFC 9218, section 4.1)."""
    is_updated: bool
    """Whether the peer has set the urgency by a frame, which counts more than what the response says."""
    content_left: int | None
    """Bytes of content still to come, if the peer sent content-length (8.1.1)."""

    def __init__(
        self,
        stream_id: int,
        send_window: int,
        receive_window: int,
        opened_at: float = 0.0,
        received: int | None = None,
    ) -> None:
        """Opens a stream; `received` is the size of the content of a request that has come whole."""
        self.id = stream_id
        self.send_window = send_window
        self.receive_window = receive_window
        self.opened_at = opened_at
        self.unread = received or 0
        self.queue = None
        self.trailers = None
        self.end_queued = False
        self.has_sent = False
        self.received_headers = received is not None
        self.sent_end = False
        self.received_end = received is not None
        self.urgency = 3
        self.is_updated = False
        self.content_left = None

    @property
    def queued(self) -> int:
        """Bytes that wait in the queue."""
        return 0 if self.queue is None else self.queue.size

    def count_content(self, size: int, *, end_stream: bool) -> bool:
        """Counts received content; returns whether it is consistent with content-length (8.1.1)."""
        if self.content_left is None:
            return True
        self.content_left -= size
        return self.content_left == 0 if end_stream else self.content_left >= 0


class Streams:
    """Streams by id, and counts of those that were reset."""

    def __init__(
        self, role: Role, resets: Budget, clock: Callable[[], float], limits: Limits
    ) -> None:
        self.role = role
        self.clock = clock
        self.now = clock()
        """When bytes last came, in seconds of the clock."""
        self.open: dict[int, Stream] = {}
        self.last_from_peer = 0
        """Highest id of a stream that the peer has opened."""
        self.next_own = 1
        """Id of the next stream that a client opens."""
        self.closing = False
        """Whether no new streams may be opened: GOAWAY was sent or received, or the ids are used up."""
        self.deferred_resets: dict[int, DeferredReset] = {}
        """Streams that a client has given up early; the server still counts them as open."""
        self.early_resets = Budget(_EARLY_RESET_COST * limits.early_resets, math.inf, clock)
        """Budget of early resets of a client; each response earns half of one."""
        self._reset: OrderedDict[int, ResetStream] = OrderedDict()
        self._remembered = _REMEMBERED[role]
        self._resets = resets
        self._rapid_seconds = limits.rapid
        self._early_seconds = limits.early

    def close(self, stream: Stream) -> None:
        """Removes a stream that has ended on both sides, or that the peer has reset."""
        self.open.pop(stream.id, None)

    def close_if_ended(self, stream: Stream) -> None:
        """Removes a stream if both sides have ended it."""
        if stream.sent_end and stream.received_end:
            del self.open[stream.id]

    def remember_reset(self, stream_id: int, window: int = 0) -> None:
        """Removes a stream that this side resets, and remembers what may still arrive of it.

        `window` is what the peer may send on a stream that was never open.
        """
        stream = self.open.pop(stream_id, None)
        if stream is not None:
            window = stream.receive_window
        self._reset.setdefault(stream_id, ResetStream(window))
        if len(self._reset) > self._remembered:
            self._reset.popitem(last=False)

    def defer_reset(self, stream: Stream, code: ErrorCode) -> bool:
        """Whether a client sends RST_STREAM later, because it has reset too many early; then it is scheduled.

        The server sees no early reset, and does not take the client for an attacker (CVE-2023-44487).
        """
        if self.role is Role.SERVER or stream.received_headers:
            return False
        due = stream.opened_at + self._early_seconds
        if self.clock() >= due or self.early_resets.spend(_EARLY_RESET_COST):
            return False
        self.deferred_resets[stream.id] = DeferredReset(due, code, stream.sent_end)
        return True

    def count_reset(self, stream: Stream) -> None:
        """Counts a reset by the peer, or a stream error that it caused.

        A stream that was open for `Limits.rapid` seconds does not count: `concurrent_streams` bounds those.

        Raises:
            ConnectionFault: too many requests were reset before their response.
        """
        requested = self.role is Role.SERVER and stream.received_headers
        if (
            not requested
            or stream.has_sent
            or self.clock() - stream.opened_at >= self._rapid_seconds
        ):
            return
        if not self._resets.spend():
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "streams are opened and given up")

    def reset_stream(self, stream_id: int) -> ResetStream | None:
        """Returns what may still arrive of a reset stream; None if it is not remembered."""
        return self._reset.get(stream_id)

    def is_idle(self, stream_id: int) -> bool:
        """Whether a stream was never opened (5.1.1)."""
        if self.role is Role.SERVER:
            return stream_id > self.last_from_peer or stream_id % 2 == 0
        return stream_id >= self.next_own or stream_id % 2 == 0
