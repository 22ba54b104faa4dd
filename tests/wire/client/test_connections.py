"""Where calls go: connections that are made, lost, left and found again.

Sources: gRPC's connection-backoff.md, wait-for-ready.md and connectivity-semantics-and-api.md; gRFC A6
(transparent retries); RFC 9113, 5.1.2 and 6.8.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import h2.settings
import pytest
from grpc import ChannelConnectivity, StatusCode, aio

from grpc_wire import frames
from grpc_wire.channel import Channel, insecure_channel
from tests.echo_server import EchoServer, echo_server
from tests.wire.client.peer import HEAD, Peer, Wire, running, until
from tests.wire.protocol import octets

QUICK = (
    ("grpc.initial_reconnect_backoff_ms", 20),
    ("grpc.max_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 2000),
)
REFUSED_STREAM = 7


def answer(wire: Wire, stream: int) -> None:
    """Answers at once."""
    wire.answer(stream)


def unary(channel: Channel) -> Any:
    """Returns a multicallable."""
    return channel.unary_unary("/a/b")


def ready(channel: Channel) -> int:
    """Returns how many of a channel's addresses are ready."""
    subchannels = channel._open()._subchannels.values()
    return sum(one.state is ChannelConnectivity.READY for one in subchannels)


def free_port() -> int:
    """Returns a port where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@asynccontextmanager
async def peer_and_channel(
    peer: Peer, *options: tuple[str, Any]
) -> AsyncIterator[tuple[Peer, Channel]]:
    """Lets a peer run, and opens a channel to it."""
    async with running(peer), insecure_channel(peer.target, (*QUICK, *options)) as channel:
        yield peer, channel


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


async def test_round_robin() -> None:
    """Calls go to all addresses in turn; to the others, when one is lost; and to all again."""
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(running(Peer(answer)))
        second = await stack.enter_async_context(AsyncExitStack())
        peer = await second.enter_async_context(running(Peer(answer)))
        target = f"ipv4:{first.target},{peer.target}"
        channel = await stack.enter_async_context(insecure_channel(target, QUICK))
        await unary(channel)(b"")
        await until(lambda: len(first.wires) + len(peer.wires) == 2)
        await until(lambda: ready(channel) == 2)
        before = len(first.wires[0].headers)
        await asyncio.gather(*(unary(channel)(b"") for _ in range(40)))
        assert len(first.wires[0].headers) - before == 20

        await second.aclose()
        await until(lambda: ready(channel) == 1)
        for _ in range(10):
            await unary(channel)(b"", wait_for_ready=True)

        again = await stack.enter_async_context(running(Peer(answer), peer.port))
        await until(lambda: bool(again.wires))
        while not again.wires[0].headers:
            await unary(channel)(b"")


async def test_one_of_two_is_enough() -> None:
    """An address where nobody is does no harm where there is another."""
    async with running(Peer(answer)) as peer:
        target = f"ipv4:127.0.0.1:{free_port()},{peer.target}"
        async with insecure_channel(target, QUICK) as channel:
            assert [await unary(channel)(b"") for _ in range(5)] == [b"hi"] * 5
            assert channel.get_state() is ChannelConnectivity.READY


async def test_more_calls_than_streams() -> None:
    """Where a peer allows two streams, the third call waits for one to end; no stream is refused."""
    held: list[tuple[Wire, int]] = []
    most = 0

    def release() -> None:
        answer(*held.pop(0))

    def hold(wire: Wire, stream: int) -> None:
        nonlocal most
        held.append((wire, stream))
        most = max(most, len(held))
        asyncio.get_running_loop().call_later(0.001, release)

    settings = {h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: 2}
    async with peer_and_channel(Peer(hold, settings=settings)) as (peer, channel):
        answers = await asyncio.gather(*(unary(channel)(b"", timeout=10) for _ in range(50)))
        assert len(peer.wires) == 1

    assert answers == [b"hi"] * 50
    assert most == 2


async def test_no_streams_at_all() -> None:
    """A peer that allows none lets calls wait, until their deadline or its next word."""
    settings = {h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: 0}
    async with peer_and_channel(Peer(answer, settings=settings)) as (peer, channel):
        await channel.channel_ready()
        with pytest.raises(aio.AioRpcError, match="Deadline"):
            await unary(channel)(b"", timeout=0.05)
        call = unary(channel)(b"")
        wire = peer.wires[0]
        wire.h2.update_settings({h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: 1})
        wire.flush()
        assert await asyncio.wait_for(call, 5) == b"hi"


async def test_goaway_drains() -> None:
    """What was begun is finished on the old connection; what comes goes over a new one."""
    held: list[tuple[Wire, int]] = []

    def script(wire: Wire, stream: int) -> None:
        if held:
            answer(wire, stream)
            return
        held.append((wire, stream))
        goaway = b"\x00\x00\x08\x07\x00\x00\x00\x00\x00" + (1).to_bytes(4, "big") + bytes(4)
        wire.raw(goaway)

    async with peer_and_channel(Peer(script)) as (peer, channel):
        old = unary(channel)(b"")
        await until(lambda: bool(held))
        assert await asyncio.wait_for(unary(channel)(b""), 5) == b"hi"
        assert not old.done()
        answer(*held[0])
        assert await asyncio.wait_for(old, 5) == b"hi"
        assert len(peer.wires) == 2
        await asyncio.wait_for(peer.lost.wait(), 5)


@pytest.mark.parametrize("many", [False, True])
async def test_calls_above_goaway_are_made_again(many: bool) -> None:
    """What a peer says it has not processed is tried on another connection, requests and all."""

    def script(wire: Wire, stream: int) -> None:
        if len(wire.peer.wires) == 1:
            wire.raw(b"\x00\x00\x08\x07\x00\x00\x00\x00\x00" + bytes(8))
        else:
            answer(wire, stream)

    async with peer_and_channel(Peer(script)) as (peer, channel):
        if many:
            call = channel.stream_unary("/a/b")(iter([b"abc", b"def"]), timeout=5)
        else:
            call = unary(channel)(b"abcdef", timeout=5)
        assert await call == b"hi"
        assert peer.wires[1].received[1] == (16 if many else 11)


async def test_refused_streams_are_tried_once_more() -> None:
    """REFUSED_STREAM is tried again once; if it is said again, it is UNAVAILABLE."""
    refusals = 1

    def script(wire: Wire, stream: int) -> None:
        nonlocal refusals
        if refusals:
            refusals -= 1
            wire.h2.reset_stream(stream, REFUSED_STREAM)
        else:
            answer(wire, stream)

    async with peer_and_channel(Peer(script)) as (peer, channel):
        assert await unary(channel)(b"", timeout=5) == b"hi"
        refusals = 2
        with pytest.raises(aio.AioRpcError) as caught:
            await unary(channel)(b"", timeout=5)
        assert caught.value.code() is StatusCode.UNAVAILABLE
        assert len(peer.wires[0].headers) == 4


async def test_answered_streams_are_not_tried_again() -> None:
    """A stream that has been answered was processed, whatever its reset says."""

    def script(wire: Wire, stream: int) -> None:
        wire.h2.send_headers(stream, ((":status", "200"), ("content-type", "application/grpc")))
        wire.h2.reset_stream(stream, REFUSED_STREAM)

    async with peer_and_channel(Peer(script)) as (peer, channel):
        with pytest.raises(aio.AioRpcError) as caught:
            await unary(channel)(b"", timeout=5)
        assert caught.value.code() is StatusCode.UNAVAILABLE
        assert len(peer.wires[0].headers) == 1


async def test_what_was_never_sent_is_sent_elsewhere() -> None:
    """A call on a connection that ends in the same moment is made on the next, unseen by the caller."""
    async with peer_and_channel(Peer(answer)) as (peer, channel):
        await unary(channel)(b"")
        transport = next(iter(channel._open()._subchannels.values())).transport
        assert transport is not None
        call = unary(channel)(b"", timeout=5)
        transport.socket.abort()  # before the turn is over
        assert await call == b"hi"
        assert len(peer.wires) == 2


async def test_a_goaway_that_says_why() -> None:
    """What the peer says when it goes is in the words of the error."""

    def script(wire: Wire, stream: int) -> None:
        wire.h2.close_connection(0xB, b"too_many_pings", stream)
        wire.flush()
        wire.transport.close()

    async with peer_and_channel(Peer(script)) as (_, channel):
        with pytest.raises(aio.AioRpcError, match="too_many_pings") as caught:
            await unary(channel)(b"", timeout=5)
        assert caught.value.code() is StatusCode.UNAVAILABLE


async def test_a_connection_that_has_used_all_its_ids() -> None:
    """The next call makes another (RFC 9113, 5.1.1); what was begun is finished on the old one."""
    held: list[tuple[Wire, int]] = []

    def script(wire: Wire, stream: int) -> None:
        if stream == 2**31 - 1:
            held.append((wire, stream))
        else:
            answer(wire, stream)

    async with peer_and_channel(Peer(script)) as (peer, channel):
        assert await unary(channel)(b"") == b"hi"
        (subchannel,) = channel._open()._subchannels.values()
        assert subchannel.transport is not None
        subchannel.transport.connection._streams.next_own = 2**31 - 3
        assert await unary(channel)(b"") == b"hi"
        last = unary(channel)(b"")
        assert [await unary(channel)(b"", timeout=5) for _ in range(3)] == [b"hi"] * 3
        await until(lambda: bool(held))
        answer(*held[0])
        assert await asyncio.wait_for(last, 5) == b"hi"
        assert len(peer.wires) == 2
        await asyncio.wait_for(peer.lost.wait(), 5)


async def test_a_status_that_is_far_too_long() -> None:
    """It costs its call alone: others on its connection are answered."""
    waiting: list[tuple[Wire, int]] = []

    def script(wire: Wire, stream: int) -> None:
        if not waiting:
            waiting.append((wire, stream))
            return
        status = octets.literal(b"grpc-status", b"5")
        words = octets.literal(b"grpc-message", b"x" * 300_000)
        wire.h2.send_headers(stream, HEAD)
        wire.raw(frames.headers(stream, status + words, 2**14, end_stream=True))
        answer(*waiting[0])

    async with peer_and_channel(Peer(script)) as (peer, channel):
        other = unary(channel)(b"")
        await until(lambda: bool(waiting))
        with pytest.raises(aio.AioRpcError) as caught:
            await unary(channel)(b"", timeout=5)
        assert caught.value.code() is StatusCode.RESOURCE_EXHAUSTED
        assert await asyncio.wait_for(other, 5) == b"hi"
        assert len(peer.wires) == 1


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
