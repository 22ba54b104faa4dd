"""All feeds of a process: which requests share a feed, and which feed a reader resumes."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Container, Hashable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from operator import itemgetter
from typing import Final, NamedTuple, Self, TypeAlias

from gateway.contract.method import Method
from gateway.feeds.accounting import FeedAccounting, FeedLimits
from gateway.feeds.counts import FeedCounts
from gateway.feeds.event_log import EventLog
from gateway.feeds.feed import Feed
from gateway.feeds.open_source import OpenCall, OpenSubscription
from gateway.feeds.quota import Account
from gateway.feeds.source import CallSource, Gap, Source, new_stream_id
from gateway.feeds.subscription import Subscription
from gateway.transcoding.event_fields import StreamSpec
from gateway.transcoding.metadata import TRACE_KEYS, Metadata
from gateway.transcoding.status import UNAVAILABLE, StatusError, is_retryable
from gateway.upstream.port import Call, RequestMessages, Upstream

_EVENT_ID: Final = re.compile(r"([0-9a-f]{16})-([0-9]{1,18})")

RequestKey: TypeAlias = tuple[Hashable, bytes, Metadata]
"""Gives equal requests the same key: method, digest of the message, metadata without trace keys.

A method is known by its signature, so it keeps its feeds in another contract in which it is the same.
"""


@dataclass(frozen=True, slots=True, eq=False)
class StreamRequest:
    """A request for a stream."""

    method: Method
    stream_spec: StreamSpec | None
    """The stream options of the method; None: it has none."""
    requests: RequestMessages
    metadata: Metadata
    timeout: float | None
    """Seconds until the stream ends with DEADLINE_EXCEEDED; None: no timeout."""
    last_event_id: str
    """`Last-Event-ID` of a reader that resumes; empty: it does not."""
    resumable: bool = True
    """Whether the reader gets event ids, so that it can resume."""
    client: str = ""
    """Address of the client; empty: unknown."""


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


class FeedState(NamedTuple):
    """The feeds of one method."""

    feeds: int
    readers: int
    bytes: int
    """Buffered messages."""
    lag: int
    """Messages that the slowest reader has still to read."""


class Feeds:
    """Opens the sources of streams; an async context manager that ends all feeds on exit."""

    def __init__(self, upstream: Upstream, limits: FeedLimits) -> None:
        """Starts without feeds.

        Args:
            upstream: opens the calls.
            limits: limits per process, per caller and per feed.
        """
        self._upstream = upstream
        self._limits = limits
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
        self.counts.resumed["restarted" if _resume_failed(request) else "continued"] += 1

    async def __aenter__(self) -> Self:
        """Returns itself."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Ends all feeds."""
        for feed in tuple(self._entries):
            self._close(feed)
        await asyncio.gather(*self._running, return_exceptions=True)

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
        subscribe = partial(self._subscribe, request, spec, request.requests)
        return OpenSubscription(subscribe, self._unsubscribe, request.timeout)

    def _source(self, request: StreamRequest, call: Call) -> CallSource:
        """Returns the source of a call that has one reader."""
        if request.last_event_id:
            self._count_resume(request)
            self.counts.gaps += _resume_failed(request)
        return _call_source(call, request)

    def _subscribe(self, request: StreamRequest, spec: StreamSpec, message: bytes) -> Subscription:
        identity = _identity(request.metadata, self._limits.unshared_keys)
        key = (spec.signature, sha256(message).digest(), identity)
        reader = self._resume(key, request.last_event_id)
        if reader is None:
            reader = self._join(request, spec, message, key)
            if request.last_event_id:
                self._count_resume(request)
        if request.last_event_id:
            reader.mark_started()  # an EventSource that gets an error status does not reconnect
        self._cancel_linger(reader.feed)
        reader.feed.join(reader)
        return reader

    def _join(
        self, request: StreamRequest, spec: StreamSpec, message: bytes, key: RequestKey
    ) -> Subscription:
        """Returns a new reader of the shared feed for this request, or of a new feed."""
        feed = self._shared.get(key)
        if feed is None or feed.ended:
            feed = self._start(request, spec, message, key)
        gap = Gap(restarted=True) if _resume_failed(request) else None
        reader = Subscription(feed, gap=gap, resumable=request.resumable)
        if spec.policy.start_with_last_of_each_key:
            reader.start_with_last_of_each_key()
        elif spec.policy.start_with_last:
            reader.start_with_last(spec.policy.start_with_last)
        return reader

    def _resume(self, key: RequestKey, last_event_id: str) -> Subscription | None:
        """Returns a reader that continues after an event; None if the event's feed cannot be resumed."""
        match = _EVENT_ID.fullmatch(last_event_id)
        if match is None:
            return None
        feed, offset = self._by_id.get(match[1].encode()), int(match[2])
        if feed is None or self._entries[feed].key != key or offset > feed.log.end:
            return None
        if feed.failure is not None and is_retryable(feed.failure) and offset == feed.log.end:
            return None
        reader = Subscription(feed)
        self.counts.resumed["continued" if offset >= feed.log.start else "gap"] += 1
        reader.resume_at(offset)
        return reader

    def _start(
        self, request: StreamRequest, spec: StreamSpec, message: bytes, key: RequestKey
    ) -> Feed:
        """Starts a feed.

        Raises:
            StatusError: RESOURCE_EXHAUSTED, a limit is reached.
        """
        account = self.accounting.admit(len(message), request.metadata, key[2], request.client)
        policy = spec.policy
        log = EventLog(
            new_stream_id(),
            keep=policy.keep,
            max_bytes=self._limits.max_feed_bytes,
            read_key=spec.read_key,
            read_id=spec.read_id,
            on_bytes=partial(self.accounting.set_log_bytes, account),
        )

        def open_call() -> AbstractAsyncContextManager[Call]:
            return self._upstream.open(
                request.method,
                message,
                metadata=request.metadata,
                timeout=None if policy.shared else request.timeout,
            )

        feed = Feed(open_call, policy, log, fair_share=account.fair_share, counts=self.counts)
        task = asyncio.create_task(feed.run(), name=f"feed {request.method.path}")
        self._entries[feed] = _Entry(request.method.path, key, account, task)
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
        entry.linger_timer = loop.call_later(feed.policy.linger, self._close, feed)
        self.accounting.mark_idle(entry.account)

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
        del self._by_id[feed.log.stream_id]
        self.accounting.remove(entry.account)
        feed.end(StatusError.of(UNAVAILABLE, "the stream was closed"))
        if not feed.readers:
            feed.log.clear()  # the traceback of the cancelled task keeps the feed alive until collected
        entry.task.cancel()


def _call_source(call: Call, request: StreamRequest) -> CallSource:
    spec = request.stream_spec
    return CallSource(
        call,
        read_id=spec.read_id if spec else None,
        with_ids=request.resumable,
        resume_failed=_resume_failed(request),
    )


def _resume_failed(request: StreamRequest) -> bool:
    """Whether a reader named a last event, and the server cannot resume after it either."""
    spec = request.stream_spec
    return bool(request.last_event_id) and not (
        spec is not None and spec.can_resume_after(request.last_event_id)
    )


def _identity(metadata: Metadata, others: Container[str]) -> Metadata:
    """Returns the metadata that distinguish requests, sorted by key: neither of tracing, nor of others."""
    pairs = (pair for pair in metadata if pair[0] not in TRACE_KEYS and pair[0] not in others)
    return tuple(sorted(pairs, key=itemgetter(0)))
