"""One connection of HTTP/2, in either role, without any input or output of its own.

Bytes go in by `receive` and come out by `take_output`; what happened is told in events. The one who drives
it owns the socket, the clock and the order of things.

Rule: whatever a peer sends, `receive` raises nothing: a fault of a stream resets that stream, a fault of the
connection queues GOAWAY and is told as `ConnectionFailed`, after which all that comes is passed over.
What this side does wrong (to send on a stream that is closed) is a `RuntimeError`... (see each method).

Source: RFC 9113.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from enum import Enum

from grpc_wire.errors import ErrorCode
from grpc_wire.events import Event, Headers
from grpc_wire.limits import DEFAULT, Limits


class Role(Enum):
    """Which side of the connection this is."""

    CLIENT = 0
    SERVER = 1


class Connection:
    """The state of one connection."""

    def __init__(
        self,
        role: Role,
        limits: Limits = DEFAULT,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Makes a connection whose preface and settings are ready in `take_output`."""

    def receive(self, data: bytes) -> list[Event]:
        """Takes what came from the peer; returns what happened, in order."""
        raise NotImplementedError

    def take_output(self) -> bytes:
        """Returns what is to be sent, and forgets it; empty if nothing is."""
        raise NotImplementedError

    @property
    def has_output(self) -> bool:
        """Whether `take_output` would return something."""
        raise NotImplementedError

    @property
    def can_open(self) -> bool:
        """Whether `open_stream` may be called now: not going away, ids left, below the peer's limit."""
        raise NotImplementedError

    @property
    def open_streams(self) -> int:
        """How many streams are open (either side may still send)."""
        raise NotImplementedError

    @property
    def closing(self) -> bool:
        """Whether GOAWAY was sent or received, or the connection has failed: no new streams begin."""
        raise NotImplementedError

    def open_stream(self, headers: Headers, *, end_stream: bool = False) -> int:
        """Begins a stream as a client; returns its id.

        Raises:
            RuntimeError: `can_open` is false.
        """
        raise NotImplementedError

    def send_headers(self, stream_id: int, headers: Headers, *, end_stream: bool = False) -> None:
        """Sends a header section: that of an answer, or trailers (behind whatever data is queued).

        On a stream that has ended or was reset meanwhile this does nothing.
        """
        raise NotImplementedError

    def send_data(self, stream_id: int, data: bytes, *, end_stream: bool = False) -> int:
        """Sends data as the peer's windows allow, and queues the rest; returns how much is queued now.

        On a stream that has ended or was reset meanwhile this does nothing, and returns 0.
        """
        raise NotImplementedError

    def queued(self, stream_id: int) -> int:
        """Returns how many bytes of a stream wait for the peer's windows."""
        raise NotImplementedError

    def reset(self, stream_id: int, code: ErrorCode) -> None:
        """Ends a stream at once; what is queued is dropped. Does nothing if it has ended."""
        raise NotImplementedError

    def consumed(self, stream_id: int, size: int) -> None:
        """Says that bytes of a stream were read, so that the peer may send as many again."""
        raise NotImplementedError

    def expect(self, stream_id: int, size: int) -> None:
        """Says that a message of which `size` bytes are still to come is being waited for.

        The stream's window grows so that it can arrive without a halt.
        """
        raise NotImplementedError

    def ping(self, data: bytes) -> None:
        """Asks the peer whether it is there; `data` are 8 bytes."""
        raise NotImplementedError

    def go_away(
        self, code: ErrorCode = ErrorCode.NO_ERROR, debug: bytes = b"", *, last: bool = True
    ) -> None:
        """Says that no new streams are taken.

        Args:
            code: why.
            debug: more of why, for people.
            last: False for the first of two phases: streams that are under way to here are still
                taken until it is said again (RFC 9113, 6.8).
        """
        raise NotImplementedError
