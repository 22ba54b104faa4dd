"""Calls of all types that are ended from outside after k turns of the loop, for each k until they have ended.

Wherever that strikes, at each place where the call, its servicer or its connection waits, the promises are
the same: the call ends once, its callback is called once, nothing is left, and the next call is answered.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from grpc import StatusCode

from grpc_wire.server import Server
from tests.wire.faults.scene import KINDS, Client, Ends, calling, one_of, pair, requests, serving
from tests.wire.tls import Tls

pytestmark = pytest.mark.asyncio(loop_scope="module")
TURNS = 31
FEWEST = 12
"""So many are tried even if a call was quicker."""
WHOLE = {"Echo": b"hi", "Count": [b"0", b"1", b"2"], "Collect": b"xxx", "Talk": [b"x"] * 3}


def begin(client: Client, kind: str, ends: Ends, **arguments: Any) -> Any:
    """Begins a call of a kind, and watches it."""
    match kind:
        case "Echo":
            call = client.echo(**arguments)
        case "Count":
            call = client.count(3, **arguments)
        case "Collect":
            call = client.collect(requests(), **arguments)
        case _:
            call = client.talk(requests(), **arguments)
    return ends.of(call)


async def consume(call: Any) -> Any:
    """Reads all of a call."""
    return [message async for message in call] if hasattr(call, "__aiter__") else await call


async def cancel_call(_server: Server, call: Any, _reading: asyncio.Task[Any]) -> None:
    """What `Call.cancel` does."""
    call.cancel()


async def cancel_reader(_server: Server, _call: Any, reading: asyncio.Task[Any]) -> None:
    """The task that waits for the call is cancelled."""
    reading.cancel()


async def cancel_servicer(server: Server, _call: Any, _reading: asyncio.Task[Any]) -> None:
    """The servicer's task is cancelled; before it has begun nobody can know of it."""
    for call in server._calls:
        if call.handler_started:
            call._task.cancel()


async def lose_by_server(server: Server, _call: Any, _reading: asyncio.Task[Any]) -> None:
    """The server's socket is closed at once; the client hears of it before it calls again."""
    for transport in server._transports:
        transport.socket.abort()
    while server._transports:
        await asyncio.sleep(0)
    for _ in range(5):
        await asyncio.sleep(0)


async def lose_by_client(_server: Server, call: Any, _reading: asyncio.Task[Any]) -> None:
    """The client's socket is."""
    transport = call._stream._transport
    if transport is not None:
        transport.socket.abort()


async def go_away(server: Server, _call: Any, _reading: asyncio.Task[Any]) -> None:
    """The server says that it goes: all calls are answered none the less."""
    for transport in server._transports:
        transport.go_away()


async def cut(server: Server, _call: Any, _reading: asyncio.Task[Any]) -> None:
    """The server ends the call with a status, or a reset."""
    for call in tuple(server._calls):
        call.abort()


End = Callable[[Server, Any, "asyncio.Task[Any]"], Awaitable[None]]
ENDS: dict[End, set[StatusCode]] = {
    cancel_call: {StatusCode.CANCELLED},
    cancel_reader: {StatusCode.CANCELLED},
    cancel_servicer: {StatusCode.CANCELLED},
    lose_by_server: {StatusCode.UNAVAILABLE},
    lose_by_client: {StatusCode.UNAVAILABLE},
    go_away: set(),
    cut: {StatusCode.UNAVAILABLE},
}
OF_CONNECTIONS = (lose_by_server, lose_by_client, go_away)
"""Those for which TLS makes a difference."""


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("end", "tls"),
    [*((end, "plain") for end in ENDS), *((end, "tls") for end in OF_CONNECTIONS)],
    indirect=["tls"],
    ids=lambda given: getattr(given, "__name__", given),
)
async def test_after_k_turns(kind: str, end: End, tls: Tls | None) -> None:
    """The call is whole and OK, or it ended as it was made to; the next is answered."""
    ends = Ends()
    async with pair(tls=tls) as (server, client):
        for turns in range(TURNS):
            call = begin(client, kind, ends)
            reading = asyncio.create_task(consume(call))
            for _ in range(turns):
                await asyncio.sleep(0)
            if call.done() and turns > FEWEST:
                break
            await end(server, call, reading)
            async with asyncio.timeout(5):
                read = (await asyncio.gather(reading, return_exceptions=True))[0]
                code = await call.code()
            if code is StatusCode.OK and not isinstance(read, asyncio.CancelledError):
                assert read == WHOLE[kind], turns
            assert code in {StatusCode.OK, *ENDS[end]}, turns
            assert await asyncio.wait_for(one_of(client, "Echo", wait_for_ready=True), 5) == b"hi"
            assert not server._calls
    ends.check()


@pytest.mark.parametrize("kind", KINDS)
async def test_the_channel_closes_after_k_turns(kind: str, tls: Tls | None) -> None:
    """While it connects, while the call waits, while it is under way: close returns, and all has ended."""
    ends = Ends()
    given_up = (("grpc.min_reconnect_backoff_ms", 1000),)
    async with serving(tls=tls) as (server, address):
        for turns in range(TURNS):
            async with calling(address, *given_up, tls=tls) as client:
                call = begin(client, kind, ends)
                reading = asyncio.create_task(consume(call))
                for _ in range(turns):
                    await asyncio.sleep(0)
                over = call.done() and turns > FEWEST
                async with asyncio.timeout(5):
                    await client.channel.close()
                assert call.done()
                await asyncio.gather(reading, return_exceptions=True)
                assert await call.code() in (StatusCode.OK, StatusCode.CANCELLED), turns
            async with asyncio.timeout(5):
                while server._calls or server._transports:
                    await asyncio.sleep(0)
            if over:
                break
    ends.check()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("grace", [None, 5.0])
async def test_the_server_stops_after_k_turns(
    kind: str, grace: float | None, tls: Tls | None
) -> None:
    """Calls end with OK within a grace that is long enough, or as those of a server that is gone."""
    ends = Ends()
    for turns in range(0, TURNS, 3):
        async with (
            serving(tls=tls) as (server, address),
            calling(address, tls=tls) as client,
        ):
            call = begin(client, kind, ends)
            reading = asyncio.create_task(consume(call))
            for _ in range(turns):
                await asyncio.sleep(0)
            begun = bool(server._calls)
            async with asyncio.timeout(8):
                await server.stop(grace)
            assert not server._calls
            assert tls is not None or not server._transports
            async with asyncio.timeout(5):
                await asyncio.gather(reading, return_exceptions=True)
                code = await call.code()
                while server._transports:  # of a handshake that ended in the same turn as the stop
                    await asyncio.sleep(0.001)
            assert code in (StatusCode.OK, StatusCode.UNAVAILABLE), turns
            if begun and grace:
                assert code is StatusCode.OK, turns
    ends.check()


@pytest.mark.parametrize("kind", KINDS)
async def test_deadlines_of_all_lengths(kind: str) -> None:
    """A deadline that strikes in any turn, that of the answer too, is DEADLINE_EXCEEDED or comes too late."""
    ends = Ends()
    async with pair() as (server, client):
        await one_of(client, "Echo")
        for step in range(30):
            call = begin(client, kind, ends, timeout=step * 0.0001)
            async with asyncio.timeout(5):
                read = (await asyncio.gather(consume(call), return_exceptions=True))[0]
                code = await call.code()
            assert code in (StatusCode.OK, StatusCode.DEADLINE_EXCEEDED), step
            if code is StatusCode.OK:
                assert read == WHOLE[kind]
        async with asyncio.timeout(5):
            while server._calls:
                await asyncio.sleep(0)
        assert await one_of(client, "Echo") == b"hi"
    ends.check()
