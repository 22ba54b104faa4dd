"""Connections that come at once: how many turns of the loop pass until the last of them is accepted."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import uvloop

from gateway.app import create_app
from gateway.server import Server
from gateway.settings import Settings
from gateway.testing import ScriptedUpstream
from grpc_wire.server.listener import Listener
from grpc_wire.transport.accepting import ACCEPTED
from tests.contracts import echo_descriptor_set

CONNECTIONS = 10 * ACCEPTED


class _Accepted(asyncio.Protocol):
    """Counts the connections that were made."""

    def __init__(self) -> None:
        self.count = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Counts one."""
        self.count += 1


async def turns_until(reached: Callable[[], bool]) -> int:
    """Returns after how many turns of the loop something is so."""
    async with asyncio.timeout(10):
        for turn in count(1):
            await asyncio.sleep(0)
            if reached():
                return turn
    raise AssertionError


def come(stack: ExitStack, address: Any) -> None:
    """Opens all connections, which wait to be accepted."""
    for _ in range(CONNECTIONS):
        client = stack.enter_context(socket.socket())
        client.connect(address)


def test_the_core_accepts_many_in_a_turn() -> None:
    """The last of some hundred connections waits for some turns, not for some hundred."""

    async def main() -> int:
        protocol = _Accepted()
        listener = Listener("127.0.0.1:0", None, reuse_port=False)
        try:
            await listener.prepare(lambda: protocol, 1)
            with ExitStack() as stack:
                come(stack, listener.sockets[0].getsockname())
                await listener.accept()
                return await turns_until(lambda: protocol.count == CONNECTIONS)
        finally:
            listener.pause()
            await asyncio.sleep(0)
            listener.close()

    assert uvloop.run(main()) < CONNECTIONS / 4


def test_the_edge_accepts_many_in_a_turn(tmp_path: Path) -> None:
    """So does the edge."""

    async def main() -> int:
        path = tmp_path / "echo.binpb"
        path.write_bytes(echo_descriptor_set())
        settings = Settings(descriptor_set=path)
        app = create_app(settings, ScriptedUpstream({}))
        with socket.create_server(("127.0.0.1", 0), backlog=2048) as listening:
            server = Server(app, settings)
            task = asyncio.create_task(server.serve(sockets=[listening]))
            with ExitStack() as stack:
                come(stack, listening.getsockname())
                while not server.started:
                    await asyncio.sleep(0)
                connections = server.server_state.connections
                turns = await turns_until(lambda: len(connections) == CONNECTIONS)
            server.should_exit = True
            await task
            return turns

    assert uvloop.run(main()) < CONNECTIONS / 4


@pytest.mark.parametrize("run", [uvloop.run, asyncio.run])
def test_an_address_that_is_left_is_free(run: Callable[[Any], None]) -> None:
    """With the last listener of an address all of its descriptors are closed."""

    async def main() -> None:
        listener = Listener("127.0.0.1:0", None, reuse_port=False)
        await listener.prepare(_Accepted, 1)
        await listener.accept()
        listener.pause()
        await asyncio.sleep(0)
        listener.close()
        await asyncio.sleep(0.01)
        again = Listener(f"127.0.0.1:{listener.port}", None, reuse_port=False)
        with socket.socket() as client:
            client.connect(("127.0.0.1", again.port))
        again.close()
        with pytest.raises(ConnectionRefusedError), socket.socket() as client:
            client.connect(("127.0.0.1", again.port))

    run(main())
