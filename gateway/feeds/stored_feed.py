"""A feed that several processes share by a store: one of them leads it, which makes the call.

The leader passes a message to its own readers when the store has numbered it. The others read it from the
store. A process that cannot reach the store for longer than a lease goes on alone, by a call of its own.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from random import SystemRandom
from time import time_ns
from typing import Any, Final, Literal, TypeAlias

from gateway.feeds.arrivals import Arrivals
from gateway.feeds.feed import Feed
from gateway.feeds.requests import position
from gateway.feeds.sharing import LogSink, SharedFeed
from gateway.feeds.source import new_stream_id
from gateway.feeds.store.ends import read_end, read_metadata, write_end, write_metadata
from gateway.feeds.store.pending import Pending
from gateway.feeds.store.port import StoreDownError
from gateway.feeds.store.replica import Replica
from gateway.feeds.store.rules import (
    FIRST_EPOCH,
    Answer,
    Appended,
    Ask,
    Entry,
    EntryKind,
    Lease,
    NewEntry,
    Trim,
)
from gateway.transcoding.status import INTERNAL, StatusError

log = logging.getLogger(__name__)

Role: TypeAlias = Literal["leader", "follower", "alone"]

_RANDOM: Final = SystemRandom()
_CATCH_UP_SECONDS: Final = 1.0
"""Time, beyond a lease, for which a reader that resumes waits for what it has read in another process."""


class StoredFeed(Feed):
    """Leads the feed, follows its leader, or goes on alone; see `gateway.feeds.store.rules`."""

    def __init__(self, shared: SharedFeed, *feed: Any, **others: Any) -> None:
        """Creates a feed; `run` takes part in it.

        Args:
            shared: what it is in the store.
            feed: what a `Feed` takes.
            others: what a `Feed` takes.
        """
        super().__init__(*feed, **others)
        sharing, spec, self._key, self._fresh = shared
        self._sharing = sharing
        self._spec = spec
        self._start_after, self.log.start_id = self.log.start_id, b""
        self._store = sharing.store
        self._sink = LogSink(self.log, self._wake_soon, sharing.counts)
        self._replica = Replica(
            b"%032x" % _RANDOM.getrandbits(128),
            self._sink,
            read_id=spec.read_id,
            max_skipped=spec.policy.keep,
        )
        self._trim = Trim(spec.policy.keep, sharing.max_bytes, int(sharing.keep * 1000))
        self.is_ready = asyncio.Event()
        """Set when the log has what the store has, or the feed goes on alone."""
        self._changed = asyncio.Event()
        """Set when there is something to do: messages for the store, news of the leader, the end."""
        self._arrivals = Arrivals(
            self.log, self._replica, lambda: self._store.newest(self._key), has_ids=self.resumes
        )
        self._pending = Pending()
        self._call: asyncio.Task[None] | None = None
        self._call_is_new = False
        self._next_kind = EntryKind.MESSAGE
        self._lease: Lease | None = None
        self._wanted = False
        self._unfollow: Callable[[], None] | None = None
        self._news = False
        self._gives_up_at: float | None = None

    @property
    def has_end(self) -> bool:
        """Whether the feed has ended, though its readers may have to read on."""
        return self.ended or self._replica.end is not None

    def begins_behind(self, last_event_id: str) -> bool:
        """Whether the first message of the feed is the next one for a reader of this event."""
        return self._call is not None and super().begins_behind(last_event_id)

    @property
    def is_leading(self) -> bool:
        """Whether this process makes the call for all others."""
        return self._lease is not None

    @property
    def role(self) -> Role:
        """What this process is in the feed now."""
        if self.is_leading:
            return "leader"
        return "alone" if self._replica.is_alone else "follower"

    @property
    def is_wanted(self) -> bool:
        """Whether another process reads the feed through this one."""
        return self._lease is not None and self._wanted

    async def catch_up(self, last_event_id: str) -> None:
        """Returns when the log has what a reader of this event goes on from, as far as that can be known."""
        await self.is_ready.wait()
        if not last_event_id or position(self, last_event_id) is not None:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(self._sharing.lease + _CATCH_UP_SECONDS):
                await self._arrivals.of(last_event_id.encode(), lambda: self.is_leading)

    async def _read_calls(self) -> StatusError | None:
        """Takes part in the feed to its end."""
        try:
            while self._replica.end is None:
                try:
                    await self._take_part()
                    self._gives_up_at = None
                except StoreDownError as error:
                    if not await self._returns_soon():
                        log.debug("without the store: %s", error)
                        await self._go_on_alone()
            failure, self.trailing_metadata = read_end(self._replica.end)
            return failure
        finally:
            self.is_ready.set()
            await self._let_go()

    async def _let_go(self) -> None:
        self._stop_following()
        self._drop_call()
        lease, self._lease = self._lease, None
        if lease is not None:
            with suppress(StoreDownError, TimeoutError):
                async with asyncio.timeout(_CATCH_UP_SECONDS):
                    await self._store.leave(self._key, lease.holder, lease.fence)

    async def _take_part(self) -> None:
        """Asks to lead; then leads until it is told not to, or follows for some time."""
        ask, answer = await self._ask()
        if not answer.leads:
            await self._follow(answer)
        elif await self._begin_to_lead(ask, answer):
            await self._lead()

    async def _ask(self) -> tuple[Ask, Answer]:
        sharing, least = self._sharing, FIRST_EPOCH
        while True:
            ask = self._replica.ask(
                milliseconds=time_ns() // 1_000_000,
                random=_RANDOM.getrandbits(16),
                lease=int(sharing.lease * 1000),
                keep=int(sharing.keep * 1000),
                fresh=self._fresh,
                least=least,
            )
            answer = await self._store.lead(self._key, ask)
            if answer.leads or answer.wait:
                self._fresh = False
                return ask, answer
            least = answer.epoch  # the clock of this process is behind

    async def _follow(self, answer: Answer) -> None:
        self._drop_call()
        replica = self._replica
        if answer.epoch != replica.epoch or replica.is_alone:
            self._stop_following()
            replica.read(await self._store.load(self._key))
            self._take_metadata()
            if replica.end is not None:
                return
        if self._unfollow is None:
            self._sharing.counts.followed += 1
            self._unfollow = self._store.follow(self._key, replica.epoch, replica.number, self)
        self.is_ready.set()
        self._arrivals.tell()
        poll = self._sharing.lease / 3 * _RANDOM.uniform(0.8, 1.2)
        free = answer.wait / 1000 + self._sharing.lease / 20 * _RANDOM.random()
        await self._until_changed(min(poll, free))

    def on_entries(self, epoch: bytes, entries: Sequence[Entry]) -> None:
        """Takes entries from the store."""
        if epoch != self._replica.epoch or self._replica.is_alone:
            self.on_news()
            return
        for each in entries:
            self._replica.take(each)
        self._take_metadata()
        self._arrivals.tell()
        if self._replica.end is not None:
            self._changed.set()

    def on_news(self) -> None:
        """Asks at once: the feed has no leader now, or another epoch."""
        self._changed.set()

    def _take_metadata(self) -> None:
        if self._replica.initial and not self.initial_metadata:
            self.initial_metadata = read_metadata(self._replica.initial)
        self._arrivals.tell()

    async def _begin_to_lead(self, ask: Ask, answer: Answer) -> bool:
        """Prepares to lead; returns whether the feed is still where the answer says."""
        self._stop_following()
        replica = self._replica
        if not replica.keeps_call(ask, answer):
            self._drop_call()
        if answer.epoch != ask.new_epoch:
            self._sharing.counts.takeovers += answer.number > 0
            replica.read(await self._store.load(self._key))
            self._take_metadata()
            if replica.end is not None or replica.epoch != answer.epoch:
                return False
        seeds = replica.lead(answer, has_call=self._call is not None)
        self._pending.seed(seeds)
        self._lease = Lease(ask.holder, answer.fence, answer.epoch, ask.lease)
        self._wanted = False
        self._begin_call(replica.first_kind(ask, answer))
        self.is_ready.set()
        return True

    async def _lead(self) -> None:
        """Appends what the call brings until the lease is another's, or the store has lost messages."""
        lease = self._lease
        assert lease is not None  # noqa: S101 - it leads
        try:
            while self._replica.end is None:
                if not self._pending:
                    await self._until_changed(self._sharing.lease / 3)
                batch = self._pending.batch()
                try:
                    receipt = await self._store.append(
                        self._key, lease, self._replica.number, batch, self._trim
                    )
                except StoreDownError:
                    if await self._returns_soon():
                        continue
                    raise
                self._gives_up_at = None
                if receipt.outcome is not Appended.DONE:
                    self._sharing.counts.refused[receipt.outcome] += 1
                    if receipt.outcome is Appended.STALE:
                        self._drop_call()
                    break
                self._wanted = receipt.wanted
                self._take_appended(batch)
        except asyncio.CancelledError:
            raise  # `_let_go` gives the lease back
        except StoreDownError:
            self._lose_lease()
            raise
        self._lose_lease()

    def _lose_lease(self) -> None:
        self._lease = None
        self._pending.drop_seeds()

    def _take_appended(self, batch: Sequence[NewEntry]) -> None:
        seeds = self._pending.take(batch)
        if seeds:
            self._replica.seeded(seeds)
            self._arrivals.tell()
            return
        for each in batch:
            self._replica.take(Entry(self._replica.number + 1, each.kind, each.data))
        self._arrivals.tell()

    async def _go_on_alone(self) -> None:
        """Reads a call of its own until the store answers again."""
        self._stop_following()
        replica, counts = self._replica, self._sharing.counts
        if not replica.call_is_next:
            self._drop_call()
        if not replica.is_alone:
            counts.alone += 1
        replica.go_alone(
            new_stream_id(),
            has_call=self._call is not None,
            unanswered=self._pending.unanswered,
        )
        self._begin_call(EntryKind.MESSAGE)
        self.is_ready.set()
        back = asyncio.create_task(self._wait_for_store())
        try:
            while replica.end is None and not back.done():
                for each in self._pending.take_all():
                    replica.take_alone(each)
                self._arrivals.tell()
                await self._until_changed(None)
        finally:
            back.cancel()
        self._gives_up_at = None

    async def _wait_for_store(self) -> None:
        """Returns some time after the store is back, so that not all feeds of all processes ask at once."""
        await self._store.wait_until_up()
        await asyncio.sleep(self._sharing.lease * _RANDOM.random())
        self._changed.set()

    async def _returns_soon(self) -> bool:
        """Waits for the store, at most a lease in all; returns whether it is back."""
        now = asyncio.get_running_loop().time()
        if self._gives_up_at is None:
            self._gives_up_at = now + self._sharing.lease - self._store.down_seconds
        try:
            async with asyncio.timeout_at(max(now, self._gives_up_at)):
                await asyncio.sleep(self._sharing.lease / 100 * _RANDOM.random())
                await self._store.wait_until_up()
        except TimeoutError:
            return False
        return True

    async def _until_changed(self, seconds: float | None) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        self._changed.clear()

    def _stop_following(self) -> None:
        if self._unfollow is not None:
            self._unfollow()
            self._unfollow = None

    def _begin_call(self, first: EntryKind) -> None:
        if self._call is None:
            self._next_kind, self._call_is_new = first, True
            self._call = asyncio.create_task(self._run_call(), name="call of a feed")

    def _drop_call(self) -> None:
        """Cancels the call; what the store has not numbered is forgotten."""
        call, self._call = self._call, None
        if call is not None:
            call.cancel()
            self._backoff.reset()
        self._pending.take_all()

    async def _run_call(self) -> None:
        """Reads the call to its end, with retries, for the store."""
        try:
            failure = await super()._read_calls()
        except Exception:
            log.exception("reading a stream for its readers")
            failure = StatusError.of(INTERNAL, "internal error")
        end = write_end(failure, self.trailing_metadata)
        self._pending.add(NewEntry(EntryKind.END, end))
        self._changed.set()

    async def _append(self, message: bytes) -> None:
        await self._pending.wait_for_room()
        key = b""
        if self._spec.read_key is not None:
            key = b"k%b" % str(self._spec.read_key(message)).encode("utf-8", "surrogatepass")
        initial = write_metadata(self.initial_metadata) if self._call_is_new else b""
        self._pending.add(NewEntry(self._next_kind, message, key, initial))
        self._next_kind, self._call_is_new = EntryKind.MESSAGE, False
        self._changed.set()

    def _resume_after(self) -> bytes:
        read_id = self._spec.read_id
        if read_id is None:
            return b""
        if self._pending.last is not None:
            return read_id(self._pending.last.data)
        if self._sink.is_empty and self._start_after:
            self.log.start_id = self._start_after
            self._arrivals.tell()
            return self._start_after
        return self._replica.resume_after

    def _mark_restart(self) -> None:
        self._call_is_new = True
        if not self._resume_after() and not (self._sink.is_empty and not self._pending):
            self._next_kind = EntryKind.RESTART
