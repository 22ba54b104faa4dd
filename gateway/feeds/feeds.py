"""All feeds of a process: which requests share a feed, and which feed a reader resumes."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import partial
from typing import Self

from gateway.feeds.accounting import FeedAccounting, FeedLimits
from gateway.feeds.counts import FeedCounts, FeedState
from gateway.feeds.event_log import EventLog
from gateway.feeds.feed import Feed
from gateway.feeds.open_source import OpenCall, OpenSubscription
from gateway.feeds.quota import Account
from gateway.feeds.requests import (
    RequestKey,
    StreamRequest,
    call_source,
    is_the_same,
    position,
    prefix_of,
    request_key,
    resume_failed,
)
from gateway.feeds.sharing import Sharing
from gateway.feeds.source import CallSource, Gap, Source, new_stream_id
from gateway.feeds.store.counts import StoreCounts
from gateway.feeds.stored_feed import Role, StoredFeed
from gateway.feeds.subscription import Subscription
from gateway.transcoding.event_fields import StreamSpec
from gateway.transcoding.status import UNAVAILABLE, StatusError
from gateway.upstream.port import Call, Upstream


@dataclass(slots=True, eq=False)
class _Entry:
    """The bookkeeping of one feed."""

    path: str
    """Of the method."""
    key: RequestKey
    account: Account
    task: asyncio.Task[None]
    linger_timer: asyncio.TimerHandle | None = None
    """Closes the feed after its linger; None: it has a reader."""


class Feeds:
    """Opens the sources of streams; an async context manager that ends all feeds on exit."""

    def __init__(
        self, upstream: Upstream, limits: FeedLimits, sharing: Sharing | None = None
    ) -> None:
        """Starts without feeds.

        Args:
            upstream: opens the calls.
            limits: limits per process, per caller and per feed.
            sharing: the store in which processes share their feeds; None: there is none.
        """
        self._upstream = upstream
        self._limits = limits
        self._sharing = sharing
        self.counts = FeedCounts()
        self.accounting = FeedAccounting(limits, self._close)
        self._running: set[asyncio.Task[None]] = set()
        """Tasks of all feeds, including closed ones that have not ended yet."""
        self._entries: dict[Feed, _Entry] = {}
        self._by_id: dict[bytes, Feed] = {}
        self._shared: dict[RequestKey, Feed] = {}

    @property
    def count(self) -> int:
        """Number of feeds."""
        return len(self._entries)

    @property
    def store_counts(self) -> StoreCounts | None:
        """What happened to shared feeds; None: there is no store."""
        return None if self._sharing is None else self._sharing.counts

    @property
    def roles(self) -> Counter[Role]:
        """Number of feeds that this process leads, follows, or reads alone."""
        return Counter(each.role for each in self._entries if isinstance(each, StoredFeed))

    @property
    def lags(self) -> list[int]:
        """Messages that each reader has still to read, in ascending order."""
        return sorted(feed.log.end - r.offset for feed in self._entries for r in feed.readers)

    def by_method(self) -> dict[str, FeedState]:
        """Returns path of a method -> its feeds; takes about 1 µs for each reader."""
        found: dict[str, FeedState] = {}
        for feed, entry in self._entries.items():
            before = found.get(entry.path, FeedState(0, 0, 0, 0))
            lag = max((feed.log.end - each.offset for each in feed.readers), default=0)
            found[entry.path] = FeedState(
                before.feeds + 1,
                before.readers + len(feed.readers),
                before.bytes + entry.account.size,
                max(before.lag, lag),
            )
        return found

    def _count_resume(self, request: StreamRequest) -> None:
        """Counts a reader that came back where no feed of the edge has its events."""
        self.counts.resumed["restarted" if resume_failed(request) else "continued"] += 1

    async def __aenter__(self) -> Self:
        """Connects to the store, if there is one."""
        if self._sharing is not None:
            await self._sharing.store.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Ends all feeds."""
        for feed in tuple(self._entries):
            self._close(feed)
        await asyncio.gather(*self._running, return_exceptions=True)
        if self._sharing is not None:
            await self._sharing.store.__aexit__()

    def open(self, request: StreamRequest) -> AbstractAsyncContextManager[Source]:
        """Opens the source of a stream; leaving the block releases it.

        Raises, in the block:
            StatusError: RESOURCE_EXHAUSTED, a limit is reached; DEADLINE_EXCEEDED, the timeout has passed; or
                what the iteration raises.
        """
        spec = request.stream_spec
        if (
            spec is None
            or not spec.policy.uses_feed(resumable=request.resumable)
            or not isinstance(request.requests, bytes)
        ):
            opened = self._upstream.open(
                request.method, request.requests, metadata=request.metadata, timeout=request.timeout
            )
            return OpenCall(opened, partial(self._source, request))
        is_stored = self._sharing is not None and spec.policy.shared and is_the_same(spec)
        open_ = self._subscribe_stored if is_stored else self._subscribe
        subscribe = partial(open_, request, spec, request.requests)
        return OpenSubscription(subscribe, self._unsubscribe, request.timeout)

    def _source(self, request: StreamRequest, call: Call) -> CallSource:
        """Returns the source of a call that has one reader."""
        if request.last_event_id:
            self._count_resume(request)
            self.counts.gaps += resume_failed(request)
        return call_source(call, request)

    def _subscribe(
        self,
        request: StreamRequest,
        spec: StreamSpec,
        message: bytes,
        stored: StoredFeed | None = None,
    ) -> Subscription:
        """Returns a reader of the feed for this request; `stored`: of this one."""
        key = request_key(request, spec, message, self._limits.unshared_keys)
        feed = stored or self._feed_of(key, request.last_event_id)
        reader = None if feed is None else self._resume(feed, request.last_event_id)
        if reader is None:
            feed = stored or self._shared.get(key)
            if feed is None or (feed.ended and not stored):
                feed = self._start(request, spec, message, key)
            reader = self._join(request, spec, feed)
            if request.last_event_id:
                self._count_resume(request)
        if request.last_event_id:
            reader.mark_started()  # an EventSource that gets an error status does not reconnect
        self._cancel_linger(reader.feed)
        reader.feed.join(reader)
        return reader

    async def _subscribe_stored(
        self, request: StreamRequest, spec: StreamSpec, message: bytes
    ) -> Subscription:
        """Returns a reader of a feed that processes share, when its log has what the store has."""
        key = request_key(request, spec, message, self._limits.unshared_keys)
        fresh = not request.last_event_id
        while True:
            feed = self._shared.get(key)
            if not isinstance(feed, StoredFeed) or feed.ended:
                feed = self._start(request, spec, message, key, fresh=fresh)
                assert isinstance(feed, StoredFeed)  # noqa: S101 - there is a store
            try:
                await feed.catch_up(request.last_event_id)
            except BaseException:
                if feed in self._entries and not feed.readers:
                    self._close(feed)
                raise
            is_kept = feed in self._entries
            if is_kept and (not feed.has_end or position(feed, request.last_event_id) is not None):
                return self._subscribe(request, spec, message, feed)
            if is_kept:
                self._unshare(feed)
            fresh = True

    def _join(self, request: StreamRequest, spec: StreamSpec, feed: Feed) -> Subscription:
        """Returns a new reader of a feed."""
        resumes = request.last_event_id and not feed.begins_behind(request.last_event_id)
        gap = Gap(restarted=True) if resumes and resume_failed(request) else None
        reader = Subscription(feed, gap=gap, resumable=request.resumable)
        if spec.policy.start_with_last_of_each_key:
            reader.start_with_last_of_each_key()
        elif spec.policy.start_with_last:
            reader.start_with_last(spec.policy.start_with_last)
        return reader

    def _resume(self, feed: Feed, last_event_id: str) -> Subscription | None:
        """Returns a reader that continues after an event; None if the feed cannot be resumed there."""
        offset = position(feed, last_event_id)
        if offset is None:
            return None
        reader = Subscription(feed)
        self.counts.resumed["continued" if offset >= feed.log.start else "gap"] += 1
        reader.resume_at(offset)
        return reader

    def _feed_of(self, key: RequestKey, last_event_id: str) -> Feed | None:
        """Returns the feed in which an event may be: the one with its prefix, else the shared one."""
        if not last_event_id:
            return None
        feed = self._by_id.get(prefix_of(last_event_id) or b"")
        if feed is None:
            return self._shared.get(key)
        return feed if self._entries[feed].key == key else None

    def _start(
        self,
        request: StreamRequest,
        spec: StreamSpec,
        message: bytes,
        key: RequestKey,
        *,
        fresh: bool = True,
    ) -> Feed:
        """Starts a feed; `fresh`: one that has ended in the store begins again.

        Raises:
            StatusError: RESOURCE_EXHAUSTED, a limit is reached.
        """
        account = self.accounting.admit(len(message), request.metadata, key[2], request.client)
        policy = spec.policy
        sharing = self._sharing if policy.shared and is_the_same(spec) else None
        log = EventLog(
            b"" if sharing else new_stream_id(),
            keep=policy.keep,
            max_bytes=self._limits.max_feed_bytes,
            read_key=spec.read_key,
            read_id=spec.read_id,
            on_bytes=partial(self.accounting.set_log_bytes, account),
        )

        def open_call(after: bytes) -> AbstractAsyncContextManager[Call]:
            return self._upstream.open(
                request.method,
                spec.write_id(message, after) if after and spec.write_id else message,
                metadata=request.metadata,
                timeout=None if policy.shared else request.timeout,
            )

        starts_behind = policy.shared and spec.accepts(request.last_event_id)
        kind = (
            Feed if sharing is None else partial(StoredFeed, sharing.feed(spec, key, fresh=fresh))
        )
        feed = kind(
            open_call,
            policy,
            log,
            fair_share=account.fair_share,
            counts=self.counts,
            resumes=policy.shared and spec.write_id is not None,
            start_after=request.last_event_id.encode() if starts_behind else b"",
        )
        task = asyncio.create_task(feed.run(), name=f"feed {request.method.path}")
        self._entries[feed] = _Entry(request.method.path, key, account, task)
        if sharing is None:
            self._by_id[log.stream_id] = feed
        if policy.shared:
            self._shared[key] = feed
        self._running.add(task)
        task.add_done_callback(partial(self._on_task_done, feed))
        self.accounting.add(account, feed)
        return feed

    def _on_task_done(self, feed: Feed, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        feed.end(StatusError.of(UNAVAILABLE, "the stream was closed"))
        if feed in self._entries:
            self._unshare(feed)

    def _unsubscribe(self, reader: Subscription) -> None:
        """Removes a reader. Without another one the feed lingers, or closes at once."""
        feed = reader.feed
        if not feed.leave(reader) or feed.readers or feed not in self._entries:
            return
        if feed.policy.linger == 0 or not (feed.policy.shared or reader.resumable):
            self._close(feed)
            return
        entry = self._entries[feed]
        loop = asyncio.get_running_loop()
        entry.linger_timer = loop.call_later(feed.policy.linger, self._close_unless_wanted, feed)
        self.accounting.mark_idle(entry.account)

    def _close_unless_wanted(self, feed: Feed) -> None:
        """Closes a feed without readers, unless other processes read it through this one."""
        if not feed.is_wanted:
            self._close(feed)
            return
        loop = asyncio.get_running_loop()
        timer = loop.call_later(max(feed.policy.linger, 1.0), self._close_unless_wanted, feed)
        self._entries[feed].linger_timer = timer

    def _cancel_linger(self, feed: Feed) -> None:
        entry = self._entries[feed]
        if entry.linger_timer is not None:
            entry.linger_timer.cancel()
            entry.linger_timer = None
            self.accounting.mark_active(entry.account)

    def _unshare(self, feed: Feed) -> None:
        """Closes a feed to new readers; only a reader that resumes can still join it."""
        key = self._entries[feed].key
        if self._shared.get(key) is feed:
            del self._shared[key]

    def _close(self, feed: Feed) -> None:
        self._cancel_linger(feed)
        self._unshare(feed)
        entry = self._entries.pop(feed)
        self._by_id.pop(feed.log.stream_id, None)
        self.accounting.remove(entry.account)
        feed.end(StatusError.of(UNAVAILABLE, "the stream was closed"))
        if not feed.readers:
            feed.log.clear()  # the traceback of the cancelled task keeps the feed alive until collected
        entry.task.cancel()
