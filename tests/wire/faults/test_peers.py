"""Peers that die, halt, go, say nothing or reset, in the middle of hundreds of calls of all types.

In all of it every call ends once, with the code that gRPC has for it, and within its deadline.
"""

from __future__ import annotations

import asyncio
import random
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from random import Random
from typing import Any

import pytest
from grpc import StatusCode, aio

from tests.wire.client.peer import Peer, Wire, running
from tests.wire.faults.proxy import proxy
from tests.wire.faults.scene import (
    KINDS,
    METHODS,
    Client,
    Ends,
    calling,
    one_of,
    pair,
    requests,
    serving,
    standing,
)
from tests.wire.faults.server_process import server_process
from tests.wire.server.stage import SERVICE, answering, raw_client, taking, unary, until
from tests.wire.tls import Tls

pytestmark = pytest.mark.asyncio(loop_scope="module")
GONE = {StatusCode.OK, StatusCode.UNAVAILABLE}


def begin(client: Client, kind: str, **arguments: Any) -> Any:
    """Begins a call of a kind, of many messages where it is a stream."""
    match kind:
        case "Echo":
            return client.echo(**arguments)
        case "Count":
            return client.count(200, **arguments)
        case "Collect":
            return client.collect(requests(200), **arguments)
        case "Talk":
            return client.talk(requests(200), **arguments)
        case _:
            return client.echo(name=kind, **arguments)


async def test_a_server_that_is_killed(tls: Tls | None) -> None:
    """SIGKILL in the middle of 300 calls: those that had not ended are UNAVAILABLE, the next too."""
    ends = Ends()
    async with server_process(tls) as (process, address), calling(address, tls=tls) as client:
        await one_of(client, "Echo")
        calls = [begin(client, kind) for kind in (*KINDS, "Wait") for _ in range(60)]
        taking = asyncio.gather(*(ends.take(call) for call in calls))
        await until(lambda: any(call.done() for call in calls))
        process.kill()
        async with asyncio.timeout(10):
            await taking
            with pytest.raises(aio.AioRpcError) as caught:
                await client.echo()
        assert caught.value.code() is StatusCode.UNAVAILABLE
        assert set(ends.codes) == GONE
        assert ends.codes[StatusCode.UNAVAILABLE] >= 60
    ends.check()


async def test_a_server_that_halts(tls: Tls | None) -> None:
    """SIGSTOP: deadlines hold, keepalive finds it; calls go on when the process does."""
    ends = Ends()
    keepalive = (("grpc.keepalive_time_ms", 300), ("grpc.keepalive_timeout_ms", 300))
    async with (
        server_process(tls) as (process, address),
        calling(address, *keepalive, tls=tls) as client,
    ):
        await one_of(client, "Echo")
        process.send_signal(signal.SIGSTOP)
        async with asyncio.timeout(10):
            late = [ends.take(begin(client, kind, timeout=0.1)) for kind in KINDS]
            codes = await asyncio.gather(*late)
            assert set(codes) == {StatusCode.DEADLINE_EXCEEDED}
            waiting = client.echo(name="Wait")
            with pytest.raises(aio.AioRpcError, match="keepalive"):
                await waiting
            assert await waiting.code() is StatusCode.UNAVAILABLE
            patient = client.echo(wait_for_ready=True)
            assert await ends.take(client.echo(wait_for_ready=True, timeout=0.1)) is (
                StatusCode.DEADLINE_EXCEEDED
            )
            process.send_signal(signal.SIGCONT)
            assert await patient == b"hi"
    ends.check()


async def test_a_client_that_halts(tls: Tls | None) -> None:
    """A server asks as well: the servicer of a client that does not answer is cancelled."""
    cancelled = asyncio.Event()

    async def wait(_request: bytes, _context: Any) -> bytes:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        raise AssertionError

    options = [("grpc.keepalive_time_ms", 100), ("grpc.keepalive_timeout_ms", 100)]
    methods = {"Wait": unary(wait)}
    async with (
        serving(methods, options=options, tls=tls) as (running_server, address),
        raw_client(address, tls=tls) as client,
    ):
        stream = client.begin({b":path": f"/{SERVICE}/Wait".encode()})
        client.send(stream, b"\x00\x00\x00\x00\x02hi", end=True)
        await until(lambda: bool(running_server._calls))
        client.pause()
        async with asyncio.timeout(10):
            await cancelled.wait()
            await until(lambda: not running_server._transports)


@pytest.mark.parametrize("way", ["up", "down"])
async def test_connections_that_are_cut_at_any_byte(way: str, tls: Tls | None) -> None:
    """What was answered whole is OK, all else UNAVAILABLE; the next connection has nothing of the last."""
    ends = Ends()
    async with (
        serving(tls=tls) as (_, address),
        proxy(address, Random(7)) as between,
        calling(between.address, tls=tls) as client,
    ):
        for size in (*range(0, 120, 11), *range(120, 3000, 173)):
            setattr(between, way, size)
            await between.close()
            calls = [begin(client, kind) for kind in KINDS]
            async with asyncio.timeout(10):
                codes = await asyncio.gather(*(ends.take(call) for call in calls))
            assert set(codes) <= GONE, size
            setattr(between, way, None)
            async with asyncio.timeout(10):
                await between.close()
                for kind in KINDS:
                    assert await one_of(client, kind, wait_for_ready=True)
    ends.check()
    assert ends.codes[StatusCode.UNAVAILABLE] > 50


async def test_a_network_that_stalls(tls: Tls | None) -> None:
    """Deadlines hold while nothing moves; what is not late goes on when it does."""
    ends = Ends()
    async with (
        serving(tls=tls) as (_, address),
        proxy(address, Random(7)) as between,
        calling(between.address, tls=tls) as client,
    ):
        await one_of(client, "Echo")
        between.flowing.clear()
        patient = [begin(client, kind) for kind in KINDS]
        hasty = [begin(client, kind, timeout=0.05) for kind in KINDS]
        async with asyncio.timeout(10):
            codes = await asyncio.gather(*(ends.take(call) for call in hasty))
            assert set(codes) == {StatusCode.DEADLINE_EXCEEDED}
            between.flowing.set()
            codes = await asyncio.gather(*(ends.take(call) for call in patient))
            assert set(codes) == {StatusCode.OK}
    ends.check()


@pytest.mark.parametrize("grace", [5.0, None])
async def test_rolling_restarts_in_the_middle_of_a_thousand_calls(
    grace: float | None, tls: Tls | None
) -> None:
    """With a grace none is lost; without, only those that had begun: nothing is done twice either way."""
    ends = Ends()
    done: list[bytes] = []

    async def slow(request: bytes, _context: Any) -> bytes:
        await asyncio.sleep(random.random() * 0.02)
        done.append(request)
        return request

    methods = {**METHODS, "Slow": unary(slow)}
    numbers = iter(range(1000))
    async with AsyncExitStack() as stack:
        server, address = await stack.enter_async_context(serving(methods, tls=tls))
        client = await stack.enter_async_context(calling(address, tls=tls))

        async def call() -> None:
            for number in numbers:
                await ends.take(client.echo(b"%d" % number, name="Slow", timeout=20))

        async with asyncio.timeout(30):
            calling_on = asyncio.gather(*(call() for _ in range(50)))
            for quarter in (250, 500, 750):
                await until(lambda quarter=quarter: ends.codes.total() >= quarter)  # type: ignore[misc] # bound in a loop
                port = int(address.split(":")[1])
                old, (server, _) = (
                    server,
                    await stack.enter_async_context(serving(methods, port=port, tls=tls)),
                )
                await old.stop(grace)
            await calling_on
    ends.check()
    assert len(set(done)) == len(done)
    if grace is None:
        assert set(ends.codes) <= GONE
        assert ends.codes[StatusCode.UNAVAILABLE] <= 3 * 50
    else:
        assert ends.codes == {StatusCode.OK: 1000}


async def test_a_peer_that_says_nothing(tls: Tls | None) -> None:
    """A connection without settings is none: calls fail when the attempt has, or at their deadline."""

    async def nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        await asyncio.sleep(0)
        while await reader.read(1000):
            pass
        writer.close()

    listening = await asyncio.start_server(nothing, "127.0.0.1", 0)
    address = f"127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    async with calling(address, ("grpc.min_reconnect_backoff_ms", 200), tls=tls) as client:
        hasty = client.echo(timeout=0.05)
        call = client.echo()
        async with asyncio.timeout(10):
            with pytest.raises(aio.AioRpcError, match="Deadline"):
                await hasty
            with pytest.raises(aio.AioRpcError, match="no connection within"):
                await call
    listening.close()
    await listening.wait_closed()


async def test_a_peer_that_resets(tls: Tls | None) -> None:
    """Who accepts and resets, again and again, is UNAVAILABLE, and is not asked without end."""
    accepted: list[None] = []

    async def reset(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted.append(None)
        writer.transport.abort()

    listening = await asyncio.start_server(reset, "127.0.0.1", 0)
    address = f"127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    slow = (("grpc.initial_reconnect_backoff_ms", 1000), ("grpc.max_reconnect_backoff_ms", 1000))
    async with calling(address, *slow, tls=tls) as client:
        for _ in range(10):
            with pytest.raises(aio.AioRpcError) as caught:
                await asyncio.wait_for(client.echo(), 5)
            assert caught.value.code() is StatusCode.UNAVAILABLE
        assert len(accepted) <= 2
    listening.close()
    await listening.wait_closed()


@pytest.mark.parametrize(
    ("code", "expected", "tries"),
    [
        (7, StatusCode.UNAVAILABLE, 2),
        (8, StatusCode.CANCELLED, 1),
        (11, StatusCode.RESOURCE_EXHAUSTED, 1),
    ],
)
async def test_a_storm_of_resets(code: int, expected: StatusCode, tries: int) -> None:
    """300 streams are reset: each call ends once; what was refused is tried once more (gRPC A6)."""
    ends = Ends()
    asked: list[int] = []

    def reset(wire: Wire, stream: int) -> None:
        asked.append(stream)
        wire.h2.reset_stream(stream, code)

    async with running(Peer(reset)) as peer, calling(peer.target) as client:
        async with asyncio.timeout(10):
            await asyncio.gather(*(ends.take(client.echo()) for _ in range(300)))
        assert ends.codes == {expected: 300}
        assert len(asked) == 300 * tries
        assert len(peer.wires) == 1
    ends.check()


async def test_readers_that_are_slow(tls: Tls | None) -> None:
    """Of what nobody reads, either side holds its window and one message at most.

    A stream of 1 kB messages: the client holds 64 KiB (`Limits.stream_window`), the server's side of the
    connection 64 KiB (`writer.QUEUED`) and the message that went above it.
    """
    sent = 0

    async def pour(_request: bytes, _context: Any) -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 1
            yield b"x" * 1000

    async with pair({"Pour": answering(pour)}, tls=tls) as (server, client):
        call = client.count(0, name="Pour")
        stream = call._stream
        await standing(lambda: sent)
        held = sum(len(message) for message, _ in stream._responses.messages)
        (transport,) = server._transports
        assert 60_000 < held <= 64 * 1024
        assert transport.connection.queued(stream._id) <= 64 * 1024 + 1005
        assert await client.echo() == b"hi"
        for _ in range(200):  # and it goes on where it was
            assert len(await call.read()) == 1000
        call.cancel()


async def test_servicers_that_are_slow(tls: Tls | None) -> None:
    """The same the other way: an upload that nobody reads stops at a window, and what may be queued."""
    hold = asyncio.Event()

    async def idle(_requests: AsyncIterator[bytes], _context: Any) -> bytes:
        await hold.wait()
        return b"done"

    sent = 0

    async def pouring() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 1
            yield b"x" * 1000

    async with pair({"Idle": taking(idle)}, tls=tls) as (server, client):
        call = client.collect(pouring(), name="Idle")
        await standing(lambda: sent)
        (serving_call,) = server._calls
        assert sum(map(len, serving_call.received._chunks)) <= 64 * 1024
        transport = call._stream._transport
        assert transport.connection.queued(call._stream._id) <= 64 * 1024 + 1005
        assert sent * 1005 <= 2 * 64 * 1024 + 2 * 1005
        assert await client.echo() == b"hi"
        hold.set()
        assert await asyncio.wait_for(call, 5) == b"done"
