"""Load balancing: each call goes to the next ready connection (round robin), or waits for one.

A call waits while a connection is being made, or while the ready ones have as many streams as their peers
allow. If all attempts to connect have failed, it fails at once, unless it is `wait_for_ready` (gRPC's
wait-for-ready.md).

Nothing connects before the first call, or `Channel.get_state(try_to_connect=True)`; then all addresses do.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING

from grpc import ChannelConnectivity

from grpc_wire.client.backoff import Backoff
from grpc_wire.client.options import ChannelOptions
from grpc_wire.client.resolver import resolve
from grpc_wire.client.subchannel import Subchannel, SubchannelObserver
from grpc_wire.client.target import Address, Target
from grpc_wire.transport.deadlines import Deadlines
from grpc_wire.transport.transport import Transport

if TYPE_CHECKING:  # a call knows its balancer
    from grpc_wire.client.stream import ClientStream

log = logging.getLogger(__name__)

_READY = ChannelConnectivity.READY
_IDLE = ChannelConnectivity.IDLE
_CONNECTING = ChannelConnectivity.CONNECTING
_FAILURE = ChannelConnectivity.TRANSIENT_FAILURE
_SHUTDOWN = ChannelConnectivity.SHUTDOWN


class Balancer:
    """Connections of a channel, and the calls that wait for one.

    Attributes:
        state: connectivity of the channel.
        max_streams: how many streams its ready connections may have at once, as their peers allow.
        calls: calls that have not ended.
        loop: the event loop.
    """

    def __init__(
        self,
        target: Target,
        options: ChannelOptions,
        make: Callable[[Address, SubchannelObserver], Subchannel],
        changed: Callable[[], None],
    ) -> None:
        """Takes how to make a subchannel, and what to call when `state` or `max_streams` has changed."""
        self.state = _IDLE
        self.max_streams = 0
        self.calls: set[ClientStream] = set()
        self.loop = asyncio.get_running_loop()
        self._deadlines = Deadlines(self.loop)
        self._name = target.name
        self._interval = options.resolution_interval
        self._make = make
        self._changed = changed
        self._subchannels: dict[Address, Subchannel] = {}
        self._ready: list[tuple[Transport, Address]] = []
        self._next = 0
        self._idle = True
        self._draining = False
        self._pending: OrderedDict[ClientStream, None] = OrderedDict()
        self._backoff = Backoff(options.backoff)
        self._resolving: asyncio.Task[None] | None = None
        self._resolved_at = -self._interval
        self._failure = ""
        if self._name is None:
            self._subchannels = {address: make(address, self) for address in target.addresses}

    def start_call(self, call: ClientStream) -> tuple[Transport, Address] | None:
        """Adds a call; returns the connection to start it on, which may be full: then call `wait`.

        None: it has failed, or waits.
        """
        self.calls.add(call)
        if self.state is _SHUTDOWN:
            call.unavailable("the channel is closed")
            return None
        if call.due is None and call.deadline is not None:
            call.due = self._deadlines.add(call.deadline, call.expired)
        if self._idle:
            self.connect()
        picked = None if self._pending else self._pick()
        if picked is None:
            self.wait(call)
        return picked

    def wait(self, call: ClientStream) -> None:
        """Queues a call behind those that wait for a connection, or fails it."""
        if self.state is _FAILURE and not call.wait_for_ready:
            call.unavailable(self._failure_reason())
        else:
            self._pending[call] = None
            self.capacity_changed()  # a retried call may start at once

    def call_finished(self, call: ClientStream) -> None:
        """Removes a call."""
        self.calls.discard(call)
        if call.due is not None:
            self._deadlines.drop(call.due)
        if self._pending:
            self._pending.pop(call, None)
            self.capacity_changed()
        if self._draining and not self.calls:
            self.drain_when_idle()

    def connect(self) -> None:
        """Lets all IDLE subchannels connect."""
        if self.state is _SHUTDOWN:
            return
        if self._name is not None and not self._subchannels:
            self._resolve()
        for subchannel in tuple(self._subchannels.values()):
            subchannel.connect()
        self.state_changed()

    def drain_when_idle(self) -> None:
        """Accepts no more calls, and closes the connections when the last call has ended."""
        self._draining = True
        if not self.calls:
            for subchannel in self._shut_down():
                subchannel.drain()

    async def close(self) -> None:
        """Closes the connections, fails the calls that wait, and waits until everything is closed."""
        subchannels = self._shut_down()
        self._refuse("the channel is closed", include_wait_for_ready=True)
        await asyncio.gather(*(subchannel.close() for subchannel in subchannels))

    # Callbacks of a subchannel.

    def state_changed(self, state: ChannelConnectivity | None = None) -> None:
        """Recomputes the channel's state; starts or fails the calls that wait."""
        subchannels = self._subchannels.values()
        self._ready = [(one.transport, one.address) for one in subchannels if one.transport]
        states = {one.state for one in subchannels}
        before = (self.state, self.max_streams)
        self.state = self._aggregate(states, state)
        self.max_streams = sum(one.max_streams for one in subchannels if one.transport)
        self._idle = self.state is _IDLE or _IDLE in states
        self.capacity_changed()
        if self.state is _FAILURE:
            self._refuse(self._failure_reason())
        if (self.state, self.max_streams) != before:
            self._changed()

    def capacity_changed(self) -> None:
        """Starts calls that wait, in their order."""
        while self._pending:
            if self._idle:
                self.connect()
                return
            picked = self._pick()
            if picked is None:
                return
            call, _ = self._pending.popitem(last=False)
            if not call.start_on(*picked):
                self._pending[call] = None
                self._pending.move_to_end(call, last=False)
                return

    def connection_failed(self) -> None:
        """Resolves the name again: its addresses may have changed."""
        if self._name is not None:
            self._resolve()

    # How it is done.

    def _pick(self) -> tuple[Transport, Address] | None:
        """Returns the next ready connection with room; if there is but one, opening a stream says it, too."""
        ready = self._ready
        if len(ready) == 1:
            return ready[0]
        for _ in ready:
            self._next = (self._next + 1) % len(ready)
            transport, _address = picked = ready[self._next]
            if transport.connection.can_open:
                return picked
        return None

    def _aggregate(
        self, states: set[ChannelConnectivity], changed_to: ChannelConnectivity | None
    ) -> ChannelConnectivity:
        if _SHUTDOWN in (changed_to, self.state):
            return _SHUTDOWN
        if not states:
            if self._failure:
                return _FAILURE
            return _CONNECTING if self._resolving else _IDLE
        return next(state for state in (_READY, _CONNECTING, _IDLE, _FAILURE) if state in states)

    def _failure_reason(self) -> str:
        failures = [one.failure for one in self._subchannels.values() if one.failure]
        if failures:
            return f"failed to connect to all addresses; last error: {failures[-1]}"
        return self._failure or "no address is known"

    def _refuse(self, reason: str, *, include_wait_for_ready: bool = False) -> None:
        for call in tuple(self._pending):
            if include_wait_for_ready or not call.wait_for_ready:
                self._pending.pop(call, None)
                call.unavailable(reason)

    def _shut_down(self) -> list[Subchannel]:
        self._deadlines.stop()
        subchannels = [*self._subchannels.values()]
        self._subchannels = {}
        self.state_changed(_SHUTDOWN)
        if self._resolving is not None:
            self._resolving.cancel()
        return subchannels

    def _resolve(self) -> None:
        if self._resolving is None and self.state is not _SHUTDOWN:
            self._resolving = self.loop.create_task(self._keep_resolving())

    async def _keep_resolving(self) -> None:
        assert self._name is not None  # noqa: S101 - for the type checker
        try:
            while True:
                now = self.loop.time()
                due = self._resolved_at + self._interval - now
                await asyncio.sleep(max(due, self._backoff.delay(now)))
                try:
                    addresses = await resolve(self._name)
                except OSError as error:
                    self._backoff.start_attempt(self.loop.time())
                    self._failure = f"DNS resolution failed for {self._name.host}: {error.strerror}"
                    if self._subchannels:
                        log.warning("%s; the addresses that are known are kept", self._failure)
                        return
                    self.state_changed()
                else:
                    self._resolved_at = self.loop.time()
                    self._backoff.connection_ended(self._resolved_at)
                    self._failure = ""
                    self._use(addresses)
                    return
        finally:
            self._resolving = None
            self.state_changed()

    def _use(self, addresses: tuple[Address, ...]) -> None:
        before, self._subchannels = self._subchannels, {}
        for address in addresses:
            known = before.pop(address) if address in before else self._make(address, self)
            self._subchannels[address] = known
        for subchannel in before.values():
            subchannel.drain()
        if self._pending or self.state in (_CONNECTING, _FAILURE):
            self.connect()
