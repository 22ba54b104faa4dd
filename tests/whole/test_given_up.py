"""Callers that open calls and give them up at once, beside others on the same connections to the core.

A server ends a connection whose client resets many streams at once (CVE-2023-44487), and the edge's callers
share its connections.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from tests.whole import processes
from tests.whole.test_capacity import MESSAGE, Client, clients, frame, head, upload, websocket

GIVEN_UP = 3_000
"""Three times what the core bears of one connection in ten seconds."""
WAVE = 50
SOCKETS = 50
SLOWEST = 8.0
"""Seconds that a unary call may take on a busy machine."""


async def give_up(port: int, request: Callable[[], bytes]) -> None:
    """Opens calls, and leaves them when the edge has begun them."""
    for _ in range(GIVEN_UP // WAVE):
        async with clients(port, [request() for _ in range(WAVE)]):
            await asyncio.sleep(0.02)


async def converts(port: int, over: asyncio.Event) -> list[int]:
    """Asks on one connection, again and again; returns the statuses."""
    statuses: list[int] = []
    request = head(
        "POST /convert", "Content-Type: application/json", f"Content-Length: {len(MESSAGE)}"
    )
    async with clients(port, [request + MESSAGE]) as (one,):
        while True:
            answer = await asyncio.wait_for(one.until(b"}"), SLOWEST)
            statuses.append(int(answer.split()[1]))
            if over.is_set():
                return statuses
            await asyncio.sleep(0.01)
            one.transport.write(request + MESSAGE)


async def converse(one: Client) -> None:
    """Sends a message in a WebSocket, and reads what answers it."""
    one.transport.write(frame(MESSAGE))
    answer = await asyncio.wait_for(one.until(b"}"), SLOWEST)
    assert json.loads(answer[answer.index(b"{") :])["convertedAmount"] > 0


@asynccontextmanager
async def conversations(port: int) -> AsyncIterator[list[Client]]:
    """Opens WebSockets in which something was said."""
    async with clients(port, [websocket() for _ in range(SOCKETS)]) as opened:
        await asyncio.gather(*(one.until(b"\r\n\r\n") for one in opened))
        await asyncio.gather(*(converse(one) for one in opened))
        yield opened


@pytest.mark.long
@pytest.mark.parametrize("request_head", [upload, websocket])
async def test_calls_that_are_given_up_disturb_no_others(request_head: Callable[[], bytes]) -> None:
    """One caller gives up 3,000 calls: every WebSocket stays open, and every unary call is answered."""
    async with (
        processes.core() as core,
        processes.edge(core.address) as edge,
        conversations(edge.port) as sockets,
    ):
        over = asyncio.Event()
        asking = [asyncio.create_task(converts(edge.port, over)) for _ in range(4)]
        await give_up(edge.port, request_head)
        over.set()
        statuses = [status for each in asking for status in await each]

        assert set(statuses) == {200}
        await asyncio.gather(*(converse(one) for one in sockets))
