"""The ends of a WebSocket that are not its call's: limits, silence and shutdown, on real sockets."""

from __future__ import annotations

import asyncio
import json
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from tests.echo_server import DeafServer, EchoServer, echo_server
from tests.whole.conftest import edge_process

PLAIN, ENVELOPE = "grpc-json.v1", "grpc-json-envelope.v1"
PING_SECONDS = 0.5
PING, CLOSE = 0x89, 0x88

Edge = Callable[..., AbstractAsyncContextManager[tuple[EchoServer, str]]]


class TalkingServer(EchoServer):
    """A server that streams without an end, as fast as it is read."""

    async def server_stream(self, request: bytes, _context: Any) -> AsyncIterator[bytes]:
        """Answers for ever."""
        self.started.set()
        try:
            while True:
                yield request
        finally:
            self.cancelled.set()


@pytest.fixture
def edge(tmp_path: Path) -> Edge:
    """Runs a server and an edge before it; the block is given both, with a URL for WebSockets."""

    @asynccontextmanager
    async def run(
        *options: str, kind: type[EchoServer] = EchoServer
    ) -> AsyncIterator[tuple[EchoServer, str]]:
        async with (
            echo_server(kind) as echo,
            edge_process(tmp_path, echo.address, *options) as base,
        ):
            yield echo, base.replace("http", "ws", 1)

    return run


async def ended(websocket: ClientConnection) -> tuple[list[str], int, str]:
    """Reads to the end; returns the frames, and code and reason of the close."""
    frames = []
    try:
        while True:
            frames.append(str(await asyncio.wait_for(websocket.recv(), 10)))
    except ConnectionClosed:
        assert websocket.close_code is not None
        return frames, websocket.close_code, websocket.close_reason or ""


def speaking(url: str, subprotocol: str, **options: Any) -> connect:
    """Connects with one subprotocol."""
    return connect(url, subprotocols=[Subprotocol(subprotocol)], **options)


@pytest.mark.parametrize("size", [1_001, 100_000])
@pytest.mark.parametrize("subprotocol", [PLAIN, ENVELOPE])
async def test_a_message_over_the_limit_is_1009(edge: Edge, subprotocol: str, size: int) -> None:
    """A message may be as large as the limit; one byte more, or many, ends the call."""
    fits, long = (json.dumps({"stringField": "x" * (n - 19)}) for n in (1_000, size))
    assert (len(fits), len(long)) == (1_000, size)
    async with (
        edge("--max-message-bytes", "1000") as (_, base),
        speaking(f"{base}/v1/bidi", subprotocol) as websocket,
    ):
        if subprotocol == ENVELOPE:
            await websocket.send('{"headers":{}}')
            fits, long = f'{{"message":{fits}}}', f'{{"message":{long}}}'
        await websocket.send(fits)
        await websocket.recv()
        await websocket.send(long)
        _, code, _ = await ended(websocket)

    assert code == 1009


async def test_a_shutdown_is_1001(edge: Edge) -> None:
    """SIGTERM ends the stream with its status, and the WebSocket with the word for it."""
    async with edge() as (echo, base):
        websocket = await speaking(f"{base}/v1/hang-stream", ENVELOPE)
        await websocket.send('{"headers":{}}')
        await asyncio.wait_for(echo.started.wait(), 10)
        ending = asyncio.create_task(ended(websocket))
    frames, code, reason = await ending

    assert json.loads(frames[-1])["status"]["code"] == 14
    assert (code, reason) == (1001, "the server is shutting down")


async def test_silence_is_4004(edge: Edge) -> None:
    """Pings keep a connection open, but do not make it one that somebody uses."""
    options = ("--websocket-idle-seconds", "0.5", "--websocket-ping-seconds", "0.1")
    async with edge(*options) as (echo, base):
        async with speaking(f"{base}/v1/hang-stream", PLAIN) as websocket:
            _, code, reason = await ended(websocket)
        await asyncio.wait_for(echo.cancelled.wait(), 10)

    assert (code, reason) == (4004, "no message for 0.5 seconds")


@pytest.mark.parametrize("compression", [False, True])
async def test_compression_is_the_operators_choice(edge: Edge, *, compression: bool) -> None:
    """The client offers it, and the setting decides."""
    options = ("--websocket-compression",) if compression else ()
    async with edge(*options) as (_, base), speaking(f"{base}/v1/bidi", PLAIN) as websocket:
        await websocket.send('{"stringField":"%s"}' % ("x" * 1000))
        answer = await websocket.recv()
        assert websocket.response is not None
        agreed = websocket.response.headers.get("Sec-WebSocket-Extensions", "")

    assert "x" * 1000 in str(answer)
    assert ("permessage-deflate" in agreed) is compression


async def handshake(base: str, path: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Makes a handshake by hand, for a client that answers no pings."""
    host, _, port = base.removeprefix("ws://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port), limit=1024)
    writer.write(
        f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n".encode()
    )
    assert b" 101 " in await reader.readuntil(b"\r\n\r\n")
    return reader, writer


async def test_a_client_that_answers_no_ping_is_1011(edge: Edge) -> None:
    """After a ping, and as long again, the client is given up, and its call cancelled."""
    async with edge("--websocket-ping-seconds", str(PING_SECONDS)) as (echo, base):
        reader, writer = await handshake(base, "/v1/hang-stream")
        seen: dict[int, bytes] = {}
        while CLOSE not in seen:
            opcode, size = await asyncio.wait_for(reader.readexactly(2), 10)
            seen[opcode] = await reader.readexactly(size)
        await asyncio.wait_for(echo.cancelled.wait(), 10)
        writer.close()

    assert PING in seen
    assert struct.unpack("!H", seen[CLOSE][:2]) == (1011,)


async def test_a_client_that_reads_nothing_is_given_up(edge: Edge) -> None:
    """It answers no pings either; what it does not read must not hold its call for ever."""
    async with edge("--websocket-ping-seconds", str(PING_SECONDS), kind=TalkingServer) as (
        echo,
        base,
    ):
        _, writer = await handshake(base, f"/v1/stream/{'x' * 7000}")
        await asyncio.wait_for(echo.cancelled.wait(), 10)
        writer.close()


async def test_back_pressure_is_no_silence(edge: Edge) -> None:
    """A client whose upload the server does not read is not given up, though its pongs are unread too."""
    async with edge("--websocket-ping-seconds", str(PING_SECONDS), kind=DeafServer) as (echo, base):
        websocket = await speaking(f"{base}/v1/upload", PLAIN)
        message = json.dumps({"stringField": "x" * 10_000})
        uploading = asyncio.create_task(upload(websocket, message))
        await asyncio.sleep(PING_SECONDS * 5)
        assert not echo.cancelled.is_set()
        assert not uploading.done()
        uploading.cancel()
        websocket.transport.abort()
        await asyncio.wait_for(websocket.wait_closed(), 10)


async def upload(websocket: ClientConnection, message: str) -> None:
    """Sends without an end, as fast as it is read."""
    while True:
        await websocket.send(message)
