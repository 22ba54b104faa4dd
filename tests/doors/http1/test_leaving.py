"""Clients that leave, over sockets: what an event loop does not tell of them."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from typing import Any, Final

import pytest
import uvloop

from gateway.doors.http.door import Door, ServerState
from gateway.doors.http.limits import WebSocketLimits
from gateway.doors.http.response import CONTINUE
from gateway.doors.http1.protocol import Http1Protocol

GET: Final = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
RESET: Final = struct.pack("ii", 1, 0)
"""Lets a close reset the connection (SO_LINGER)."""
LOOPS: Final = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


class Streams:
    """An application that sends one part when it is told to, and notes when its client leaves."""

    def __init__(self) -> None:
        self.starts = asyncio.Event()
        self.left = asyncio.Event()

    async def __call__(self, _scope: Any, receive: Any, send: Any) -> None:
        """Sends the part, and nothing more."""
        await receive()
        await self.starts.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"first", "more_body": True})
        await receive()
        self.left.set()


async def leaves_after_the_first_part() -> None:
    """Ends the client's side, reads the first part, and resets the connection."""
    app, state = Streams(), ServerState()
    door = Door(app, state, WebSocketLimits(1024, 60))
    server = await asyncio.get_running_loop().create_server(
        lambda: Http1Protocol(door), "127.0.0.1", 0
    )
    async with server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(GET)
        writer.write_eof()
        assert await reader.readexactly(len(CONTINUE)) == CONTINUE
        app.starts.set()
        await reader.readuntil(b"first")
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        writer.transport.abort()
        await asyncio.wait_for(app.left.wait(), 5)
        await asyncio.gather(*state.tasks)


@pytest.mark.parametrize("loop", LOOPS.values(), ids=LOOPS)
def test_a_half_close_and_then_a_reset(loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    """A stream that has started, and is silent, ends: no loop reads where the client's side has ended."""
    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(leaves_after_the_first_part())
