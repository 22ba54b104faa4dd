"""What one process has of a feed in the store: how far it has read, and what its readers are told.

No I/O. The rule: between two restarts the messages of a feed are those of one call, each once and in order.

- A message goes to the readers once the store has numbered it, also those of the leader's own call.
- A hole in the numbers, a call that could not go on where the one before it ended, and another epoch are a
  restart. A process whose own call went on throughout has missed nothing, and marks none.
- Where messages have ids of the server's, a new call goes on after the last one. Then another epoch is no
  restart either: the process finds its last message in it, by its id.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from gateway.feeds.store.rules import FIRST_EPOCH, Answer, Ask, Entry, EntryKind, Kept, NewEntry
from gateway.transcoding.event_fields import ReadId

_EPOCH_BITS = 64
_RANDOM_BITS = 16


class Sink(Protocol):
    """What the readers of a process read: a log of messages with marks."""

    @property
    def is_empty(self) -> bool:
        """Whether there was no message yet."""
        ...

    def begin(self, epoch: bytes, number: int) -> None:
        """Gives the next message the number behind this one, in this epoch."""
        ...

    def restart(self) -> None:
        """Marks that later messages are not the next ones; twice at one place is once."""
        ...

    def message(self, message: bytes) -> None:
        """Takes the next message."""
        ...

    def newest_before(self, entries: Sequence[Entry], *, every_key: bool) -> None:
        """Takes the newest message of each key, of those that come before the first message."""
        ...

    def kept(self) -> Iterable[bytes]:
        """Returns the messages that are kept, in order."""
        ...


class Replica:
    """The position of a process in a feed.

    Attributes:
        epoch: the epoch that was read last.
        number: the number that was read last.
        end: the end of the feed, as its leader wrote it; None: it has not ended.
        initial: the initial metadata of the call, as its leader wrote it.
        is_alone: whether this process goes on without the store.
    """

    def __init__(
        self, holder: bytes, sink: Sink, *, read_id: ReadId | None, max_skipped: int
    ) -> None:
        """Starts with nothing.

        Args:
            holder: names the process and its feed; unique.
            sink: takes the messages.
            read_id: reads the server's id of a message; None: calls cannot go on after one.
            max_skipped: messages of another epoch in which the last one is looked for.
        """
        self.holder = holder
        self._sink = sink
        self._read_id = read_id
        self._max_skipped = max_skipped
        self._skipped = 0
        self._skip_until = b""
        self.last_id = b""
        """The server's id of the last message that readers have; empty: unknown."""
        self.resume_after = b""
        """The server's id of the last message that the store has, after which a new call goes on."""
        self.epoch = FIRST_EPOCH
        self.number = 0
        self.end: bytes | None = None
        self.initial = b""
        self.is_alone = False
        self._unanswered: Sequence[NewEntry] = ()
        """What this process has shown alone, and the store may have behind `number`."""

    @property
    def can_go_on(self) -> bool:
        """Whether a new call goes on after the last message."""
        return self._read_id is not None and bool(self.resume_after or self._sink.is_empty)

    def ask(
        self,
        *,
        milliseconds: int,
        random: int,
        lease: int,
        keep: int,
        fresh: bool,
        least: bytes = FIRST_EPOCH,
    ) -> Ask:
        """Returns the question whether this process may lead.

        Args:
            milliseconds: since 1970.
            random: 16 bits that make an epoch unique.
            lease: milliseconds.
            keep: milliseconds for which the store keeps a feed that nobody asks for.
            fresh: whether a feed that has ended begins again.
            least: an epoch that a new one must exceed.
        """
        new = max(int(max(self.epoch, least), 16) + 1, milliseconds << _RANDOM_BITS | random) % (
            1 << _EPOCH_BITS
        )
        return Ask(
            *(self.holder, self.epoch, self.number, b"%016x" % new, lease),
            fresh=fresh,
            anew=self.is_alone,
            keep=keep,
        )

    def read(self, kept: Kept) -> None:
        """Reads what the store has, to its newest entry."""
        entries = kept.entries
        if kept.epoch != self.epoch or self.is_alone:
            first = kept.number - len(entries)
            if self._sink.is_empty:
                self._sink.begin(kept.epoch, first)
                older = [each for each in kept.newest if each.number <= first]
                self._sink.newest_before(older, every_key=kept.every_key)
            else:
                entries = self._find_last(kept)
                self._sink.begin(kept.epoch, kept.number - len(entries))
            self.epoch, self.number = kept.epoch, kept.number - len(entries)
            self.is_alone = False
        self.initial = kept.initial or self.initial
        for each in entries:
            self.take(each)

    def _find_last(self, kept: Kept) -> tuple[Entry, ...]:
        """Returns the entries behind the last message; after a restart those that were not read before."""
        entries = kept.entries
        if self._read_id is None or not self.last_id:
            self._sink.restart()
            return entries if kept.epoch != self.epoch else self._unread(entries)
        for at, each in enumerate(entries):
            if each.kind is not EntryKind.END and self._read_id(each.data) == self.last_id:
                self._skip_until, self.resume_after = b"", self.last_id
                return entries[at + 1 :]
        # its leader has not got as far as this process had before the store lost it
        self._skip_until, self._skipped = self.last_id, 0
        return entries

    def _unread(self, entries: Sequence[Entry]) -> tuple[Entry, ...]:
        """Returns the entries of this epoch that the readers have not, by its leader or by this process."""
        new = tuple(each for each in entries if each.number > self.number)
        last = self.number
        for entry, sent in zip(new, self._unanswered, strict=False):
            if (entry.number, entry.kind, entry.data) != (last + 1, sent.kind, sent.data):
                break
            last += 1
        return new[last - self.number :]

    def take(self, entry: Entry) -> None:
        """Takes an entry of the current epoch; one that was read before is ignored."""
        if entry.number <= self.number:
            return
        if entry.number != self.number + 1:
            self._sink.restart()
            self._sink.begin(self.epoch, entry.number - 1)
        self.number = entry.number
        self.initial = entry.initial or self.initial
        if entry.kind is EntryKind.END:
            self.end = entry.data
            return
        if entry.kind is EntryKind.RESTART and self._read_id is None:
            self._sink.restart()
        if self._read_id is not None:
            self.resume_after = self._read_id(entry.data)
        if self._skip_until and self._is_skipped(entry.data):
            return
        self._pass_on(entry.data)

    def _is_skipped(self, message: bytes) -> bool:
        """Whether the readers have this message already."""
        assert self._read_id is not None  # noqa: S101 - nothing is skipped without ids
        if self._read_id(message) == self._skip_until:
            self._skip_until = b""
            return True
        self._skipped += 1
        if self._skipped <= self._max_skipped:
            return True
        self._skip_until = b""
        self._sink.restart()
        return False

    def _pass_on(self, message: bytes) -> None:
        if self._read_id is not None:
            self.last_id = self.resume_after = self._read_id(message)
        self._sink.message(message)

    def keeps_call(self, ask: Ask, answer: Answer) -> bool:
        """Whether the call of this process may go on when it leads: not in an epoch of another leader's."""
        return answer.epoch == ask.new_epoch and self.call_is_next

    @property
    def call_is_next(self) -> bool:
        """Whether a call of this process brings what its readers want next, not what they have already."""
        return not self._skip_until

    def lead(self, answer: Answer, *, has_call: bool) -> list[NewEntry]:
        """Leads from here; what the store has of this epoch must have been read.

        Args:
            answer: makes this process the leader.
            has_call: whether its own call has gone on since the last message.

        Returns:
            What must be appended, at once, before any message of the call: where the epoch has no message
            yet, those that are kept, if their ids let others find their place. They are not passed on again.
        """
        if answer.epoch != self.epoch or self.is_alone:
            self.is_alone = False
            self.epoch, self.number = answer.epoch, 0
            self._sink.begin(answer.epoch, 0)
            if self._read_id is None and not has_call:
                self._sink.restart()
        if self._read_id is None or answer.number:
            return []
        # until the store has them this process is where all others are: at the start of the epoch
        self._skip_until, self._skipped, self.resume_after = self.last_id, 0, self.last_id
        return [NewEntry(EntryKind.MESSAGE, each) for each in self._sink.kept()]

    def seeded(self, count: int) -> None:
        """Counts the messages of `lead`, which the store has now."""
        self._skip_until = b""
        self.number += count
        self._sink.begin(self.epoch, self.number)

    def first_kind(self, ask: Ask, answer: Answer) -> EntryKind:
        """Returns what the first message of a new call is.

        Who takes over an epoch marks a restart, even if nothing has been appended yet: a leader whose own
        call went on has begun the epoch for its readers where they were.
        """
        goes_on = self.can_go_on if self._read_id else answer.epoch == ask.new_epoch
        return EntryKind.MESSAGE if goes_on else EntryKind.RESTART

    def go_alone(
        self, local: bytes, *, has_call: bool, unanswered: Sequence[NewEntry] = ()
    ) -> None:
        """Goes on without the store, by a call of this process alone.

        Args:
            local: what its ids begin with.
            has_call: whether that call has gone on since the last message.
            unanswered: what that call has brought and the store may have, without an answer; `take_alone`
                takes it next.
        """
        if not self.is_alone:
            self._unanswered = unanswered
        if not has_call and not self._sink.is_empty and not self.can_go_on:
            self._sink.restart()
        self.is_alone = True
        self._skip_until, self.resume_after = b"", self.last_id
        self._sink.begin(local, 0)

    def take_alone(self, new: NewEntry) -> None:
        """Takes what a call of this process alone has brought."""
        if new.kind is EntryKind.END:
            self.end = new.data
            return
        if new.kind is EntryKind.RESTART and self._read_id is None:
            self._sink.restart()
        self._pass_on(new.data)
