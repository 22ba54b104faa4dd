"""All feeds of one process: which requests share one, and which one a reader comes back to."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from operator import itemgetter
from typing import Final, Self, TypeAlias

from gateway.contract.method import Method
from gateway.feeds.event_log import EventLog
from gateway.feeds.feed import Feed
from gateway.feeds.quota import Account
from gateway.feeds.room import FeedLimits, Room
from gateway.feeds.source import CallSource, Gap, Source, new_stream_id
from gateway.feeds.subscription import Subscription
from gateway.transcoding.event_fields import StreamSpec
from gateway.transcoding.metadata import TRACE_KEYS, Metadata
from gateway.transcoding.status import DEADLINE_EXCEEDED, UNAVAILABLE, StatusError, is_retryable
from gateway.upstream.port import Call, Requests, Upstream

_EVENT_ID: Final = re.compile(r"([0-9a-f]{16})-([0-9]{1,18})")

Key: TypeAlias = tuple[str, bytes, Metadata]
"""What makes requests equal: method, digest of the message, and metadata but for traces."""


@dataclass(frozen=True, slots=True, eq=False)
class StreamRequest:
    """What asks for a stream."""

    method: Method
    stream_spec: StreamSpec | None
    """What the contract says of the stream; None where it says nothing."""
    requests: Requests
    metadata: Metadata
    timeout: float | None
    """Seconds until the stream ends with DEADLINE_EXCEEDED; None is never."""
    last_event_id: str
    """The id of the last event that the reader has seen; empty for one that does not come back."""
    resumable: bool = True
    """Whether the reader is given ids, so that it can come back."""
    client: str = ""
    """Address of the client; empty if it is not known."""


@dataclass(slots=True, eq=False)
class _Place:
    """What is known here of one feed."""

    key: Key
    account: Account
    task: asyncio.Task[None]
    timer: asyncio.TimerHandle | None = None
    """Ends the feed that nobody reads; None while somebody does."""


class Feeds:
    """Opens the sources of streams, within its own block."""

    def __init__(self, upstream: Upstream, limits: FeedLimits) -> None:
        """Makes a place without feeds.

        Args:
            upstream: who carries the calls.
            limits: what all feeds, those of a caller, and one may take.
        """
        self._upstream = upstream
        self._limits = limits
        self.room = Room(limits, self._close)
        self._running: set[asyncio.Task[None]] = set()
        """Tasks of feeds, those too that are closed but have not ended yet."""
        self._places: dict[Feed, _Place] = {}
        self._by_id: dict[bytes, Feed] = {}
        self._shared: dict[Key, Feed] = {}

    @property
    def count(self) -> int:
        """How many feeds there are."""
        return len(self._places)

    async def __aenter__(self) -> Self:
        """Is ready."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Ends the feeds that are left."""
        for feed in tuple(self._places):
            self._close(feed)
        await asyncio.gather(*self._running, return_exceptions=True)

    @asynccontextmanager
    async def open(self, request: StreamRequest) -> AsyncIterator[Source]:
        """Opens what a stream is answered from; it is left with the block.

        Raises:
            StatusError: DEADLINE_EXCEEDED out of the block, or what reading raises.
        """
        reading = request.stream_spec
        if (
            reading is None
            or not reading.policy.uses_feed(resumable=request.resumable)
            or not isinstance(request.requests, bytes)
        ):
            async with self._upstream.open(
                request.method, request.requests, metadata=request.metadata, timeout=request.timeout
            ) as call:
                yield _own_call(call, request)
            return
        reader = self._subscription(request, reading, request.requests)
        try:
            async with asyncio.timeout(request.timeout) as deadline:
                yield reader
        except TimeoutError:
            if not deadline.expired():
                raise
            raise StatusError.of(
                DEADLINE_EXCEEDED, "the deadline of the stream has passed"
            ) from None
        finally:
            self._leave(reader)

    def _subscription(
        self, request: StreamRequest, reading: StreamSpec, message: bytes
    ) -> Subscription:
        key = (request.method.path, sha256(message).digest(), _identity(request.metadata))
        reader = self._resumed(key, request.last_event_id)
        if reader is None:
            reader = self._joined(request, reading, message, key)
        if request.last_event_id:
            reader.begin()  # a browser that is told of a failure now would not come back again
        self._stay(reader.feed)
        reader.feed.join(reader)
        return reader

    def _joined(
        self, request: StreamRequest, reading: StreamSpec, message: bytes, key: Key
    ) -> Subscription:
        feed = self._shared.get(key)
        if feed is None or feed.ended:
            feed = self._start(request, reading, message, key)
        restarted = bool(request.last_event_id) and not reading.can_resume_after(
            request.last_event_id
        )
        gap = Gap(restarted=True) if restarted else None
        reader = Subscription(feed, gap=gap, resumable=request.resumable)
        if reading.policy.start_with_last_of_each_key:
            reader.start_with_last_of_each_key()
        elif reading.policy.start_with_last:
            reader.start_with_last(reading.policy.start_with_last)
        return reader

    def _resumed(self, key: Key, last_event_id: str) -> Subscription | None:
        """Returns a reader that goes on after an event, where the feed that it is of is still there."""
        found = _EVENT_ID.fullmatch(last_event_id)
        if found is None:
            return None
        feed, place = self._by_id.get(found[1].encode()), int(found[2])
        if feed is None or self._places[feed].key != key or place > feed.log.end:
            return None
        if feed.failure is not None and is_retryable(feed.failure) and place == feed.log.end:
            return None
        reader = Subscription(feed)
        reader.resume_at(place)
        return reader

    def _start(self, request: StreamRequest, reading: StreamSpec, message: bytes, key: Key) -> Feed:
        """Begins a feed.

        Raises:
            StatusError: RESOURCE_EXHAUSTED, there are too many, or they keep too much.
        """
        account = self.room.admit(len(message), request.metadata, key[2], request.client)
        policy = reading.policy
        log = EventLog(
            new_stream_id(),
            keep=policy.keep,
            max_bytes=self._limits.max_feed_bytes,
            read_key=reading.read_key,
            read_id=reading.read_id,
            on_bytes=partial(self.room.count, account),
        )

        def open_call() -> AbstractAsyncContextManager[Call]:
            return self._upstream.open(
                request.method,
                message,
                metadata=request.metadata,
                timeout=None if policy.shared else request.timeout,
            )

        feed = Feed(open_call, policy, log, share=account.share)
        task = asyncio.create_task(feed.run(), name=f"feed {key[0]}")
        self._places[feed] = _Place(key, account, task)
        self._by_id[log.stream_id] = feed
        if policy.shared:
            self._shared[key] = feed
        self._running.add(task)
        task.add_done_callback(partial(self._ended, feed))
        self.room.enter(account, feed)
        return feed

    def _ended(self, feed: Feed, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        feed.end(StatusError.of(UNAVAILABLE, "the stream was closed"))
        if feed in self._places:
            self._unshare(feed)

    def _leave(self, reader: Subscription) -> None:
        feed = reader.feed
        if not feed.leave(reader) or feed.readers or feed not in self._places:
            return
        if feed.policy.linger == 0 or not (feed.policy.shared or reader.resumable):
            self._close(feed)
            return
        place = self._places[feed]
        loop = asyncio.get_running_loop()
        place.timer = loop.call_later(feed.policy.linger, self._close, feed)
        self.room.leave(place.account)

    def _stay(self, feed: Feed) -> None:
        """Lets a feed go on that was about to end."""
        place = self._places[feed]
        if place.timer is not None:
            place.timer.cancel()
            place.timer = None
            self.room.come_back(place.account)

    def _unshare(self, feed: Feed) -> None:
        """Lets nobody join a feed any more, but those who come back to it."""
        key = self._places[feed].key
        if self._shared.get(key) is feed:
            del self._shared[key]

    def _close(self, feed: Feed) -> None:
        self._stay(feed)
        self._unshare(feed)
        place = self._places.pop(feed)
        del self._by_id[feed.log.stream_id]
        self.room.remove(place.account)
        feed.end(StatusError.of(UNAVAILABLE, "the stream was closed"))
        if not feed.readers:
            feed.log.clear()  # the exception that cancels its task keeps the feed until it is collected
        place.task.cancel()


def _own_call(call: Call, request: StreamRequest) -> CallSource:
    reading = request.stream_spec
    return CallSource(
        call,
        read_id=reading.read_id if reading else None,
        resumed_without=bool(request.last_event_id)
        and not (reading is not None and reading.can_resume_after(request.last_event_id)),
    )


def _identity(metadata: Metadata) -> Metadata:
    said = (item for item in metadata if item[0] not in TRACE_KEYS)
    return tuple(sorted(said, key=itemgetter(0)))
