"""Decisions about credentials, kept for seconds by a digest, in bounded memory, without the credentials."""

from __future__ import annotations

from collections import OrderedDict
from hashlib import sha256
from typing import Generic, TypeVar

T = TypeVar("T")


def digest(credentials: bytes) -> bytes:
    """Returns what credentials are remembered by: a SHA-256, from which nobody gets them back."""
    return sha256(credentials).digest()


class Remembered(Generic[T]):
    """Maximum so many decisions, each until a time; the oldest one is forgotten first."""

    def __init__(self, max_entries: int) -> None:
        """Takes the maximum number."""
        self._max_entries = max_entries
        self._entries: OrderedDict[bytes, tuple[float, T]] = OrderedDict()

    def __len__(self) -> int:
        """How many there are, those whose time has passed included."""
        return len(self._entries)

    def get(self, key: bytes, now: float) -> T | None:
        """Returns the decision; None if there is none, or its time has passed."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        if now < entry[0]:
            return entry[1]
        del self._entries[key]
        return None

    def put(self, key: bytes, value: T, until: float) -> None:
        """Remembers a decision until a time."""
        self._entries[key] = (until, value)
        if len(self._entries) > self._max_entries:
            self._entries.popitem(last=False)

    def clear(self) -> None:
        """Forgets all."""
        self._entries.clear()
