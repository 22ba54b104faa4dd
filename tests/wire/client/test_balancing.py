"""Which stream a call goes to: of which connection, when there is room, and of which after that.

Sources: gRFC A6 (transparent retries); RFC 9113, 5.1.2 and 6.8.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import h2.settings
import pytest
from grpc import ChannelConnectivity, StatusCode, aio

from grpc_wire.client import ClientStream, insecure_channel
from grpc_wire.http2 import frames
from tests.wire.client.calling import QUICK, answer, free_port, peer_and_channel, ready, unary
from tests.wire.client.peer import ANSWER, HEAD, OK, Peer, Wire, running, until
from tests.wire.http2 import octets

REFUSED_STREAM = 7


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


async def test_a_refused_stream_makes_room() -> None:
    """What waits for room gets it from a call that was refused, which stands behind it then."""
    order: list[str] = []

    def script(wire: Wire, stream: int) -> None:
        order.append(wire.header(stream, "name") or "")
        if len(order) == 1:
            wire.h2.reset_stream(stream, REFUSED_STREAM)
        else:
            answer(wire, stream)

    settings = {h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: 1}
    async with peer_and_channel(Peer(script, settings=settings)) as (_, channel):
        await channel.channel_ready()
        calls = [
            unary(channel)(b"", timeout=5, metadata=(("name", name),)) for name in ("one", "two")
        ]
        assert await asyncio.gather(*calls) == [b"hi"] * 2
    assert order == ["one", "two", "one"]


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


async def test_a_call_that_begins_between_a_response_and_a_goaway() -> None:
    """In its callback, and of one turn: the connection takes no more, so it is made on the next."""
    ends: list[ClientStream] = []

    def script(wire: Wire, stream: int) -> None:
        wire.h2.send_headers(stream, HEAD)
        wire.h2.send_data(stream, ANSWER)
        wire.h2.send_headers(stream, OK, end_stream=True)
        wire.h2.close_connection(0, b"", stream)
        wire.flush()

    async with peer_and_channel(Peer(script)) as (peer, channel):
        method = channel.register_method("/a.B/C", single_response=True)

        def call_again(stream: ClientStream) -> None:
            ends.append(stream)
            if len(ends) == 1:
                channel.start_call(method, b"", call_again, timeout=5)

        channel.start_call(method, b"", call_again, timeout=5)
        await until(lambda: len(ends) == 2)

        assert [stream.response for stream in ends] == [b"hi", b"hi"]
        assert len(peer.wires) == 2


async def test_a_message_before_an_error_is_no_response() -> None:
    """Also where both come in one piece: the call has failed."""
    ends: list[ClientStream] = []

    def script(wire: Wire, stream: int) -> None:
        wire.answer(stream, trailers=(("grpc-status", "5"),))

    async with peer_and_channel(Peer(script)) as (_, channel):
        method = channel.register_method("/a.B/C", single_response=True)
        for _ in range(3):  # once the header blocks are known, all is read in one step
            ended = asyncio.Event()

            def end(stream: ClientStream, ended: asyncio.Event = ended) -> None:
                ends.append(stream)
                ended.set()

            channel.start_call(method, b"", end, timeout=5)
            await ended.wait()

    assert [stream.response for stream in ends] == [None] * 3
    assert [stream.status and stream.status.code for stream in ends] == [5] * 3


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


async def test_what_the_servers_allow_is_told() -> None:
    """`max_streams` is the sum over the ready connections; each change of it is told, and of the state."""
    limit = h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS
    changes: list[tuple[ChannelConnectivity, int]] = []
    async with (
        running(Peer(answer, settings={limit: 2})) as first,
        running(Peer(answer, settings={limit: 3})) as second,
        insecure_channel(f"ipv4:{first.target},{second.target}", QUICK) as channel,
    ):
        channel.watch(lambda: changes.append((channel.get_state(), channel.max_streams)))
        assert channel.max_streams == 0
        await unary(channel)(b"")
        await until(lambda: channel.max_streams == 5)
        first.wires[0].h2.update_settings({limit: 7})
        first.wires[0].flush()
        await until(lambda: channel.max_streams == 10)
        second.wires[0].transport.abort()
        await until(lambda: channel.max_streams == 7)

    assert (ChannelConnectivity.READY, 10) in changes
    assert changes[-1] == (ChannelConnectivity.SHUTDOWN, 0)
