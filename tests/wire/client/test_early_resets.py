"""Calls that are given up before they were answered: a hundred streams are reset at once, the rest later."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import h2.settings
import pytest
from grpc import aio

from grpc_wire.client import Channel, insecure_channel
from grpc_wire.http2.limits import DEFAULT
from tests.wire.client.peer import Peer, Wire, running, until

STREAMS = 150
LEFT = STREAMS - DEFAULT.early_resets
ALLOWED = {h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: STREAMS}


async def cancelled(channel: Channel) -> None:
    """Begins a call, and gives it up."""
    call = channel.unary_unary("/a.B/C")(b"")
    await asyncio.sleep(0.05)
    call.cancel()
    with suppress(asyncio.CancelledError):
        await call


async def expired(channel: Channel) -> None:
    """Makes a call that is past its deadline."""
    with pytest.raises(aio.AioRpcError):
        await channel.unary_unary("/a.B/C")(b"", timeout=0.05)


async def broken_off(channel: Channel) -> None:
    """Begins an upload, and gives it up."""
    call = channel.stream_stream("/a.B/C")()
    await call.write(b"")
    await asyncio.sleep(0.05)
    call.cancel()


@pytest.mark.parametrize("give_up", [cancelled, expired, broken_off])
async def test_the_rest_is_reset_later_and_the_calls_that_wait_begin_then(
    give_up: Callable[[Channel], Awaitable[None]],
) -> None:
    """A caller is told at once; the stream takes its place until the server can bear that it is reset."""

    def silent(_wire: Wire, _stream: int) -> None:
        """Never answers."""

    async with (
        running(Peer(silent, settings=ALLOWED)) as peer,
        insecure_channel(peer.target) as channel,
    ):
        await channel.channel_ready()
        assert channel.max_streams == STREAMS
        await asyncio.gather(*(give_up(channel) for _ in range(STREAMS)))
        (wire,) = peer.wires
        await until(lambda: len(wire.resets) >= DEFAULT.early_resets)
        assert len(wire.resets) == DEFAULT.early_resets
        assert channel.max_streams == STREAMS - LEFT

        peer.script = Wire.answer
        calls = [channel.unary_unary("/a.B/C")(b"") for _ in range(STREAMS)]
        assert await asyncio.gather(*calls) == [b"hi"] * STREAMS

        await until(lambda: len(wire.resets) == STREAMS)
        await until(lambda: channel.max_streams == STREAMS)
        assert not peer.lost.is_set()
