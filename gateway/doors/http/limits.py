"""The limits of one connection."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

READ_AHEAD_BYTES: Final = 64 * 1024
"""Bytes of a request's body that are kept unread; beyond it nothing more is read from the socket."""
MAX_PIPELINED: Final = 16
"""Requests behind the active one; beyond it nothing more is parsed, and nothing read from the socket."""
MAX_DISCARDED_BYTES: Final = 256 * 1024
"""Size of a body that is discarded behind an error; beyond it the error says that the connection ends."""
MAX_PROMISED_BYTES: Final = 4 * 1024 * 1024
"""Bytes of a body that are discarded behind a response which said that the connection goes on, because
another request may be behind them; beyond it the connection is closed."""
LINGER_SECONDS: Final = 2.0
LINGER_BYTES: Final = 4 * 1024 * 1024
"""How long and how far a connection that ends is read after its last response, so that the client receives
that."""
PROBE_SECONDS: Final = 0.03
"""Until the first probe whether a client has left or only half-closed, and until the second; further ones
come less often."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one connection; sizes in bytes, times in seconds."""

    max_head: int = 64 * 1024
    """Request line and headers, or the trailers; beyond it 414 or 431."""
    max_headers: int = 100
    """Headers of a request, and as many trailers; beyond it 431."""
    head_timeout: float = 20.0
    """From the first byte of a head to its last; for the first one, from the start of the connection."""
    body_timeout: float = 60.0
    """Between two parts of a body, until the response starts; beyond it 408."""
    keep_alive: float = 75.0
    """Without a request, after which an idle connection is closed."""
    has_longer_timers: bool = field(init=False)
    """Whether a timer of a request may end later than one that starts with `keep_alive` behind it."""

    def __post_init__(self) -> None:
        longer = max(self.head_timeout, self.body_timeout) > self.keep_alive
        object.__setattr__(self, "has_longer_timers", longer)


DEFAULTS: Final = Limits()


@dataclass(frozen=True, slots=True)
class WebSocketLimits:
    """Limits of one WebSocket; sizes in bytes, times in seconds."""

    max_message: int
    """A message, with the envelope that a subprotocol may have."""
    ping_interval: float
    """Between two pings; a client has as long to answer one."""
    compression: bool = False
    """Whether permessage-deflate is taken where a client offers it."""
    small_frames: int = 100
    """Pings, pongs and small fragments a second; ten times as many at once. Beyond it 1008."""
