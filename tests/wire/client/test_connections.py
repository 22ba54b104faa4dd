"""Connections that are made, lost, left and found again, and channels that end.

Sources: gRPC's connection-backoff.md, wait-for-ready.md and connectivity-semantics-and-api.md.
"""

from __future__ import annotations

import asyncio
import socket
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc import ChannelConnectivity, StatusCode, aio

from grpc_wire.client import insecure_channel
from tests.echo_server import EchoServer, echo_server
from tests.wire.client.calling import QUICK, answer, free_port, peer_and_channel, unary
from tests.wire.client.peer import ANSWER, HEAD, OK, Peer, Wire, running, until


async def test_nothing_connects_before_it_is_asked() -> None:
    """A channel is IDLE until a call, and has one connection to one address then."""
    async with peer_and_channel(Peer(answer)) as (peer, channel):
        assert channel.get_state() is ChannelConnectivity.IDLE
        assert peer.wires == []
        await asyncio.gather(*(unary(channel)(b"") for _ in range(20)))
        assert channel.get_state() is ChannelConnectivity.READY
        assert len(peer.wires) == 1


async def test_channel_ready() -> None:
    """Who asks for it connects without a call; each state is told of."""
    async with peer_and_channel(Peer(answer)) as (_, channel):
        seen = [channel.get_state(try_to_connect=True)]
        while seen[-1] is not ChannelConnectivity.READY:
            await asyncio.wait_for(channel.wait_for_state_change(seen[-1]), 5)
            seen.append(channel.get_state())
        await channel.channel_ready()

    assert seen == [ChannelConnectivity.CONNECTING, ChannelConnectivity.READY]
    assert channel.get_state() is ChannelConnectivity.SHUTDOWN


async def test_nobody_there() -> None:
    """A call fails with UNAVAILABLE, that says where nobody was, and why."""
    port = free_port()
    async with insecure_channel(f"127.0.0.1:{port}", QUICK) as channel:
        for _ in range(2):
            with pytest.raises(aio.AioRpcError) as caught:
                await unary(channel)(b"", timeout=5)
            assert caught.value.code() is StatusCode.UNAVAILABLE
            assert f"ipv4:127.0.0.1:{port}: Connection refused" in (caught.value.details() or "")
        assert channel.get_state() is ChannelConnectivity.TRANSIENT_FAILURE


async def test_wait_for_ready() -> None:
    """A call that waits is made when the server is there; its deadline holds meanwhile."""
    peer = Peer(answer)
    port = free_port()
    async with insecure_channel(f"127.0.0.1:{port}", QUICK) as channel:
        waiting = unary(channel)(b"", wait_for_ready=True)
        with pytest.raises(aio.AioRpcError, match="Deadline"):
            await unary(channel)(b"", wait_for_ready=True, timeout=0.05)
        assert not waiting.done()
        async with running(peer, port):
            assert await asyncio.wait_for(waiting, 5) == b"hi"


async def test_a_call_that_waits_can_be_cancelled() -> None:
    """It is gone, and never made."""
    peer = Peer(answer)
    port = free_port()
    async with insecure_channel(f"127.0.0.1:{port}", QUICK) as channel:
        call = unary(channel)(b"", wait_for_ready=True)
        assert call.cancel()
        async with running(peer, port):
            await channel.channel_ready()
            assert await unary(channel)(b"") == b"hi"
            assert list(peer.wires[0].headers) == [1]


async def test_a_server_that_comes_again() -> None:
    """Calls of a connection that is lost fail; the next are made on another."""
    port = free_port()
    async with insecure_channel(f"127.0.0.1:{port}", QUICK) as channel:
        for _ in range(3):
            async with running(Peer(answer), port) as peer:
                assert await unary(channel)(b"", wait_for_ready=True, timeout=5) == b"hi"
                peer.script = lambda wire, _: wire.transport.abort()
                with pytest.raises(aio.AioRpcError) as caught:
                    await unary(channel)(b"", timeout=5)
                assert caught.value.code() is StatusCode.UNAVAILABLE
                assert f"ipv4:127.0.0.1:{port} has ended" in (caught.value.details() or "")


async def test_a_server_that_accepts_and_closes() -> None:
    """It is not asked without pause, and calls that do not wait fail."""

    class Closing(Wire):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            peer.wires.append(self)
            self.transport = transport  # type: ignore[assignment]  # asyncio's own type is wider
            self.transport.close()

    peer = Peer(answer)
    server = await asyncio.get_running_loop().create_server(lambda: Closing(peer), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with insecure_channel(f"127.0.0.1:{port}", QUICK) as channel:
        for _ in range(3):
            with pytest.raises(aio.AioRpcError) as caught:
                await unary(channel)(b"", timeout=5)
            assert caught.value.code() is StatusCode.UNAVAILABLE
        assert len(peer.wires) < 20
    server.close()
    await server.wait_closed()


async def test_a_server_that_is_silent() -> None:
    """One that accepts and says nothing is given up; calls wait no longer than an attempt may take."""
    async with (
        running(Peer(answer, silent=True)) as peer,
        insecure_channel(peer.target, (*QUICK, ("grpc.min_reconnect_backoff_ms", 100))) as channel,
    ):
        with pytest.raises(aio.AioRpcError, match=r"no connection within 0\.1 s"):
            await unary(channel)(b"", timeout=5)


async def test_keepalive() -> None:
    """A peer that is silent is asked; one that does not answer is given up."""
    options = (("grpc.keepalive_time_ms", 50), ("grpc.keepalive_timeout_ms", 100))

    def deaf(wire: Wire, _stream: int) -> None:
        wire.peer.silent = True

    async with peer_and_channel(Peer(deaf), *options) as (peer, channel):
        with pytest.raises(aio.AioRpcError, match="keepalive") as caught:
            await unary(channel)(b"", timeout=5)
        assert caught.value.code() is StatusCode.UNAVAILABLE
        assert peer.pinged.is_set()


async def test_idle() -> None:
    """A connection without calls goes after a while; the next call makes another."""
    async with peer_and_channel(Peer(answer), ("grpc.client_idle_timeout_ms", 50)) as (
        peer,
        channel,
    ):
        assert await unary(channel)(b"") == b"hi"
        await asyncio.wait_for(peer.lost.wait(), 5)
        await until(lambda: channel.get_state() is ChannelConnectivity.IDLE)
        assert await unary(channel)(b"") == b"hi"
        assert len(peer.wires) == 2


async def test_dns() -> None:
    """A name is resolved; one that cannot be is UNAVAILABLE, and named."""
    async with echo_server() as echo:
        port = echo.address.rpartition(":")[2]
        async with insecure_channel(f"dns:///localhost:{port}") as channel:
            assert await channel.unary_unary("/echo.v1.Echo/Bidi")(b"a") == b"a"

    async with insecure_channel("dns:///nothing.invalid:1", QUICK) as channel:
        with pytest.raises(aio.AioRpcError, match=r"nothing\.invalid") as caught:
            await unary(channel)(b"", timeout=10)
        assert caught.value.code() is StatusCode.UNAVAILABLE
        assert channel.get_state() is ChannelConnectivity.TRANSIENT_FAILURE


@pytest.mark.parametrize("politely", [False, True], ids=["lost", "GOAWAY"])
async def test_addresses_that_change(monkeypatch: pytest.MonkeyPatch, politely: bool) -> None:
    """When a connection is lost the name is asked for again, and the new address is used.

    So it is where the server says GOAWAY: with a maximum age of connections it asks clients for just that
    (gRFC A9).
    """
    async with running(Peer(answer)) as old, running(Peer(answer)) as new:
        port = old.port

        async def getaddrinfo(*_: Any, **__: Any) -> Any:
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
        options = (*QUICK, ("grpc.dns_min_time_between_resolutions_ms", 20))
        async with insecure_channel("moving.example:1", options) as channel:
            assert await unary(channel)(b"") == b"hi"
            port = new.port
            if politely:
                old.wires[0].h2.close_connection()
                old.wires[0].flush()
            else:
                old.wires[0].transport.abort()
            await until(lambda: channel.get_state() is ChannelConnectivity.IDLE)
            async with asyncio.timeout(5):
                while not new.wires:
                    await unary(channel)(b"", timeout=5)


async def test_a_name_without_an_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """A resolver that finds nothing, and says no more, has failed: calls do not wait."""

    async def getaddrinfo(*_: Any, **__: Any) -> Any:
        return []

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
    async with insecure_channel("nowhere.example:1") as channel:
        with pytest.raises(aio.AioRpcError) as caught:
            await unary(channel)(b"", timeout=5)
    assert caught.value.code() is StatusCode.UNAVAILABLE


async def test_unix_sockets(tmp_path: Path) -> None:
    """A server on a Unix socket is called as any other."""
    path = tmp_path / "socket"
    echo = EchoServer()
    server = aio.server()
    server.add_generic_rpc_handlers((echo.handlers(),))
    server.add_insecure_port(f"unix:{path}")
    await server.start()
    for target in (f"unix:{path}", f"unix://{path}"):
        async with insecure_channel(target) as channel:
            assert await channel.unary_unary("/echo.v1.Echo/Bidi")(b"a") == b"a"
    await server.stop(None)


@pytest.mark.parametrize("make", [aio.insecure_channel, insecure_channel])
async def test_the_state_of_a_closed_channel_changes_no_more(make: Any) -> None:
    """Who was waiting for a change has seen one; who comes later is told, and does not wait for ever."""
    channel = make("127.0.0.1:1")
    waiting = asyncio.ensure_future(channel.wait_for_state_change(ChannelConnectivity.IDLE))
    await asyncio.sleep(0)
    await channel.close()
    async with asyncio.timeout(5):
        assert await waiting is None
        assert channel.get_state(try_to_connect=True) is ChannelConnectivity.SHUTDOWN
        for state in (ChannelConnectivity.IDLE, ChannelConnectivity.SHUTDOWN):
            with pytest.raises(aio.UsageError, match=r"Channel is closed\."):
                await channel.wait_for_state_change(state)


async def test_close() -> None:
    """Calls that are left are cancelled, and no more are taken."""
    async with peer_and_channel(Peer(lambda *_: None)) as (peer, channel):
        call = unary(channel)(b"")
        await asyncio.wait_for(peer.heard.wait(), 5)
        watching = asyncio.create_task(channel.wait_for_state_change(channel.get_state()))
        await asyncio.sleep(0)  # it begins: to watch a closed channel is an error
        await channel.close()
        with pytest.raises(asyncio.CancelledError):
            await call
        await asyncio.wait_for(watching, 5)
        with pytest.raises(aio.UsageError):
            unary(channel)(b"")
        with pytest.raises(aio.UsageError):
            await channel.channel_ready()
        await channel.close()


@pytest.mark.parametrize("busy", [False, True], ids=["idle", "busy"])
async def test_a_channel_that_is_dropped(busy: bool) -> None:
    """It closes its connection when its last call has ended, without the garbage collector."""
    held: list[tuple[Wire, int]] = []

    def script(wire: Wire, stream: int) -> None:
        if busy:
            held.append((wire, stream))
        else:
            answer(wire, stream)

    async with running(Peer(script)) as peer:
        call = unary(insecure_channel(peer.target))(b"")  # which nobody holds from here on
        if busy:
            await until(lambda: bool(held))
            assert not peer.lost.is_set()
            answer(*held[0])
        assert await asyncio.wait_for(call, 5) == b"hi"
        await asyncio.wait_for(peer.lost.wait(), 5)


async def test_a_name_of_a_channel_that_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody asks for it any more, not even when nobody has it."""
    asked: list[None] = []

    async def getaddrinfo(*_: Any, **__: Any) -> Any:
        asked.append(None)
        raise socket.gaierror(socket.EAI_NONAME, "nobody has it")

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
    before = asyncio.all_tasks()
    with pytest.raises(aio.AioRpcError):
        await unary(insecure_channel("nowhere.example:1", QUICK))(b"")
    await until(lambda: asyncio.all_tasks() <= before)
    assert asked


async def test_nothing_is_told_behind_the_end() -> None:
    """A call whose connection was cut by the end of another hears no more of what had come with that."""
    faults: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: faults.append(context))

    def answer_both(wire: Wire, last: int) -> None:
        for stream in (1, 3) if last == 3 else ():
            wire.h2.send_headers(stream, HEAD)
            wire.h2.send_data(stream, ANSWER)
            wire.h2.send_headers(stream, OK, end_stream=True)

    async with peer_and_channel(Peer(answer_both)) as (_, channel):
        first, second = (channel.unary_stream("/a/b")(b"") for _ in range(2))
        await first.wait_for_connection()
        await second.wait_for_connection()
        transport = first._stream._transport
        first.add_done_callback(lambda _call: transport.abort("enough"))

        assert [message async for message in first] == [b"hi"]
        with pytest.raises(aio.AioRpcError) as caught:
            await second.read()
        assert caught.value.code() is StatusCode.UNAVAILABLE
        assert tuple(caught.value.initial_metadata()) == ()
        assert second._stream.initial is None
    assert faults == []


async def test_close_with_grace() -> None:
    """Calls that end within the grace are not cancelled; with the last the channel is closed."""

    def later(wire: Wire, stream: int) -> None:
        asyncio.get_running_loop().call_later(0.05, answer, wire, stream)

    async with peer_and_channel(Peer(later)) as (peer, channel):
        call = unary(channel)(b"")
        await asyncio.wait_for(peer.heard.wait(), 5)
        async with asyncio.timeout(5):
            await channel.close(10)
        assert await call == b"hi"
        with pytest.raises(ValueError, match="non-negative"):
            await channel.close(-1)


async def test_calls_that_wait_when_the_channel_closes() -> None:
    """They are cancelled too, and nobody goes on connecting."""
    channel = insecure_channel(f"127.0.0.1:{free_port()}", QUICK)
    call = unary(channel)(b"", wait_for_ready=True)
    await until(lambda: channel.get_state() is ChannelConnectivity.TRANSIENT_FAILURE)
    await channel.close()
    with pytest.raises(asyncio.CancelledError):
        await call


async def test_grpc_aio_servers_that_stop() -> None:
    """A real server's graceful stop is seen as such: calls in flight finish."""
    async with AsyncExitStack() as stack:
        echo = await stack.enter_async_context(echo_server())
        channel = await stack.enter_async_context(insecure_channel(echo.address, QUICK))
        call = channel.stream_stream("/echo.v1.Echo/Bidi")()
        await call.write(b"a")
        assert await call.read() == b"a"
        call.cancel()
    assert await call.code() is grpc.StatusCode.CANCELLED
