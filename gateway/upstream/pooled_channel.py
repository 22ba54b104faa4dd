"""One connection of the pool."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from grpc import ChannelConnectivity


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
