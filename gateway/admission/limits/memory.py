"""The buckets of one process: bounded whatever callers do, with the same work for each request.

A bucket is kept while it is not full; a full one is as good as none, so forgetting it helps nobody. Newcomers
take the places of full buckets, which a hand looks for that goes round the places (the "clock" of page
replacement), a bounded number of them for each newcomer. Where it finds none, the newcomer's tokens come out
of one of a fixed number of shared buckets, by the hash of its key. The hash is keyed (PEP 456), so callers
cannot choose whom they share with. A full table gives nobody a fresh bucket, and refuses nobody by itself;
callers that are in it notice nothing.
"""

from __future__ import annotations

from array import array
from typing import Final

from gateway.admission.limits.gcra import Decision, Rate, decide

SHARED_BUCKETS: Final = 4096
"""Buckets of newcomers for which the table has no place; a power of two."""
_LOOKS: Final = 2
_LOOKS_WHEN_FULL: Final = 8
"""Places that are looked at for a newcomer, before the table grows, and where it may not."""


class Table:
    """The buckets of one rule."""

    __slots__ = ("_arrivals", "_hand", "_max_keys", "_places", "_rate", "_shared")

    def __init__(self, rate: Rate, max_keys: int) -> None:
        """Takes the rate of all buckets, and how many there may be of them."""
        self._rate = rate
        self._max_keys = max_keys
        self._arrivals: dict[str, float] = {}
        self._places: list[str] = []
        self._hand = 0
        self._shared = array("d", bytes(8 * SHARED_BUCKETS))

    def __len__(self) -> int:
        return len(self._arrivals)

    def take(self, key: str, cost: int, now: float) -> Decision:
        """Takes tokens, all or none."""
        arrival = self._arrivals.get(key)
        if arrival is None:
            return self._take_new(key, cost, now)
        arrival, decision = decide(self._rate, arrival, cost, now)
        self._arrivals[key] = arrival
        return decision

    def look(self, key: str, cost: int, now: float) -> Decision:
        """Returns what `take` would, and takes nothing."""
        return decide(self._rate, self._arrivals.get(key, now), cost, now)[1]

    def follow(self, key: str, full_at: float, now: float) -> None:
        """Notes when somebody else's count of a bucket says that it is full, if there is a place for it."""
        if key in self._arrivals or self._place(key, now):
            self._arrivals[key] = full_at

    def charge(self, key: str, cost: int, now: float) -> None:
        """Takes tokens, also those that are not there yet."""
        cost_seconds = cost * self._rate.interval
        if key not in self._arrivals and not self._place(key, now):
            place = hash(key) & (SHARED_BUCKETS - 1)
            self._shared[place] = max(self._shared[place], now) + cost_seconds
            return
        self._arrivals[key] = max(self._arrivals[key], now) + cost_seconds

    def _take_new(self, key: str, cost: int, now: float) -> Decision:
        """Takes tokens of somebody who has no bucket."""
        if self._place(key, now):
            return self.take(key, cost, now)
        place = hash(key) & (SHARED_BUCKETS - 1)
        self._shared[place], decision = decide(self._rate, self._shared[place], cost, now)
        return decision

    def _place(self, key: str, now: float) -> bool:
        """Gives a newcomer a bucket, as full as the one that it may have shared; False: there is no place."""
        places, arrivals = self._places, self._arrivals
        room = len(places) < self._max_keys
        hand, count = self._hand, len(places)
        for _ in range(min(count, _LOOKS if room else _LOOKS_WHEN_FULL)):
            hand = hand + 1 if hand + 1 < count else 0
            if arrivals[places[hand]] <= now:
                del arrivals[places[hand]]
                places[hand] = key
                break
        else:
            self._hand = hand
            if not room:
                return False
            places.append(key)
        self._hand = hand
        arrivals[key] = self._shared[hash(key) & (SHARED_BUCKETS - 1)]
        return True


class MemoryStore:
    """The buckets of all rules in memory: what they have counted ends with the process."""

    def __init__(self, max_keys: int) -> None:
        """Takes how many buckets each rule may have."""
        self._max_keys = max_keys
        self._tables: dict[str, Table] = {}

    def table(self, rate: Rate) -> Table:
        """Returns the buckets of a rule."""
        table = self._tables.get(rate.name)
        if table is None:
            table = self._tables[rate.name] = Table(rate, self._max_keys)
        return table


class Slots:
    """How many of something are under way, by key. Only those that are under way take memory."""

    def __init__(self, limit: int) -> None:
        """Takes how many each key may have at a time."""
        self.limit = limit
        self._taken: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._taken)

    def taken(self, key: str) -> int:
        """Returns how many a key has."""
        return self._taken.get(key, 0)

    def take(self, key: str) -> bool:
        """Takes a slot; returns False if the key has as many as it may have."""
        taken = self._taken.get(key, 0)
        if taken >= self.limit:
            return False
        self._taken[key] = taken + 1
        return True

    def release(self, key: str) -> None:
        """Gives back a slot that was taken."""
        taken = self._taken[key] - 1
        if taken:
            self._taken[key] = taken
        else:
            del self._taken[key]
