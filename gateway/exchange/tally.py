"""What one exchange has carried. Only streams and pages are counted: a unary call says all by itself."""

from __future__ import annotations

from asyncio import TimerHandle
from collections.abc import Sequence

from gateway.feeds.source import Gap, Item


class Tally:
    """Counts of one exchange; of one that goes on they change.

    Attributes:
        since: monotonic time at which its head was read.
        first_byte: monotonic time at which the head of its response was sent; 0 before.
        messages_in: messages of the client that went upstream.
        messages_out: messages of the server that went to the client.
        gaps: gaps that the client was told of.
        missed: messages that it lost thereby, as far as anybody knows.
        media_type: framing of the response; empty: none was chosen.
        route: template of a page's path; empty: no route took the request.
        timer: tells observers how far it is; None where nobody asks.
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

    def sent(self, items: Sequence[Item]) -> Sequence[Item]:
        """Counts what goes to the client of a stream; returns it."""
        for item in items:
            if isinstance(item, Gap):
                self.dropped(item.missed)
            else:
                self.messages_out += 1
        return items

    def dropped(self, count: int) -> None:
        """Counts a gap, and the messages that are missing there."""
        self.gaps += 1
        self.missed += count

    def copy(self) -> Tally:
        """Returns the counts of now, which do not change."""
        made = Tally(self.since)
        for name in self.__slots__:
            if name != "timer":
                setattr(made, name, getattr(self, name))
        return made
