"""What a peer may ask of a connection: each defence is a number with a name.

Sources: RFC 9113, section 10.5 (denial-of-service considerations); CVE-2019-9511 to 9518 (floods of
ping, settings, empty frames, window updates, resets); CVE-2023-44487 (rapid reset); CVE-2024-27316 and
its kin (endless CONTINUATION).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one connection; sizes in bytes."""

    concurrent_streams: int = 1000
    """How many streams the peer may have open; one more is refused (SETTINGS_MAX_CONCURRENT_STREAMS)."""
    header_list: int = 16 * 1024
    """One header section, decoded, as HPACK counts it (SETTINGS_MAX_HEADER_LIST_SIZE). A larger one is read
    to its end, for the sake of the table, and its stream is refused."""
    header_block: int = 4 * 1024 * 1024
    """One header section as it comes, in HEADERS and CONTINUATION. More is the end of the connection. A block
    that is longer than twice `header_list`, and 64 KiB, is read as it comes and not kept."""
    continuations: int = 256
    """Frames of one header section beside the first."""
    header_table: int = 4096
    """The table of the headers that come (SETTINGS_HEADER_TABLE_SIZE)."""
    frame: int = 64 * 1024
    """The largest frame that comes (SETTINGS_MAX_FRAME_SIZE); at least 16,384. Few large ones cost less than
    many small ones."""
    stream_window: int = 64 * 1024
    """What a peer may send on a stream unread; more for a message that is larger (`Connection.expect`)."""
    turn_frames: int = 256
    """Frames that are taken in one turn of the event loop; more of them wait, and nothing is read meanwhile.
    So one connection holds the others no longer than these take."""
    turn_bytes: int = 256 * 1024
    """Bytes of messages that are taken in one turn of the event loop, decompressed, and `MESSAGE_COST` for
    each; a message is taken whole."""
    connection_window: int = 4 * 1024 * 1024
    """What a peer may send on all streams before this side has seen it; at least 65,535."""
    output: int = 256 * 1024
    """What may wait for the transport; above it, data of streams is queued."""
    unsent: int = 1024 * 1024
    """What may wait for the transport when a peer opens a stream, or another answer to a control frame joins
    it; one that asks and does not read is cut."""
    control_frames: int = 1000
    """Frames that ask for work and carry nothing, or next to nothing, in one period; each frame of headers or
    data either way earns `CONTROL_FRAMES_EARNED` more, up to this."""
    resets: int = 1000
    """Streams that the peer has opened and given up at once, before they were answered, in one period; each
    that is answered earns one more, up to this."""
    rapid: float = 1.0
    """Seconds after which a stream that is given up was not given up at once."""
    period: float = 10.0
    """Seconds."""
    early_resets: int = 100
    """Streams that a client resets early, before they were answered; two that are answered earn one more, up
    to this. Beyond it a stream that is given up is reset when it is `early` seconds old, or answered. Servers
    end the connection of a client that resets more: ours by `resets`, Envoy where half of 500 were."""
    early: float = 2.5
    """Seconds after which no server counts a reset: more than `rapid`, and than the two that Envoy needs to
    see one gone by."""


DEFAULT = Limits()
CONTROL_FRAMES_EARNED = 3
TINY = 5
"""Bytes of DATA, the prefix of a message. A frame with fewer carries next to nothing, but the last."""
WINDOWS_MOVED = 50
"""That SETTINGS may move for the price of a control frame."""


class Budget:
    """A credit that a peer spends by what costs work, earns by what is useful, and gets anew each period.

    Attributes:
        spent: how much of it is; 0 as long as there is nothing to earn.
    """

    def __init__(self, credit: int, period: float, clock: Callable[[], float]) -> None:
        """Makes a credit for so many; `period` in seconds of the clock."""
        self.spent = 0
        self._credit = credit
        self._period = period
        self._clock = clock
        self._until = clock() + period

    def spend(self, number: int = 1) -> bool:
        """Takes some; returns whether there was so much."""
        if self.spent + number > self._credit:
            now = self._clock()
            if now < self._until:
                return False
            self._until = now + self._period
            self.spent = 0
        self.spent += number
        return True

    def earn(self, number: int = 1) -> None:
        """Gives some back; there is never more than at the begin."""
        if self.spent:
            self.spent = max(self.spent - number, 0)
