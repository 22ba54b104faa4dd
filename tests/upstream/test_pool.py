"""The connections to the upstream: how many there are, what they carry, and who waits for room.

The server is one that a test writes (`tests.wire.client.peer`), which counts connections and streams. It
answers a unary call when the test says so, or at once, and lets a streaming call stay open.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any

import h2.settings
import pytest
from h2.exceptions import StreamClosedError

from gateway.transcoding.status import (
    CANCELLED,
    DEADLINE_EXCEEDED,
    RESOURCE_EXHAUSTED,
    UNAVAILABLE,
    StatusError,
)
from gateway.upstream.grpcio import GrpcioUpstream
from gateway.upstream.options import UpstreamOptions
from gateway.upstream.pool_limits import PoolLimits
from gateway.upstream.port import Outcome, Response, Upstream
from gateway.upstream.transport import Name, make_upstream
from gateway.upstream.wire import WireUpstream
from gateway.upstream_settings import UpstreamSettings
from tests.upstream.conftest import METHODS
from tests.wire.client.peer import HEAD, Peer, Wire, until

MAX_CONCURRENT_STREAMS = h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS
UNARY, STREAM, UPLOAD, BIDI = (
    METHODS[name] for name in ("Unary", "HangStream", "ClientStream", "Bidi")
)
SECONDS = 20
"""What nothing here may take."""


class Server:
    """A server with a limit; unary calls are answered at once, unless they are held."""

    def __init__(self, limit: int) -> None:
        self.peer = Peer(self._begun, settings={MAX_CONCURRENT_STREAMS: limit}, early=True)
        self.hold = self.refusing = False
        self.held: list[tuple[Wire, int]] = []
        self.names: list[str | None] = []
        """The metadata `name` of the unary calls, as they came."""

    def _begun(self, wire: Wire, stream: int) -> None:
        with suppress(StreamClosedError):  # its end may have come with its begin
            self._take(wire, stream)

    def _take(self, wire: Wire, stream: int) -> None:
        if not (wire.header(stream, ":path") or "").endswith("/Unary"):
            wire.h2.send_headers(stream, HEAD)
            return
        self.names.append(wire.header(stream, "name"))
        if self.hold:
            self.held.append((wire, stream))
        else:
            wire.answer(stream)

    @asynccontextmanager
    async def running(self, port: int = 0) -> AsyncIterator[int]:
        """Listens as long as the block, which is given the port; then all connections are cut."""
        loop = asyncio.get_running_loop()
        listening = await loop.create_server(self._connection, "127.0.0.1", port)
        try:
            yield listening.sockets[0].getsockname()[1]
        finally:
            listening.close()
            for wire in self.peer.wires:
                wire.transport.abort()
            await listening.wait_closed()

    def _connection(self) -> asyncio.Protocol:
        return Closing() if self.refusing else Wire(self.peer)

    def answer(self) -> None:
        """Answers the oldest call that is held."""
        wire, stream = self.held.pop(0)
        wire.answer(stream)

    @property
    def connections(self) -> list[Wire]:
        """Those that are open."""
        return [wire for wire in self.peer.wires if not wire.transport.is_closing()]

    @property
    def streams(self) -> list[int]:
        """How many streams each of them has."""
        return [wire.h2.open_inbound_streams for wire in self.connections]


class Closing(asyncio.Protocol):
    """A connection that a server accepts, and closes before it has said a word."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Closes."""
        transport.close()


@asynccontextmanager
async def pooled(
    transport: Name, limit: int, **limits: Any
) -> AsyncIterator[tuple[Server, Upstream]]:
    """Runs a server, and opens an upstream to it."""
    server = Server(limit)
    async with (
        asyncio.timeout(SECONDS),
        server.running() as port,
        opened(transport, port, limit, **limits) as upstream,
    ):
        yield server, upstream


def opened(transport: Name, port: int, limit: int, **limits: Any) -> Upstream:
    """Returns an upstream; grpcio does not know what the server allows, so it is told."""
    if transport == "grpcio":
        limits.setdefault("streams_per_connection", limit)
    options = UpstreamOptions(
        f"127.0.0.1:{port}",
        max_message=1 << 20,
        connect_timeout=SECONDS,  # of server and client, one process, which may get no CPU for long
        pool=PoolLimits(**limits),
    )
    return make_upstream(transport, options)


async def silence() -> AsyncIterator[bytes]:
    """Is an upload of which nothing comes."""
    await asyncio.Event().wait()
    yield b""


async def begin(stack: AsyncExitStack, upstream: Upstream, method: Any = STREAM) -> None:
    """Opens a stream that stays open as long as the stack, and waits until the server has it."""
    requests = silence() if method.stream_type.client else b""
    call = await stack.enter_async_context(upstream.open(method, requests))
    await call.initial_metadata()


async def unary(
    upstream: Upstream,
    name: str = "",
    timeout: float | None = SECONDS,  # noqa: ASYNC109 - it is the call's
) -> bytes:
    """Makes a unary call."""
    async with upstream.open(
        UNARY, b"", metadata=(("name", name),) if name else (), timeout=timeout
    ) as call:
        return await anext(call)


def ask(upstream: Upstream, name: str = "", timeout: float | None = SECONDS) -> asyncio.Future[Any]:
    """Makes a unary call by the other door; cancelling the future cancels it."""
    ended: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    def told(outcome: Outcome) -> None:
        if ended.done():
            return
        if isinstance(outcome, Response):
            ended.set_result(outcome.message)
        else:
            ended.set_exception(outcome)

    cancel = upstream.start_unary(
        UNARY, b"", told, metadata=(("name", name),) if name else (), timeout=timeout
    )
    ended.add_done_callback(lambda future: cancel() if future.cancelled() else None)
    return ended


@pytest.fixture(params=["open", "ask"])
def calling(request: pytest.FixtureRequest) -> Callable[..., asyncio.Future[Any]]:
    """Each way to make a unary call."""
    if request.param == "ask":
        return ask
    return lambda *arguments, **more: asyncio.ensure_future(unary(*arguments, **more))


@pytest.mark.parametrize("method", [STREAM, UPLOAD, BIDI])
async def test_streams_beyond_a_connections_limit_open_another(
    transport: Name, method: Any
) -> None:
    """Three times as many as the server allows on one; each connection stays within the limit."""
    async with pooled(transport, 10) as (server, upstream), AsyncExitStack() as stack:
        for _ in range(30):
            await begin(stack, upstream, method)
        assert await unary(upstream) == b"hi"

        assert sum(server.streams) == 30
        assert max(server.streams) <= 10


@pytest.mark.parametrize("limit", [1, 10, 100])
async def test_many_at_once_on_an_upstream_that_is_cold(transport: Name, limit: int) -> None:
    """They wait until the limit is known, and for the connections that it makes necessary."""
    count = 2 * limit + 1
    async with pooled(transport, limit) as (server, upstream), AsyncExitStack() as stack:
        await asyncio.gather(*(begin(stack, upstream) for _ in range(count)))
        assert await unary(upstream) == b"hi"

        assert sum(server.streams) == count
        assert max(server.streams) <= limit


async def test_another_connection_is_opened_before_the_limit_is_near(transport: Name) -> None:
    """Nobody waits for it: it is there when four fifths of the first are taken."""
    async with pooled(transport, 10) as (server, upstream), AsyncExitStack() as stack:
        for _ in range(7):
            await begin(stack, upstream)
        assert len(server.connections) == 1

        await begin(stack, upstream)
        await until(lambda: len(server.connections) == 2)


async def test_a_server_that_is_slow_to_begin_is_waited_for(transport: Name) -> None:
    """As long as an entry of `upstreams` waits by default: a server may be busy, or far away."""
    slow = UpstreamSettings.model_fields["connect_timeout_seconds"].default / 2
    server = Server(10)
    server.peer.silent = True
    async with asyncio.timeout(SECONDS), server.running() as port:
        options = UpstreamOptions(f"127.0.0.1:{port}", max_message=1 << 20)
        async with make_upstream(transport, options) as upstream:
            call = ask(upstream)
            await until(lambda: bool(server.peer.wires))
            await asyncio.sleep(slow)
            server.peer.silent = False
            server.peer.wires[0].flush()

            assert await call == b"hi"
    assert len(server.peer.wires) == 1


@pytest.mark.parametrize("method", [STREAM, UPLOAD, BIDI])
async def test_streams_beyond_all_connections_are_refused_at_once(
    transport: Name, method: Any, calling: Callable[..., asyncio.Future[Any]]
) -> None:
    """With a status that says so; the last part of the streams is left to unary calls."""
    async with (
        pooled(transport, 10, max_connections=2) as (server, upstream),
        AsyncExitStack() as stack,
    ):
        for _ in range(18):
            await begin(stack, upstream, method)
        with pytest.raises(StatusError) as caught:
            await begin(stack, upstream, method)

        error = caught.value
        assert (error.code, error.http_status) == (RESOURCE_EXHAUSTED, 503)
        assert "18" in error.status.message
        server.hold = True
        calls = [calling(upstream) for _ in range(2)]
        await until(lambda: len(server.held) == 2)
        server.answer()
        server.answer()
        assert {await call for call in calls} == {b"hi"}
        assert sum(server.streams) == 18

        await stack.aclose()
        await begin(stack, upstream, method)


async def test_the_reserve_is_what_the_operator_says(transport: Name) -> None:
    """Half of ten is left to unary calls; with none left, streams take all."""
    for reserve, most in ((0.5, 5), (0.0, 10), (0.99, 1)):
        async with (
            pooled(transport, 10, max_connections=1, unary_reserve=reserve) as (_, upstream),
            AsyncExitStack() as stack,
        ):
            for _ in range(most):
                await begin(stack, upstream)
            with pytest.raises(StatusError):
                await begin(stack, upstream)


async def test_the_reserve_outlives_a_connection(transport: Name) -> None:
    """Of two connections one is lost, and cannot be made again: the other still has room for unary calls."""
    async with (
        pooled(transport, 10, max_connections=2) as (server, upstream),
        AsyncExitStack() as stack,
    ):
        for _ in range(18):
            await begin(stack, upstream)
        server.refusing = True
        server.peer.wires[0].transport.abort()
        await until(lambda: taken(upstream) == 9)
        for _ in range(10):
            assert await unary(upstream) == b"hi"
        with pytest.raises(StatusError) as caught:
            await begin(stack, upstream)
        assert caught.value.code == UNAVAILABLE


async def test_calls_that_wait_are_served_in_their_order(
    transport: Name, calling: Callable[..., asyncio.Future[Any]]
) -> None:
    """First come, first served, though one that comes later might find room at once."""
    names = [f"n{number}" for number in range(12)]
    async with pooled(transport, 1, max_connections=1) as (server, upstream):
        await unary(upstream)
        server.hold, server.names = True, []
        calls = []
        for name in names:
            calls.append(calling(upstream, name))
            await asyncio.sleep(0)
        for number in range(len(names)):
            await until(lambda: bool(server.held))
            assert server.names == names[: number + 1]
            server.answer()

        assert await asyncio.gather(*calls) == [b"hi"] * len(names)
    assert server.names == names


async def test_a_call_that_waits_keeps_its_deadline(
    transport: Name, calling: Callable[..., asyncio.Future[Any]]
) -> None:
    """It ends when it is due; the one behind it takes its place, and has what is left of its time."""
    async with pooled(transport, 1, max_connections=1) as (server, upstream):
        await unary(upstream)
        server.hold = True
        first = calling(upstream, "first")
        await until(lambda: bool(server.held))
        late, other = calling(upstream, "late", timeout=0.1), calling(upstream, "other", timeout=9)
        with pytest.raises(StatusError) as caught:
            await late
        assert caught.value.code == DEADLINE_EXCEEDED

        server.answer()
        await until(lambda: bool(server.held))
        wire, stream = server.held[0]
        assert 0 < grpc_timeout(wire.header(stream, "grpc-timeout")) < 9
        server.answer()
        assert {await first, await other} == {b"hi"}
    assert "late" not in server.names


def grpc_timeout(text: str | None) -> float:
    """Reads what `grpc-timeout` says, in seconds."""
    assert text is not None
    units = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}
    return int(text[:-1]) * units[text[-1]]


async def test_a_call_that_is_cancelled_leaves_the_queue(
    transport: Name, calling: Callable[..., asyncio.Future[Any]]
) -> None:
    """Before its turn, and in the moment of its turn; its place is another's."""
    async with pooled(transport, 1, max_connections=1) as (server, upstream):
        await unary(upstream)
        server.hold, server.names = True, []
        calls = [calling(upstream, f"n{number}") for number in range(4)]
        await until(lambda: bool(server.held))
        calls[1].cancel()
        await asyncio.sleep(0)
        server.answer()
        await calls[0]
        calls[2].cancel()  # whose turn may have come, but who has not begun
        server.hold = False
        while not calls[3].done():
            while server.held:
                wire, stream = server.held.pop()
                with suppress(StreamClosedError):
                    wire.answer(stream)
            await asyncio.sleep(0.005)

        assert await calls[3] == b"hi"
        assert await unary(upstream) == b"hi"
        assert "n1" not in server.names


async def test_unused_connections_are_closed(transport: Name) -> None:
    """When nobody has used them for as long as the setting says; the first stays."""
    async with (
        pooled(transport, 2, idle=0.2) as (server, upstream),
        AsyncExitStack() as stack,
    ):
        for _ in range(8):
            await begin(stack, upstream)
        assert len(server.connections) > 4

        await stack.aclose()
        gc.collect()  # grpcio's calls are in cycles, and keep what they were made on
        await until(lambda: len(server.connections) < 4)
        first = server.peer.wires[0]
        await asyncio.sleep(0.4)
        assert first in server.connections
        assert await unary(upstream) == b"hi"


async def test_a_connection_that_is_used_is_not_closed(transport: Name) -> None:
    """Though only one stream of it is, and nothing comes on it."""
    async with (
        pooled(transport, 10, idle=0.1) as (server, upstream),
        AsyncExitStack() as stack,
    ):
        async with AsyncExitStack() as others:
            for _ in range(10):
                await begin(others, upstream)
            await begin(stack, upstream)
        await asyncio.sleep(0.5)

        assert sum(server.streams) == 1


async def test_the_least_connections_share_the_calls(transport: Name) -> None:
    """Which is what makes several processes of the server useful; they stay when nobody calls."""
    async with pooled(transport, 100, min_connections=4, idle=0.1) as (server, upstream):
        await unary(upstream)
        await until(lambda: limits_of(upstream) == [100] * 4)
        before = [len(wire.headers) for wire in server.peer.wires]
        await asyncio.gather(*(unary(upstream) for _ in range(40)))
        after = [len(wire.headers) for wire in server.peer.wires]
        assert [new - old for new, old in zip(after, before, strict=True)] == [10] * 4

        await asyncio.sleep(0.4)
        assert len(server.connections) == len(server.peer.wires) == 4


async def test_a_server_that_allows_more_than_before() -> None:
    """Those who wait are let in, on the connection that is there."""
    async with pooled("wire", 1, max_connections=1) as (server, upstream):
        await unary(upstream)
        server.hold = True
        calls = [ask(upstream) for _ in range(5)]
        await until(lambda: len(server.held) == 1)
        allow(server, 100)
        await until(lambda: len(server.held) == 5)
        for _ in calls:
            server.answer()

        assert await asyncio.gather(*calls) == [b"hi"] * 5


async def test_a_server_that_allows_less_than_before() -> None:
    """What is open stays so; the new limit is kept, and beyond it streams are refused."""
    async with (
        pooled("wire", 100, max_connections=1) as (server, upstream),
        AsyncExitStack() as stack,
    ):
        for _ in range(50):
            await begin(stack, upstream)
        allow(server, 20)
        await until(lambda: limits_of(upstream) == [20])
        with pytest.raises(StatusError) as refused:
            await begin(stack, upstream)
        assert refused.value.code == RESOURCE_EXHAUSTED
        with pytest.raises(StatusError) as caught:
            await unary(upstream, timeout=0.1)
        assert caught.value.code == DEADLINE_EXCEEDED


def allow(server: Server, limit: int) -> None:
    """Lets the server say another limit, on its first connection."""
    wire = server.peer.wires[0]
    wire.h2.update_settings({MAX_CONCURRENT_STREAMS: limit})
    wire.flush()


async def test_a_server_that_allows_nothing() -> None:
    """Streams are refused, unary calls wait until their deadline; more connections would be in vain."""
    async with pooled("wire", 0) as (server, upstream), AsyncExitStack() as stack:
        with pytest.raises(StatusError) as refused:
            await begin(stack, upstream)
        with pytest.raises(StatusError) as late:
            await unary(upstream, timeout=0.1)

        assert (refused.value.code, refused.value.http_status) == (RESOURCE_EXHAUSTED, 503)
        assert late.value.code == DEADLINE_EXCEEDED
        assert len(server.peer.wires) == 1


async def test_a_connection_whose_server_goes_away_finishes_its_calls(transport: Name) -> None:
    """Another takes its place, with all its room; what drains is closed when its last call has ended."""
    async with (
        pooled(transport, 10, max_connections=1) as (server, upstream),
        AsyncExitStack() as stack,
    ):
        async with AsyncExitStack() as old:
            for _ in range(9):
                await begin(old, upstream)
            server.peer.wires[0].h2.close_connection(last_stream_id=2**31 - 1)
            server.peer.wires[0].flush()

            await until(lambda: not taken(upstream))
            for _ in range(9):
                await begin(stack, upstream)
            assert await unary(upstream) == b"hi"
            assert server.streams == [9, 9]

        await until(lambda: len(server.connections) == 1)
        assert server.streams == [9]


def limits_of(upstream: Upstream) -> list[int]:
    """Returns how many calls each connection takes."""
    assert isinstance(upstream, WireUpstream | GrpcioUpstream)
    assert upstream._pool is not None
    return [one.limit for one in upstream._pool._channels]


def taken(upstream: Upstream) -> int:
    """Returns how many calls the connections have that take new ones."""
    assert isinstance(upstream, WireUpstream | GrpcioUpstream)
    assert upstream._pool is not None
    return upstream._pool._calls


async def test_a_connection_that_cannot_be_made_swallows_no_call(transport: Name) -> None:
    """Where the server takes one connection alone, that one serves; streams beyond it are refused."""
    async with pooled(transport, 10) as (server, upstream), AsyncExitStack() as stack:
        await unary(upstream)
        server.refusing = True
        for _ in range(9):
            await begin(stack, upstream)
        with pytest.raises(StatusError) as caught:
            await begin(stack, upstream)
        error = caught.value
        assert (error.code, error.http_status) == (UNAVAILABLE, 503)
        assert error.status.message.endswith("(9), and no other connection can be made")
        for _ in range(20):
            assert await unary(upstream) == b"hi"

        assert server.streams == [9]


async def test_a_connection_that_is_lost_costs_only_its_own_calls(transport: Name) -> None:
    """Those on others go on, and new ones find room."""
    async with pooled(transport, 10) as (server, upstream), AsyncExitStack() as stack:
        for _ in range(15):
            await begin(stack, upstream)
        server.peer.wires[0].transport.abort()
        await until(lambda: taken(upstream) < 10)
        for _ in range(15):
            await begin(stack, upstream)
        assert await unary(upstream) == b"hi"

        assert max(server.streams) <= 10


async def test_a_server_that_is_gone_fails_calls_at_once_and_serves_when_it_is_back(
    transport: Name, calling: Callable[..., asyncio.Future[Any]]
) -> None:
    """Nobody waits for what is likely to fail, be it a stream or not; the server is found again by itself."""
    server = Server(10)
    async with asyncio.timeout(SECONDS), AsyncExitStack() as stack:
        listening = await stack.enter_async_context(AsyncExitStack())
        port = await listening.enter_async_context(server.running())
        upstream = await stack.enter_async_context(opened(transport, port, 10))
        for _ in range(15):
            await begin(stack, upstream)
        await listening.aclose()
        await until(lambda: not taken(upstream))
        for call in (calling(upstream), reading(upstream), calling(upstream), reading(upstream)):
            with pytest.raises(StatusError) as caught:
                await call
            assert caught.value.code == UNAVAILABLE

        await stack.enter_async_context(server.running(port))
        while True:
            with suppress(StatusError):
                assert await calling(upstream) == b"hi"
                break
            await asyncio.sleep(0.01)
        for _ in range(15):
            await begin(stack, upstream)
        assert sum(server.streams) == 15


def reading(upstream: Upstream) -> asyncio.Future[bytes]:
    """Makes a streaming call, and waits for its first message."""

    async def read() -> bytes:
        async with upstream.open(STREAM, b"") as call:
            return await anext(call)

    return asyncio.ensure_future(read())


async def test_an_upstream_that_closes_lets_nobody_wait(
    transport: Name, calling: Callable[..., asyncio.Future[Any]]
) -> None:
    """Calls that wait for a connection end with it."""
    async with pooled(transport, 1, max_connections=1) as (server, upstream):
        await unary(upstream)
        server.hold = True
        calls = [calling(upstream) for _ in range(2)]
        await until(lambda: bool(server.held))
    with pytest.raises(StatusError) as caught:
        await calls[1]

    assert caught.value.code == CANCELLED
    with suppress(StatusError, asyncio.CancelledError):
        await calls[0]
