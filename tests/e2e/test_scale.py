"""Two cores and three edges behind nginx: edges are killed and replaced, and their readers move to others."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc.aio
import httpx
import pytest
from websockets.asyncio.client import connect

from grpc_core._generated.hello_pb2 import HelloRequest
from grpc_core._generated.hello_pb2_grpc import GreeterStub
from tests.e2e.compose import Stack
from tests.e2e.test_kill import SETTLED, SHUTTING_DOWN, Reader, until
from tests.whole.test_cuts import account

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

EDGES = ("edge-1", "edge-2", "edge-3")
READERS = int(os.environ.get("SCALE_READERS", "100"))
"""`tests/whole/test_rolling_readers.py` has 500, of a contract with ids and without containers."""
BASES = ("USD", "EUR", "GBP")


@asynccontextmanager
async def reading(stack: Stack) -> AsyncIterator[list[Reader]]:
    """Readers behind the balancer, each of which has read some events; they read until the block ends."""
    limits = httpx.Limits(max_connections=None)
    async with (
        httpx.AsyncClient(timeout=60, limits=limits) as client,
        asyncio.TaskGroup() as tasks,
    ):
        query = "target_currencies=SEK&target_currencies=NOK"
        urls = [f"{stack.balancer}/rates/{BASES[n % len(BASES)]}?{query}" for n in range(READERS)]
        readers = [Reader(client, url) for url in urls]
        for reader in readers:
            reader.source.retry = 0.2
        reads = [tasks.create_task(reader.read()) for reader in readers]
        await settled(readers)
        yield readers
        for each in reads:
            each.cancel()


async def settled(readers: list[Reader]) -> None:
    """Waits until each reader has read some events behind its last gap."""
    for reader in readers:
        reader.since_gap = 0
    await until(lambda: all(reader.since_gap >= SETTLED for reader in readers), 60)


def moves(reader: Reader, breaks: int) -> int:
    """Checks what a reader was told; returns how often it has moved to another edge.

    Nothing is missed, and nothing comes twice. The contract has no ids of its own, so the end of the edge
    that leads a stream is a restart, of which each reader is told once, wherever it reads.

    Args:
        reader: that is looked at.
        breaks: edges that have ended meanwhile.
    """
    connections = [list(events) for events in reader.by_connection.values()]
    told = []
    for events in connections:
        if events[-1].kind == "error":
            assert events.pop().data == SHUTTING_DOWN
        told += events
    _, missed, restarts = account(told)
    assert missed == 0
    assert restarts <= breaks
    return len([events for events in connections[1:] if events])


async def healthy(stack: Stack, *edges: str) -> None:
    """Starts edges again, and waits until docker finds them healthy."""
    await asyncio.to_thread(stack.compose, "up", "--no-build", "--wait", *edges)


async def test_every_wire_passes_the_balancer(scaled_stack: Stack) -> None:
    """A unary request, a WebSocket and gRPC reach an edge, and by it a core."""
    async with httpx.AsyncClient(timeout=30) as client:
        answer = await client.get(f"{scaled_stack.balancer}/hello/World")
    assert answer.json() == {"message": "Hello, World!"}
    url = scaled_stack.balancer.replace("http", "ws", 1)
    async with connect(f"{url}/convert:live", proxy=None) as socket:
        await socket.send('{"fromCurrency":"USD","toCurrency":"EUR","amount":1}')
        assert await asyncio.wait_for(socket.recv(), 30)
    async with grpc.aio.insecure_channel(scaled_stack.balancer_grpc) as channel:
        greeter: Any = GreeterStub(channel)  # type: ignore[no-untyped-call]  # generated code has no types
        assert (await greeter.SayHello(HelloRequest(name="World"), timeout=30)).message


async def test_an_edge_is_killed(scaled_stack: Stack) -> None:
    """Its readers go on at another edge, or are told that they cannot; the others notice nothing."""
    async with reading(scaled_stack) as readers:
        await asyncio.to_thread(scaled_stack.compose, "kill", EDGES[0])
        await settled(readers)
        await healthy(scaled_stack, EDGES[0])
    moved = Counter(moves(reader, 1) for reader in readers)
    print(f"\nmoves of {READERS} readers when one of three edges was killed: {dict(moved)}")
    assert 0 < moved.total() - moved[0] < READERS


async def test_all_edges_are_replaced(scaled_stack: Stack) -> None:
    """Each reader moves, and is told so or goes on; no unary request fails."""
    answers = Counter[int]()
    ended = asyncio.Event()

    async def ask() -> None:
        async with httpx.AsyncClient(timeout=30) as client:
            while not ended.is_set():
                answers[(await client.get(f"{scaled_stack.balancer}/hello/World")).status_code] += 1

    async with reading(scaled_stack) as readers, asyncio.TaskGroup() as tasks:
        tasks.create_task(ask())
        for edge in EDGES:
            await asyncio.to_thread(scaled_stack.compose, "stop", edge)
            await healthy(scaled_stack, edge)
            await settled(readers)
        ended.set()
    moved = Counter(moves(reader, len(EDGES)) for reader in readers)
    print(
        f"\nmoves of {READERS} readers when all edges were replaced: {dict(moved)}, {dict(answers)}"
    )
    assert moved[0] == 0
    assert answers.keys() == {200}
