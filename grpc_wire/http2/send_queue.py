"""Data that waits to be sent, which is copied as little as can be: large messages wait as they were given."""

from __future__ import annotations


class SendQueue:
    """Bytes, in their order.

    Attributes:
        size: how many wait.
    """

    __slots__ = ("_first", "_rest", "size")

    def __init__(self) -> None:
        self.size = 0
        self._first = memoryview(b"")
        self._rest = bytearray()

    def add(self, data: bytes) -> None:
        """Puts data behind what waits."""
        self.size += len(data)
        if self._first:
            self._rest += data
        else:
            self._first = memoryview(data)

    def take(self, size: int) -> memoryview:
        """Takes so many, which there must be."""
        self.size -= size
        if size > len(self._first):
            self._join()
        taken, self._first = self._first[:size], self._first[size:]
        if not self._first:
            self._join()
        return taken

    def _join(self) -> None:
        self._first = memoryview(b"".join((self._first, self._rest)))
        self._rest = bytearray()
