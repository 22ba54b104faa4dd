"""The messages of one call that are kept: the last of all, and the last of each key.

Pure: nothing here waits. A reader is a place in the log, so one that is slow costs no more than one that is
not; what it may still read is bounded in number and in bytes, and what it misses can be counted.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, NamedTuple, TypeVar

from gateway.feeds.source import Event
from gateway.transcoding.event_fields import ReadId, ReadKey

K = TypeVar("K", bound=Hashable)


class Entry(NamedTuple):
    """One message that is kept."""

    place: int
    """How many there have been before it."""
    event: Event
    written: int
    """How many bytes of messages there have been before it."""
    since: int
    """The place at which its call began."""


class _Kept(Generic[K]):
    """Entries by key, of which the oldest go where there are too many; the newest always stays."""

    def __init__(self, keep: int, max_bytes: int) -> None:
        self._keep = keep
        self._max_bytes = max_bytes
        self.bytes = 0
        self.whole = True
        """Whether nothing had to go."""
        self.entries: OrderedDict[K, Entry] = OrderedDict()

    def put(self, key: K, entry: Entry) -> None:
        """Keeps an entry as the newest, in the place of another with its key."""
        if key in self.entries:
            self._drop(self.entries.pop(key))
        self.entries[key] = entry
        self.bytes += len(entry.event.message)
        while len(self.entries) > 1 and (
            len(self.entries) > self._keep or self.bytes > self._max_bytes
        ):
            self.whole = False
            self._drop(self.entries.popitem(last=False)[1])

    def clear(self) -> None:
        """Keeps nothing."""
        self.entries.clear()
        self.bytes = 0
        self.whole = True

    def _drop(self, entry: Entry) -> None:
        self.bytes -= len(entry.event.message)


class EventLog:
    """Numbers what comes, and keeps what its bounds allow."""

    def __init__(
        self,
        stream_id: bytes,
        *,
        keep: int,
        max_bytes: int,
        read_key: ReadKey | None = None,
        read_id: ReadId | None = None,
    ) -> None:
        """Makes an empty log.

        Args:
            stream_id: what the ids of its events begin with.
            keep: how many messages it keeps.
            max_bytes: how many bytes of them, but at least one; and as much again by key.
            read_key: reads what a message is news of.
            read_id: reads the id that the server gives; without it they are numbered.
        """
        self.stream_id = stream_id
        self._read_key = read_key
        self._read_id = read_id
        self._log: _Kept[int] = _Kept(keep, max_bytes)
        self._newest: _Kept[Hashable] = _Kept(keep, max_bytes)
        self._half = max(1, keep // 2), max_bytes // 2
        self._written = 0
        self.end = 0
        """The place behind the last message: how many there have been."""
        self.since = -1
        """The place at which the newest call began; -1 for the first, which began nothing anew."""

    @property
    def start(self) -> int:
        """The place of the oldest message that is kept."""
        return next(iter(self._log.entries), self.end)

    def append(self, message: bytes) -> None:
        """Puts a message at the end."""
        event_id = self._read_id(message) if self._read_id else self.id_at(self.end + 1)
        event = Event(event_id, message)
        entry = Entry(self.end, event, self._written, self.since)
        self._log.put(self.end, entry)
        if self._read_key is not None:
            self._newest.put(self._read_key(message), entry)
        self._written += len(message)
        self.end += 1

    def mark_restart(self) -> None:
        """Marks that the messages from here on are another call's, which vouches for no older ones."""
        self.since = self.end
        self._newest.clear()

    def id_at(self, place: int) -> bytes:
        """Returns what a reader names that goes on from a place; nothing where the server gives the ids."""
        return b"" if self._read_id else b"%b-%d" % (self.stream_id, place)

    def at(self, place: int) -> Entry:
        """Returns what is kept at a place from `start` on."""
        return self._log.entries[place]

    def last(self, count: int) -> int:
        """Returns the place of the oldest of the last messages of the newest call."""
        return max(self.start, self.since, self.end - count)

    def newest_of_each_key(self, place: int = 0) -> list[Entry]:
        """Returns the newest message of each key that the newest call sent, from a place on."""
        return [entry for entry in self._newest.entries.values() if entry.place >= place]

    @property
    def has_each_key(self) -> bool:
        """Whether the newest message of each key is kept, of all that the newest call sent."""
        return self._newest.whole

    @property
    def bytes(self) -> int:
        """How many bytes of messages are kept."""
        return self._log.bytes + self._newest.bytes

    def has_room(self, place: int, size: int) -> bool:
        """Whether half of what can be kept holds what is unread from a place on, and one more message."""
        if place == self.end:
            return True
        entries, most = self._half
        unread = self._written - self.at(place).written
        return self.end - place < entries and unread + size <= most
