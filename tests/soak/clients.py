"""Kinds of clients; each does one thing, in one of several ways to end it, and says how it went."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from random import Random

import orjson
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from tests.soak.system import System

REQUEST = b'{"fromCurrency":"USD","toCurrency":"EUR","amount":1}'
FRAMINGS = (
    "text/event-stream",
    "application/x-ndjson",
    "application/json",
    "application/json-seq",
)
SECONDS = 20


class Connection:
    """A connection that is ended as its client likes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def ask(self, method: str, target: str, *headers: str, body: bytes = b"") -> None:
        """Sends a request."""
        head = "\r\n".join((f"{method} {target} HTTP/1.1", "Host: x", *headers, "", ""))
        self.writer.write(head.encode() + body)
        await self.writer.drain()

    async def status(self) -> int:
        """Reads the head of the answer."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        return int(head.split()[1])


@asynccontextmanager
async def connection(system: System, random: Random) -> AsyncIterator[Connection]:
    """Opens a connection; it is closed or reset."""
    reader, writer = await asyncio.open_connection("127.0.0.1", system.port)
    try:
        async with asyncio.timeout(SECONDS):
            yield Connection(reader, writer)
    finally:
        if random.random() < 0.5:
            writer.transport.abort()
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


async def watch(system: System, random: Random) -> str:
    """Reads rates for a while, or not at all, in one of the framings."""
    base = random.choice(("USD", "EUR", "GBP"))
    accept = random.choice(FRAMINGS)
    async with connection(system, random) as opened:
        await opened.ask("GET", f"/rates/{base}?target_currencies=CHF", f"Accept: {accept}")
        if random.random() < 0.2:
            return "watch: left before the answer"
        if (status := await opened.status()) != 200:
            return f"wrong: watch has {status}"
        for _ in range(random.randrange(20)):
            await opened.reader.read(4096)
        if random.random() < 0.2:
            await asyncio.sleep(0.3)
            return "watch: stalled and left"
        return "watch: left"


async def come_back(system: System, random: Random) -> str:
    """Reads events, leaves, and goes on after the last."""
    last = 0
    identity = ""
    for _ in range(3):
        async with connection(system, random) as opened:
            headers = [f"Last-Event-ID: {identity}-{last}"] if identity else []
            target = "/rates/USD?target_currencies=JPY"
            await opened.ask("GET", target, "Accept: text/event-stream", *headers)
            if await opened.status() != 200:
                return "wrong: events have no 200"
            for _ in range(random.randrange(1, 6)):
                block = await opened.reader.readuntil(b"\n\n")
                if b"\nevent: gap" in block or block.startswith(b"event: gap"):
                    return "wrong: a gap for one who came back at once"
                for line in block.splitlines():
                    if line.startswith(b"id: "):
                        text, _, number = line[4:].decode().rpartition("-")
                        if identity and (text, int(number)) != (identity, last + 1):
                            return f"wrong: {line!r} after {identity}-{last}"
                        identity, last = text, int(number)
    return "came back twice"


async def upload(system: System, random: Random) -> str:
    """Uploads lines: all of them, or some and then nothing, or a wrong one."""
    way = random.choice(("whole", "left", "wrong line", "silent"))
    lines = (REQUEST + b"\n") * random.randrange(1, 100)
    async with connection(system, random) as opened:
        size = len(lines) + (0 if way == "whole" else 100)
        body = lines + (b"{]\n" if way == "wrong line" else b"")
        headers = ("Content-Type: application/x-ndjson", f"Content-Length: {size}")
        await opened.ask("POST", "/convert:batch", *headers, body=body)
        if way in ("left", "silent"):
            await asyncio.sleep(0.2 if way == "silent" else 0)
            return f"upload: {way}"
        status = await opened.status()
        expected = 200 if way == "whole" else 400
        return f"upload: {way}" if status == expected else f"wrong: upload, {way}: {status}"


async def convert(system: System, random: Random) -> str:
    """Asks once, or leaves at once."""
    async with connection(system, random) as opened:
        headers = (f"Content-Length: {len(REQUEST)}", "Content-Type: application/json")
        await opened.ask("POST", "/convert", *headers, body=REQUEST)
        if random.random() < 0.3:
            return "convert: left"
        status = await opened.status()
        return "convert" if status == 200 else f"wrong: convert has {status}"


async def converse(system: System, random: Random) -> str:
    """Talks over a WebSocket, and ends that in one of many ways."""
    url = f"ws://127.0.0.1:{system.port}/convert:live"
    way = random.choice(("half-close", "close", "die", "garbage", "silent"))
    async with (
        asyncio.timeout(SECONDS),
        connect(url, subprotocols=[Subprotocol("grpc-json.v1")]) as socket,
    ):
        with suppress(ConnectionClosed):
            for _ in range(random.randrange(1, 5)):
                await socket.send(REQUEST.decode())
                if "convertedAmount" not in orjson.loads(await socket.recv()):
                    return "wrong: no answer"
            if way == "die":
                socket.transport.abort()
            elif way == "garbage":
                await socket.send("}")
            elif way == "half-close":
                await socket.send("")
            if way in ("half-close", "garbage"):
                await socket.wait_closed()
                expected = 1000 if way == "half-close" else 4003
                if socket.close_code != expected:
                    return f"wrong: {way} closes with {socket.close_code}"
    return f"converse: {way}"


Kind = Callable[[System, Random], Awaitable[str]]
KINDS: tuple[Kind, ...] = (watch, watch, come_back, upload, convert, converse)
