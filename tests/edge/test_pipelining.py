"""More requests behind one that is answered than a connection may have: what is parsed of them."""

from __future__ import annotations

from typing import Any

import pytest
from uvicorn.config import Config
from uvicorn.server import ServerState

from gateway.uvicorn_http import HttpProtocol
from tests.edge.test_websocket_floods import Socket

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx"
UPGRADE = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n"
ALLOWED = 20


class _Counting(HttpProtocol):
    """Counts the requests whose heads it has begun to read."""

    begun = 0

    def on_message_begin(self) -> None:
        """Counts one."""
        self.begun += 1
        super().on_message_begin()


async def _waits(_scope: Any, receive: Any, _send: Any) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


@pytest.mark.parametrize("request_", [GET, POST, UPGRADE], ids=["get", "post", "upgrade"])
async def test_parsing_ends_where_the_connection_does(request_: bytes) -> None:
    """Of ten thousand requests that come at once no more are read than may wait."""
    config = Config(_waits, log_config=None)
    config.load()
    protocol, socket = _Counting(config, ServerState(), {}), Socket()
    protocol.connection_made(socket)
    protocol.data_received(request_ * 10_000)
    assert socket.closed
    assert socket.written == []
    assert protocol.begun < ALLOWED * (2 if request_ is UPGRADE else 1)
    protocol.connection_lost(None)
