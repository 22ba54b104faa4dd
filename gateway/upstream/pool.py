"""The connections to the upstream: a pool of channels, each with one connection.

A server limits the streams of a connection (RFC 9113, 5.1.2), and each call is one stream. Another connection
is opened before those that are open are full, one at a time; one that is idle is closed.

A fraction of the streams of each connection, and of all together, is reserved for unary calls. A streaming
call that finds the rest taken is refused at once; a unary call waits in a queue until its deadline.

A connection whose server goes away takes no new calls, no longer counts, and closes after its last call. One
that fails to connect takes calls, and fails each with its own status, only where no connection is ready.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Final, Generic

from grpc import ChannelConnectivity

from gateway.transcoding.status import (
    CANCELLED,
    DEADLINE_EXCEEDED,
    RESOURCE_EXHAUSTED,
    UNAVAILABLE,
    StatusError,
)
from gateway.upstream.pool_limits import PoolLimits
from gateway.upstream.pooled_channel import AnyChannel, PooledChannel
from gateway.upstream.reachability import Reachability
from gateway.upstream.waiting import Waiting

log = logging.getLogger(__name__)

_IDLE: Final = ChannelConnectivity.IDLE
_CONNECTING: Final = ChannelConnectivity.CONNECTING
_READY: Final = ChannelConnectivity.READY
_FAILURE: Final = ChannelConnectivity.TRANSIENT_FAILURE
_NEVER: Final = 2**62
"""Larger than any number of calls."""
_SWEEPS: Final = 4
"""Searches for idle connections within `PoolLimits.idle`."""
_CLOSED: Final = "the upstream is closed"
_WARNING_SECONDS: Final = 60.0
"""Minimum interval of the warnings that calls are refused."""


class ConnectionPool(Generic[AnyChannel]):
    """The connections of one upstream, in one event loop.

    Attributes:
        reachability: what the connections and calls tell of the upstream.
        established: how often a connection has become ready, the first time and again.
    """

    def __init__(
        self,
        limits: PoolLimits,
        open_channel: Callable[[], AnyChannel],
        reachability: Reachability,
    ) -> None:
        """Opens nothing yet.

        Args:
            limits: of the pool.
            open_channel: makes a channel that shares no connection with another.
            reachability: is told of each connection that is ready, and by calls of the errors.
        """
        self._limits = limits
        self._open_channel = open_channel
        self.reachability = reachability
        self._loop = asyncio.get_running_loop()
        self._channels: list[PooledChannel[AnyChannel]] = []
        """Those that take new calls, the oldest first: in this order they are filled."""
        self._draining: set[PooledChannel[AnyChannel]] = set()
        self.established = 0
        self.is_failing = False
        self._closing: set[asyncio.Task[None]] = set()
        self._unary: Waiting[AnyChannel] = Waiting()
        self._streaming: Waiting[AnyChannel] = Waiting()
        self._calls = self._streams = 0
        self._turn = 0
        self._sweeping: asyncio.TimerHandle | None = None
        self._warned_at = -math.inf
        self._closed = False
        # derived from the states and limits of the channels by _update
        self._ready: list[PooledChannel[AnyChannel]] = []
        self._sharing = 0
        self._max_streams = 0
        self._grow_at = _NEVER

    def states(self) -> Counter[str]:
        """Returns how many connections are in which state: those of gRPC in lower case, and `draining`."""
        states = Counter(one.state.name.lower() for one in self._channels)
        states["draining"] = len(self._draining)
        return states

    @property
    def waiting(self) -> int:
        """Calls that wait for a stream of a connection."""
        return len(self._unary) + len(self._streaming)

    def take(self, *, stream: bool) -> PooledChannel[AnyChannel] | None:
        """Takes a stream of a connection, which `release` gives back; None if none is free now."""
        if stream:
            if self._streaming or self._streams >= self._max_streams:
                return None
        elif self._unary:
            return None
        ready = self._ready
        if len(ready) == 1 and not stream and ready[0].calls < ready[0].limit:
            one = ready[0]
        elif (found := self._with_room(stream=stream)) is not None:
            one = found
        else:
            return None
        one.calls += 1
        self._calls += 1
        if stream:
            one.streams += 1
            self._streams += 1
        if self._calls >= self._grow_at:
            self._update()
        return one

    async def wait(
        self, *, stream: bool, seconds: float | None
    ) -> tuple[PooledChannel[AnyChannel], float | None]:
        """Waits for a stream of a connection, which `release` gives back.

        Args:
            stream: whether it is for a streaming call, which waits only while a connection is being made.
            seconds: timeout of the call; None: no timeout.

        Returns:
            The connection, and what is left of the timeout.

        Raises:
            StatusError: DEADLINE_EXCEEDED, or RESOURCE_EXHAUSTED or UNAVAILABLE for a streaming call.
        """
        if self._closed:
            raise StatusError.of(CANCELLED, _CLOSED)
        deadline = None if seconds is None else self._loop.time() + seconds
        waiting = self._streaming if stream else self._unary
        turn = waiting.join()
        self._update()
        try:
            async with asyncio.timeout_at(deadline):
                one = await turn
        except BaseException as error:
            if (given := waiting.leave(turn)) is not None:
                self.release(given, stream=stream)
            if isinstance(error, TimeoutError):
                reason = "no stream to the gRPC server was free before the deadline"
                raise StatusError.of(DEADLINE_EXCEEDED, reason) from None
            raise
        return one, None if deadline is None else max(deadline - self._loop.time(), 0.0)

    def release(self, one: PooledChannel[AnyChannel], *, stream: bool) -> None:
        """Gives back a stream that `take` or `wait` has returned, once its call has ended."""
        one.calls -= 1
        if one.draining:
            if not one.calls and not self._closed:
                self._draining.discard(one)
                self._close(one)
            return
        self._calls -= 1
        if stream:
            one.streams -= 1
            self._streams -= 1
        if self._unary or self._streaming:
            self._serve()
        if self._sweeping is not None and not one.calls:
            one.idle_since = self._loop.time()

    async def close(self) -> None:
        """Refuses the calls that wait, and closes all connections, which ends their calls."""
        self._closed = True
        self._ready, self._sharing = [], 0
        if self._sweeping is not None:
            self._sweeping.cancel()
        for waiting in (self._unary, self._streaming):
            waiting.refuse(StatusError.of(CANCELLED, _CLOSED))
        for one in (*self._channels, *self._draining):
            self._close(one)
        await asyncio.gather(*self._closing)

    # The hot path: once for each call.

    def _with_room(self, *, stream: bool) -> PooledChannel[AnyChannel] | None:
        ready = self._ready
        if self._sharing > 1:
            self._turn = turn = (self._turn + 1) % self._sharing
            one = ready[turn]
            if one.calls < one.limit and not (stream and one.streams >= one.max_streams):
                return one
        for one in ready:
            if one.calls < one.limit and not (stream and one.streams >= one.max_streams):
                return one
        return None

    def _count(self, one: PooledChannel[AnyChannel], *, stream: bool) -> None:
        one.calls += 1
        self._calls += 1
        if stream:
            one.streams += 1
            self._streams += 1

    # What follows from a change of a channel, or of the calls that wait.

    def _changed(self, one: PooledChannel[AnyChannel]) -> None:
        """Reads the state of a channel and the limit of its server, of which one has changed."""
        if self._closed or one.draining:
            return
        before, one.state = one.state, one.channel.get_state()
        if one.state is _READY:
            if before is not _READY:
                self.reachability.connected()
                self.established += 1
            one.limit = one.channel.max_streams
            if self._limits.streams_per_connection is not None:
                one.limit = min(one.limit, self._limits.streams_per_connection)
            one.max_streams = self._limits.max_streams(one.limit)
        elif before is _READY and one.calls:
            self._drain(one)
        self._update()

    def _update(self) -> None:
        """Computes the capacity, gives free streams to calls that wait, opens a connection if one is needed.

        Streaming calls that still wait are refused, unless a connection is being made.
        """
        if self._closed:
            return
        self._ready = [one for one in self._channels if one.state is _READY]
        capacity = sum(one.limit for one in self._ready)
        streams = sum(one.max_streams for one in self._ready)
        self._max_streams = min(self._limits.max_streams(capacity), streams)
        self._grow_at = (
            self._limits.grows_at(capacity, len(self._ready)) if self._can_grow() else _NEVER
        )
        failing = None
        if not self._ready:
            failing = next((one for one in self._channels if one.state is _FAILURE), None)
            self._fail_by(failing)
        self.is_failing = failing is not None
        self._sharing = min(self._limits.min_connections, len(self._ready))
        self._serve()
        if self._grow_at != _NEVER and (
            self._unary or self._streaming or self._calls >= self._grow_at
        ):
            self._grow()
        if self._streaming and not any(one.state is _CONNECTING for one in self._channels):
            self._refuse_streams()

    def _fail_by(self, failing: PooledChannel[AnyChannel] | None) -> None:
        """Sends calls to a channel that cannot connect, which fails them with its own status."""
        if failing is not None:
            failing.limit = failing.max_streams = self._max_streams = _NEVER
            self._ready = [failing]

    def _can_grow(self) -> bool:
        """Whether a connection may be opened: none is being made, and the server allows streams on it."""
        if any(one.state not in (_READY, _IDLE) for one in self._channels):
            return False
        if any(not one.limit for one in self._ready):
            return False
        return len(self._ready) < self._limits.max_connections

    def _grow(self) -> None:
        self._grow_at = _NEVER
        one = next((one for one in self._channels if one.state is _IDLE), None) or self._add()
        one.state = _CONNECTING
        one.channel.get_state(try_to_connect=True)

    def _add(self) -> PooledChannel[AnyChannel]:
        channel = self._open_channel()
        one = PooledChannel(channel, self._loop.time())
        self._channels.append(one)
        channel.watch(partial(self._changed, one))
        if self._sweeping is None and len(self._channels) > self._limits.min_connections:
            self._sweeping = self._loop.call_later(self._limits.idle / _SWEEPS, self._sweep)
        return one

    def _serve(self) -> None:
        """Gives free streams to the calls that wait: unary ones first, each kind in order."""
        while self._unary and (one := self._with_room(stream=False)) is not None:
            if self._unary.give(one):
                self._count(one, stream=False)
        while self._streaming and self._streams < self._max_streams:
            one = self._with_room(stream=True)
            if one is None:
                return
            if self._streaming.give(one):
                self._count(one, stream=True)

    def _refuse_streams(self) -> None:
        """Refuses the streaming calls that wait: no connection is being made that could take them.

        With RESOURCE_EXHAUSTED where there may be no more; UNAVAILABLE where the last attempt has failed, as
        it does while the server starts anew, so that who can wait tries again.
        """
        text = f"all streams to the gRPC server that streaming calls may use are taken ({self._max_streams})"
        code, advice = RESOURCE_EXHAUSTED, ": see upstream_max_connections"
        if any(one.state is _FAILURE for one in self._channels):
            code, advice = UNAVAILABLE, ""
            text += ", and no other connection can be made"
        now = self._loop.time()
        if now >= self._warned_at + _WARNING_SECONDS:
            self._warned_at = now
            log.warning("%s, on %d connections%s", text, len(self._ready), advice)
        self._streaming.refuse(StatusError.of(code, text, http_status=503))

    # How connections end.

    def _drain(self, one: PooledChannel[AnyChannel]) -> None:
        """Takes a connection out of the pool; it closes after its last call."""
        one.draining = True
        self._channels.remove(one)
        self._draining.add(one)
        self._calls -= one.calls
        self._streams -= one.streams

    def _sweep(self) -> None:
        """Closes idle connections above the minimum, the newest first."""
        self._sweeping = None
        unused_since = self._loop.time() - self._limits.idle
        capacity = sum(one.limit for one in self._channels if one.state is _READY)
        for one in self._channels[: self._limits.min_connections - 1 : -1]:
            left = capacity - (one.limit if one.state is _READY else 0)
            needed = self._calls >= self._limits.grows_at(left, len(self._ready))
            if not (needed or one.calls or one.idle_since > unused_since):
                capacity = left
                self._channels.remove(one)
                self._close(one)
        self._update()
        if len(self._channels) > self._limits.min_connections:
            self._sweeping = self._loop.call_later(self._limits.idle / _SWEEPS, self._sweep)

    def _close(self, one: PooledChannel[AnyChannel]) -> None:
        one.draining = True  # so that its changes are ignored
        task = self._loop.create_task(one.channel.close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)
