"""What happened to the readers of streams, in plain numbers that metrics read."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from gateway.contract.stream_policy import SlowConsumer


@dataclass(slots=True, eq=False)
class FeedCounts:
    """Counts since the start of the process."""

    dropped: dict[SlowConsumer, int] = field(default_factory=lambda: dict.fromkeys(SlowConsumer, 0))
    """Messages that readers missed, by the slow-consumer policy of their stream."""
    gaps: int = 0
    """Gaps that were reported to readers."""
    resumed: dict[Literal["continued", "gap", "restarted"], int] = field(
        default_factory=lambda: {"continued": 0, "gap": 0, "restarted": 0}
    )
    """Readers that came back with the id of an event. `continued`: behind it, or left to the server;
    `gap`: behind messages that were dropped; `restarted`: the stream is another one."""


class FeedState(NamedTuple):
    """The feeds of one method."""

    feeds: int
    readers: int
    bytes: int
    """Buffered messages."""
    lag: int
    """Messages that the slowest reader has still to read."""
