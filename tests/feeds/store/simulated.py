"""A store in memory that obeys the rules, with a clock and a run of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gateway.feeds.store import rules
from gateway.feeds.store.port import Follower, StoreDownError
from gateway.feeds.store.rules import (
    Answer,
    Ask,
    Entry,
    Kept,
    Lease,
    NewEntry,
    Receipt,
    Record,
    Trim,
)


class SimulatedStore:
    """What every process of a test shares; not a `FeedStore`, for nothing here waits."""

    def __init__(self) -> None:
        self.now = 1_000
        self.run = b"run0"
        self.records: dict[bytes, Record] = {}

    def lead(self, key: bytes, ask: Ask) -> Answer:
        """See `rules.lead`."""
        record, answer = rules.lead(self._record(key), ask, self.run, self.now)
        assert record is not None
        self.records[key] = record
        return answer

    def append(
        self, key: bytes, lease: Lease, after: int, new: Sequence[NewEntry], trim: Trim
    ) -> Receipt:
        """See `rules.append`."""
        return rules.append(self._record(key), lease, after, new, trim, self.run, self.now)

    def leave(self, key: bytes, holder: bytes, fence: int) -> bool:
        """See `rules.leave`."""
        return rules.leave(self._record(key), holder, fence)

    def newest(self, key: bytes) -> tuple[bytes, int]:
        """Returns epoch and number of the newest entry; of none before this run."""
        record = self._record(key)
        if record is None or record.run != self.run:
            return rules.FIRST_EPOCH, 0
        return record.epoch, record.number

    def load(self, key: bytes) -> Kept:
        """See `rules.load`."""
        return rules.load(self._record(key))

    def read_after(self, key: bytes, epoch: bytes, number: int) -> tuple[Entry, ...]:
        """See `rules.read_after`."""
        return rules.read_after(self._record(key), epoch, number)

    def _record(self, key: bytes) -> Record | None:
        record = self.records.get(key)
        if record is not None and record.expires <= self.now:
            del self.records[key]
            return None
        return record


__all__ = ["Callable", "Follower", "SimulatedStore", "StoreDownError"]
