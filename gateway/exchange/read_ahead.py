"""What a client has sent and nobody has taken yet: a queue that is bounded in bytes.

It lets one task be the reader of `receive`, and so hear at once that the client leaves, while another takes
what arrives in its own time. When it is full the reader waits, and the back-pressure reaches the socket.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final, Generic, TypeVar

READ_AHEAD_BYTES: Final = 64 * 1024
"""How far the reader may be ahead; the item that reaches the bound may go beyond it."""
ITEM_BYTES: Final = 512
"""Bytes of an item beside its own: the event of ASGI, its text or bytes, and its slot in the queue."""

Item = TypeVar("Item")


class ReadAhead(Generic[Item]):
    """The queue between one task that reads and one that takes."""

    def __init__(self) -> None:
        self._items: deque[tuple[Item, int]] = deque()
        self._size = 0
        self._arrived = asyncio.Event()
        self._taken = asyncio.Event()

    def append(self, item: Item, size: int) -> None:
        """Adds an item of so many bytes."""
        size += ITEM_BYTES
        self._items.append((item, size))
        self._size += size
        self._arrived.set()

    async def room(self) -> None:
        """Waits until there is room for another item."""
        while self._size >= READ_AHEAD_BYTES:
            self._taken.clear()
            await self._taken.wait()

    async def take(self) -> Item:
        """Waits for the next item, and removes it."""
        while not self._items:
            self._arrived.clear()
            await self._arrived.wait()
        item, size = self._items.popleft()
        self._size -= size
        self._taken.set()
        return item

    def clear(self) -> None:
        """Drops all items."""
        self._items.clear()
        self._size = 0
        self._taken.set()
