"""Which connection a call goes to: each ready one in its turn (round robin), and where calls wait.

A call waits while there is hope: while a connection is being made, or the ready ones have as many streams
as their peers allow. Where all attempts have failed it fails at once, unless it waits for ready
(gRPC's wait-for-ready.md).

Nothing connects before there is a call to make, or somebody asks for it; then all addresses do.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable
from typing import Protocol

from grpc import ChannelConnectivity

from grpc_wire.client.backoff import Backoff
from grpc_wire.client.options import ChannelOptions
from grpc_wire.client.resolver import resolve
from grpc_wire.client.subchannel import Subchannel, Watcher
from grpc_wire.client.target import Address, Target
from grpc_wire.transport.deadlines import Deadline, Deadlines
from grpc_wire.transport.transport import Transport

log = logging.getLogger(__name__)

_READY = ChannelConnectivity.READY
_IDLE = ChannelConnectivity.IDLE
_CONNECTING = ChannelConnectivity.CONNECTING
_FAILURE = ChannelConnectivity.TRANSIENT_FAILURE
_SHUTDOWN = ChannelConnectivity.SHUTDOWN


class Waiting(Protocol):
    """A call that is to be given a connection.

    Attributes:
        wait_for_ready: whether it waits where all attempts have failed.
        deadline: when it is over, in the loop's time; None is never.
        due: that deadline, once it is known here.
    """

    wait_for_ready: bool
    deadline: float | None
    due: Deadline | None

    def begin(self, transport: Transport, address: Address) -> None:
        """Begins on a connection that has room for it."""

    def unavailable(self, reason: str) -> None:
        """Ends: there is no connection."""

    def cancel(self, details: str) -> bool:
        """Ends: nobody wants it."""

    def expired(self) -> None:
        """Ends: it is past its deadline."""

    def over_soon(self) -> asyncio.Future[None]:
        """Returns what is done when it has ended."""


class Balancer:
    """The connections of a channel, and the calls that wait for one.

    Attributes:
        state: of the channel.
        max_streams: how many streams its ready connections may have open at once, as their peers allow.
        calls: those that have begun or wait.
        loop: the one that all happens in.
    """

    def __init__(
        self,
        target: Target,
        options: ChannelOptions,
        make: Callable[[Address, Watcher], Subchannel],
        changed: Callable[[], None],
    ) -> None:
        """Takes how to make a subchannel, and what to call when `state` or `max_streams` has changed."""
        self.state = _IDLE
        self.max_streams = 0
        self.calls: set[Waiting] = set()
        self.loop = asyncio.get_running_loop()
        self._deadlines = Deadlines(self.loop)
        self._name = target.name
        self._interval = options.resolution_interval
        self._make = make
        self._changed = changed
        self._subchannels: dict[Address, Subchannel] = {}
        self._ready: list[tuple[Transport, Address]] = []
        self._turn = 0
        self._idle = True
        self._leaving = False
        self._waiting: OrderedDict[Waiting, None] = OrderedDict()
        self._backoff = Backoff(options.backoff)
        self._resolving: asyncio.Task[None] | None = None
        self._resolved_at = -self._interval
        self._failure = ""
        if self._name is None:
            self._subchannels = {address: make(address, self) for address in target.addresses}

    def begin(self, call: Waiting) -> None:
        """Gives a call its connection, now or later; or lets it fail."""
        self.calls.add(call)
        if self.state is _SHUTDOWN:
            call.unavailable("the channel is closed")
            return
        if call.due is None and call.deadline is not None:
            call.due = self._deadlines.add(call.deadline, call.expired)
        if self._idle:
            self.connect()
        if not self._waiting and (place := self._pick()) is not None:
            transport, address = place
            call.begin(transport, address)
        elif self.state is _FAILURE and not call.wait_for_ready:
            call.unavailable(self._why())
        else:
            self._waiting[call] = None
            self.room_changed()  # by this call, if it is tried again

    def ended(self, call: Waiting) -> None:
        """Forgets a call."""
        self.calls.discard(call)
        if call.due is not None:
            self._deadlines.drop(call.due)
        if self._waiting:
            self._waiting.pop(call, None)
            self.room_changed()
        if self._leaving and not self.calls:
            self.leave()

    def connect(self) -> None:
        """Lets all that is idle connect."""
        if self.state is _SHUTDOWN:
            return
        if self._name is not None and not self._subchannels:
            self._resolve()
        for subchannel in tuple(self._subchannels.values()):
            subchannel.connect()
        self.state_changed()

    def leave(self) -> None:
        """Ends all connections when the last call has ended; there will be no more."""
        self._leaving = True
        if not self.calls:
            for subchannel in self._shut_down():
                subchannel.drain()

    async def close(self) -> None:
        """Ends all connections, lets the calls that wait fail, and waits until all is closed."""
        subchannels = self._shut_down()
        self._refuse("the channel is closed", all_of_them=True)
        await asyncio.gather(*(subchannel.close() for subchannel in subchannels))

    # What a subchannel tells.

    def state_changed(self, state: ChannelConnectivity | None = None) -> None:
        """Sees what state the channel is in now, and does what follows."""
        subchannels = self._subchannels.values()
        self._ready = [(one.transport, one.address) for one in subchannels if one.transport]
        states = {one.state for one in subchannels}
        before = (self.state, self.max_streams)
        self.state = self._aggregate(states, state)
        self.max_streams = sum(one.max_streams for one in subchannels if one.transport)
        self._idle = self.state is _IDLE or _IDLE in states
        self.room_changed()
        if self.state is _FAILURE:
            self._refuse(self._why())
        if (self.state, self.max_streams) != before:
            self._changed()

    def room_changed(self) -> None:
        """Lets calls begin that have waited, in their order."""
        while self._waiting:
            if self._idle:
                self.connect()
                return
            place = self._pick()
            if place is None:
                return
            call, _ = self._waiting.popitem(last=False)
            call.begin(*place)

    def connection_failed(self) -> None:
        """Asks for the addresses anew: they may have changed."""
        if self._name is not None:
            self._resolve()

    # How it is done.

    def _pick(self) -> tuple[Transport, Address] | None:
        ready = self._ready
        for _ in ready:
            self._turn = (self._turn + 1) % len(ready)
            transport, _address = place = ready[self._turn]
            if transport.connection.can_open and not transport.socket.is_closing():
                return place
        return None

    def _aggregate(
        self, states: set[ChannelConnectivity], said: ChannelConnectivity | None
    ) -> ChannelConnectivity:
        if _SHUTDOWN in (said, self.state):
            return _SHUTDOWN
        if not states:
            if self._failure:
                return _FAILURE
            return _CONNECTING if self._resolving else _IDLE
        return next(state for state in (_READY, _CONNECTING, _IDLE, _FAILURE) if state in states)

    def _why(self) -> str:
        failures = [one.failure for one in self._subchannels.values() if one.failure]
        if failures:
            return f"failed to connect to all addresses; last error: {failures[-1]}"
        return self._failure or "no address is known"

    def _refuse(self, reason: str, *, all_of_them: bool = False) -> None:
        for call in tuple(self._waiting):
            if all_of_them or not call.wait_for_ready:
                self._waiting.pop(call, None)
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
                await asyncio.sleep(max(due, self._backoff.wait(now)))
                try:
                    addresses = await resolve(self._name)
                except OSError as error:
                    self._backoff.begin(self.loop.time())
                    self._failure = f"DNS resolution failed for {self._name.host}: {error.strerror}"
                    if self._subchannels:
                        log.warning("%s; the addresses that are known are kept", self._failure)
                        return
                    self.state_changed()
                else:
                    self._resolved_at = self.loop.time()
                    self._backoff.lost(self._resolved_at)
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
        if self._waiting or self.state in (_CONNECTING, _FAILURE):
            self.connect()
