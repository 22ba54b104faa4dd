"""One connection of the pool, and the calls that wait for one."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from grpc import ChannelConnectivity, aio

from gateway.contract.method import Method
from gateway.transcoding.status import StatusError

Callables: TypeAlias = Mapping[Method, Any]
"""The multicallable of each method on one channel."""


class PooledChannel:
    """One connection.

    Attributes:
        channel: what carries the calls.
        callables: the multicallables of its channel.
        state: of the channel.
        limit: maximum calls at once.
        max_streams: maximum streaming calls among them.
        calls: open calls.
        streams: open streaming calls among them.
        draining: whether it takes no new calls, since its server has gone away.
        idle_since: when its last call ended, in the loop's time.
        unwatch: ends the notifications of its changes.
    """

    __slots__ = (
        "callables",
        "calls",
        "channel",
        "draining",
        "idle_since",
        "limit",
        "max_streams",
        "state",
        "streams",
        "unwatch",
    )

    def __init__(self, channel: aio.Channel, callables: Callables, now: float) -> None:
        self.channel = channel
        self.callables = callables
        self.state = ChannelConnectivity.IDLE
        self.limit = self.max_streams = self.calls = self.streams = 0
        self.draining = False
        self.idle_since = now
        self.unwatch: Callable[[], object]


class Waiting(OrderedDict[asyncio.Future[PooledChannel], None]):
    """A queue of calls that wait for a stream, which each call asks whether it is empty."""

    def join(self) -> asyncio.Future[PooledChannel]:
        """Adds a call; returns the future of its connection."""
        turn: asyncio.Future[PooledChannel] = asyncio.get_running_loop().create_future()
        self[turn] = None
        return turn

    def leave(self, turn: asyncio.Future[PooledChannel]) -> PooledChannel | None:
        """Removes a call; returns the connection that it has been given meanwhile, if any."""
        self.pop(turn, None)
        if not turn.done() or turn.cancelled() or turn.exception() is not None:
            return None
        return turn.result()

    def give(self, one: PooledChannel) -> bool:
        """Gives a connection to the first call; returns False if that was cancelled."""
        turn, _ = self.popitem(last=False)
        if turn.done():
            return False
        turn.set_result(one)
        return True

    def refuse(self, error: StatusError) -> None:
        """Fails all calls that wait."""
        while self:
            turn, _ = self.popitem(last=False)
            if not turn.done():
                turn.set_exception(StatusError(error.status, http_status=error.http_status))
