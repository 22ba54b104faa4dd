"""Processes, a store that loses data, an upstream and a clock, moved one step at a time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from random import Random

from gateway.feeds.store.replica import Replica
from gateway.feeds.store.rules import Appended, Entry, EntryKind, Lease, NewEntry, Trim
from tests.feeds.store.simulated import SimulatedStore

KEY = b"feed"
LEASE = 30
FOREVER = 10**9
RESTART = "restart"


class LossError(AssertionError):
    """A reader has lost or repeated a message and was not told, or two messages have one id."""


class Out:
    """What the readers of a process were told; checks each step."""

    def __init__(self, ids: dict[tuple[bytes, int], int], *, restarts: bool) -> None:
        self._ids = ids
        self._restarts = restarts
        self._epoch, self._number = b"", 0
        self.messages: list[int] = []
        self.told: list[int | str] = []

    @property
    def is_empty(self) -> bool:
        """See `Sink`."""
        return not self.messages

    def begin(self, epoch: bytes, number: int) -> None:
        """See `Sink`."""
        self._epoch, self._number = epoch, number

    def restart(self) -> None:
        """See `Sink`."""
        if self.told and self.told[-1] != RESTART:
            self.told.append(RESTART)
        if not self._restarts:
            raise LossError("a restart where ids let the call go on")

    def message(self, message: bytes) -> None:
        """See `Sink`; checks the message."""
        value = int(message)
        if self.told and self.told[-1] != RESTART and value != self.messages[-1] + 1:
            raise LossError(f"{value} after {self.messages[-1]}")
        self._number += 1
        if self._restarts and self._ids.setdefault((self._epoch, self._number), value) != value:
            raise LossError(f"{value} has the id of another message")
        self.messages.append(value)
        self.told.append(value)

    def newest_before(self, entries: Sequence[Entry], *, every_key: bool) -> None:
        """See `Sink`."""
        assert not entries

    def kept(self) -> Iterable[bytes]:
        """See `Sink`."""
        return [b"%d" % each for each in self.messages]


@dataclass(eq=False)
class Process:
    """One replica of the edge; `pending` is what its call has brought and the store has not."""

    name: bytes
    out: Out
    replica: Replica
    lease: Lease | None = None
    pending: list[NewEntry] = field(default_factory=list)
    seeds: int = 0
    next: int | None = None
    """What its call brings next; None: it has none."""
    first: EntryKind = EntryKind.MESSAGE
    in_flight: list[NewEntry] | None = None
    """Appended, but the answer was lost."""
    is_alone: bool = False


class Model:
    """All of it. `live` is what an upstream without ids says now; one with ids begins after any message."""

    def __init__(self, random: Random, *, with_ids: bool, keep: int = FOREVER) -> None:
        self._random = random
        self._with_ids = with_ids
        self.store = SimulatedStore()
        self._trim = Trim(keep, FOREVER, FOREVER)
        self._ids: dict[tuple[bytes, int], int] = {}
        self._live = 0
        self._runs = 0
        self._epochs = 0
        self.taken_over = 0
        self.refused = 0
        self.processes = [self._process(b"p%d" % n) for n in range(3)]

    def _process(self, name: bytes) -> Process:
        out = Out(self._ids, restarts=not self._with_ids)
        read_id = (lambda message: message) if self._with_ids else None
        return Process(name, out, Replica(name, out, read_id=read_id, max_skipped=FOREVER))

    def step(self) -> None:
        """Lets one thing happen."""
        process = self._random.choice(self.processes)
        happens = self._random.choices(
            [self.ask, self.follow, self.speak, self.flush, self.alone, self.pass_time, self.lose],
            [6, 6, 6, 8, 0.5, 3, 0.5],
        )[0]
        happens(process)

    def pass_time(self, _process: Process) -> None:
        """Nobody moves for a while; a process that others overtake meanwhile was paused."""
        self.store.now += self._random.randrange(LEASE)

    def lose(self, _process: Process) -> None:
        """The server begins another run: with all data, without the newest entries, or with nothing."""
        self._runs += 1
        self.store.run = b"run%d" % self._runs
        record = self.store.records.get(KEY)
        if record is None or self._random.random() < 0.3:
            self.store.records.clear()
            return
        for _ in range(min(len(record.entries), self._random.randrange(4))):
            record.entries.pop()
            record.number -= 1

    def ask(self, process: Process) -> None:
        """A process that does not lead asks to."""
        if process.lease is not None:
            return
        self._epochs += 1
        replica = process.replica
        ask = replica.ask(
            milliseconds=self.store.now, random=self._epochs, lease=LEASE, keep=FOREVER, fresh=False
        )
        answer = self.store.lead(KEY, ask)
        if not answer.leads:
            if answer.wait and process.is_alone:
                process.is_alone, process.next, process.pending = False, None, []
                replica.read(self.store.load(KEY))
            return
        if not replica.keeps_call(ask, answer):
            process.next, process.pending = None, []
            replica.read(self.store.load(KEY))
            if replica.epoch != answer.epoch:
                return
        seeds = replica.lead(answer, has_call=process.next is not None)
        process.is_alone = False
        process.seeds = len(seeds)
        process.pending = seeds + process.pending
        process.lease = Lease(process.name, answer.fence, answer.epoch, LEASE)
        self.taken_over += answer.fence > 1
        self._call(process, replica.first_kind(ask, answer))

    def _call(self, process: Process, first: EntryKind = EntryKind.MESSAGE) -> None:
        if process.next is None:
            process.first = first
            last = int(process.replica.resume_after or 0)
            process.next = last + 1 if self._with_ids else self._live + 1

    def speak(self, process: Process) -> None:
        """The call of a process brings a message."""
        if process.next is None:
            return
        process.pending.append(NewEntry(process.first, b"%d" % process.next))
        process.first = EntryKind.MESSAGE
        self._live = max(self._live, process.next)
        process.next += 1
        if process.is_alone:
            self._drain(process)

    def flush(self, process: Process) -> None:
        """A leader appends what it has, perhaps long after it has looked, and may not hear the answer."""
        if process.lease is None:
            return
        batch = (
            process.in_flight or process.pending[: process.seeds or self._random.randrange(1, 4)]
        )
        receipt = self.store.append(KEY, process.lease, process.replica.number, batch, self._trim)
        if receipt.outcome is Appended.DONE:
            if self._random.random() < 0.2:
                process.in_flight = batch
                return
            process.in_flight = None
            seeds = min(process.seeds, len(batch))
            process.seeds -= seeds
            if seeds:
                process.replica.seeded(seeds)
            del process.pending[: len(batch)]
            for each in batch[seeds:]:
                number = process.replica.number + 1
                process.replica.take(Entry(number, each.kind, each.data))
            return
        self.refused += 1
        process.lease, process.in_flight = None, None
        del process.pending[: process.seeds]
        process.seeds = 0
        if receipt.outcome is Appended.STALE:
            process.next, process.pending = None, []

    def follow(self, process: Process) -> None:
        """A process that does not lead reads some of what is new."""
        if process.lease is not None or process.is_alone or process.next is not None:
            return
        kept = self.store.load(KEY)
        if kept.epoch != process.replica.epoch:
            if kept.epoch > process.replica.epoch:
                process.replica.read(kept)
            return
        replica = process.replica
        new = self.store.read_after(KEY, replica.epoch, replica.number)
        for each in new[: self._random.randrange(3)]:
            replica.take(each)

    def alone(self, process: Process) -> None:
        """A process cannot reach the store for longer than it is patient."""
        if process.is_alone:
            return
        if not process.replica.call_is_next:
            process.next, process.pending, process.seeds = None, [], 0
        had_call = process.next is not None
        if process.lease is not None:
            del process.pending[: process.seeds]
        process.replica.go_alone(
            b"alone%d" % self._epochs + process.name,
            has_call=had_call,
            unanswered=process.in_flight or (),
        )
        process.seeds, process.lease, process.in_flight = 0, None, None
        process.is_alone = True
        self._call(process)
        self._drain(process)

    def _drain(self, process: Process) -> None:
        for each in process.pending:
            process.replica.take_alone(each)
        process.pending = []
