"""The core is replaced under four hundred clients."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect

from tests.whole import processes
from tests.whole.conftest import free_ports
from tests.whole.event_stream import Event, EventSource

CLIENTS = 200
RATES = "/rates/USD?target_currencies=EUR"
REQUEST = '{"fromCurrency":"USD","toCurrency":"EUR","amount":1}'


async def _read(source: EventSource, started: asyncio.Barrier) -> list[Event]:
    """Reads until a message has come after a gap."""
    events: list[Event] = []
    async for event in source.events():
        events.append(event)
        if len(events) == 1:
            await started.wait()
        if event.kind == "message" and events[-2:-1] and events[-2].kind == "gap":
            break
    return events


async def _converse(socket: ClientConnection, started: asyncio.Barrier) -> tuple[int, str]:
    """Has one answer, and waits for what the server closes with."""
    await socket.send(REQUEST)
    await socket.recv()
    await started.wait()
    await socket.wait_closed()
    return socket.close_code or 0, socket.close_reason or ""


@pytest.mark.timeout(180)
async def test_the_core_is_replaced() -> None:
    """Readers of events keep their connection and go on; WebSockets are closed with a code and a reason."""
    (port,) = free_ports(1)
    started = asyncio.Barrier(2 * CLIENTS + 1)
    limits = httpx.Limits(max_connections=None)
    async with AsyncExitStack() as stack, asyncio.TaskGroup() as tasks:
        core = await stack.enter_async_context(
            processes.core(port, tick_period="0.2", shutdown_grace="1")
        )
        edge = await stack.enter_async_context(processes.edge(core.address))
        client = await stack.enter_async_context(httpx.AsyncClient(timeout=60, limits=limits))
        sources = [EventSource(client, f"{edge.http}{RATES}") for _ in range(CLIENTS)]
        reading = [tasks.create_task(_read(source, started)) for source in sources]
        conversing = []
        for _ in range(CLIENTS):
            socket = await stack.enter_async_context(connect(f"{edge.websocket}/convert:live"))
            conversing.append(tasks.create_task(_converse(socket, started)))
        await started.wait()
        core.process.terminate()
        await core.process.wait()
        await stack.enter_async_context(processes.core(port, tick_period="0.2"))
        streams = await asyncio.gather(*reading)
        closed = await asyncio.gather(*conversing)

    assert all(source.connections == 1 for source in sources)
    assert {event.kind for events in streams for event in events} == {"message", "gap"}
    assert {code for code, _ in closed} == {4014}
    assert all(reason for _, reason in closed)
