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
Peer: TypeAlias = tuple[str, int]
"""Address and port of who has made a call."""


class NewsServer:
    """A gRPC server that sends numbers: behind any of them where it is asked to, else from now on.

    Attributes:
        now: the newest number.
        calls: feed -> calls that there have been.
        peers: feed -> number of each of its calls, from 1, and who has made it.
        open: feed -> numbers of its calls that go on.
    """

    def __init__(self, tick: float) -> None:
        """Takes the seconds between two numbers."""
        self._tick = tick
        self.now = 0
        self.calls: Counter[Feed] = Counter()
        self.peers: defaultdict[Feed, dict[int, Peer]] = defaultdict(dict)
        self.open: defaultdict[Feed, set[int]] = defaultdict(set)
        self._ticked = asyncio.Condition()

    def one_call_each(self) -> dict[Feed, int] | None:
        """Returns feed -> number of its call; None: a feed has none now, or several."""
        if any(len(calls) != 1 for calls in self.open.values()):
            return None
        return {feed: call for feed, (call,) in self.open.items()}

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
            call = self.calls[feed]
            self.open[feed].add(call)
            host, _, port = context.peer().removeprefix("ipv4:").rpartition(":")
            self.peers[feed][call] = host, int(port)
            number = int(asked.after_id.removeprefix("id") or 0) if asked.after_id else self.now
            try:
                while True:
                    while number < self.now:
                        number += 1
                        yield news(number, str(call))
                    async with self._ticked:
                        await self._ticked.wait()
            finally:
                self.open[feed].remove(call)

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
