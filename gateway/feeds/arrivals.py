"""How a reader that resumes waits for its last message, which another process has shown to it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from gateway.feeds.event_log import EventLog
from gateway.feeds.store.port import StoreDownError
from gateway.feeds.store.replica import Replica


class Arrivals:
    """Says when a process has what the store has, or a certain message.

    Where messages have ids of the server's, the message comes here too, also if the store is down: by the
    call of this process.
    """

    def __init__(
        self,
        log: EventLog,
        replica: Replica,
        newest: Callable[[], Awaitable[tuple[bytes, int]]],
        *,
        has_ids: bool,
    ) -> None:
        """Takes the feed in this process.

        Args:
            log: its messages.
            replica: its position in the store.
            newest: returns the position of the store; raises StoreDownError.
            has_ids: whether a call can go on behind a message.
        """
        self._log = log
        self._replica = replica
        self._newest = newest
        self._has_ids = has_ids
        self._moved = asyncio.Event()

    def tell(self) -> None:
        """Says that something is new: messages, or news of the store."""
        self._moved.set()

    async def of(self, event_id: bytes, is_leading: Callable[[], bool]) -> None:
        """Returns when the process has what the store has, or where it may not have it, the event."""
        target, looked_at = None, self._log.end
        while True:
            target = target or await self._position(is_leading)
            if target is None and not self._has_ids:
                return
            if target is not None and self._here >= target:
                return
            if self._has_ids and self._log.offset_behind(event_id, looked_at) is not None:
                return
            looked_at = self._log.end
            self._moved.clear()
            await self._moved.wait()

    @property
    def _here(self) -> tuple[bytes, int]:
        return self._replica.epoch, self._replica.number

    async def _position(self, is_leading: Callable[[], bool]) -> tuple[bytes, int] | None:
        """Returns how far the store is; None: it is down, or has lost what a leader may append again."""
        try:
            newest = await self._newest()
        except StoreDownError:
            return None
        begins = newest[1] == 0 and not is_leading()
        has_lost = begins or newest < self._here
        return None if has_lost and self._has_ids else newest
