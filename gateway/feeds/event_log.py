"""The messages of one call that are kept: the last of all, and the last of each key.

Pure: nothing here waits. A reader is a place in the log, so one that is slow costs no more than one that is
not; what it may still read is bounded in number and in bytes, and what it misses can be counted.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Hashable, Iterator
from typing import Generic, NamedTuple, TypeVar

from gateway.feeds.source import Event
from gateway.transcoding.event_fields import ReadId, ReadKey

K = TypeVar("K", bound=Hashable)


class Entry(NamedTuple):
    """One place of the log: a message, or the mark of a restart, where `event` is None."""

    sequence: int
    """How many messages there have been, with this one."""
    written: int
    """How many bytes of messages there have been before it."""
    event: Event | None

    @property
    def order(self) -> tuple[int, bool]:
        """Sorts a mark behind the message that it follows."""
        return self.sequence, self.event is None


class _Kept(Generic[K]):
    """Entries by key, of which the oldest go where there are too many; the newest always stays."""

    def __init__(self, keep: int, max_bytes: int) -> None:
        self._keep = keep
        self._max_bytes = max_bytes
        self._bytes = 0
        self.entries: OrderedDict[K, Entry] = OrderedDict()

    def put(self, key: K, entry: Entry) -> None:
        """Keeps an entry as the newest, in the place of another with its key."""
        self._drop(self.entries.pop(key, None))
        self.entries[key] = entry
        self._bytes += _size(entry)
        while len(self.entries) > 1 and (
            len(self.entries) > self._keep or self._bytes > self._max_bytes
        ):
            self._drop(self.entries.popitem(last=False)[1])

    def clear(self) -> None:
        """Keeps nothing."""
        self.entries.clear()
        self._bytes = 0

    def _drop(self, entry: Entry | None) -> None:
        if entry is not None:
            self._bytes -= _size(entry)


def _size(entry: Entry) -> int:
    return len(entry.event.message) if entry.event is not None else 0


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
        self._restarted_at = -1
        self._half = max(1, keep // 2), max(1, max_bytes // 2)
        self.end = 0
        """The place behind the last entry."""
        self.sequence = 0
        """How many messages there have been."""
        self.written = 0
        """How many bytes of messages there have been."""

    @property
    def start(self) -> int:
        """The place of the oldest entry that is kept."""
        return next(iter(self._log.entries), self.end)

    def append(self, message: bytes) -> None:
        """Puts a message at the end."""
        self.sequence += 1
        event_id = b"%b-%d" % (self.stream_id, self.sequence)
        event = Event(self._read_id(message) if self._read_id else event_id, message)
        entry = Entry(self.sequence, self.written, event)
        self.written += len(message)
        self._put(entry)
        if self._read_key is not None:
            self._newest.put(self._read_key(message), entry)

    def mark_restart(self) -> None:
        """Marks that the messages from here on are another call's, which vouches for no older ones."""
        self._restarted_at = self.end
        self._newest.clear()
        self._put(Entry(self.sequence, self.written, None))

    def _put(self, entry: Entry) -> None:
        self._log.put(self.end, entry)
        self.end += 1

    def at(self, place: int) -> Entry:
        """Returns the entry at a place from `start` on."""
        return self._log.entries[place]

    def after(self, sequence: int) -> int:
        """Returns the first place behind a message, or `start` where that place is kept no more."""
        places = range(self.start, self.end)
        order = (sequence, True)
        return places.start + bisect_left(places, order, key=lambda place: self.at(place).order)

    def last(self, count: int) -> list[Event]:
        """Returns the last messages, the oldest first."""
        return list(self._events(self.after(self.sequence - count)))

    def _events(self, place: int) -> Iterator[Event]:
        for at in range(place, self.end):
            if (event := self.at(at).event) is not None:
                yield event

    def newest_of_each_key(self, since: int = 0) -> list[Event]:
        """Returns the newest message of each key that came after the message `since`."""
        entries = self._newest.entries.values()
        return [entry.event for entry in entries if entry.sequence > since and entry.event]

    def missed_before(self, place: int, sequence: int) -> int:
        """Returns how many messages there were between a message and a place."""
        if place == self.end:
            return self.sequence - sequence
        entry = self.at(place)
        return entry.sequence - (entry.event is not None) - sequence

    def restarted_between(self, place: int, end: int) -> bool:
        """Whether the newest restart lies from one place up to another."""
        return place <= self._restarted_at < end

    def unread_fills_half(self, place: int) -> bool:
        """Whether what comes from a place on takes half of what can be kept, in number or in bytes."""
        if place == self.end:
            return False
        entries, size = self._half
        return self.end - place >= entries or self.written - self.at(place).written >= size
