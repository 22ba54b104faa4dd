"""A core that ends a call while its caller still writes is heard with its own words (grpc/grpc#36066).

`EARLY_ENDS` is how many calls are made of each kind; the issue that this was built for asks for 1,000.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from gateway.upstream.transport import TRANSPORTS
from tests.whole.processes import Running, core, edge

CALLS = int(os.environ.get("EARLY_ENDS", "60"))
AT_ONCE = 20
GOOD = b'{"fromCurrency":"USD","toCurrency":"EUR","amount":1}\n'
BAD = GOOD.replace(b"USD", b"XXX")
REFUSED = GOOD * 2 + BAD
"""The third is refused by the core, which alone knows the currencies."""
FIELD, WORDS = "from_currency", "request 2"
"""What the core says is wrong, and where."""


@pytest.fixture(scope="module", params=TRANSPORTS)
async def served(request: pytest.FixtureRequest) -> AsyncIterator[Running]:
    """An edge and a core, by either gRPC."""
    async with (
        core(transport=request.param) as running,
        edge(running.address, transport=request.param) as before_it,
    ):
        yield before_it


async def test_an_upload_is_told(served: Running) -> None:
    """The answer to every upload is the core's 400 with its violation, though lines still come."""
    told = Counter(await all_of(lambda: upload(served)))

    assert told == {("HTTP/1.1 400 Bad Request", 3, FIELD): CALLS}


async def test_a_websocket_is_told(served: Running) -> None:
    """Every WebSocket is closed with the core's code and words, though messages still come."""
    told = Counter(await all_of(lambda: converse(served)))

    assert told == {(4003, WORDS): CALLS}


async def all_of(call: Callable[[], Awaitable[object]]) -> list[object]:
    """Makes all calls, some at once."""
    room = asyncio.Semaphore(AT_ONCE)

    async def one() -> object:
        async with room, asyncio.timeout(20):
            return await call()

    return await asyncio.gather(*(one() for _ in range(CALLS)))


async def upload(served: Running) -> tuple[str, int, str]:
    """Uploads lines until there is an answer; returns its status, its code, and the field it names."""
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    head = "POST /convert:batch HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-ndjson\r\n"
    writer.write(f"{head}transfer-encoding: chunked\r\n\r\n".encode() + chunk(REFUSED))
    answer = asyncio.ensure_future(reader.readuntil(b"\r\n\r\n"))
    with suppress(ConnectionError):
        while not answer.done():
            writer.write(chunk(GOOD))
            await writer.drain()
            await asyncio.sleep(0)
    lines = (await answer).decode().split("\r\n")
    length = next(line for line in lines if line.lower().startswith("content-length"))
    status = json.loads(await reader.readexactly(int(length.split(":")[1])))
    writer.transport.abort()
    return lines[0], status["code"], status["details"][0]["fieldViolations"][0]["field"]


def chunk(data: bytes) -> bytes:
    """Returns a chunk of a body (RFC 9112, 7.1)."""
    return b"%x\r\n%b\r\n" % (len(data), data)


async def converse(served: Running) -> tuple[int, str]:
    """Sends messages until the socket is closed; returns the code, and how the reason begins."""
    url = f"{served.websocket}/convert:live"
    async with connect(url, subprotocols=[Subprotocol("grpc-json.v1")]) as socket:
        with suppress(ConnectionClosed):
            for line in REFUSED.splitlines():
                await socket.send(line.decode())
            while True:
                await socket.send(GOOD.decode())
                await asyncio.sleep(0)
        await socket.wait_closed()
        return socket.close_code or 0, (socket.close_reason or "").partition(":")[0]
