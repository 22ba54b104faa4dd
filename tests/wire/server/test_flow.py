"""Back-pressure: what a peer does not read, nobody makes; what a servicer does not read, nobody sends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from grpc_wire.call.message import frame
from grpc_wire.call.status import DEADLINE_EXCEEDED, OK
from grpc_wire.http2.errors import ErrorCode
from grpc_wire.http2.limits import DEFAULT, Limits
from grpc_wire.http2.settings import DEFAULT_WINDOW
from tests.wire.faults.leavings import objects
from tests.wire.server.stage import (
    REQUEST,
    SERVICE,
    Answer,
    RawClient,
    answering,
    raw_client,
    serving,
    taking,
    unary,
    until,
)

SIZE = 1000
SLACK = 600 * 1024
"""What may lie between a servicer and a client that does not read: windows, queues and sockets' buffers."""


class Source:
    """A servicer that yields without end, and what it has yielded."""

    def __init__(self) -> None:
        self.bytes = 0
        self.closed = asyncio.Event()

    async def endless(self, _request: bytes, _context: Any) -> AsyncIterator[bytes]:
        """Yields as fast as it may."""
        try:
            while True:
                self.bytes += SIZE
                yield bytes(SIZE)
        finally:
            self.closed.set()

    async def stands_still(self) -> None:
        """Waits until it yields no more."""
        async with asyncio.timeout(20):
            seen = -1
            while seen != self.bytes or not seen:
                seen = self.bytes
                await asyncio.sleep(0.05)


def _begin(client: RawClient, name: str) -> int:
    stream_id = client.begin({b":path": f"/{SERVICE}/{name}".encode()})
    client.send(stream_id, frame(b"request"), end=True)
    return stream_id


async def test_a_call_that_is_cut_while_its_client_does_not_read() -> None:
    """It is reset: a status would wait behind what was written last, in the same turn even."""

    async def write_and_cut(_request: bytes, context: Any) -> None:
        await context.write(bytes(DEFAULT_WINDOW - 500))
        await asyncio.sleep(0)
        for size in (10, 1000):
            await context.write(bytes(size))
        for call in tuple(stage.server._calls):
            call.abort()
        await asyncio.Event().wait()

    narrow = Limits(stream_window=DEFAULT_WINDOW)
    async with (
        serving({"Written": answering(write_and_cut)}) as stage,
        raw_client(stage.address, narrow) as client,
    ):
        client.reads = False
        answer = await client.ended(_begin(client, "Written"))
        assert (answer.reset, answer.trailers) == (ErrorCode.CANCEL, {})


async def test_a_client_that_gives_no_window() -> None:
    """A servicer waits when the client's window is used up, and goes on when it opens."""
    source = Source()
    async with (
        serving({"Endless": answering(source.endless)}) as stage,
        raw_client(stage.address) as client,
    ):
        client.reads = False
        stream_id = _begin(client, "Endless")
        await source.stands_still()
        assert source.bytes < DEFAULT.stream_window + SLACK
        before = source.bytes
        client.connection.consumed(stream_id, len(client.answer(stream_id).data))
        client.reads = True
        client.flush()
        await until(lambda: source.bytes > before + SLACK)


async def test_a_client_that_does_not_read_its_socket() -> None:
    """A servicer waits when the client gives windows and does not read; another client is answered."""
    source = Source()
    wide = Limits(stream_window=2**30, connection_window=2**30)

    async def echo(request: bytes, _context: Any) -> bytes:
        return request

    methods = {"Endless": answering(source.endless), "Echo": unary(echo)}
    async with serving(methods) as stage, raw_client(stage.address, wide) as client:
        _begin(client, "Endless")
        client.pause()
        await source.stands_still()
        assert source.bytes < 16 * 1024 * 1024, "the sockets' buffers are the system's"
        assert await stage.call("Echo") == b"request"
    await asyncio.wait_for(source.closed.wait(), 10)


async def test_a_fast_servicer_leaves_others_their_turn() -> None:
    """A servicer that never waits by itself does not keep the loop: a call beside it is answered."""
    source = Source()
    wide = Limits(stream_window=2**30, connection_window=2**30)

    async def echo(request: bytes, _context: Any) -> bytes:
        return request

    methods = {"Endless": answering(source.endless), "Echo": unary(echo)}
    async with serving(methods) as stage, raw_client(stage.address, wide) as client:
        _begin(client, "Endless")
        for _ in range(5):
            assert (await client.ask()).status[0] == OK
        assert source.bytes


@pytest.mark.parametrize("size", [0, 1, 5000])
async def test_what_is_sent_in_one_turn_of_the_loop(size: int) -> None:
    """A servicer that never waits by itself sends so many messages and bytes in a turn, and no more."""
    turns: list[int] = []
    sent = 0
    wide = Limits(stream_window=2**30, connection_window=2**30)
    loop = asyncio.get_running_loop()

    async def endless(_request: bytes, _context: Any) -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 1
            yield bytes(size)

    def tick(before: int) -> None:
        turns.append(sent - before)
        if len(turns) < 50:
            loop.call_soon(tick, sent)

    async with (
        serving({"Endless": answering(endless)}) as stage,
        raw_client(stage.address, wide) as client,
    ):
        _begin(client, "Endless")
        tick(0)
        await until(lambda: len(turns) == 50)
    assert 0 < max(turns) < 200
    assert max(turns) * size < 100_000


async def test_answers_of_one_turn_leave_together() -> None:
    """Requests that come together are answered together, in one write."""

    async def echo(request: bytes, _context: Any) -> bytes:
        return request

    async with serving({"Echo": unary(echo)}) as stage, raw_client(stage.address) as client:
        await client.ask()
        (transport,) = stage.server._transports
        before = transport.writer.write_count
        refused = _prepare(client, {b":method": b"GET"})
        streams = [_prepare(client, {}) for _ in range(50)]
        client.flush()
        for stream_id in streams:
            assert (await client.ended(stream_id)).status[0] == OK
        assert (await client.ended(refused)).head[":status"] == "405"
        assert transport.writer.write_count - before == 1


def _prepare(client: RawClient, changes: dict[bytes, bytes]) -> int:
    stream_id = client.connection.open_stream(tuple((REQUEST | changes).items()))
    client._answers[stream_id] = Answer()
    client.connection.send_data(stream_id, frame(b"request"), end_stream=True)
    return stream_id


async def test_a_servicer_that_does_not_read() -> None:
    """The window of a stream stays closed until its servicer reads; then all comes, in order."""
    read = asyncio.Event()

    async def late(requests: AsyncIterator[bytes], _context: Any) -> bytes:
        await read.wait()
        return b"%d" % len([request async for request in requests])

    async with (
        serving({"Late": taking(late)}) as stage,
        raw_client(stage.address) as client,
    ):
        stream_id = client.begin({b":path": f"/{SERVICE}/Late".encode()})
        count = 4 * DEFAULT.stream_window // SIZE
        for _ in range(count):
            client.send(stream_id, frame(bytes(SIZE - 5)))
        client.send(stream_id, b"", end=True)
        everything = count * SIZE
        await until(
            lambda: client.connection.queued(stream_id) <= everything - DEFAULT.stream_window
        )
        ping = client.connection.queued(stream_id)
        await client.ask({b":path": b"/nothing"})  # whatever the server had to say came before this
        assert client.connection.queued(stream_id) == ping
        assert ping >= everything - DEFAULT.stream_window
        read.set()
        assert (await client.ended(stream_id)).data == frame(b"%d" % count)


async def test_one_stream_does_not_hold_the_others() -> None:
    """Streams that nobody reads do not use up the connection: another upload passes."""
    never = asyncio.Event()

    async def deaf(_requests: Any, _context: Any) -> bytes:
        await never.wait()
        return b""

    async def echo(request: bytes, _context: Any) -> bytes:
        return request

    methods = {"Deaf": taking(deaf), "Echo": unary(echo)}
    async with serving(methods) as stage, raw_client(stage.address) as client:
        for _ in range(2 * DEFAULT.connection_window // DEFAULT.stream_window):
            stream_id = client.begin({b":path": f"/{SERVICE}/Deaf".encode()})
            client.send(stream_id, bytes(2 * DEFAULT.stream_window))
        large = bytes(1024 * 1024)
        answer = await client.ask(data=frame(large))
        assert answer.data == frame(large)


async def test_the_deadline_of_a_client_that_does_not_read() -> None:
    """A call that has ended, and whose answer the client does not take, is dropped at its deadline."""

    async def large(_request: bytes, _context: Any) -> bytes:
        return bytes(1024 * 1024)

    async with (
        serving({"Large": unary(large)}) as stage,
        raw_client(stage.address) as client,
    ):
        client.reads = False
        stream_id = client.begin({b":path": f"/{SERVICE}/Large".encode(), b"grpc-timeout": b"300m"})
        client.send(stream_id, frame(b""), end=True)
        answer = await client.ended(stream_id)
        assert answer.reset is not None
        assert len(answer.data) <= DEFAULT.stream_window


async def test_answers_that_are_not_taken_go_with_an_old_connection() -> None:
    """Answers whose client gives no window are held; the age of connections and its grace end that."""
    size = 100_000
    asked = 20

    async def large(_request: bytes, _context: Any) -> bytes:
        return bytes(size)

    age = [("grpc.max_connection_age_ms", 1000), ("grpc.max_connection_age_grace_ms", 100)]
    before = objects()["Transport"]
    async with (
        serving({"Large": unary(large)}, options=age) as stage,
        raw_client(stage.address) as client,
    ):
        client.reads = False
        streams = [_begin(client, "Large") for _ in range(asked)]
        await until(lambda: all(client.answer(each).data for each in streams))
        (transport,) = stage.server._transports
        held = sum(transport.connection.queued(each) for each in streams)
        assert held >= asked * (size - DEFAULT.stream_window)
        del transport
        await until(lambda: client.closed)
        await until(lambda: objects()["Transport"] == before)


async def test_a_deadline_while_a_servicer_waits_to_write() -> None:
    """A servicer that waits for room is cancelled at the deadline; the client learns which."""
    source = Source()
    async with (
        serving({"Endless": answering(source.endless)}) as stage,
        raw_client(stage.address) as client,
    ):
        client.reads = False
        stream_id = client.begin(
            {b":path": f"/{SERVICE}/Endless".encode(), b"grpc-timeout": b"300m"}
        )
        client.send(stream_id, frame(b""), end=True)
        await asyncio.wait_for(source.closed.wait(), 10)
        answer = await client.ended(stream_id)
        assert answer.reset is not None or answer.status[0] == DEADLINE_EXCEEDED
