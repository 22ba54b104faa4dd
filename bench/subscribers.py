"""Subscribers that cost less than what they measure: sockets that count events and look at a clock."""

from __future__ import annotations

import asyncio
import socket
import time
from bisect import bisect
from collections.abc import Sequence
from typing import Final, cast

from bench.turns_http2 import Http2Subscribers

DATA: Final = b"\ndata: "
_BEGIN_SECONDS: Final = 60
_BUFFER: Final = 2304
"""The least that Linux lets a socket receive before it is read."""


class Tally:
    """What has been seen by all subscribers together."""

    def __init__(self, known_by: bytes) -> None:
        """Counts nothing yet.

        Args:
            known_by: begins the line by which an event is known to be the same for several readers: its
                `DATA`, if they do not repeat.
        """
        self.known_by = known_by
        self.begun = 0
        self.refused = b""
        self.changed = asyncio.Event()
        self.reset()

    def reset(self) -> None:
        """Counts anew."""
        self.events = 0
        self.lost = 0
        self._arrivals: dict[bytes, list[float]] = {}

    def take(self, data: bytes) -> None:
        """Counts the events in some data, and notes when the last of them came."""
        now = time.perf_counter()
        self.events += data.count(self.known_by)
        start = data.rfind(self.known_by)
        end = data.find(b"\n", start + len(self.known_by))
        if start >= 0 and end >= 0:
            self._arrivals.setdefault(data[start:end], []).append(now)

    def delays(self, ticks: Sequence[float] = ()) -> list[float]:
        """Returns how late each delivery was.

        Args:
            ticks: when events were made, in order; an event was made at the last one before its first
                arrival. None means that lateness counts from that arrival itself.
        """
        return [
            arrival - _made(ticks, arrivals[0])
            for arrivals in self._arrivals.values()
            for arrival in arrivals
        ]

    async def all_begun(self, count: int) -> None:
        """Waits until so many have got their first event."""
        async with asyncio.timeout(_BEGIN_SECONDS):
            while self.begun < count and not self.refused:
                self.changed.clear()
                await self.changed.wait()
        if self.refused:
            raise ConnectionError(f"the server answered {self.refused!r}")


def _made(ticks: Sequence[float], first: float) -> float:
    before = bisect(ticks, first)
    return ticks[before - 1] if before else first


class Subscriber(asyncio.Protocol):
    """One connection, which asks for a stream and counts what comes."""

    def __init__(self, request: bytes, tally: Tally) -> None:
        self._request = request
        self._tally = tally
        self._rest = b""
        self._begun = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Asks."""
        cast("asyncio.WriteTransport", transport).write(self._request)

    def data_received(self, data: bytes) -> None:
        """Counts; what is parted between two reads is not lost."""
        if self._rest:
            data = self._rest + data
        self._rest = data[1 - len(self._tally.known_by) :]
        self._tally.take(data)
        if not self._begun:
            self._begin(data)

    def connection_lost(self, error: Exception | None) -> None:
        """Counts it."""
        del error
        self._tally.lost += 1

    def _begin(self, data: bytes) -> None:
        self._begun = True
        self._tally.begun += 1
        if not data.startswith(b"HTTP/1.1 200 "):
            self._tally.refused = data
        self._tally.changed.set()


def request(target: str) -> bytes:
    """Returns the bytes that ask for a target."""
    return f"GET {target} HTTP/1.1\r\nhost: bench\r\naccept: text/event-stream\r\n\r\n".encode()


async def subscribed(
    port: int, target: str, count: int, tally: Tally, streams: int = 1
) -> Sequence[asyncio.BaseTransport]:
    """Opens subscribers, and waits until each has got an event; see `bench.orders.Load.subscribers`."""

    def subscriber() -> asyncio.Protocol:
        asked = request(target)
        return Subscriber(asked, tally) if streams == 1 else Http2Subscribers(asked, streams, tally)

    loop = asyncio.get_running_loop()
    begun = tally.begun + count
    connections = [
        await loop.create_connection(subscriber, "127.0.0.1", port) for _ in range(count // streams)
    ]
    await tally.all_begun(begun)
    return [transport for transport, _ in connections]


def stalled(port: int, requests: bytes) -> socket.socket:
    """Opens a connection that asks, takes as little as it can, and is not read."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
    connection.connect(("127.0.0.1", port))
    connection.sendall(requests)
    connection.setblocking(False)  # noqa: FBT003 - socket's own signature
    return connection


async def read_on(connection: socket.socket, word: bytes) -> bytes:
    """Reads a connection, up to the line in which a word is; returns that line."""
    loop = asyncio.get_running_loop()
    seen = b""
    while word not in seen or b"\n\n" not in seen.partition(word)[2]:
        data = await loop.sock_recv(connection, 64 * 1024)
        if not data:
            raise ConnectionError(f"the stream ended before {word!r}")
        seen += data
    return seen.partition(word)[2].partition(b"\n\n")[0]
