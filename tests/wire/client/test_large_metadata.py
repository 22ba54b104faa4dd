"""Metadata that is too large, either way: its call ends, and others on the same connection do not notice."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import pytest
from grpc import StatusCode, aio
from h2.settings import SettingCodes

from grpc_wire.client import insecure_channel
from tests.wire.client.peer import ANSWER, HEAD, OK, Peer, Wire, running
from tests.wire.http2 import octets

ANNOUNCED = {SettingCodes.MAX_HEADER_LIST_SIZE: 2000}
LARGE: dict[str, tuple[tuple[str, str | bytes], ...]] = {
    "one": (("authorization", "b" * 2000),),
    "very large": (("authorization", "b" * 1_000_000),),
    "many": tuple((f"k{n}", "") for n in range(100)),
    "bytes": (("k-bin", bytes(1500)),),
}


def answer(wire: Wire, stream: int) -> None:
    """Answers at once."""
    wire.answer(stream)


def section(stream: int, headers: tuple[tuple[str, str], ...], *, end: bool) -> bytes:
    """Returns a header section as h2, whose Huffman code takes minutes for it, would not write it."""
    block = octets.block((name.encode(), value.encode()) for name, value in headers)
    first, *others = (block[at : at + 16_384] for at in range(0, len(block), 16_384))
    frames = [octets.headers(stream, first, end=end, more=bool(others))]
    for left, part in zip(range(len(others) - 1, -1, -1), others, strict=True):
        frames.append(octets.continuation(stream, part, more=left > 0))
    return b"".join(frames)


async def waiting_calls(channel: Any, number: int) -> list[Any]:
    """Begins calls of each kind that wait for their answer."""
    talks = [channel.stream_stream("/a/b")(timeout=30) for _ in range(number)]
    for talk in talks:
        await talk.write(b"x")
    return talks


async def finish(calls: list[Any]) -> None:
    """Sees that calls go on to their end."""
    for call in calls:
        await call.done_writing()
        assert [response async for response in call] == [b"hi"]


@pytest.mark.parametrize("kind", LARGE)
@pytest.mark.parametrize("streams", [False, True])
async def test_metadata_larger_than_the_server_takes(kind: str, *, streams: bool) -> None:
    """Nothing is sent that the server's settings forbid: the call fails here, and the others go on."""
    async with (
        running(Peer(answer, settings=ANNOUNCED)) as peer,
        insecure_channel(peer.target) as channel,
    ):
        waiting = await waiting_calls(channel, 10)
        begin: Any = (
            channel.stream_stream("/a/b") if streams else partial(channel.unary_unary("/a/b"), b"")
        )
        for _ in range(3):
            call = begin(metadata=LARGE[kind], timeout=30)
            with pytest.raises(aio.AioRpcError) as caught:
                await (call.read() if streams else call)
            assert caught.value.code() is StatusCode.RESOURCE_EXHAUSTED
            assert "larger than the server takes" in (caught.value.details() or "")
        await finish(waiting)
        assert await channel.unary_unary("/a/b")(b"", timeout=30) == b"hi"
        assert len(peer.wires) == 1
        assert len(peer.wires[0].headers) == 11


async def test_the_limit_of_a_server_to_the_byte() -> None:
    """Counted is all that is sent: pseudo-headers, gRPC's own, and 32 for each field (RFC 9113, 6.5.2)."""
    async with running(Peer(answer)) as peer, insecure_channel(peer.target) as channel:
        await channel.unary_unary("/a/b")(b"", metadata=(("k", ""),))
        sent = sum(32 + len(n) + len(v) for n, v in peer.wires[0].headers[1])
    limit = {SettingCodes.MAX_HEADER_LIST_SIZE: sent + 100}
    async with (
        running(Peer(answer, settings=limit)) as peer,
        insecure_channel(peer.target) as channel,
    ):
        call = channel.unary_unary("/a/b")
        assert await call(b"", metadata=(("k", "v" * 100),)) == b"hi"
        with pytest.raises(aio.AioRpcError) as caught:
            await call(b"", metadata=(("k", "v" * 101),))
        assert f"({sent + 101} vs. {sent + 100})" in (caught.value.details() or "")


async def test_many_calls_that_wait_and_are_too_large() -> None:
    """They end when there is a connection, however many they are, and whoever waits behind them begins."""
    async with (
        running(Peer(answer, settings=ANNOUNCED)) as peer,
        insecure_channel(peer.target) as channel,
    ):
        call = channel.unary_unary("/a/b")
        calls = [
            call(b"", timeout=30, metadata=(("k", "v" * (0 if n % 100 == 99 else 5000)),))
            for n in range(2000)
        ]
        outcomes = await asyncio.gather(*calls, return_exceptions=True)

    codes = [each.code() if isinstance(each, aio.AioRpcError) else each for each in outcomes]
    assert codes == ([StatusCode.RESOURCE_EXHAUSTED] * 99 + [b"hi"]) * 20


@pytest.mark.parametrize("size", [17_000, 70_000, 1_000_000])
@pytest.mark.parametrize("where", ["initial", "trailing", "message", "details", "many"])
async def test_metadata_larger_than_is_taken(where: str, size: int) -> None:
    """A server that sends too much ends the one call, with a clear status; the connection goes on."""
    much: Any = {
        "initial": (("k", "v" * size),),
        "trailing": (("k", "v" * size),),
        "message": (("grpc-message", "m" * size),),
        "details": (("grpc-status-details-bin", "A" * size),),
        "many": tuple((f"k{n}", "") for n in range(size // 32)),
    }[where]

    def script(wire: Wire, stream: int) -> None:
        if wire.header(stream, "much") is None:
            wire.answer(stream)
        elif where == "initial":
            wire.raw(section(stream, (*HEAD, *much), end=False))
        else:
            wire.h2.send_headers(stream, HEAD)
            wire.h2.send_data(stream, ANSWER)
            wire.raw(section(stream, (*OK, *much), end=True))

    async with running(Peer(script)) as peer, insecure_channel(peer.target) as channel:
        waiting = await waiting_calls(channel, 10)
        for _ in range(2):
            with pytest.raises(aio.AioRpcError) as caught:
                await channel.unary_unary("/a/b")(b"", metadata=(("much", "y"),), timeout=30)
            assert caught.value.code() is StatusCode.RESOURCE_EXHAUSTED
            assert "metadata larger than max" in (caught.value.details() or "")
        await finish(waiting)
        assert len(peer.wires) == 1
