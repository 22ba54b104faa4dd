"""Peers that send much in little: what is done for one connection in one turn of the event loop is bounded.

It is counted, not timed: frames, messages and decompressed bytes for each turn. A share may be used twice in
a turn, once by what has come in it and once by what has waited for it.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import pytest

from grpc_wire.call.message import INFLATION_FREE, MESSAGE_COST, MessageReader, frame
from grpc_wire.http2.inbound import Inbound
from grpc_wire.http2.limits import DEFAULT
from grpc_wire.transport.transport import Transport
from tests.interpreted import needs_source
from tests.wire.client.peer import HEAD, OK, Peer, Wire, running
from tests.wire.faults.scene import METHODS, calling, serving
from tests.wire.faults.test_attacks import answered_meanwhile
from tests.wire.server.stage import SERVICE, both_ways, raw_client, taking, until
from tests.wire.tls import Tls

pytestmark = pytest.mark.asyncio(loop_scope="module")
MESSAGES = 2 * (DEFAULT.turn_bytes // MESSAGE_COST + 1)
"""Small messages in a turn."""
LARGE = bytes(400_000)
BYTES = 2 * (DEFAULT.turn_bytes + len(LARGE))
"""Decompressed bytes in a turn: a message is taken whole."""


class Turns:
    """Counts by the turn of the loop."""

    def __init__(self) -> None:
        self.counts: Counter[int] = Counter()
        self._number = 0
        self._loop = asyncio.get_running_loop()
        self._handle = self._loop.call_soon(self._next)

    def _next(self) -> None:
        self._number += 1
        self._handle = self._loop.call_soon(self._next)

    def add(self, count: int = 1) -> None:
        """Counts something that is done now."""
        self.counts[self._number] += count

    @property
    def most(self) -> int:
        """The most in one turn."""
        return max(self.counts.values())

    def end(self) -> None:
        """Counts no more turns."""
        self._handle.cancel()


@contextmanager
def turns() -> Iterator[Turns]:
    """Counts as long as the block."""
    counted = Turns()
    try:
        yield counted
    finally:
        counted.end()


@contextmanager
def spying(owner: type, name: str, counted: Turns, *, size: bool = False) -> Iterator[None]:
    """Counts the calls of a method, or the bytes that it returns."""
    needs_source(owner.__module__)
    original = getattr(owner, name)

    def spy(*arguments: Any, **named: Any) -> Any:
        result = original(*arguments, **named)
        counted.add(len(result) if size else 1)
        return result

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(owner, name, spy)
        yield


@asynccontextmanager
async def peer(script: Any) -> AsyncIterator[str]:
    """Runs a server that does what a test says; gives its address."""
    async with running(Peer(script)) as opened:
        yield opened.target


def data_frames(stream: int, payload: bytes, times: int) -> bytes:
    """Returns so many DATA frames."""
    return (len(payload).to_bytes(3) + b"\x00\x00" + stream.to_bytes(4) + payload) * times


async def test_frames_are_taken_in_turns(tls: Tls | None) -> None:
    """13,000 frames in one write hold nobody up, and what they say arrives, in order."""
    number = DEFAULT.stream_window // 5
    empty = frame(b"")
    with turns() as counted:
        async with (
            serving(tls=tls) as (_, address),
            answered_meanwhile(address, tls),
            raw_client(address, tls=tls) as client,
        ):
            stream = client.begin({b":path": f"/{SERVICE}/Collect".encode()})
            await until(lambda: client.connection.settings_acknowledged)
            with spying(Inbound, "_data", counted):
                client._transport.write(data_frames(stream, empty, number - 1))
                client.send(stream, frame(b"last"), end=True)
                answer = await client.ended(stream)
        assert answer.data == frame(b"last")
        assert counted.counts.total() >= number
        assert counted.most <= 2 * (DEFAULT.turn_frames + 1)  # one is the other client's


async def test_small_messages_are_taken_in_turns() -> None:
    """Servicers that only count what they read share the turns of their connection, and let others go on."""
    with turns() as counted:

        async def count(requests: AsyncIterator[bytes], _context: Any) -> bytes:
            number = 0
            async for _ in requests:
                counted.add()
                number += 1
            return b"%d" % number

        methods = {**METHODS, "Tally": taking(count)}
        async with (
            serving(methods) as (_, address),
            answered_meanwhile(address),
            raw_client(address) as client,
        ):
            path = {b":path": f"/{SERVICE}/Tally".encode()}
            streams = client.begin_together([path] * 20, frame(b"") * 2000)
            answers = [await client.ended(stream) for stream in streams]
        assert [answer.data for answer in answers] == [frame(b"2000")] * 20
        assert counted.counts.total() == 40_000
        assert counted.most <= MESSAGES


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
@pytest.mark.parametrize(("streams", "each"), [(60, 1), (1, 60)])
async def test_messages_are_decompressed_in_turns_by_a_server(
    streams: int, each: int, encoding: str
) -> None:
    """400 kB that come in 500 bytes, 60 times at once: in one stream, or in as many."""
    packed = frame(LARGE, encoding)
    asked = {b":path": f"/{SERVICE}/Size".encode(), b"grpc-encoding": encoding.encode()}
    assert len(packed) < 1000

    async def size(requests: AsyncIterator[bytes], _context: Any) -> bytes:
        return b"%d" % sum([len(request) async for request in requests])

    methods = {**METHODS, "Size": taking(size)}
    with turns() as counted:
        async with (
            serving(methods) as (_, address),
            answered_meanwhile(address),
            raw_client(address) as client,
        ):
            with spying(MessageReader, "decompress", counted, size=True):
                begun = client.begin_together([asked] * streams, packed * each)
                answers = [await client.ended(stream) for stream in begun]
        total = b"%d" % (len(LARGE) * each)
        assert [answer.data for answer in answers] == [frame(total)] * streams
        assert counted.counts.total() >= 60 * len(LARGE)
        assert counted.most <= BYTES


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
async def test_only_answers_are_decompressed_in_turns(encoding: str) -> None:
    """A client whose calls are all answered at once, by a server that means harm, lets others go on."""
    waiting: list[int] = []

    def answer(wire: Wire, stream: int) -> None:
        waiting.append(stream)
        if len(waiting) == 60:
            for each in waiting:
                wire.h2.send_headers(each, (*HEAD, ("grpc-encoding", encoding)))
                wire.h2.send_data(each, frame(LARGE, encoding))
                wire.h2.send_headers(each, OK, end_stream=True)
            wire.flush()

    with turns() as counted, spying(MessageReader, "decompress", counted, size=True):
        async with peer(answer) as address, calling(address) as client:
            answers = await asyncio.gather(*(client.echo(timeout=20) for _ in range(60)))
        assert set(answers) == {LARGE}
        assert counted.counts.total() == 60 * len(LARGE)
        assert counted.most <= BYTES


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
async def test_many_answers_are_decompressed_in_turns(encoding: str) -> None:
    """A stream whose reader has nothing to wait for waits all the same; behind its end, too."""

    def answer(wire: Wire, stream: int) -> None:
        wire.h2.send_headers(stream, (*HEAD, ("grpc-encoding", encoding)))
        wire.h2.send_data(stream, frame(LARGE, encoding) * 20)
        wire.h2.send_headers(stream, OK, end_stream=True)
        wire.flush()

    with turns() as counted, spying(MessageReader, "decompress", counted, size=True):
        async with peer(answer) as address, calling(address) as client:
            read = [[message async for message in client.count(1, timeout=20)]]
            read += await asyncio.gather(*(_read(client) for _ in range(3)))
        assert read == [[LARGE] * 20] * 4
        assert counted.most <= BYTES


async def _read(client: Any) -> list[bytes]:
    call = client.count(1, timeout=20)
    messages = []
    while message := await call.read():
        messages.append(message)
    return messages


async def test_an_answer_that_cannot_be_decompressed_in_its_turn() -> None:
    """A message that waited for its turn and is broken is INTERNAL, whatever its trailers said."""
    waiting: list[int] = []

    def answer(wire: Wire, stream: int) -> None:
        waiting.append(stream)
        if len(waiting) == 10:
            for number, each in enumerate(waiting):
                data = frame(LARGE, "gzip") if number < 9 else b"\x01\x00\x00\x00\x04none"
                wire.h2.send_headers(each, (*HEAD, ("grpc-encoding", "gzip")))
                wire.h2.send_data(each, data)
                wire.h2.send_headers(each, OK, end_stream=True)
            wire.flush()

    async with peer(answer) as address, calling(address) as client:
        calls = [client.echo(timeout=20) for _ in range(10)]
        codes = [(await call.code()).name for call in calls]

    assert codes == ["OK"] * 9 + ["INTERNAL"]


@pytest.mark.parametrize("cut", [False, True], ids=["closed", "cut"])
async def test_a_connection_that_ends_behind_its_answers(
    cut: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Answers that have come count, though the connection ends before they had their turn."""
    waiting: list[int] = []
    packed = frame(LARGE, "gzip")
    pieces = [packed[at : at + 20] for at in range(0, len(packed), 20)]
    times = 0

    def answer(wire: Wire, stream: int) -> None:
        waiting.append(stream)
        if len(waiting) == 80:
            for each in waiting:
                wire.h2.send_headers(each, (*HEAD, ("grpc-encoding", "gzip")))
                for piece in pieces:
                    wire.h2.send_data(each, piece)
                wire.h2.send_headers(each, OK, end_stream=True)
            wire.flush()
            wire.transport.close()

    received = Transport.data_received

    def receive(transport: Transport, data: bytes) -> None:
        nonlocal times
        received(transport, data)
        times += transport.connection.has_backlog
        if cut and transport.connection.has_backlog:
            transport.socket.abort()

    monkeypatch.setattr(Transport, "data_received", receive)
    async with peer(answer) as address, calling(address) as client:
        answers = await asyncio.gather(*(client.echo(timeout=20) for _ in range(80)))

    assert times
    assert set(answers) == {LARGE}


async def test_a_client_that_dies_behind_a_flood(tls: Tls | None) -> None:
    """Who dies while its frames wait for their turns leaves nothing behind."""
    async with serving(tls=tls) as (server, address), answered_meanwhile(address, tls):
        async with raw_client(address, tls=tls) as client:
            stream = client.begin({b":path": f"/{SERVICE}/Collect".encode()})
            await until(lambda: client.connection.settings_acknowledged)
            client._transport.write(data_frames(stream, frame(b""), 13_000))
            await asyncio.sleep(0)
            client.close()
        await until(lambda: len(server._calls) <= 1)


async def test_a_server_that_stops_behind_a_flood(tls: Tls | None) -> None:
    """A server that is told to stop does so, though frames wait for their turns."""
    async with serving(tls=tls) as (server, address), raw_client(address, tls=tls) as client:
        stream = client.begin({b":path": f"/{SERVICE}/Collect".encode()})
        await until(lambda: client.connection.settings_acknowledged)
        client._transport.write(data_frames(stream, frame(b""), 13_000))
        await until(lambda: bool(server._calls))
        async with asyncio.timeout(10):
            await server.stop(None)


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
async def test_bombs_of_few_bytes(encoding: str) -> None:
    """4 MiB in 4 kB, 666 times on one connection: each is refused once it has inflated so far."""
    bomb = frame(bytes(4 * 1024 * 1024), encoding)
    asked = {b":path": f"/{SERVICE}/Collect".encode(), b"grpc-encoding": encoding.encode()}
    async with (
        serving() as (_, address),
        answered_meanwhile(address),
        raw_client(address) as client,
    ):
        streams = client.begin_together([asked] * 666, bomb)
        answers = [await client.ended(stream) for stream in streams]

    assert {answer.status[0] for answer in answers} == {8}
    assert "inflates too much" in answers[0].status[1]
    assert len(bomb) * 200 > INFLATION_FREE


async def test_a_reader_that_is_slow_has_nothing_decompressed() -> None:
    """What waits for a servicer that does not read is no larger than what came."""
    reads = asyncio.Event()

    async def slow(requests: AsyncIterator[bytes], _context: Any) -> AsyncIterator[bytes]:
        yield b"%d" % len(await anext(requests))
        await reads.wait()
        async for request in requests:
            yield b"%d" % len(request)

    asked = {b":path": f"/{SERVICE}/Slow".encode(), b"grpc-encoding": b"gzip"}
    with turns() as counted, spying(MessageReader, "decompress", counted):
        async with (
            serving({"Slow": both_ways(slow)}) as (_, address),
            raw_client(address) as client,
        ):
            stream = client.begin(asked)
            client.send(stream, frame(LARGE, "gzip") * 20, end=True)
            await until(lambda: client.answer(stream).data == frame(b"400000"))
            decompressed = counted.counts.total()
            reads.set()
            await client.ended(stream)
        assert (decompressed, counted.counts.total()) == (1, 20)
