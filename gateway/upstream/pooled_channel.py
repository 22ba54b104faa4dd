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
"""What makes the calls of each method on one channel."""


class PooledChannel:
    """One connection.

    Attributes:
        channel: what carries the calls.
        callables: what makes them.
        state: of the channel.
        limit: how many calls it takes at once.
        max_streams: how many of them may be streaming calls.
        calls: how many it has.
        streams: how many of them are streaming calls.
        draining: whether it takes no new ones, since its server has gone away.
        idle_since: when its last call ended, in the loop's time.
        unwatch: ends that its changes are told.
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


class Waiting:
    """Calls that wait for a connection: first come, first served."""

    def __init__(self) -> None:
        self._turns: OrderedDict[asyncio.Future[PooledChannel], None] = OrderedDict()

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self._turns)

    def join(self) -> asyncio.Future[PooledChannel]:
        """Lets one more wait; returns what is done when its turn has come."""
        turn: asyncio.Future[PooledChannel] = asyncio.get_running_loop().create_future()
        self._turns[turn] = None
        return turn

    def leave(self, turn: asyncio.Future[PooledChannel]) -> PooledChannel | None:
        """Lets one wait no longer; returns the connection that it had been given meanwhile, if it had."""
        self._turns.pop(turn, None)
        if not turn.done() or turn.cancelled() or turn.exception() is not None:
            return None
        return turn.result()

    def give(self, one: PooledChannel) -> bool:
        """Gives a connection to the first; returns whether that still waits."""
        turn, _ = self._turns.popitem(last=False)
        if turn.done():  # cancelled in this turn of the loop
            return False
        turn.set_result(one)
        return True

    def refuse(self, error: StatusError) -> None:
        """Ends the wait of all."""
        while self._turns:
            turn, _ = self._turns.popitem(last=False)
            if not turn.done():
                turn.set_exception(StatusError(error.status, http_status=error.http_status))
