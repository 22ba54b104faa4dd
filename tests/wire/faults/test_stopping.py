"""A server that stops while something else is under way."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import grpc
import pytest

from grpc_wire.server import server
from tests.wire.faults.scene import METHODS, serving
from tests.wire.server.stage import SERVICE, RawClient, raw_client, unary, until
from tests.wire.tls import Tls

pytestmark = pytest.mark.asyncio(loop_scope="module")
FRAMED = b"\x00\x00\x00\x00\x02hi"


@pytest.mark.parametrize("turns", range(6))
async def test_stop_during_start(turns: int) -> None:
    """Whichever turn of the loop it comes in, nobody is answered afterwards, and both return."""
    running = server()
    running.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, METHODS),))
    ports = [running.add_insecure_port("127.0.0.1:0") for _ in range(2)]
    starting = asyncio.create_task(running.start())
    for _ in range(turns):
        await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await running.stop(None)
        await asyncio.gather(starting, return_exceptions=True)
        assert await running.wait_for_termination(5) is False
    for port in ports:
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)


@pytest.mark.parametrize("grace", [None, 0.05])
async def test_requests_that_come_when_all_are_cut(grace: float | None) -> None:
    """A client that does not answer the first GOAWAY, and asks on, does not keep the server from stopping.

    What it asks after the cut is refused as not processed, so that it may be tried elsewhere.
    """
    late: list[int] = []
    begun = asyncio.Event()

    async def stubborn(_request: bytes, _context: Any) -> bytes:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:  # the one moment between the cut and the end
            if not late:
                late.append(client.begin({b":path": f"/{SERVICE}/Wait".encode()}))
                client.send(late[0], FRAMED, end=True)
                await asyncio.sleep(0.1)
        raise AssertionError

    async with serving({**METHODS, "Stubborn": unary(stubborn)}) as (running, address):
        loop = asyncio.get_running_loop()
        host, port = address.split(":")
        _, client = await loop.create_connection(_Mute, host, int(port))
        first = client.begin({b":path": f"/{SERVICE}/Stubborn".encode()})
        client.send(first, FRAMED, end=True)
        await begun.wait()
        async with asyncio.timeout(5):
            await running.stop(grace)
        await until(lambda: client.closed)
        assert late
        assert client.answer(late[0]).reset in (None, 7)
        assert client.answer(late[0]).head == {}


class _Mute(RawClient):
    """It never says that it has seen a ping, and is deaf to GOAWAY."""

    def data_received(self, data: bytes) -> None:
        """Takes all but GOAWAY to heart."""
        super().data_received(data)
        self.connection._streams.closing = False

    def flush(self) -> None:
        """Sends all but acknowledgements of pings."""
        while self.connection.has_output:
            out = self.connection.take_output()
            at = out.find(b"\x00\x00\x08\x06\x01\x00\x00\x00\x00")
            self._transport.write(out if at < 0 else out[:at] + out[at + 17 :])


async def test_answers_that_are_still_being_read(
    monkeypatch: pytest.MonkeyPatch, tls: Tls | None
) -> None:
    """A graceful stop waits, within the grace, until clients have read what was answered.

    The servicer has returned long before: 60 kB of its answer wait for the client's window.
    """
    monkeypatch.setattr("grpc_wire.server.aio_server._CLOSING", 0.1)
    big = b"x" * 120_000

    async def answer(_request: bytes, _context: Any) -> bytes:
        return big

    async with (
        serving({"Big": unary(answer)}, tls=tls) as (running, address),
        raw_client(address, tls=tls) as client,
    ):
        client.reads = False
        stream = client.begin({b":path": f"/{SERVICE}/Big".encode()})
        client.send(stream, FRAMED, end=True)
        await until(lambda: len(client.answer(stream).data) >= 65535)
        await until(lambda: not running._calls)
        stopping = asyncio.create_task(running.stop(10))
        await until(lambda: bool(client.going))
        await asyncio.sleep(0.3)  # more than clients have to close idle connections
        assert not client.closed
        client.reads = True
        client.connection.consumed(stream, len(client.answer(stream).data))
        client.flush()
        answered = await client.ended(stream)
        client.close()
        assert answered.data == b"\x00" + len(big).to_bytes(4) + big
        assert answered.status == (0, "")
        async with asyncio.timeout(5):
            await stopping


@pytest.mark.parametrize("speaks", [False, True])
async def test_last_words_to_who_reads_late(speaks: bool, tls: Tls | None) -> None:
    """What was answered, and GOAWAY, reach a client that reads when the server has closed.

    It may still have said something meanwhile, which the server did not ask for any more.
    """
    answers = 20

    async def answer(_request: bytes, _context: Any) -> bytes:
        return b"x" * 60_000

    methods = {"Big": unary(answer)}
    async with (
        serving(methods, tls=tls) as (running, address),
        raw_client(address, tls=tls) as client,
    ):
        await until(lambda: client.connection.settings_acknowledged)
        client.reads = False
        client.pause()
        streams = [client.begin({b":path": f"/{SERVICE}/Big".encode()}) for _ in range(answers)]
        for stream in streams:
            client.send(stream, FRAMED, end=True)
        (transport,) = running._transports
        await until(lambda: transport.connection._streams.last_from_peer == streams[-1])
        await until(lambda: not transport.stream_count)
        stopping = asyncio.create_task(running.stop(None))
        await until(lambda: transport.writer.closed)
        for _ in range(10):
            if speaks:
                client.connection.ping(b"hear me!")
                client.flush()
            await asyncio.sleep(0.01)
        client.resume()
        for stream in streams:
            answered = await client.ended(stream)
            assert answered.status == (0, "")
            assert len(answered.data) == 60_005
        await until(lambda: bool(client.going))
        client.close()
        async with asyncio.timeout(5):
            await stopping


async def test_connections_of_the_last_moment() -> None:
    """Who was let in by the kernel as the server stopped is closed as well, and never answered."""
    async with serving() as (running, address):
        host, port = address.split(":")
        sockets = [socket.create_connection((host, int(port))) for _ in range(3)]
        await asyncio.sleep(0)
        async with asyncio.timeout(5):
            await running.stop(None)
        assert running._transports == set()
        loop = asyncio.get_running_loop()
        for each in sockets:
            with each:
                each.setblocking(False)
                async with asyncio.timeout(5):
                    try:
                        while await loop.sock_recv(each, 1000):
                            pass
                    except ConnectionResetError:
                        pass


async def test_many_who_come_at_once() -> None:
    """More clients than asyncio's own backlog (100) can connect while the loop is busy."""
    async with serving() as (_, address):
        host, port = address.split(":")
        sockets = [socket.socket() for _ in range(300)]
        for each in sockets:
            each.setblocking(False)
            with pytest.raises(BlockingIOError):
                each.connect((host, int(port)))
        # the loop has had no turn since; the kernel alone has answered
        connected = [_connected(each) for each in sockets]
        for each in sockets:
            each.close()
        assert all(connected)


def _connected(each: socket.socket) -> bool:
    try:
        each.getpeername()
    except OSError:
        return False
    return True
