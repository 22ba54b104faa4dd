"""A server that is restarted now and then, and clients that do to it what clients do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from functools import partial
from random import Random
from typing import Any

import grpc
from grpc import aio

from grpc_wire.client import insecure_channel, secure_channel
from grpc_wire.server import server
from tests.wire.faults.scene import METHODS, Client
from tests.wire.server.stage import SERVICE
from tests.wire.tls import Tls, listen

SERVERS: dict[str, Callable[..., Any]] = {"wire": server, "grpcio": aio.server}
CHANNELS: dict[str, Callable[..., Any]] = {
    "wire": insecure_channel,
    "grpcio": aio.insecure_channel,
}
SECURE_CHANNELS: dict[str, Callable[..., Any]] = {
    "wire": secure_channel,
    "grpcio": aio.secure_channel,
}
OPTIONS = (
    ("grpc.initial_reconnect_backoff_ms", 10),
    ("grpc.max_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 2000),
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_retries", 0),
)
"""grpc.aio does not retry, for it may do so without end (docs/decisions/0016)."""
BIG = b"b" * 200_000
DEADLINE = 20.0
"""Seconds that no call takes; one that does has hung."""


class World:
    """One kind of server, and channels of one kind.

    Attributes:
        port: where the server is, however often it is restarted.
        restarts: how often it was.
    """

    def __init__(self, serving: str, calling: str, random: Random, tls: Tls | None = None) -> None:
        self.port = 0
        self.restarts = 0
        self.random = random
        self._make = SERVERS[serving]
        self._open = CHANNELS[calling]
        self._credentials = None
        if tls is not None:
            self._credentials = tls.server(serving)
            channel = tls.channel(calling)
            self._open = partial(SECURE_CHANNELS[calling], credentials=channel)
        self._server: Any = None

    async def start(self) -> None:
        """Begins to serve, at the same port as before."""
        running = self._make(options=[("grpc.so_reuseport", 1)])
        handler = grpc.method_handlers_generic_handler(SERVICE, METHODS)
        running.add_generic_rpc_handlers((handler,))
        self.port = listen(running, f"127.0.0.1:{self.port}", self._credentials)
        await running.start()
        self._server = running

    async def stop(self, grace: float | None = None) -> None:
        """Stops to serve."""
        await self._server.stop(grace)

    async def restart(self) -> None:
        """Restarts: at once, with a grace, or as a rolling restart (the new one is there before)."""
        self.restarts += 1
        old = self._server
        grace = self.random.choice((None, 0.1, 1.0))
        if self.random.random() < 0.5:
            await self.start()
            await old.stop(grace)
        else:
            await old.stop(grace)
            await self.start()

    def channel(self) -> Any:
        """Opens a channel."""
        return self._open(f"127.0.0.1:{self.port}", options=OPTIONS)


async def unary(client: Client, random: Random) -> None:
    """Asks once."""
    request = random.randbytes(random.choice((0, 10, 5000)))
    patient = random.random() < 0.5
    assert await client.echo(request, timeout=DEADLINE, wait_for_ready=patient) == request


async def big(client: Client, _random: Random) -> None:
    """Asks once, with a message that is larger than a window."""
    assert await client.echo(BIG, timeout=DEADLINE) == BIG


async def hurried(client: Client, random: Random) -> None:
    """Has a deadline that may be too short."""
    await client.echo(timeout=random.choice((0.0005, 0.005)))


async def watching(client: Client, random: Random) -> None:
    """Reads a stream to its end, or leaves."""
    number = random.randrange(1, 200)
    leave = random.randrange(number * 2)
    seen = 0
    call = client.count(number, timeout=DEADLINE)
    async for message in call:
        assert message == b"%d" % seen
        seen += 1
        if seen == leave:
            call.cancel()
            return
    assert seen == number


async def uploading(client: Client, random: Random) -> None:
    """Sends a stream, and breaks off now and then."""
    number = random.randrange(1, 50)
    breaks = random.random() < 0.2

    async def requests() -> AsyncIterator[bytes]:
        for _ in range(number):
            yield b"x" * 100
            if breaks:
                await asyncio.sleep(0)

    call = client.collect(requests(), timeout=DEADLINE)
    if breaks:
        await asyncio.sleep(random.random() * 0.01)
        call.cancel()
    assert await call == b"x" * 100 * number


async def talking(client: Client, random: Random) -> None:
    """Writes and reads in turn; half-closes, cancels, or forgets the call."""
    call = client.talk(timeout=DEADLINE)
    for number in range(random.randrange(1, 20)):
        with suppress(asyncio.InvalidStateError):  # it has ended; reading tells how
            await call.write(b"%d" % number)
        assert await call.read() == b"%d" % number
    match random.randrange(3):
        case 0:
            await call.done_writing()
            assert await call.read() is aio.EOF
        case 1:
            call.cancel()


async def waiting(client: Client, random: Random) -> None:
    """Waits for what does not come, and is cancelled as a task is."""
    asking = asyncio.ensure_future(client.echo(name="Wait", timeout=DEADLINE))
    await asyncio.sleep(random.random() * 0.02)
    asking.cancel()
    await asking


KINDS: tuple[Callable[[Client, Random], Awaitable[None]], ...] = (
    unary, unary, big, hurried, watching, uploading, talking, waiting,
)  # fmt: skip
