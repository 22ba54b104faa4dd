"""A connection's share of one turn of the event loop, in bytes of messages.

Readers of messages wait for the next turn when the share is used up. Otherwise one task that reads buffered
messages, or a thousand tasks that decompress one each, would delay all other connections.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from heapq import heappop, heappush
from itertools import count
from typing import Final

_WOKEN: Final = 16
"""Maximum waiters woken per turn; those who find nothing left wait for the next."""


class Turn:
    """What the calls of a connection may still read in this turn.

    Attributes:
        bytes_per_turn: the share.
        bytes_left: what is left of it; readers subtract. At 0 or below, wait for the next turn.
    """

    __slots__ = ("_loop", "_numbers", "_scheduled", "_waiting", "bytes_left", "bytes_per_turn")

    def __init__(self, loop: asyncio.AbstractEventLoop, bytes_per_turn: int) -> None:
        self.bytes_per_turn = self.bytes_left = bytes_per_turn
        self._loop = loop
        self._waiting: list[tuple[int, Callable[[], object]]] = []
        """Ticket number and callback of each waiter: first come, first served."""
        self._numbers = count()
        self._scheduled = False

    async def wait(self) -> None:
        """Waits for a turn with something left; first come, first served."""
        number = next(self._numbers)
        while True:
            waiter: asyncio.Future[None] = self._loop.create_future()
            self._wait(number, partial(_wake, waiter))
            await waiter
            if self.bytes_left > 0:
                return

    def call_later(self, callback: Callable[[], object]) -> None:
        """Calls back in a turn with something left."""
        self._wait(next(self._numbers), callback)

    def _wait(self, number: int, callback: Callable[[], object]) -> None:
        heappush(self._waiting, (number, callback))
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._next_turn)

    def _next_turn(self) -> None:
        self.bytes_left = self.bytes_per_turn
        for _ in range(_WOKEN):
            if not self._waiting or self.bytes_left <= 0:
                break
            heappop(self._waiting)[1]()
        self._scheduled = bool(self._waiting)
        if self._scheduled:
            self._loop.call_soon(self._next_turn)


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():  # it was cancelled
        waiter.set_result(None)
