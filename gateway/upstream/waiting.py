"""The calls that wait for a connection of the pool."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import Generic

from gateway.transcoding.status import StatusError
from gateway.upstream.pooled_channel import AnyChannel, PooledChannel


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
