"""What a store of feeds does with the record of one feed: lease, fence, append, trimming, lost data.

No I/O and no clock: the time is given. `redis_scripts` holds the same rules in Lua; tests compare the two,
and a model test looks for an order of steps in which a reader loses or repeats a message without being told.

A feed has at most one leader, which holds a lease and appends messages. Each leadership has a *fence*, a
number that only grows. Messages are numbered from 1 in an *epoch*. A new epoch begins when the store has lost
what it had: the record is gone, the server is another run (a restart, or another server after a failover,
whose copy may end earlier), or it has fewer messages than a process has seen.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, NamedTuple

FIRST_EPOCH: Final = b"0" * 16
"""The epoch of a process that has seen none; smaller than all others."""
ENTRY_BYTES: Final = 64
"""Overhead of an entry in the store, in bytes."""


class EntryKind(Enum):
    """What an entry of a feed is."""

    MESSAGE = b"m"
    RESTART = b"r"
    """A message, the first one of a call that could not go on where the one before it ended."""
    END = b"e"
    """The end of the feed, with its status."""


class NewEntry(NamedTuple):
    """An entry that a leader appends."""

    kind: EntryKind
    data: bytes
    """The message, or the status of the end."""
    key: bytes = b""
    """The key of the message, as bytes; empty: it has none."""
    initial: bytes = b""
    """The initial metadata of the call, with its first message."""


class Entry(NamedTuple):
    """An entry that the store holds."""

    number: int
    """From 1 in its epoch, without holes."""
    kind: EntryKind
    data: bytes
    initial: bytes = b""


class Trim(NamedTuple):
    """How much is kept of a feed."""

    entries: int
    bytes: int
    """Of data and overhead (`ENTRY_BYTES`); the newest entry is kept whatever its size."""
    milliseconds: int
    """Age of the oldest entry, and the time after which a feed that nobody appends to is dropped."""


class Ask(NamedTuple):
    """A process asks to lead a feed."""

    holder: bytes
    """The process and its feed; unique."""
    epoch: bytes
    """The epoch that it has read last; `FIRST_EPOCH`: none."""
    number: int
    """The number that it has read last in this epoch."""
    new_epoch: bytes
    """Begins if one has to; greater than `epoch`."""
    lease: int
    """Milliseconds for which a leader may be silent."""
    fresh: bool = False
    """Whether a feed that has ended begins again; else its end is read."""
    anew: bool = False
    """Whether a new epoch begins if the process leads: it has had messages that the store has not."""
    keep: int = 60_000
    """Milliseconds after which a feed that nobody asks for is dropped."""


class Answer(NamedTuple):
    """What a process that asked to lead is told."""

    leads: bool
    fence: int
    epoch: bytes
    number: int
    """The number of the newest entry."""
    wait: int
    """Milliseconds until the lease of the leader ends; 0 for the leader itself."""


class Lease(NamedTuple):
    """What a leader shows with each append."""

    holder: bytes
    fence: int
    epoch: bytes
    lease: int
    """Milliseconds."""


class Appended(Enum):
    """What became of an append."""

    DONE = b"done"
    STALE = b"stale"
    """Another process leads: nothing was written."""
    LOST = b"lost"
    """The store has lost messages: nothing was written, and who asks to lead begins a new epoch."""


class Receipt(NamedTuple):
    """The answer to an append."""

    outcome: Appended
    number: int
    """The number of the newest entry."""
    wanted: bool
    """Whether another process reads the feed, so that its leader should go on."""


@dataclass(slots=True)
class Record:
    """What the store holds of one feed."""

    run: bytes
    epoch: bytes
    number: int = 0
    fence: int = 0
    holder: bytes = b""
    until: int = 0
    """When the lease ends."""
    wanted: int = 0
    """Until when another process reads the feed."""
    expires: int = 0
    """When the record is dropped, if nobody asks for the feed before."""
    ended: bool = False
    initial: bytes = b""
    """The initial metadata of the call."""
    entries: deque[tuple[int, Entry]] = field(default_factory=deque)
    """Time and entry."""
    size: int = 0
    """Bytes of the entries."""
    newest: dict[bytes, Entry] = field(default_factory=dict)
    """Key -> its newest message since the last restart, oldest first."""
    every_key: bool = True
    """Whether `newest` holds every key since the last restart."""

    def is_free_for(self, holder: bytes, now: int) -> bool:
        """Whether a process may lead: it does, or nobody does."""
        return self.holder == holder or self.until <= now

    def begin(self, run: bytes, epoch: bytes) -> None:
        """Begins a new epoch: nothing of the one before is kept but the fence."""
        self.run, self.epoch, self.number, self.ended, self.initial = run, epoch, 0, False, b""
        self.entries.clear()
        self.size = 0
        self.newest.clear()
        self.every_key = True


def lead(record: Record | None, ask: Ask, run: bytes, now: int) -> tuple[Record | None, Answer]:
    """Gives the feed to who asks, if nobody leads it, and says how far it has got.

    Who asks as its leader keeps it, for another lease. `Answer.epoch` is `new_epoch` where an epoch began. If
    the epoch of the record is not smaller than `new_epoch`, and one would have to begin, nothing happens and
    `Answer.wait` is 0: the process asks again with a greater one.
    """
    begins = record is None or _has_lost(record, ask, run) or (record.ended and ask.fresh)
    if record is not None and not record.ended and record.is_free_for(ask.holder, now):
        begins = begins or ask.anew
    if begins and record is not None and record.epoch >= ask.new_epoch:
        return record, _told(record, 0)
    if record is None:
        record = Record(run, ask.new_epoch)
    record.expires = now + ask.keep
    if begins:
        record.begin(run, ask.new_epoch)
    elif record.ended:
        return record, _told(record, ask.lease)
    elif not record.is_free_for(ask.holder, now):
        record.wanted = now + ask.lease
        wait = record.until - now
        return record, _told(record, wait)
    if begins or record.holder != ask.holder:
        record.fence += 1
    record.holder, record.until = ask.holder, now + ask.lease
    return record, _told(record, 0)._replace(leads=True)


def _told(record: Record, wait: int) -> Answer:
    return Answer(
        leads=False, fence=record.fence, epoch=record.epoch, number=record.number, wait=wait
    )


def _has_lost(record: Record, ask: Ask, run: bytes) -> bool:
    """Whether the store has less than it had."""
    return (
        record.run != run
        or record.epoch < ask.epoch
        or (record.epoch == ask.epoch and record.number < ask.number)
    )


def append(
    record: Record | None,
    lease: Lease,
    after: int,
    new: Sequence[NewEntry],
    trim: Trim,
    run: bytes,
    now: int,
) -> Receipt:
    """Appends entries behind number `after`, if the lease is the newest, and renews it.

    Entries that an earlier append has written, whose answer was lost, are not written again. A lease that has
    run out is good until another process has taken the feed: the fence says so. Without entries it is
    renewed.
    """
    if record is None or record.run != run:
        return Receipt(Appended.LOST, 0, wanted=False)
    if (record.holder, record.fence, record.epoch) != (lease.holder, lease.fence, lease.epoch):
        return Receipt(Appended.STALE, record.number, wanted=False)
    if record.number < after:
        return Receipt(Appended.LOST, record.number, wanted=False)
    for entry in new[record.number - after :]:
        _put(record, entry, trim, now)
    _trim(record, trim, now)
    record.until = now + lease.lease
    record.expires = max(record.expires, now + trim.milliseconds)
    return Receipt(Appended.DONE, record.number, wanted=record.wanted > now)


def _put(record: Record, new: NewEntry, trim: Trim, now: int) -> None:
    record.number += 1
    entry = Entry(record.number, new.kind, new.data, new.initial)
    record.initial = new.initial or record.initial
    if new.kind is EntryKind.RESTART:
        record.newest.clear()
        record.every_key = True
    record.ended = new.kind is EntryKind.END
    record.entries.append((now, entry))
    record.size += ENTRY_BYTES + len(new.data)
    if new.key:
        record.newest.pop(new.key, None)
        record.newest[new.key] = Entry(record.number, EntryKind.MESSAGE, new.data)
        if len(record.newest) > trim.entries:
            del record.newest[next(iter(record.newest))]
            record.every_key = False


def _trim(record: Record, trim: Trim, now: int) -> None:
    """Drops the oldest entries beyond the limits."""
    while len(record.entries) > 1:
        came, oldest = record.entries[0]
        if (
            len(record.entries) <= trim.entries
            and record.size <= trim.bytes
            and came + trim.milliseconds > now
        ):
            return
        record.entries.popleft()
        record.size -= ENTRY_BYTES + len(oldest.data)


def leave(record: Record | None, holder: bytes, fence: int) -> bool:
    """Gives the feed back, so that another process can lead it at once; returns whether it was held."""
    if record is None or (record.holder, record.fence) != (holder, fence):
        return False
    record.holder, record.until = b"", 0
    return True


class Kept(NamedTuple):
    """What the store holds of a feed."""

    epoch: bytes
    number: int
    initial: bytes
    every_key: bool
    entries: tuple[Entry, ...]
    newest: tuple[Entry, ...]
    """The newest message of each key, oldest first, also where it is among the entries."""


NOTHING: Final = Kept(FIRST_EPOCH, 0, b"", every_key=True, entries=(), newest=())


def load(record: Record | None) -> Kept:
    """Returns all that is kept of a feed."""
    if record is None:
        return NOTHING
    return Kept(
        record.epoch,
        record.number,
        record.initial,
        record.every_key,
        tuple(entry for _, entry in record.entries),
        tuple(record.newest.values()),
    )


def read_after(record: Record | None, epoch: bytes, number: int) -> tuple[Entry, ...]:
    """Returns the entries after a number; none of another epoch."""
    if record is None or record.epoch != epoch:
        return ()
    return tuple(entry for _, entry in record.entries if entry.number > number)
