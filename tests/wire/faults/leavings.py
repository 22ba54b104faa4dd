"""What a test has left behind: tasks, timers, and the objects of grpc_wire that live as long as a call."""

from __future__ import annotations

import asyncio
import gc
from collections import Counter
from collections.abc import Set as AbstractSet
from typing import Any

from grpc_wire.client.balancer import Balancer
from grpc_wire.client.stream import ClientStream
from grpc_wire.client.subchannel import Subchannel
from grpc_wire.http2.connection import Connection
from grpc_wire.http2.streams import Stream
from grpc_wire.server import Server
from grpc_wire.server.call import ServerCall
from grpc_wire.server.context import ServerContext
from grpc_wire.transport.lifetime import Lifetime
from grpc_wire.transport.transport import Transport

PASSING = (
    Balancer, ClientStream, Connection, Lifetime, Server, ServerCall, ServerContext, Stream, Subchannel,
    Transport,
)  # fmt: skip
SECONDS = 5.0


def objects() -> Counter[str]:
    """Counts what there is of each passing type."""
    gc.collect()
    return Counter(type(one).__name__ for one in gc.get_objects() if type(one) in PASSING)


def tasks(known: AbstractSet[asyncio.Task[Any]] = frozenset()) -> list[str]:
    """Names the tasks that run beside the one that asks, and those that are known."""
    others = asyncio.all_tasks() - known - {asyncio.current_task()}
    return sorted(getattr(task.get_coro(), "__qualname__", "?") for task in others)


def timers() -> list[str]:
    """Names the timers of grpc_wire that are set; uvloop does not tell of its own."""
    scheduled: list[Any] = getattr(asyncio.get_running_loop(), "_scheduled", [])
    return [
        repr(handle)
        for handle in scheduled
        if not handle.cancelled() and "grpc_wire" in repr(handle)
    ]


async def left_behind(
    before: Counter[str], known: AbstractSet[asyncio.Task[Any]] = frozenset()
) -> dict[str, object]:
    """Waits a while for what is ending; returns what stays."""
    loop = asyncio.get_running_loop()
    until = loop.time() + SECONDS
    while True:
        found = {"objects": dict(objects() - before), "tasks": tasks(known), "timers": timers()}
        left: dict[str, object] = {name: value for name, value in found.items() if value}
        if not left or loop.time() > until:
            return left
        await asyncio.sleep(0.01)
