"""A core and an edge as processes, callers that behave, and what both sides of an attack need of sockets."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import grpc
from grpc import aio

from grpc_core._generated import finance_pb2, finance_pb2_grpc
from tests.whole.processes import Running, core, edge

PATIENCE = 10.0
"""Seconds that a caller who behaves waits for an answer, or for an event."""
CONVERT = b'{"fromCurrency":"USD","toCurrency":"EUR","amount":100}'


@dataclass
class Scene:
    """What is attacked, and what has become of whom.

    Attributes:
        answers: how often each caller that behaves was answered.
        slowest: seconds of the slowest answer of each.
        errors: what went wrong for them; there should be nothing.
        acts: how often each attack was made to its end.
        over: whether nobody is to begin anew.
    """

    core: Running
    edge: Running
    answers: Counter[str] = field(default_factory=Counter)
    slowest: dict[str, float] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    acts: Counter[str] = field(default_factory=Counter)
    over: bool = False


Attack = Callable[[Scene], Awaitable[None]]


@asynccontextmanager
async def scene() -> AsyncIterator[Scene]:
    """Runs a core, and an edge before it, until the block is left."""
    async with core(tick_period="0.1") as serving, edge(serving.address) as front:
        yield Scene(serving, front)


@asynccontextmanager
async def connected(
    address: Running,
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Opens a connection until the block is left; what is then not sent is dropped."""
    reader, writer = await asyncio.open_connection("127.0.0.1", address.port)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()
        with suppress(OSError):
            await writer.wait_closed()


async def ask(where: Running, request: bytes) -> int:
    """Makes a request of HTTP/1.1, on a connection of its own; returns the status, or 0 if none came."""
    with suppress(OSError, asyncio.IncompleteReadError, TimeoutError):
        async with asyncio.timeout(PATIENCE), connected(where) as (reader, writer):
            writer.write(request)
            head = await reader.readuntil(b"\r\n")
            return int(head.split()[1])
    return 0


def post(
    target: str, body: bytes, media_type: str = "application/json", headers: bytes = b""
) -> bytes:
    """Returns a request with a body; more headers are given as they are sent."""
    head = (
        f"POST {target} HTTP/1.1\r\nHost: x\r\nContent-Type: {media_type}\r\n"
        f"Content-Length: {len(body)}\r\n"
    )
    return head.encode() + headers + b"\r\n" + body


# Callers that behave.


async def converts(scene: Scene) -> None:
    """Asks the edge over HTTP, on one connection, and is answered."""
    async with connected(scene.edge) as (reader, writer):
        writer.write(post("/convert", CONVERT))
        head = await reader.readuntil(b"\r\n\r\n")
        size = int(head.lower().partition(b"content-length:")[2].split()[0])
        answer = json.loads(await reader.readexactly(size))
        assert head.split()[1] == b"200", head
        assert answer["convertedAmount"] > 0


async def uploads(scene: Scene) -> None:
    """Uploads ten messages to the edge."""
    async with connected(scene.edge) as (reader, writer):
        writer.write(post("/convert:batch", (CONVERT + b"\n") * 10, "application/x-ndjson"))
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.split()[1] == b"200", head


async def watches(scene: Scene) -> None:
    """Reads an event stream until three events have come."""
    async with connected(scene.edge) as (reader, writer):
        writer.write(
            b"GET /rates/USD?target_currencies=EUR HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n"
        )
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.split()[1] == b"200", head
        for _ in range(3):
            await reader.readuntil(b"\n\n")


async def calls(scene: Scene) -> None:
    """Calls the core by grpcio, each time over a connection of its own."""
    options = [("grpc.use_local_subchannel_pool", 1)]
    async with aio.insecure_channel(scene.core.address, options=options) as channel:
        stub: Any = finance_pb2_grpc.CurrencyConverterStub(channel)  # type: ignore[no-untyped-call] # generated
        request = finance_pb2.ConvertRequest(from_currency="USD", to_currency="EUR", amount=1)
        try:
            await stub.Convert(request, timeout=PATIENCE, wait_for_ready=True)
        except grpc.RpcError as error:
            raise AssertionError(str(error)) from error


CALLERS: tuple[Attack, ...] = (converts, uploads, watches, calls)


async def behaving(scene: Scene, caller: Attack, pause: float) -> None:
    """Lets a caller ask again and again; what goes wrong is kept."""
    name = caller.__name__
    clock = asyncio.get_running_loop().time
    while not scene.over:
        began = clock()
        try:
            async with asyncio.timeout(PATIENCE):
                await caller(scene)
            scene.answers[name] += 1
            scene.slowest[name] = max(scene.slowest.get(name, 0.0), clock() - began)
        except (AssertionError, OSError, EOFError, TimeoutError) as error:
            scene.errors.append(f"{name}: {error!r}")
        await asyncio.sleep(pause)


async def attacking(
    scene: Scene, attack: Attack, pause: float, together: asyncio.Semaphore
) -> None:
    """Makes an attack again and again, as it is let by `together`; the attacked may cut it."""
    while not scene.over:
        with suppress(OSError, EOFError, TimeoutError):
            async with together, asyncio.timeout(PATIENCE):
                await attack(scene)
        scene.acts[attack.__name__] += 1
        await asyncio.sleep(pause)
