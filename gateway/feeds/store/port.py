"""The port of a store of feeds: what the feeds of a process need of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from gateway.feeds.store.rules import (
    Answer,
    Ask,
    Entry,
    Kept,
    Lease,
    NewEntry,
    Receipt,
    Trim,
)


class StoreDownError(Exception):
    """The store does not answer, or refuses what it was asked. What was sent may have been obeyed."""


class Follower(Protocol):
    """Who reads a feed as its messages come."""

    def on_entries(self, epoch: bytes, entries: Sequence[Entry]) -> None:
        """Takes entries in their order, which may be of another epoch than the ones before."""
        ...

    def on_news(self) -> None:
        """Is told that the feed has no leader now, or another epoch: it is time to ask."""
        ...


class FeedStore(Protocol):
    """Keeps feeds for several processes, within its block; see `rules` for what each step does.

    All steps raise StoreDownError.
    """

    async def __aenter__(self) -> object:
        """Connects; a store that is down is no error."""
        ...

    async def __aexit__(self, *_: object) -> None:
        """Closes the connections."""
        ...

    @property
    def is_up(self) -> bool:
        """Whether the store answers."""
        ...

    @property
    def down_seconds(self) -> float:
        """For how long the store has not answered; 0.0: it does."""
        ...

    async def wait_until_up(self) -> None:
        """Returns when the store answers."""
        ...

    async def newest(self, key: bytes) -> tuple[bytes, int]:
        """Returns epoch and number of the newest entry of a feed; of none before this run of the server."""
        ...

    async def lead(self, key: bytes, ask: Ask) -> Answer:
        """Asks to lead a feed."""
        ...

    async def append(
        self,
        key: bytes,
        lease: Lease,
        after: int,
        new: Sequence[NewEntry],
        trim: Trim,
    ) -> Receipt:
        """Appends entries, and renews the lease."""
        ...

    async def leave(self, key: bytes, holder: bytes, fence: int) -> bool:
        """Gives the feed back."""
        ...

    async def load(self, key: bytes) -> Kept:
        """Returns all that is kept of a feed."""
        ...

    def follow(
        self, key: bytes, epoch: bytes, number: int, follower: Follower
    ) -> Callable[[], None]:
        """Passes entries after a number to a follower as they come; returns what ends this."""
        ...
