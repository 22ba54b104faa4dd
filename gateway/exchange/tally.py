"""What one exchange has carried, and who is told of its end: the port of the access log.

An observer is told of each event; a journal reads the exchange once, when it has ended, so that a unary
request pays for one call. Only streams and pages have a tally, because a unary exchange says all by itself.
"""

from __future__ import annotations

from asyncio import TimerHandle
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from gateway.exchange.exchange import Exchange


class Tally:
    """Counts of one exchange.

    Attributes:
        since: monotonic time at which its head was read.
        first_byte: monotonic time at which the head of its response was sent; 0 before.
        messages_in: messages of the client that went upstream.
        messages_out: messages of the server that went to the client.
        gaps: gaps that the client was told of.
        missed: messages that it lost thereby, as far as anybody knows.
        media_type: framing of the response; empty: none was chosen.
        route: template of a page's path; empty: no route took the request.
        timer: notes how far it is; None where nobody asks.
    """

    __slots__ = (
        *("first_byte", "gaps", "media_type", "messages_in", "messages_out", "missed", "route"),
        *("since", "timer"),
    )

    def __init__(self, since: float) -> None:
        self.since = since
        self.first_byte = 0.0
        self.messages_in = 0
        self.messages_out = 0
        self.gaps = 0
        self.missed = 0
        self.media_type = ""
        self.route = ""
        self.timer: TimerHandle | None = None

    def dropped(self, count: int) -> None:
        """Counts a gap, and the messages that are missing there."""
        self.gaps += 1
        self.missed += count


class Journal(Protocol):
    """Is told of each exchange once, when it has ended. Neither method waits."""

    @property
    def lost(self) -> int:
        """Lines that could not be written so far."""
        ...

    def opened(self, exchange: Exchange, since: float) -> Tally:
        """Returns the tally of a stream or of a page that begins."""
        ...

    def ended(self, exchange: Exchange, since: float) -> None:
        """Notes the end of an exchange whose head was read at a monotonic time."""
        ...

    def rejected(self, http_status: int, code: int, request_id: str, client: str) -> None:
        """Notes what was refused before it was a request."""
        ...
