"""What the call of a process has brought, and the store has not numbered yet."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Final

from gateway.feeds.store.rules import NewEntry

_MAX_PENDING: Final = 512
"""Entries that wait for the store; then the call is not read."""
_BATCH_BYTES: Final = 256 * 1024
"""Bytes of messages in one append, up to one message more."""


class Pending:
    """Entries in order. The first may be *seeds*: messages that the readers have, which begin an epoch."""

    def __init__(self) -> None:
        """Starts empty."""
        self._entries: list[NewEntry] = []
        self._seeds = 0
        self._room = asyncio.Event()
        self.unanswered: Sequence[NewEntry] = ()
        """The batch that was appended last, until its answer: the store may have it."""

    def __bool__(self) -> bool:
        """Whether there are entries."""
        return bool(self._entries)

    @property
    def last(self) -> NewEntry | None:
        """The newest entry of the call; None: there is none."""
        return self._entries[-1] if len(self._entries) > self._seeds else None

    def add(self, entry: NewEntry) -> None:
        """Adds what the call has brought."""
        self._entries.append(entry)

    async def wait_for_room(self) -> None:
        """Returns when the call may be read."""
        while len(self._entries) >= _MAX_PENDING:
            self._room.clear()
            await self._room.wait()

    def seed(self, entries: Iterable[NewEntry]) -> None:
        """Puts messages before all others."""
        seeds = [*entries]
        self._entries[:0] = seeds
        self._seeds = len(seeds)

    def batch(self) -> list[NewEntry]:
        """Returns what is appended next: all seeds at once, or as many entries as fit.

        Before `take` it returns the same entries again, and perhaps more behind them.
        """
        if self._seeds:
            return self._entries[: self._seeds]
        batch, size = [], 0
        for each in self._entries:
            batch.append(each)
            size += len(each.data)
            if size >= _BATCH_BYTES:
                break
        self.unanswered = batch
        return batch

    def take(self, batch: Sequence[NewEntry]) -> int:
        """Drops a batch that the store has; returns how many of it were seeds: all of them, or none."""
        seeds, self._seeds = self._seeds, 0
        self.unanswered = ()
        del self._entries[: len(batch)]
        self._room.set()
        return seeds

    def take_all(self) -> list[NewEntry]:
        """Drops and returns all entries of the call."""
        self.drop_seeds()
        entries, self._entries, self.unanswered = self._entries, [], ()
        self._room.set()
        return entries

    def drop_seeds(self) -> None:
        """Drops the seeds, which the store has not."""
        del self._entries[: self._seeds]
        self._seeds = 0
