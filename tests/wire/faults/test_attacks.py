"""Clients that mean harm, each beside one that does not, and is answered all the while.

What they can make a connection hold is a sum of named limits (`http2.limits`, `writer.QUEUED`); each test
says which, and looks at what is held.
"""

from __future__ import annotations

import asyncio
import gzip
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from grpc_wire.http2.errors import ErrorCode
from grpc_wire.http2.limits import DEFAULT
from grpc_wire.transport.writer import BUFFERED, QUEUED
from tests.wire.faults.scene import METHODS, calling, serving, standing
from tests.wire.server.stage import SERVICE, RawClient, answering, raw_client, until
from tests.wire.tls import Tls

pytestmark = pytest.mark.asyncio(loop_scope="module")
PING = b"\x00\x00\x08\x06\x00\x00\x00\x00\x00" + b"12345678"
SETTINGS = b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
TIMEOUT = 20.0
"""Seconds that no other client waits for its answer."""


@asynccontextmanager
async def answered_meanwhile(address: str, tls: Tls | None = None) -> AsyncIterator[None]:
    """Another client asks all the while, and is answered each time."""
    answers = 0

    async def ask() -> None:
        nonlocal answers
        while True:
            assert await client.echo(timeout=TIMEOUT) == b"hi"
            answers += 1

    async with calling(address, tls=tls) as client:
        asking = asyncio.create_task(ask())
        yield
        await asyncio.wait({asking}, timeout=0)
        if not asking.done():
            before = answers
            await until(lambda: answers > before or asking.done())
        asking.cancel()
        outcome = (await asyncio.gather(asking, return_exceptions=True))[0]
        assert isinstance(outcome, asyncio.CancelledError), outcome
    assert answers


async def calmed(client: RawClient) -> None:
    """The server says ENHANCE_YOUR_CALM, and closes."""
    await until(lambda: client.closed)
    assert [event.code for event in client.going][-1] == ErrorCode.ENHANCE_YOUR_CALM


async def test_rapid_reset() -> None:
    """CVE-2023-44487: `Limits.resets` (1,000) streams are begun for nothing, and not one servicer is left.

    Held: at most that many heads and tasks, for one turn of the loop.
    """
    async with serving() as (running, address), answered_meanwhile(address):
        async with raw_client(address) as client:
            await until(lambda: client.connection.settings_acknowledged)
            while not client.connection.closing:
                for _ in range(200):
                    stream = client.begin({b":path": f"/{SERVICE}/Wait".encode()})
                    client.connection.reset(stream, ErrorCode.CANCEL)
                    client.flush()
                assert len(running._calls) <= DEFAULT.resets + 200
                await asyncio.sleep(0)
            await calmed(client)
        await until(lambda: len(running._calls) <= 1)


async def test_a_header_section_without_end() -> None:
    """CVE-2024-27316: held are `Limits.header_block` (64 KiB) bytes in `Limits.continuations` (32) frames."""
    begun = b"\x00\x00\x01\x01\x00\x00\x00\x00\x01\x88"
    more = b"\x00\x04\x00\x09\x00\x00\x00\x00\x01" + b"\x00" * 1024
    async with (
        serving() as (_, address),
        answered_meanwhile(address),
        raw_client(address) as client,
    ):
        client._transport.write(begun)
        for _ in range(DEFAULT.continuations + 1):
            client._transport.write(more)
        await calmed(client)


@pytest.mark.parametrize(
    ("frame", "reads"),
    [(PING, True), (SETTINGS, True), (PING, False)],
    ids=["PING", "SETTINGS", "PING, not read"],
)
async def test_questions_without_end(frame: bytes, reads: bool) -> None:
    """CVE-2019-9512, 9515: `Limits.control_frames` (1,000) in a period, whether the answers are read or not.

    Held: 1,000 answers of 17 bytes.
    """
    async with (
        serving() as (running, address),
        answered_meanwhile(address),
        raw_client(address) as client,
    ):
        await until(lambda: client.connection.settings_acknowledged)
        (attacked,) = (
            each for each in running._transports
            if each.socket.get_extra_info("peername") == client._transport.get_extra_info("sockname")
        )  # fmt: skip
        if not reads:
            client.pause()
        for _ in range(DEFAULT.control_frames * 2):
            client._transport.write(frame)
        await until(lambda: attacked not in running._transports)
        assert len(attacked.connection._outbound.ready) <= DEFAULT.control_frames * 17


@pytest.mark.parametrize("size", [2**32 - 1, 4 * 1024 * 1024 + 1])
async def test_messages_that_are_too_large(size: int) -> None:
    """A length above the limit (4 MiB) is RESOURCE_EXHAUSTED at once; nothing of it is waited for."""
    async with (
        serving() as (_, address),
        answered_meanwhile(address),
        raw_client(address) as client,
    ):
        stream = client.begin()
        client.send(stream, b"\x00" + size.to_bytes(4) + b"x")
        answer = await client.ended(stream)
        assert answer.status[0] == 8


async def test_a_message_without_end() -> None:
    """A message within the limit that comes in drops: held is what came, which is at most the limit (4 MiB).

    Its stream's window is widened by what is missing, and by no more.
    """
    async with (
        serving() as (running, address),
        answered_meanwhile(address),
        raw_client(address) as client,
    ):
        stream = client.begin()
        client.send(stream, b"\x00" + (4 * 1024 * 1024).to_bytes(4))
        for _ in range(100):
            client.send(stream, b"x" * 10)
            await asyncio.sleep(0)
        (call,) = (each for each in running._calls if each.received.missing)
        await until(lambda: call.received.missing == 4 * 1024 * 1024 - 1000)
        window = client.connection._streams.open[stream].send_window
        assert window <= 4 * 1024 * 1024 + DEFAULT.stream_window
        client.connection.reset(stream, ErrorCode.CANCEL)
        client.flush()
        await until(lambda: call not in running._calls)


async def test_heads_that_come_in_drops() -> None:
    """Who does not say within the handshake's time that it speaks HTTP/2 is cut, however it drips.

    After that a connection may stand as long as `grpc.max_connection_idle_ms` says, and `Lifetimes.goodbye`;
    half a frame does not make it busy.
    """
    options = [("grpc.server_handshake_timeout_ms", 200), ("grpc.max_connection_idle_ms", 300)]
    async with serving(options=options) as (running, address), answered_meanwhile(address):
        lifetimes = replace(running._options.lifetimes, goaway_timeout=0.2)
        running._options = replace(running._options, lifetimes=lifetimes)
        host, port = address.split(":")
        reader, writer = await asyncio.open_connection(host, int(port))

        async def drip() -> None:
            for byte in b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" * 100:
                writer.write(bytes([byte]))
                await asyncio.sleep(0.02)

        dripping = asyncio.create_task(drip())
        async with asyncio.timeout(10):
            await reader.read()
        dripping.cancel()
        await asyncio.gather(dripping, return_exceptions=True)
        writer.close()

        async with raw_client(address) as client, asyncio.timeout(10):
            await until(lambda: client.connection.settings_acknowledged)
            half = b"\x00\x40\x00\x01\x04\x00\x00\x00\x01"
            client._transport.write(half)
            while not client.closed:
                client._transport.write(b"\x00")
                await asyncio.sleep(0.02)


async def test_connections_that_do_nothing() -> None:
    """300 of them cost their sockets; each holds no stream, no task and one timer."""
    async with serving() as (running, address), answered_meanwhile(address):
        host, port = address.split(":")
        loop = asyncio.get_running_loop()
        tasks = len(asyncio.all_tasks())
        made = [await loop.create_connection(RawClient, host, int(port)) for _ in range(300)]
        await until(lambda: len(running._transports) >= 301)
        assert len(asyncio.all_tasks()) <= tasks + 1
        for _, client in made:
            client.close()
        await until(lambda: len(running._transports) <= 1)


async def test_gzip_bombs() -> None:
    """10 MB in 10 kB are decompressed up to the limit (4 MiB), and are RESOURCE_EXHAUSTED then."""
    bomb = gzip.compress(b"\x00" * 10_000_000)
    async with (
        serving() as (_, address),
        answered_meanwhile(address),
        raw_client(address) as client,
    ):
        answer = await client.ask(
            {b"grpc-encoding": b"gzip"}, b"\x01" + len(bomb).to_bytes(4) + bomb
        )
        assert answer.status[0] == 8


@pytest.mark.parametrize("deaf", [True, False], ids=["no socket", "no window"])
async def test_readers_that_never_read(deaf: bool, tls: Tls | None) -> None:
    """20 streams of 10 kB messages for one who takes nothing more.

    Held for each stream: `writer.QUEUED` (64 KiB) and one message; for all: `Limits.output` (256 KiB) and one
    frame, and what asyncio takes before it says pause (`writer.BUFFERED`, 64 KiB) and is given then
    (`Limits.output` and a frame once more).
    """
    message = b"x" * 10_000

    sent = 0

    async def pour(_request: bytes, _context: Any) -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 1
            yield message

    methods = {**METHODS, "Pour": answering(pour)}
    async with serving(methods, tls=tls) as (running, address), answered_meanwhile(address, tls):
        if deaf:
            (listening,) = running._listeners[0].sockets
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        async with raw_client(address, tls=tls, narrow=deaf) as client:
            client.reads = False
            streams = []
            for _ in range(20):
                stream = client.begin({b":path": f"/{SERVICE}/Pour".encode()})
                client.send(stream, b"\x00\x00\x00\x00\x02hi", end=True)
                streams.append(stream)
            if deaf:
                client.pause()
            await standing(lambda: sent)
            (attacked,) = (each for each in running._transports if each.stream_count == 20)
            for stream in streams:
                assert attacked.connection.queued(stream) <= QUEUED + len(message) + 5
            ready = attacked.connection._outbound._size
            assert ready <= DEFAULT.output + DEFAULT.frame + 9
            buffered = attacked.socket.get_write_buffer_size()
            assert bool(buffered) is deaf
            assert buffered <= BUFFERED + DEFAULT.output + DEFAULT.frame
            before, client.reads = sent, True
            client.resume()  # and it goes on where it was
            client.consume()
            await until(lambda: sent > before + 500)
        await until(lambda: len(running._calls) <= 1)
