"""How a server stops, and how its connections go: by GOAWAY in two phases, when calls have ended."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import Any

import grpc
import grpc.aio
import pytest

from grpc_wire.call.message import frame
from grpc_wire.call.status import OK
from grpc_wire.http2.connection import Connection, Role
from grpc_wire.http2.errors import ErrorCode
from grpc_wire.http2.limits import Limits
from grpc_wire.server import server
from tests.wire.server.stage import Stage, raw_client, refused, serving, unary, until

LARGEST_ID = 2**31 - 1


class Gate:
    """A servicer that answers when the gate is opened."""

    def __init__(self) -> None:
        self.started = asyncio.Event()
        self.open = asyncio.Event()
        self.cancelled = False

    async def wait(self, request: bytes, _context: Any) -> bytes:
        """Waits, and answers with the request."""
        self.started.set()
        try:
            await self.open.wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        return request

    def methods(self) -> dict[str, Any]:
        """Returns it by its name."""
        return {"Echo": unary(self.wait)}


async def test_calls_finish_within_the_grace(make: Any) -> None:
    """A call that is under way when the server stops is answered; a new one is not taken."""
    gate = Gate()
    async with serving(gate.methods(), make=make) as stage:
        call = asyncio.ensure_future(stage.call("Echo"))
        await gate.started.wait()
        stopping = asyncio.create_task(stage.server.stop(20))
        await asyncio.sleep(0)
        gate.open.set()
        assert await call == b"request"
        await stopping
        async with grpc.aio.insecure_channel(stage.address) as late:
            method: Any = late.unary_unary("/test.Service/Echo")
            code, _ = await refused(method(b""))
            assert code is grpc.StatusCode.UNAVAILABLE
        assert not await stage.server.wait_for_termination()


@pytest.mark.parametrize("grace", [None, 0, 0.1])
async def test_calls_are_cut_when_the_grace_is_over(make: Any, grace: float | None) -> None:
    """A call that does not finish in time is UNAVAILABLE; its servicer is cancelled before `stop` returns."""
    gate = Gate()
    async with serving(gate.methods(), make=make) as stage:
        call = stage.call("Echo")
        await gate.started.wait()
        await stage.server.stop(grace)
        assert await refused(call) == (grpc.StatusCode.UNAVAILABLE, "Cancelling all calls")
        await until(lambda: gate.cancelled)


async def test_a_second_stop_is_sooner(make: Any) -> None:
    """A stop without grace cuts what an earlier one still waits for; both return."""
    gate = Gate()
    async with serving(gate.methods(), make=make) as stage, asyncio.timeout(10):
        call = stage.call("Echo")
        await gate.started.wait()
        first = asyncio.create_task(stage.server.stop(1000))
        await asyncio.sleep(0.01)
        await stage.server.stop(None)
        await first
        assert (await refused(call))[0] is grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize("grace", [None, 0, 0.1])
async def test_a_servicer_that_stops_its_server(grace: float | None) -> None:
    """It is cut as all others are, and the server stops all the same; `grpc.aio`'s does so most times."""

    async def shut_down(request: bytes, _context: Any) -> bytes:
        await stage.server.stop(grace)
        return request

    async with serving({"ShutDown": unary(shut_down)}) as stage:
        code, _ = await refused(stage.call("ShutDown", timeout=10))
        assert code is grpc.StatusCode.UNAVAILABLE
        assert not await stage.server.wait_for_termination(10)


async def test_a_stop_that_nobody_waits_for(make: Any) -> None:
    """Who waits may be cancelled; calls have their grace, and the server stops."""
    gate = Gate()
    async with serving(gate.methods(), make=make) as stage:
        call = stage.call("Echo")
        await gate.started.wait()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(stage.server.stop(10), 0.1)
        gate.open.set()
        assert await call == b"request"
        assert not await stage.server.wait_for_termination(10)


async def test_wait_for_termination(make: Any) -> None:
    """It says whether the time was over before the server had stopped."""
    running = make(options=[("grpc.so_reuseport", 0)])
    running.add_insecure_port("127.0.0.1:0")
    await running.start()
    assert await running.wait_for_termination(0.01)
    waiting = asyncio.create_task(running.wait_for_termination())
    await running.stop(None)
    assert not await waiting


async def test_a_server_starts_once(make: Any) -> None:
    """A server that has stopped does not start again."""
    running = make(options=[("grpc.so_reuseport", 0)])
    running.add_insecure_port("127.0.0.1:0")
    await running.start()
    await running.stop(None)
    with pytest.raises(grpc.aio.UsageError):
        await running.start()


async def test_goaway_has_two_phases() -> None:
    """A request that was under way when GOAWAY came is still answered; one after the second is not taken."""
    gate = Gate()
    gate.open.set()
    async with serving(gate.methods()) as stage, raw_client(stage.address) as client:
        assert (await client.ask()).status[0] == OK
        blind = Blind(client)  # it has not seen what the server says
        stopping = asyncio.create_task(stage.server.stop(20))
        crossing = client.begin()
        client.send(crossing, frame(b"crossing"), end=True)
        blind.sees()
        answer = await client.ended(crossing)
        assert (answer.status[0], answer.data) == (OK, frame(b"crossing"))
        await stopping
        first, last = client.going
        assert (first.last_stream_id, first.code) == (LARGEST_ID, ErrorCode.NO_ERROR)
        assert (last.last_stream_id, last.code) == (crossing, ErrorCode.NO_ERROR)


class Blind:
    """A client that does not look at what comes, until it does."""

    def __init__(self, client: Any) -> None:
        self._client = client
        client._transport.pause_reading()

    def sees(self) -> None:
        """Lets it look."""
        self._client._transport.resume_reading()


async def test_a_connection_goes_for_its_age() -> None:
    """A connection that is old says so, lets its call finish, and closes; the client is served on another."""
    gate = Gate()
    age = [("grpc.max_connection_age_ms", 100)]
    async with serving(gate.methods(), options=age) as stage, raw_client(stage.address) as client:
        stream_id = client.begin()
        client.send(stream_id, frame(b"request"), end=True)
        await until(lambda: bool(client.going))
        gate.open.set()
        assert (await client.ended(stream_id)).status[0] == OK
        await until(lambda: client.closed)
        for _ in range(3):
            assert await stage.call("Echo") == b"request"
            await asyncio.sleep(0.05)


async def test_an_old_connection_is_cut_after_its_grace() -> None:
    """A call that does not finish in the grace of an old connection is lost, and its servicer cancelled."""
    gate = Gate()
    age = [("grpc.max_connection_age_ms", 50), ("grpc.max_connection_age_grace_ms", 50)]
    async with serving(gate.methods(), options=age) as stage, raw_client(stage.address) as client:
        client.send(client.begin(), frame(b"request"), end=True)
        await until(lambda: client.closed)
        await until(lambda: gate.cancelled)


async def test_a_connection_goes_when_it_is_idle() -> None:
    """A connection without streams for long is told to go; one with a stream stays."""
    gate = Gate()
    idle = [("grpc.max_connection_idle_ms", 100)]
    async with serving(gate.methods(), options=idle) as stage, raw_client(stage.address) as client:
        stream_id = client.begin()
        client.send(stream_id, frame(b"request"), end=True)
        await asyncio.sleep(0.3)
        assert not client.going
        gate.open.set()
        await client.ended(stream_id)
        await until(lambda: client.closed)
        assert len(client.going) == 2


async def test_a_client_that_does_not_answer_the_first_goaway() -> None:
    """A client that does not answer is not waited for: the last GOAWAY follows, and the connection closes."""
    running = server(options=[("grpc.so_reuseport", 0), ("grpc.max_connection_idle_ms", 50)])
    lifetimes = replace(running._options.lifetimes, goaway_timeout=0.05, close_timeout=0.05)
    running._options = replace(running._options, lifetimes=lifetimes)
    port = running.add_insecure_port("127.0.0.1:0")
    await running.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    deaf = Connection(Role.CLIENT, clock=time.monotonic)
    writer.write(deaf.take_output())
    await until_closed(reader)
    writer.close()
    await running.stop(None)


async def test_a_client_that_says_nothing_is_cut() -> None:
    """Whoever connects and does not speak HTTP/2 within the handshake's time is cut."""
    short = [("grpc.server_handshake_timeout_ms", 100)]
    async with serving({}, options=short) as stage:
        reader, writer = await asyncio.open_connection(*stage.address.split(":"))
        async with asyncio.timeout(10):
            while await reader.read(1000):
                pass
        writer.close()


async def test_a_client_that_is_gone_without_a_word() -> None:
    """A silent client is asked whether it is there; one that does not answer is given up, with its calls."""
    gate = Gate()
    keepalive = [("grpc.keepalive_time_ms", 50), ("grpc.keepalive_timeout_ms", 50)]
    async with serving(gate.methods(), options=keepalive) as stage:
        reader, writer = await asyncio.open_connection(*stage.address.split(":"))
        deaf = Connection(Role.CLIENT, clock=time.monotonic)
        deaf.open_stream(_request(), end_stream=False)
        writer.write(deaf.take_output())
        await until_closed(reader)
        writer.close()


async def until_closed(reader: asyncio.StreamReader) -> None:
    """Reads until the end; answers nothing."""
    async with asyncio.timeout(10):
        while await reader.read(65536):
            pass


def _request() -> Any:
    from tests.wire.server.stage import REQUEST

    return tuple(REQUEST.items())


async def test_a_client_that_answers_pings_stays() -> None:
    """A client that is silent and answers when it is asked keeps its connection."""
    gate = Gate()
    keepalive = [("grpc.keepalive_time_ms", 50), ("grpc.keepalive_timeout_ms", 400)]
    async with (
        serving(gate.methods(), options=keepalive) as stage,
        raw_client(stage.address) as client,
    ):
        stream_id = client.begin()
        client.send(stream_id, frame(b"request"), end=True)
        await asyncio.sleep(0.8)  # it would be given up in the meantime
        gate.open.set()
        assert (await client.ended(stream_id)).status[0] == OK


async def test_the_most_streams_of_a_connection() -> None:
    """A client of grpc.aio queues what is above the limit of streams, and is answered all."""
    gate = Gate()
    gate.open.set()
    few = [("grpc.max_concurrent_streams", 2)]
    async with serving(gate.methods(), options=few) as stage:
        calls = [stage.call("Echo", b"%d" % number) for number in range(20)]
        assert await asyncio.gather(*calls) == [b"%d" % number for number in range(20)]


async def test_the_most_calls_of_a_server(make: Any) -> None:
    """A call above `maximum_concurrent_rpcs` is RESOURCE_EXHAUSTED; when one has ended there is room."""
    gate = Gate()
    async with serving(gate.methods(), make=make, maximum_concurrent_rpcs=1) as stage:
        first = stage.call("Echo")
        await gate.started.wait()
        code, details = await refused(stage.call("Echo"))
        assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert details == "Concurrent RPC limit exceeded!"
        gate.open.set()
        await first
        async with asyncio.timeout(10):
            while (
                await _code(stage)
            ) is not grpc.StatusCode.OK:  # the first is counted a little longer
                pass


async def _code(stage: Stage) -> grpc.StatusCode:
    code: grpc.StatusCode = await stage.call("Echo").code()
    return code


async def test_a_flood_is_cut_and_the_others_stay() -> None:
    """A client that asks for pings without end is cut with ENHANCE_YOUR_CALM; another is answered."""
    gate = Gate()
    gate.open.set()
    patient = Limits(control_frames=1_000_000)
    async with serving(gate.methods()) as stage, raw_client(stage.address, patient) as client:
        for _ in range(Limits().control_frames + 10):
            client.connection.ping(b"12345678")
        client.flush()
        await until(lambda: client.closed)
        assert [each.code for each in client.going] == [ErrorCode.ENHANCE_YOUR_CALM]
        assert await stage.call("Echo") == b"request"


async def test_a_server_that_never_started() -> None:
    """A server that was made and not started stops, and leaves its address."""
    running = server(options=[("grpc.so_reuseport", 0)])
    port = running.add_insecure_port("127.0.0.1:0")
    await running.stop(None)
    again = server(options=[("grpc.so_reuseport", 0)])
    assert again.add_insecure_port(f"127.0.0.1:{port}") == port
    await again.stop(None)
