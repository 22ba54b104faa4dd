"""An upstream that counts its calls, and whose messages say which call brought them."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

import grpc
from grpc import aio

from tests.feeds.stage import Request, news

Feed: TypeAlias = tuple[str, str]
"""Method and topic."""


class NewsServer:
    """A gRPC server that sends numbers: behind any of them where it is asked to, else from now on.

    Attributes:
        now: the newest number.
        calls: feed -> calls that there have been.
        open: feed -> calls that go on.
        peers: feed -> address and port of who has made its calls that go on.
    """

    def __init__(self, tick: float) -> None:
        """Takes the seconds between two numbers."""
        self._tick = tick
        self.now = 0
        self.calls: Counter[Feed] = Counter()
        self.open: Counter[Feed] = Counter()
        self.peers: defaultdict[Feed, list[tuple[str, int]]] = defaultdict(list)
        self._ticked = asyncio.Condition()

    async def tick(self) -> None:
        """Sends numbers, for ever."""
        while True:
            await asyncio.sleep(self._tick)
            self.now += 1
            async with self._ticked:
                self._ticked.notify_all()

    def stream(self, method: str) -> Any:
        """Returns what answers calls of a method."""

        async def answer(request: bytes, context: Any) -> AsyncIterator[bytes]:
            asked = Request.FromString(request)
            feed = method, asked.topic
            self.calls[feed] += 1
            self.open[feed] += 1
            host, _, port = context.peer().removeprefix("ipv4:").rpartition(":")
            peer = host, int(port)
            self.peers[feed].append(peer)
            call = str(self.calls[feed])
            number = int(asked.after_id.removeprefix("id") or 0) if asked.after_id else self.now
            try:
                while True:
                    while number < self.now:
                        number += 1
                        yield news(number, call)
                    async with self._ticked:
                        await self._ticked.wait()
            finally:
                self.open[feed] -= 1
                self.peers[feed].remove(peer)

        return grpc.unary_stream_rpc_method_handler(answer)


@asynccontextmanager
async def news_server(
    methods: Sequence[str], tick: float, hosts: Sequence[str] = ("127.0.0.1",)
) -> AsyncIterator[tuple[NewsServer, int]]:
    """Runs the server around the block, which is given its port; it is the same at all hosts."""
    made = NewsServer(tick)
    server = aio.server()
    handlers = {method: made.stream(method) for method in methods}
    handler = grpc.method_handlers_generic_handler("feeds.v1.Feeds", handlers)
    server.add_generic_rpc_handlers((handler,))
    port = 0
    for host in hosts:
        port = server.add_insecure_port(f"{host}:{port}")
    await server.start()
    ticking = asyncio.create_task(made.tick())
    try:
        yield made, port
    finally:
        ticking.cancel()
        await server.stop(0)
