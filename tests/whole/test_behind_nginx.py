"""Behind a real nginx that passes upgrades on: no caller reaches what is denied, or gets another's answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from tests.echo_server import Everything, echo_server
from tests.parity.edges import WholeEchoServer
from tests.whole.conftest import edge_process
from tests.whole.http1 import connection
from tests.whole.nginx import nginx, nginx_path

pytestmark = pytest.mark.skipif(nginx_path() is None, reason="no nginx here")

_DENIED = "/v1/names/denied"
_HIDDEN = (
    b"\r\n" * 200_000 + b"GET /v1/hang HTTP/1.1\r\nHost: x\r\nX-Server-Timeout: 0.3\r\n\r\n"
    b"GET /v1/names/denied HTTP/1.1\r\nHost: x\r\n\r\n"
)
"""Requests in a body that comes in pieces; an empty line before a request is passed over (RFC 9112, 2.2).

The first holds the connection until another caller's request is on it.
"""
_CHUNKED = b"%x\r\n%b\r\n0\r\n\r\n" % (len(_HIDDEN), _HIDDEN)
_LENGTH = b"Content-Length: %d\r\n\r\n%b" % (len(_HIDDEN), _HIDDEN)
_SHAKING = b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
_ATTACKS = {
    "unknown": b"POST /nowhere HTTP/1.1\r\nHost: x\r\nUpgrade: foo\r\n" + _LENGTH,
    "h2c": b"POST /v1/raw HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\n"
    b"Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQ\r\n" + _LENGTH,
    "post of a websocket": b"POST /v1/raw HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n" + _LENGTH,
    "list": b"POST /v1/raw HTTP/1.1\r\nHost: x\r\nUpgrade: websocket, foo\r\n" + _LENGTH,
    "chunks": b"POST /v1/raw HTTP/1.1\r\nHost: x\r\nUpgrade: foo\r\nTransfer-Encoding: chunked\r\n\r\n"
    + _CHUNKED,
    "handshake with a body": b"GET /v1/bidi HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
    + _SHAKING
    + _LENGTH,
    "handshake in chunks": b"GET /v1/bidi HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
    + _SHAKING
    + b"Transfer-Encoding: chunked\r\n\r\n"
    + _CHUNKED,
    "refused handshake": b"GET /nowhere HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
    + _SHAKING
    + b"\r\n"
    + _HIDDEN,
}


class SeeingServer(WholeEchoServer):
    """A server that knows what its unary method was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    async def unary(self, request: bytes, context: Any) -> bytes:
        """Answers with the request."""
        self.seen.append(Everything.FromString(request).string_field)
        return await super().unary(request, context)


@asynccontextmanager
async def _behind(folder: Path, *, buffering: bool) -> AsyncIterator[tuple[SeeingServer, int]]:
    async with (
        echo_server(SeeingServer) as echo,
        edge_process(folder, echo.address) as base,
        nginx(folder, int(base.rpartition(":")[2]), denied=_DENIED, buffering=buffering) as port,
    ):
        assert isinstance(echo, SeeingServer)
        yield echo, port


async def _names(port: int, name: str) -> bytes:
    request = f"GET /v1/names/{name} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    async with connection(port) as caller:
        await caller.send(request.encode())
        (response,) = await caller.rest()
    return b"%d %b" % (response.status, response.body)


@pytest.mark.parametrize("buffering", [True, False])
@pytest.mark.parametrize("attack", _ATTACKS)
async def test_nobody_gets_anothers_answer(tmp_path: Path, attack: str, buffering: bool) -> None:
    """What an attacker hides in a body is not run on the connection that others' requests take."""
    async with _behind(tmp_path, buffering=buffering) as (echo, port):
        assert (await _names(port, "denied")).startswith(b"403 ")
        for number in range(3):
            async with connection(port) as attacker:
                await attacker.send(_ATTACKS[attack])
                await attacker.responses(1)
                wanted = [f"caller-{number}-{each}" for each in range(10)]
                answers = await asyncio.gather(*(_names(port, name) for name in wanted))

                assert answers == [f'200 "{name}"'.encode() for name in wanted]
        assert "denied" not in echo.seen


async def test_a_websocket_passes(tmp_path: Path) -> None:
    """A handshake that nginx passes on is answered, and so are the frames behind it."""
    async with (
        _behind(tmp_path, buffering=True) as (_, port),
        connect(
            f"ws://127.0.0.1:{port}/v1/bidi", subprotocols=[Subprotocol("grpc-json.v1")]
        ) as websocket,
    ):
        for number in range(3):
            message = f'{{"int32Field":{number + 1}}}'
            await websocket.send(message)
            assert await websocket.recv() == message
