"""The kept messages of one call: the newest of all, and the newest of each key.

Pure: nothing here waits. A reader is an offset in the log, so a slow one costs no more than a fast one. What
is kept is limited in number and in bytes, and what a reader misses can be counted.

Bytes are those of memory: message, id, JSON, and the objects that hold them (`EVENT_BYTES`,
`JSON_BYTES`, `KEY_BYTES`; measured on CPython 3.11, which takes the most of those supported).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Final, Generic, TypeVar
from weakref import ref

from gateway.feeds.source import Encode, Event
from gateway.transcoding.event_fields import ReadId, ReadKey

K = TypeVar("K", bound=Hashable)

EVENT_BYTES: Final = 432
"""Bytes of a kept event beside its message and its id: objects, headers of `bytes`, slot in the log."""
JSON_BYTES: Final = 96
"""Bytes of one kept JSON text beside the text."""
KEY_BYTES: Final = 224
"""Bytes of the slot of a key beside the characters of a key that is a string."""
_FORMS: Final = 2
_JSON_FACTOR: Final = 8
_JSON_OVERHEAD: Final = 256
"""JSON is kept in two forms at most, each of at most 8 bytes for each of its message and 256 beside."""


class KeptEvent(Event):
    """An event in a log."""

    __slots__ = ("_forms", "_log", "holders", "place", "since", "weight", "written")

    def __init__(self, event_id: bytes, message: bytes, log: ref[EventLog]) -> None:
        """Makes an event that is not kept yet."""
        super().__init__(event_id, message)
        self._log = log
        self._forms: tuple[Encode | bytes, ...] = ()
        self.place = 0
        """Number of messages before it."""
        self.written = 0
        """Bytes of all events before it, without JSON."""
        self.since = -1
        """The place at which its call began."""
        self.weight = EVENT_BYTES + len(event_id) + len(message)
        """Its bytes in memory."""
        self.holders = 0
        """Which parts of the log keep it, one bit each."""

    def json(self, encode: Encode) -> bytes:
        """Returns the JSON of the message; where several read, it is made once for all who print alike."""
        forms = self._forms
        if encode in forms:
            return forms[forms.index(encode) + 1]  # type: ignore[return-value] # they take turns
        json = encode(self.message)
        log = self._log()
        if log is not None and log.keeps_json and self._may_keep(json):
            # orjson returns the whole buffer that it wrote to: 4 KiB or more
            copied = bytes(memoryview(json))
            self._forms = (*forms, encode, copied)
            log.add(self, JSON_BYTES + len(copied))
        return json

    def _may_keep(self, json: bytes) -> bool:
        bound = _JSON_FACTOR * len(self.message) + _JSON_OVERHEAD
        return self.holders != 0 and len(self._forms) < 2 * _FORMS and len(json) <= bound


class _Kept(Generic[K]):
    """Events by key, of which the oldest go where there are too many; the newest always stays."""

    def __init__(self, bit: int, keep: int, max_bytes: int, key_bytes: Callable[[K], int]) -> None:
        """Makes a part of a log; `key_bytes` returns the bytes of the slot of a key."""
        self._bit = bit
        self._keep = keep
        self._max_bytes = max_bytes
        self._key_bytes = key_bytes
        self.bytes = 0
        self.whole = True
        """Whether nothing had to go."""
        self.events: OrderedDict[K, KeptEvent] = OrderedDict()

    def put(self, key: K, event: KeptEvent) -> int:
        """Keeps an event as the newest, in the place of another with its key.

        Returns:
            By how many bytes the log has grown, which is less than nothing where old events went.
        """
        grown = self._drop(key, self.events.pop(key)) if key in self.events else 0
        size = self._key_bytes(key)
        grown += size if event.holders else size + event.weight
        self.events[key] = event
        event.holders |= self._bit
        self.bytes += size + event.weight
        return grown + self.trim()

    def add(self, event: KeptEvent, size: int) -> int:
        """Counts bytes by which an event has grown, if it is kept here; returns what `trim` returns."""
        if not event.holders & self._bit:
            return 0
        self.bytes += size
        return self.trim() if self.bytes > self._max_bytes else 0

    def trim(self) -> int:
        """Drops the oldest events while there are too many; returns the change of the log in bytes."""
        grown = 0
        while len(self.events) > 1 and (
            len(self.events) > self._keep or self.bytes > self._max_bytes
        ):
            grown += self.drop_oldest()
        return grown

    def drop_oldest(self) -> int:
        """Drops the oldest event; returns the change of the log in bytes."""
        self.whole = False
        return self._drop(*self.events.popitem(last=False))

    def clear(self) -> int:
        """Keeps nothing; returns the change of the log in bytes."""
        grown = 0
        while self.events:
            grown += self.drop_oldest()
        self.whole = True
        return grown

    def _drop(self, key: K, event: KeptEvent) -> int:
        size = self._key_bytes(key)
        self.bytes -= size + event.weight
        event.holders &= ~self._bit
        return -size if event.holders else -size - event.weight


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
        on_bytes: Callable[[int], None] = lambda _bytes: None,
    ) -> None:
        """Makes an empty log.

        Args:
            stream_id: what the ids of its events begin with.
            keep: maximum number of events.
            max_bytes: maximum bytes of them, but one event is kept in any case; and as much again by key.
            read_key: reads what a message is news of.
            read_id: reads the id that the server gives; without it they are numbered.
            on_bytes: is told of `bytes` when they change; may call `shrink`.
        """
        self.stream_id = stream_id
        self._read_key = read_key
        self._read_id = read_id
        self._on_bytes = on_bytes
        self._log: _Kept[int] = _Kept(1, keep, max_bytes, lambda _place: 0)
        self._newest: _Kept[Hashable] = _Kept(2, keep, max_bytes, _key_bytes)
        self._half = max(1, keep // 2), max_bytes // 2
        self._self = ref(self)
        self.written = 0
        """Bytes of all events that there have been, without JSON."""
        self.bytes = 0
        """Bytes in memory of all that is kept."""
        self.keeps_json = False
        """Whether JSON is kept, which pays where more than one reads."""
        self.end = 0
        """The place behind the last message: how many there have been."""
        self.since = -1
        """The place at which the newest call began; -1 for the first, which began nothing anew."""

    @property
    def start(self) -> int:
        """The place of the oldest message that is kept."""
        return next(iter(self._log.events), self.end)

    def append(self, message: bytes) -> None:
        """Puts a message at the end."""
        event_id = self._read_id(message) if self._read_id else self.id_at(self.end + 1)
        event = KeptEvent(event_id, message, self._self)
        event.place, event.written, event.since = self.end, self.written, self.since
        self.written += event.weight
        self.end += 1
        grown = self._log.put(event.place, event)
        if self._read_key is not None:
            grown += self._newest.put(self._read_key(message), event)
        self._grow(grown)

    def add(self, event: KeptEvent, size: int) -> None:
        """Counts bytes by which an event that is kept has grown, and makes room for them."""
        event.weight += size
        self._grow(size + self._log.add(event, size) + self._newest.add(event, size))

    def mark_restart(self) -> None:
        """Marks that the messages from here on are another call's, which vouches for no older ones."""
        self.since = self.end
        self._grow(self._newest.clear())

    def shrink(self, max_bytes: int, unread: int | None = None) -> None:
        """Drops the oldest events until the rest has so few bytes, but for the newest.

        Args:
            max_bytes: bytes that may stay.
            unread: a place from which on nothing may be dropped.
        """
        last = self.end - 1 if unread is None else min(unread, self.end - 1)
        grown = 0
        while self.bytes + grown > max_bytes and self.start < last:
            grown += self._log.drop_oldest()
        while self.bytes + grown > max_bytes and len(self._newest.events) > 1:
            grown += self._newest.drop_oldest()
        self._grow(grown)

    def clear(self) -> None:
        """Drops all events."""
        self._grow(self._log.clear() + self._newest.clear())

    def _grow(self, size: int) -> None:
        if size:
            self.bytes += size
            self._on_bytes(self.bytes)

    def id_at(self, place: int) -> bytes:
        """Returns what a reader names that goes on from a place; nothing where the server gives the ids."""
        return b"" if self._read_id else b"%b-%d" % (self.stream_id, place)

    def at(self, place: int) -> KeptEvent:
        """Returns what is kept at a place from `start` on."""
        return self._log.events[place]

    def last(self, count: int) -> int:
        """Returns the place of the oldest of the last messages of the newest call."""
        return max(self.start, self.since, self.end - count)

    def newest_of_each_key(self, place: int = 0) -> list[KeptEvent]:
        """Returns the newest message of each key that the newest call sent, from a place on."""
        return [event for event in self._newest.events.values() if event.place >= place]

    @property
    def has_each_key(self) -> bool:
        """Whether the newest message of each key is kept, of all that the newest call sent."""
        return self._newest.whole

    def has_room(self, place: int, size: int, max_bytes: int) -> bool:
        """Whether half of what can be kept holds what is unread from a place on, and one more message.

        Args:
            place: the oldest place that is unread.
            size: bytes of the message.
            max_bytes: bytes that may be kept now, where that is less than the log's own bound.
        """
        if place == self.end:
            return True
        events, most = self._half
        unread = self.written - self.at(place).written
        return self.end - place < events and unread + EVENT_BYTES + size <= min(
            most, max_bytes // 2
        )


def _key_bytes(key: Hashable) -> int:
    if isinstance(key, str):
        return KEY_BYTES + len(key) * (1 if key.isascii() else 4)
    return KEY_BYTES
