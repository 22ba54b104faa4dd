"""Clients that take nothing any more, and do not say so."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

from tests.contracts import echo_descriptor_set
from tests.echo_server import echo_server
from tests.whole import processes


async def test_a_client_that_takes_nothing_is_cut(tmp_path: Path) -> None:
    """Its call is cancelled when it has not taken anything for as long as the operator allows."""
    path = tmp_path / "echo.binpb"
    path.write_bytes(echo_descriptor_set())
    target = f"/v1/stream/{'x' * 4000}?int32_field=1000000"
    async with (
        echo_server() as echo,
        processes.edge(echo.address, descriptor_set=path, send_timeout_seconds="0.5") as edge,
    ):
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect(("127.0.0.1", edge.port))
            client.sendall(f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            await asyncio.wait_for(echo.cancelled.wait(), 30)
