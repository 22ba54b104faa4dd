"""One connection of the pool, and the calls that wait for one."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from grpc import ChannelConnectivity

from gateway.transcoding.status import StatusError


class Channel(Protocol):
    """What the pool needs of a channel; `grpc_wire`'s has it."""

    @property
    def max_streams(self) -> int:
        """Maximum calls at once while the channel is READY."""
        ...

    def get_state(
        self,
        try_to_connect: bool = False,  # noqa: FBT001, FBT002 - as in grpc.aio
    ) -> ChannelConnectivity:
        """Returns the connectivity; starts to connect if `try_to_connect` is set."""
        ...

    def watch(self, changed: Callable[[], object]) -> None:
        """Calls a function each time that the connectivity or `max_streams` has changed."""
        ...

    async def close(self) -> None:
        """Closes the connection, and cancels its calls."""
        ...


AnyChannel = TypeVar("AnyChannel", bound=Channel)


class PooledChannel(Generic[AnyChannel]):
    """One connection.

    Attributes:
        channel: carries the calls.
        state: of the channel.
        limit: maximum calls at once.
        max_streams: maximum streaming calls among them.
        calls: open calls.
        streams: open streaming calls among them.
        draining: whether it takes no new calls, since its server has gone away.
        idle_since: when its last call ended, in the loop's time.
    """

    __slots__ = (
        "calls",
        "channel",
        "draining",
        "idle_since",
        "limit",
        "max_streams",
        "state",
        "streams",
    )

    def __init__(self, channel: AnyChannel, now: float) -> None:
        self.channel = channel
        self.state = ChannelConnectivity.IDLE
        self.limit = self.max_streams = self.calls = self.streams = 0
        self.draining = False
        self.idle_since = now


class Waiting(OrderedDict[asyncio.Future[PooledChannel[AnyChannel]], None], Generic[AnyChannel]):
    """A queue of calls that wait for a stream, which each call asks whether it is empty."""

    def join(self) -> asyncio.Future[PooledChannel[AnyChannel]]:
        """Adds a call; returns the future of its connection."""
        turn: asyncio.Future[PooledChannel[AnyChannel]] = asyncio.get_running_loop().create_future()
        self[turn] = None
        return turn

    def leave(
        self, turn: asyncio.Future[PooledChannel[AnyChannel]]
    ) -> PooledChannel[AnyChannel] | None:
        """Removes a call; returns the connection that it has been given meanwhile, if any."""
        self.pop(turn, None)
        if not turn.done() or turn.cancelled() or turn.exception() is not None:
            return None
        return turn.result()

    def give(self, one: PooledChannel[AnyChannel]) -> bool:
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
