"""A server and a channel, both of grpc_wire, and methods that do what calls of all types do."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc
from grpc import aio

from grpc_wire.client import Channel, insecure_channel, secure_channel
from grpc_wire.server import Server, server
from tests.wire.server.stage import SERVICE, answering, both_ways, taking, unary
from tests.wire.tls import Tls, listen

QUICK = (
    ("grpc.initial_reconnect_backoff_ms", 1),
    ("grpc.max_reconnect_backoff_ms", 5),
    ("grpc.min_reconnect_backoff_ms", 3000),
)
"""An attempt over TLS that is given up may stay with uvloop for as long as it might have taken: less than
what is left is looked for (`leavings.SECONDS`)."""
KINDS = ("Echo", "Count", "Collect", "Talk")


async def _echo(request: bytes, _context: Any) -> bytes:
    return request


async def _count(request: bytes, _context: Any) -> AsyncIterator[bytes]:
    for number in range(int(request)):
        yield b"%d" % number


async def _collect(requests: AsyncIterator[bytes], _context: Any) -> bytes:
    return b"".join([request async for request in requests])


async def _talk(requests: AsyncIterator[bytes], _context: Any) -> AsyncIterator[bytes]:
    async for request in requests:
        yield request


async def _wait(_request: bytes, _context: Any) -> bytes:
    await asyncio.Event().wait()
    raise AssertionError


METHODS = {
    "Echo": unary(_echo),
    "Count": answering(_count),
    "Collect": taking(_collect),
    "Talk": both_ways(_talk),
    "Wait": unary(_wait),
}


@asynccontextmanager
async def serving(
    methods: dict[str, Any] = METHODS,
    *,
    port: int = 0,
    tls: Tls | None = None,
    options: Iterable[tuple[str, Any]] = (),
    **arguments: Any,
) -> AsyncIterator[tuple[Server, str]]:
    """Runs a server until the block is left; gives its address too."""
    credentials = tls and tls.server()
    running = server(options=list(options), **arguments)
    running.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, methods),))
    address = f"127.0.0.1:{listen(running, f'127.0.0.1:{port}', credentials)}"
    await running.start()
    try:
        yield running, address
    finally:
        await running.stop(None)


@dataclass(frozen=True)
class Client:
    """A channel, and its calls."""

    channel: Channel

    def echo(self, request: bytes = b"hi", name: str = "Echo", **arguments: Any) -> Any:
        """Begins a call of one request and one response."""
        return self.channel.unary_unary(f"/{SERVICE}/{name}")(request, **arguments)

    def count(self, number: int, name: str = "Count", **arguments: Any) -> Any:
        """Begins a call of one request and many responses."""
        return self.channel.unary_stream(f"/{SERVICE}/{name}")(b"%d" % number, **arguments)

    def collect(self, requests: Any = None, name: str = "Collect", **arguments: Any) -> Any:
        """Begins a call of many requests and one response."""
        return self.channel.stream_unary(f"/{SERVICE}/{name}")(requests, **arguments)

    def talk(self, requests: Any = None, name: str = "Talk", **arguments: Any) -> Any:
        """Begins a call of many requests and many responses."""
        return self.channel.stream_stream(f"/{SERVICE}/{name}")(requests, **arguments)


@asynccontextmanager
async def calling(
    address: str, *options: tuple[str, Any], tls: Tls | None = None
) -> AsyncIterator[Client]:
    """Opens a channel until the block is left."""
    wanted = (*QUICK, *options)
    opened = (
        insecure_channel(address, wanted)
        if tls is None
        else secure_channel(address, tls.channel(), wanted)
    )
    async with opened as channel:
        yield Client(channel)


@asynccontextmanager
async def pair(
    methods: dict[str, Any] = METHODS,
    *client: tuple[str, Any],
    tls: Tls | None = None,
    **arguments: Any,
) -> AsyncIterator[tuple[Server, Client]]:
    """Runs both."""
    async with (
        serving({**METHODS, **methods}, tls=tls, **arguments) as (running, address),
        calling(address, *client, tls=tls) as opened,
    ):
        yield running, opened


async def requests(number: int = 3, payload: bytes = b"x") -> AsyncIterator[bytes]:
    """Yields so many requests, and lets others go on after each."""
    for _ in range(number):
        yield payload
        await asyncio.sleep(0)


async def one_of(client: Client, kind: str, number: int = 3, **arguments: Any) -> Any:
    """Makes a call of a kind (`KINDS`), and returns all that came of it."""
    match kind:
        case "Echo":
            return await client.echo(**arguments)
        case "Count":
            return [response async for response in client.count(number, **arguments)]
        case "Collect":
            return await client.collect(requests(number), **arguments)
        case _:
            return [response async for response in client.talk(requests(number), **arguments)]


async def standing(number: Any) -> None:
    """Waits until a number has begun to rise, and does no more for a while."""
    before = -1
    async with asyncio.timeout(10):
        while number() != before or not before:
            before = number()
            await asyncio.sleep(0.1)


class Ends:
    """Counts how calls end: each once.

    Attributes:
        codes: how often each code was the end.
    """

    def __init__(self) -> None:
        self.codes: Counter[grpc.StatusCode] = Counter()
        self._told: dict[int, int] = {}
        self._begun = 0

    def of(self, call: Any) -> Any:
        """Watches a call; returns it."""
        number, self._begun = self._begun, self._begun + 1
        self._told[number] = 0

        def told(_call: Any) -> None:
            self._told[number] += 1

        call.add_done_callback(told)
        return call

    async def take(self, call: Any, consume: Callable[[Any], Any] | None = None) -> grpc.StatusCode:
        """Watches a call to its end, whatever that is; returns its code."""
        self.of(call)
        try:
            if consume is not None:
                await consume(call)
            elif hasattr(call, "__aiter__"):
                async for _ in call:
                    pass
            else:
                await call
        except (aio.AioRpcError, asyncio.CancelledError):
            current = asyncio.current_task()
            if current is not None and current.cancelling():
                raise
        code: grpc.StatusCode = await call.code()
        self.codes[code] += 1
        return code

    def check(self) -> None:
        """Each call that was watched has ended, and its callback was called once."""
        wrong = {number: times for number, times in self._told.items() if times != 1}
        assert wrong == {}
