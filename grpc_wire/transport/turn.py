"""One connection's share of a turn of the event loop, in bytes of messages.

Who takes messages waits for the next turn when the share is used up. Otherwise one task that reads messages
which are all there, or a thousand tasks that each decompress one, would hold up all other connections.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from heapq import heappop, heappush
from itertools import count
from typing import Final

_WOKEN: Final = 16
"""Maximum waiters that go on in one turn; those who find nothing left wait for the next."""


class Turn:
    """What a connection's calls may still take in this turn.

    Attributes:
        most: bytes in a turn.
        left: bytes that are left; who takes something subtracts it. At 0 or below nothing more is taken.
    """

    __slots__ = ("_due", "_loop", "_numbers", "_waiting", "left", "most")

    def __init__(self, loop: asyncio.AbstractEventLoop, most: int) -> None:
        self.most = self.left = most
        self._loop = loop
        self._waiting: list[tuple[int, Callable[[], object]]] = []
        """Numbers in the order of asking, and what lets them go on."""
        self._numbers = count()
        self._due = False

    async def begun(self) -> None:
        """Waits for a turn in which something is left; who came first goes first."""
        number = next(self._numbers)
        while True:
            waiter: asyncio.Future[None] = self._loop.create_future()
            self._wait(number, partial(_wake, waiter))
            await waiter
            if self.left > 0:
                return

    def later(self, callback: Callable[[], object]) -> None:
        """Calls back in a turn in which something is left."""
        self._wait(next(self._numbers), callback)

    def _wait(self, number: int, go_on: Callable[[], object]) -> None:
        heappush(self._waiting, (number, go_on))
        if not self._due:
            self._due = True
            self._loop.call_soon(self._begin)

    def _begin(self) -> None:
        self.left = self.most
        for _ in range(_WOKEN):
            if not self._waiting or self.left <= 0:
                break
            heappop(self._waiting)[1]()
        self._due = bool(self._waiting)
        if self._due:
            self._loop.call_soon(self._begin)


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():  # it was cancelled
        waiter.set_result(None)
