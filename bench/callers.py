"""Those who call a core by gRPC: as many calls at once, or messages on one call, as are asked for.

Each call has metadata of its own, as calls have in the world: a request id that was never seen before.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from itertools import count as numbers
from typing import Any, Final

import grpc.aio

import grpc_wire.client
from bench.turns import Turns

CHANNELS: Final[Mapping[str, Callable[[str], grpc.aio.Channel]]] = {
    "grpc.aio": grpc.aio.insecure_channel,
    "wire": grpc_wire.client.insecure_channel,
}
"""Who calls, by the name that the tables have."""

_numbers: Final = numbers()


def _metadata() -> tuple[tuple[str, str]]:
    return (("x-request-id", f"{next(_numbers):032x}"),)


def taking(
    kind: str, channel: str, port: int, path: str, request: bytes, count: int, seen: Turns
) -> AbstractAsyncContextManager[None]:
    """Takes turns within the block; `kind` is `unary` or `bidi`."""
    return _KINDS[kind](_opened(channel, port), path, request, count, seen)


def _opened(channel: str, port: int) -> grpc.aio.Channel:
    return CHANNELS[channel](f"127.0.0.1:{port}")


@asynccontextmanager
async def _unary(
    opened: grpc.aio.Channel, path: str, request: bytes, count: int, seen: Turns
) -> AsyncIterator[None]:
    """Has as many tasks, each of which calls again when it was answered."""

    async def call() -> None:
        while seen.going:
            began = seen.begin()
            await method(request, metadata=_metadata())
            seen.end(began)

    async with opened as channel, asyncio.TaskGroup() as up:
        method: Any = channel.unary_unary(path)
        for _ in range(count):
            up.create_task(call())
        try:
            yield
        finally:
            seen.going = False


@asynccontextmanager
async def _bidi(
    opened: grpc.aio.Channel, path: str, request: bytes, count: int, seen: Turns
) -> AsyncIterator[None]:
    """Has one call, on which each message that comes is answered by one more."""

    async def talk() -> None:
        call = channel.stream_stream(path)(metadata=_metadata())
        began: deque[float] = deque()
        for _ in range(count):
            began.append(seen.begin())
            await call.write(request)
        while began:
            assert await call.read() is not grpc.aio.EOF, await call.details()
            seen.end(began.popleft())
            if seen.going:
                began.append(seen.begin())
                await call.write(request)
        await call.done_writing()
        assert await call.code() is grpc.StatusCode.OK

    async with opened, asyncio.TaskGroup() as up:
        channel: Any = opened
        up.create_task(talk())
        try:
            yield
        finally:
            seen.going = False


_KINDS: Final = {"unary": _unary, "bidi": _bidi}


@asynccontextmanager
async def held(
    channel: str, port: int, path: str, request: bytes
) -> AsyncIterator[Callable[[int], Awaitable[None]]]:
    """Gives what opens so many calls more, each of which is held when its first message has come."""
    calls = []
    async with _opened(channel, port) as opened:
        method: Any = opened.unary_stream(path)

        async def hold(more: int) -> None:
            for _ in range(more):
                call = method(request, metadata=_metadata())
                assert await call.read() is not grpc.aio.EOF
                calls.append(call)

        yield hold
        for call in calls:
            call.cancel()
