"""The port behind which tokens are counted."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Protocol

from gateway.admission.limits.gcra import Decision, Rate


class LimitStore(Protocol):
    """Counts tokens: in the memory of one process, or somewhere that several processes share."""

    def take(self, key: str, rate: Rate, cost: int, now: float) -> Decision | Awaitable[Decision]:
        """Takes tokens out of a bucket, all or none.

        Args:
            key: of the bucket; it is no credential, and short whatever a caller sends. It may have any
                characters.
            rate: the bucket's; `rate.name` and `key` together name it.
            cost: tokens.
            now: seconds of a clock that does not go back. A shared store uses a clock of its own.

        Returns:
            The decision, or what it is awaited by. Where several buckets decide, a request waits for one
            after the other.
        """
        ...
