"""Who does not read is not sent more, and who is not read waits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from grpc_wire.client import insecure_channel
from tests.wire.client.peer import HEAD, OK, Peer, Wire, running, until

MESSAGE = bytes(10_000)
FRAMED = b"\x00" + len(MESSAGE).to_bytes(4, "big") + MESSAGE


async def test_a_writer_waits() -> None:
    """A caller whose requests are not read gets no further than windows and queue; then it goes on."""
    sent = 0

    async def requests() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(200):
            yield MESSAGE
            sent += 1

    def end(wire: Wire, stream: int) -> None:
        wire.answer(stream)

    peer = Peer(end, reads=False)
    async with running(peer), insecure_channel(peer.target) as channel:
        call = channel.stream_unary("/a/b")(requests())
        await until(lambda: bool(peer.wires and peer.wires[0].received.get(1, 0) >= 65_535))
        before = -1
        while before != sent:
            before = sent
            await asyncio.sleep(0.05)
        assert sent < 60

        wire = peer.wires[0]
        wire.peer.reads = True
        wire.h2.acknowledge_received_data(wire.received[1], 1)
        wire.flush()
        assert await asyncio.wait_for(call, 10) == b"hi"
        assert sent == 200


async def test_others_have_their_turn() -> None:
    """An iterator that never waits gives the loop back after 64 messages, so that an answer is heard."""
    given: list[int] = []
    turns = 0
    going = True

    def tick() -> None:
        nonlocal turns
        turns += 1
        if going:
            asyncio.get_running_loop().call_soon(tick)

    async def requests() -> AsyncIterator[bytes]:
        for _ in range(1000):
            given.append(turns)
            yield b""

    async with (
        running(Peer(lambda wire, stream: wire.answer(stream))) as peer,
        insecure_channel(peer.target) as channel,
    ):
        await channel.unary_unary("/a/b")(b"")
        tick()
        assert await channel.stream_unary("/a/b")(requests()) == b"hi"
        going = False
    assert max(map(given.count, given)) <= 64


async def test_a_reader_that_does_not_read() -> None:
    """A server is not let to send more than a window beyond what is read; all of it arrives in the end."""
    queued = [FRAMED] * 100

    def send(wire: Wire, stream: int) -> None:
        data = b"".join(queued)
        while data and (room := min(wire.h2.local_flow_control_window(stream), 16_384)):
            wire.h2.send_data(stream, data[:room])
            data = data[room:]
        queued[:] = [data]
        if not data:
            wire.h2.send_headers(stream, OK, end_stream=True)
        wire.flush()

    def begin(wire: Wire, stream: int) -> None:
        wire.h2.send_headers(stream, HEAD)
        send(wire, stream)
        wire.windows = lambda: send(wire, stream)

    peer = Peer(begin)
    async with running(peer), insecure_channel(peer.target) as channel:
        call = channel.unary_stream("/a/b")(b"")
        assert await call.read() == MESSAGE
        await until(lambda: peer.wires[0].h2.local_flow_control_window(1) == 0)
        await asyncio.sleep(0.05)
        assert len(queued[0]) > 80 * len(FRAMED)
        assert [len(message) async for message in _rest(call)] == [len(MESSAGE)] * 99


async def _rest(call: object) -> AsyncIterator[bytes]:
    while message := await call.read():  # type: ignore[attr-defined]  # the stubs have no EOF that is bytes
        yield message


async def test_a_message_larger_than_the_window() -> None:
    """The window grows for it, and only for who waits for it."""
    body = b"\x00" + (1 << 20).to_bytes(4, "big") + bytes(1 << 20)
    left = [body]

    def send(wire: Wire, stream: int) -> None:
        while left[0] and (room := min(wire.h2.local_flow_control_window(stream), 16_384)):
            wire.h2.send_data(stream, left[0][:room])
            left[0] = left[0][room:]
        if not left[0]:
            wire.windows = lambda: None
            wire.h2.send_headers(stream, OK, end_stream=True)
        wire.flush()

    def begin(wire: Wire, stream: int) -> None:
        left[0] = body
        wire.h2.send_headers(stream, HEAD)
        wire.windows = lambda: send(wire, stream)
        send(wire, stream)

    peer = Peer(begin)
    async with running(peer), insecure_channel(peer.target) as channel:
        assert len(await channel.unary_unary("/a/b")(b"", timeout=10)) == 1 << 20
        call = channel.unary_stream("/a/b")(b"", timeout=10)
        await call.initial_metadata()
        await until(lambda: peer.wires[0].h2.local_flow_control_window(3) == 0)
        assert len(left[0]) > 900_000
        assert len(await call.read()) == 1 << 20


@pytest.mark.parametrize("size", [65_536, 300_000])
async def test_trailers_that_wait_for_a_window(size: int) -> None:
    """nghttp2 sends trailers into an open window alone; one that a response has filled is opened anew."""
    left = b"\x00" + (size - 5).to_bytes(4, "big") + bytes(size - 5)

    def send(wire: Wire, stream: int) -> None:
        """Sends frame by frame, so that each window is told of by itself."""
        nonlocal left
        room = min(wire.h2.local_flow_control_window(stream), 16_384)
        wire.windows = lambda: None
        if not room:
            wire.windows = lambda: send(wire, stream)
        elif not left:
            wire.h2.send_headers(stream, OK, end_stream=True)
            wire.flush()
        else:
            wire.h2.send_data(stream, left[:room])
            left = left[room:]
            wire.flush()
            asyncio.get_running_loop().call_later(0.002, send, wire, stream)

    def begin(wire: Wire, stream: int) -> None:
        wire.h2.send_headers(stream, HEAD)
        send(wire, stream)

    async with running(Peer(begin)) as peer, insecure_channel(peer.target) as channel:
        assert len(await channel.unary_unary("/a/b")(b"", timeout=5)) == size - 5


async def test_calls_of_one_connection_do_not_hold_each_other() -> None:
    """While one call's responses are not read, others come through."""
    queued = FRAMED * 30

    def begin(wire: Wire, stream: int) -> None:
        if stream == 1:
            wire.h2.send_headers(stream, HEAD)
            wire.h2.increment_flow_control_window(1 << 20)
            data = queued[: wire.h2.local_flow_control_window(stream)]
            for at in range(0, len(data), 16_384):
                wire.h2.send_data(stream, data[at : at + 16_384])
        else:
            wire.answer(stream, FRAMED)

    peer = Peer(begin)
    async with running(peer), insecure_channel(peer.target) as channel:
        unread = channel.unary_stream("/a/b")(b"")
        await unread.initial_metadata()
        for _ in range(200):
            assert await channel.unary_unary("/a/b")(b"", timeout=5) == MESSAGE
        unread.cancel()
