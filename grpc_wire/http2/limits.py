"""Limits on what a peer may ask of a connection; each defence is a number with a name.

Sources: RFC 9113, section 10.5 (denial-of-service considerations); CVE-2019-9511 to 9518 (floods of
ping, settings, empty frames, window updates, resets); CVE-2023-44487 (rapid reset); CVE-2024-27316 and
similar (endless CONTINUATION).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one connection; sizes in bytes."""

    concurrent_streams: int = 1000
    """Streams that the peer may have open; one more is refused (SETTINGS_MAX_CONCURRENT_STREAMS)."""
    header_list: int = 16 * 1024
    """Decoded size of one header section, as SETTINGS_MAX_HEADER_LIST_SIZE counts it. A larger one is decoded
    for HPACK's table alone, and its stream refused."""
    header_block: int = 4 * 1024 * 1024
    """Encoded size of one header section, in HEADERS and CONTINUATION; beyond it the connection ends. A block
    above twice `header_list` and 64 KiB is skipped as it comes, not buffered."""
    continuations: int = 256
    """CONTINUATION frames of one header section; beyond it the connection ends."""
    header_table: int = 4096
    """Dynamic table of the decoder (SETTINGS_HEADER_TABLE_SIZE)."""
    frame: int = 64 * 1024
    """Payload of a received frame (SETTINGS_MAX_FRAME_SIZE), at least 16,384. Few large frames cost less than
    many small ones."""
    stream_window: int = 64 * 1024
    """Unread bytes that the peer may send on a stream; more for a larger message that is waited for
    (`Connection.expect`)."""
    turn_frames: int = 256
    """Frames read from one connection in a turn of the event loop. Others wait for the next turn, and the
    socket is not read meanwhile: a bound on how long one connection delays the others."""
    turn_bytes: int = 256 * 1024
    """Bytes of messages, decompressed, plus `MESSAGE_COST` each, that the calls of a connection read in a
    turn of the event loop. A message is read whole."""
    connection_window: int = 4 * 1024 * 1024
    """Bytes that the peer may send on all streams before they are read from the socket; at least 65,535."""
    output: int = 256 * 1024
    """Bytes that wait for the transport; beyond it DATA is queued in its stream."""
    unsent: int = 1024 * 1024
    """Bytes that wait for the transport when the peer opens a stream or another reply to a control frame is
    due; beyond it the connection ends: the peer asks and does not read."""
    control_frames: int = 1000
    """Frames per `period` that cause work and carry (next to) nothing; each frame of headers or data, sent or
    received, gives back `CONTROL_FRAMES_EARNED`. Beyond it the connection ends."""
    resets: int = 1000
    """Streams per `period` that the peer opens and resets within `rapid`, without a response; each response
    gives one back. Beyond it the connection ends."""
    rapid: float = 1.0
    """Seconds after which a reset no longer counts for `resets`."""
    period: float = 10.0
    """Seconds after which the budgets of `control_frames` and `resets` are full again."""
    extended_connect: bool = False
    """Whether clients may open tunnels, as for WebSockets (SETTINGS_ENABLE_CONNECT_PROTOCOL, RFC 8441)."""
    early_resets: int = 100
    """Streams that a client resets early, without a response; two responses give one back. Beyond it a reset
    is deferred until the stream is `early` seconds old or the server responds. Servers end the connection of
    a client that resets more: ours by `resets`, Envoy where half of 500 were."""
    early: float = 2.5
    """Seconds after which no server counts a reset: more than `rapid`, and than Envoy's two."""


DEFAULT = Limits()
CONTROL_FRAMES_EARNED = 3
TINY = 5
"""Bytes of a message's prefix. A DATA frame with fewer carries next to nothing, unless it ends the stream."""
WINDOWS_MOVED = 50
"""Open windows that one SETTINGS frame may change for the price of one control frame."""


class Budget:
    """A number of events that a peer may cause per period; useful events give some back.

    Attributes:
        spent: how many are spent; 0 as long as there is nothing to give back.
    """

    def __init__(
        self,
        credit: int,
        period: float,
        clock: Callable[[], float],
        shared: Budget | None = None,
    ) -> None:
        """Makes a budget of `credit` events per `period`, in seconds of the clock.

        `shared` is one that several peers have together: what is spent here is spent there too.
        """
        self.spent = 0
        self._shared = shared
        self._credit = credit
        self._period = period
        self._clock = clock
        self._until = clock() + period

    def spend(self, number: int = 1) -> bool:
        """Spends some; returns False, and spends nothing, if fewer are left in this period."""
        if self.spent + number > self._credit:
            now = self._clock()
            if now < self._until:
                return False
            self._until = now + self._period
            self.spent = 0
        if self._shared is not None and not self._shared.spend(number):
            return False
        self.spent += number
        return True

    def earn(self, number: int = 1) -> None:
        """Gives some back, up to the full credit."""
        if self.spent:
            self.spent = max(self.spent - number, 0)
            if self._shared is not None:
                self._shared.earn(number)
