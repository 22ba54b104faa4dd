"""The replay buffer of one call: its newest messages, and the newest message of each key.

No I/O. A reader is an offset into the log, so a slow reader costs no more memory than a fast one. The log is
limited in entries and in bytes, and the messages that a reader missed can be counted.

Bytes are bytes of memory: message, id, cached JSON, and the objects around them (`EVENT_BYTES`, `JSON_BYTES`,
`KEY_BYTES`; measured on CPython 3.11, which uses the most of the supported versions).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Final, Generic, TypeVar
from weakref import ref

from gateway.feeds.source import Encode, StreamEvent
from gateway.transcoding.event_fields import ReadId, ReadKey

K = TypeVar("K", bound=Hashable)

EVENT_BYTES: Final = 432
"""Overhead of an entry in bytes, without message and id: objects, `bytes` headers, slot in the log."""
JSON_BYTES: Final = 96
"""Overhead of one cached JSON text in bytes."""
KEY_BYTES: Final = 224
"""Overhead of a key's slot in bytes, without the characters of a string key."""
_MAX_CACHED_FORMS: Final = 2
"""Maximum JSON texts cached per entry, one for each set of JSON options."""
_JSON_FACTOR: Final = 8
_JSON_OVERHEAD: Final = 256
"""A JSON text is cached if it has at most `_JSON_FACTOR` bytes per message byte, plus this."""


class LogEntry(StreamEvent):
    """An event in a log."""

    __slots__ = ("_forms", "_log", "bytes_before", "call_start", "held_by", "offset", "size")

    def __init__(self, event_id: bytes, message: bytes, log: ref[EventLog]) -> None:
        """Creates an entry that no ring holds yet."""
        super().__init__(event_id, message)
        self._log = log
        self._forms: tuple[Encode | bytes, ...] = ()
        """Encoder and cached JSON, alternating."""
        self.offset = 0
        """Number of messages before it."""
        self.bytes_before = 0
        """Size of all earlier entries in bytes, without JSON."""
        self.call_start = -1
        """Offset of the first message of its call; -1 for the first call."""
        self.size = EVENT_BYTES + len(event_id) + len(message)
        """Its bytes in memory, with cached JSON."""
        self.held_by = 0
        """Bit set of the rings that hold it."""

    def json(self, encode: Encode) -> bytes:
        """Returns the JSON of the message, cached per encoder while several readers share the log."""
        forms = self._forms
        if encode in forms:
            return forms[forms.index(encode) + 1]  # type: ignore[return-value] # encoder and JSON alternate
        json = encode(self.message)
        log = self._log()
        if log is not None and log.caches_json and self._is_cacheable(json):
            # orjson returns its whole write buffer, 4 KiB or more
            copied = bytes(memoryview(json))
            self._forms = (*forms, encode, copied)
            log.grow(self, JSON_BYTES + len(copied))
        return json

    def _is_cacheable(self, json: bytes) -> bool:
        max_bytes = _JSON_FACTOR * len(self.message) + _JSON_OVERHEAD
        return (
            self.held_by != 0
            and len(self._forms) < 2 * _MAX_CACHED_FORMS
            and len(json) <= max_bytes
        )


class _Ring(Generic[K]):
    """Entries by key. Beyond its limits the oldest are dropped; the newest is always kept."""

    def __init__(
        self, bit: int, max_entries: int, max_bytes: int, key_bytes: Callable[[K], int]
    ) -> None:
        """Creates an empty ring.

        Args:
            bit: marks its entries in `LogEntry.held_by`.
            max_entries: maximum number of entries.
            max_bytes: maximum bytes of keys and entries.
            key_bytes: returns the size of a key's slot in bytes.
        """
        self._bit = bit
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._key_bytes = key_bytes
        self.bytes = 0
        self.complete = True
        """Whether nothing was dropped since the last `clear`."""
        self.entries: OrderedDict[K, LogEntry] = OrderedDict()

    def put(self, key: K, entry: LogEntry) -> int:
        """Adds an entry as the newest and replaces the one with the same key.

        Returns:
            The change of the log's size in bytes; negative if old entries were dropped.
        """
        change = self._drop(key, self.entries.pop(key)) if key in self.entries else 0
        size = self._key_bytes(key)
        change += size if entry.held_by else size + entry.size
        self.entries[key] = entry
        entry.held_by |= self._bit
        self.bytes += size + entry.size
        return change + self.trim()

    def grow(self, entry: LogEntry, size: int) -> int:
        """Counts bytes added to an entry, if this ring holds it; returns what `trim` returns."""
        if not entry.held_by & self._bit:
            return 0
        self.bytes += size
        return self.trim() if self.bytes > self._max_bytes else 0

    def trim(self) -> int:
        """Drops the oldest entries beyond the limits; returns the change of the log's size in bytes."""
        change = 0
        while len(self.entries) > 1 and (
            len(self.entries) > self._max_entries or self.bytes > self._max_bytes
        ):
            change += self.drop_oldest()
        return change

    def drop_oldest(self) -> int:
        """Drops the oldest entry; returns the change of the log's size in bytes."""
        self.complete = False
        return self._drop(*self.entries.popitem(last=False))

    def clear(self) -> int:
        """Drops all entries; returns the change of the log's size in bytes."""
        change = 0
        while self.entries:
            change += self.drop_oldest()
        self.complete = True
        return change

    def _drop(self, key: K, entry: LogEntry) -> int:
        size = self._key_bytes(key)
        self.bytes -= size + entry.size
        entry.held_by &= ~self._bit
        return -size if entry.held_by else -size - entry.size


class EventLog:
    """Numbers the messages of a stream and keeps the newest of them, within limits."""

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
        """Creates an empty log.

        Args:
            stream_id: prefix of its event ids.
            keep: maximum number of entries in order, and of entries by key.
            max_bytes: maximum bytes of the entries in order, and again of those by key. One entry of each is
                kept whatever its size.
            read_key: reads the key of a message; None: no entries by key.
            read_id: reads the server's id of a message; None: ids are `STREAM_ID-NUMBER`.
            on_bytes: called with `bytes` whenever it changes; may call `shrink`.
        """
        self.stream_id = stream_id
        self._read_key = read_key
        self._read_id = read_id
        self._on_bytes = on_bytes
        self._in_order: _Ring[int] = _Ring(1, keep, max_bytes, lambda _offset: 0)
        self._by_key: _Ring[Hashable] = _Ring(2, keep, max_bytes, _key_bytes)
        self._max_unread = max(1, keep // 2), max_bytes // 2
        """Entries and bytes that may be unread under backpressure; the other half is for resuming readers."""
        self._self = ref(self)
        self.bytes_appended = 0
        """Size of all entries that were ever appended, in bytes, without JSON."""
        self.bytes = 0
        """Bytes of memory of everything in the log."""
        self.caches_json = False
        """Whether JSON is cached; worth it with more than one reader."""
        self.end = 0
        """Offset after the newest message."""
        self.call_start = -1
        """Offset of the first message of the current call; -1 during the first call."""
        self._before_first = 0
        """Offset before message 1 of `stream_id`."""
        self.start_id = b""
        """Id behind which the first call began; empty: as the request says."""

    def begin(self, stream_id: bytes, number: int) -> None:
        """Gives the next message another id: the prefix and the number behind `number`.

        In a log without a prefix, which nobody reads yet, offsets are numbers from here on.
        """
        if not self.stream_id:
            self.end = number
        self.stream_id = stream_id
        self._before_first = self.end - number

    @property
    def start(self) -> int:
        """Offset of the oldest message in the log."""
        return next(iter(self._in_order.entries), self.end)

    def put_newest(self, message: bytes, number: int) -> None:
        """Adds the newest message of a key, which comes before `start`: message `number` of `stream_id`."""
        assert self._read_key is not None  # noqa: S101 - the method has a key
        entry = LogEntry(b"", message, self._self)
        entry.offset, entry.bytes_before = self.offset_of(number) - 1, self.bytes_appended
        entry.id = self._read_id(message) if self._read_id else self.id_at(entry.offset + 1)
        self._count(self._by_key.put(self._read_key(message), entry))

    def miss_keys(self) -> None:
        """Notes that the newest message of some key is not in the log."""
        self._by_key.complete = False

    def append(self, message: bytes) -> None:
        """Appends a message."""
        if self._read_id:
            event_id = self._read_id(message)
        else:
            event_id = b"%b-%d" % (self.stream_id, self.end + 1 - self._before_first)
        entry = LogEntry(event_id, message, self._self)
        entry.offset, entry.bytes_before = self.end, self.bytes_appended
        entry.call_start = self.call_start
        self.bytes_appended += entry.size
        self.end += 1
        change = self._in_order.put(entry.offset, entry)
        if self._read_key is not None:
            change += self._by_key.put(self._read_key(message), entry)
        self._count(change)

    def grow(self, entry: LogEntry, size: int) -> None:
        """Counts bytes added to an entry, and drops old entries beyond the limits."""
        entry.size += size
        self._count(size + self._in_order.grow(entry, size) + self._by_key.grow(entry, size))

    def mark_restart(self) -> None:
        """Starts a new call at `end`: the newest messages of each key from earlier calls are dropped."""
        self.call_start = self.end
        self._count(self._by_key.clear())

    def shrink(self, max_bytes: int, unread: int | None = None) -> None:
        """Drops the oldest entries until at most `max_bytes` are left; the newest entry stays.

        Args:
            max_bytes: target size in bytes.
            unread: offset of the first entry that must not be dropped; None: any but the newest may be.
        """
        last = self.end - 1 if unread is None else min(unread, self.end - 1)
        change = 0
        while self.bytes + change > max_bytes and self.start < last:
            change += self._in_order.drop_oldest()
        while self.bytes + change > max_bytes and len(self._by_key.entries) > 1:
            change += self._by_key.drop_oldest()
        self._count(change)

    def clear(self) -> None:
        """Drops all entries."""
        self._count(self._in_order.clear() + self._by_key.clear())

    def _count(self, change: int) -> None:
        if change:
            self.bytes += change
            self._on_bytes(self.bytes)

    def id_at(self, offset: int) -> bytes:
        """Returns the `Last-Event-ID` of a reader at an offset; empty if the server provides the ids."""
        if self._read_id:
            return b""
        return b"%b-%d" % (self.stream_id, max(0, offset - self._before_first))

    def offset_of(self, number: int) -> int:
        """Returns the offset behind message `number` of `stream_id`."""
        return number + self._before_first

    def offset_behind(self, event_id: bytes, since: int = 0) -> int | None:
        """Returns the offset behind the newest message with this id; None: none that is kept has it.

        Args:
            event_id: of the message.
            since: offset of the first message that is looked at.
        """
        for entry in reversed(self._in_order.entries.values()):
            if entry.offset < since:
                break
            if entry.id == event_id:
                return entry.offset + 1
        return 0 if event_id == self.start_id and self.start == 0 else None

    @property
    def last_id(self) -> bytes:
        """Id of the newest message, or that behind which the first one is; empty: it has none."""
        newest = self._in_order.entries.get(self.end - 1)
        return self.start_id if newest is None else newest.id

    def messages(self) -> list[bytes]:
        """Returns the messages that are kept in order."""
        return [entry.message for entry in self._in_order.entries.values()]

    def at(self, offset: int) -> LogEntry:
        """Returns the entry at an offset from `start` to `end` (exclusive)."""
        return self._in_order.entries[offset]

    def offset_of_last(self, count: int) -> int:
        """Returns the offset of the oldest of the last `count` messages of the current call."""
        return max(self.start, self.call_start, self.end - count)

    def newest_of_each_key(self, offset: int = 0) -> list[LogEntry]:
        """Returns the newest message of each key in the current call, from an offset on."""
        return [entry for entry in self._by_key.entries.values() if entry.offset >= offset]

    @property
    def has_every_key(self) -> bool:
        """Whether the newest message of every key that the current call has sent is in the log."""
        return self._by_key.complete

    def can_append(self, unread: int, size: int, max_bytes: int) -> bool:
        """Whether a message can be appended under backpressure: half of the log may be unread.

        Args:
            unread: offset of the oldest unread message.
            size: bytes of the message.
            max_bytes: current limit of the log's bytes, if lower than its own.
        """
        if unread == self.end:
            return True
        max_entries, max_unread_bytes = self._max_unread
        unread_bytes = self.bytes_appended - self.at(unread).bytes_before
        return self.end - unread < max_entries and unread_bytes + EVENT_BYTES + size <= min(
            max_unread_bytes, max_bytes // 2
        )


def _key_bytes(key: Hashable) -> int:
    if isinstance(key, str):
        return KEY_BYTES + len(key) * (1 if key.isascii() else 4)
    return KEY_BYTES
