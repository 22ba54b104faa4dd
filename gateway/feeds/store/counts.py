"""What happened to shared feeds, in plain numbers that metrics read."""

from __future__ import annotations

from dataclasses import dataclass, field

from gateway.feeds.store.rules import Appended


@dataclass(slots=True, eq=False)
class StoreCounts:
    """Counts since the start of the process."""

    takeovers: int = 0
    """Feeds with messages that this process has led after another one."""
    followed: int = 0
    """How often this process began to read a feed of another one's."""
    refused: dict[Appended, int] = field(
        default_factory=lambda: {Appended.STALE: 0, Appended.LOST: 0}
    )
    """Appends that the store refused: another process leads, or the store has lost messages."""
    alone: int = 0
    """How often a feed went on without the store."""
    restarts: int = 0
    """Restarts that were marked in feeds."""
