"""A server with methods on bytes, a client of `grpc.aio`, and a client that says what it likes."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import grpc
import grpc.aio

from grpc_wire.call.message import frame
from grpc_wire.headers.section import Headers
from grpc_wire.http2.connection import Connection, Role
from grpc_wire.http2.events import (
    ConnectionEvent,
    ConnectionFailed,
    DataReceived,
    GoAwayReceived,
    HeadersReceived,
    StreamReset,
)
from grpc_wire.http2.limits import DEFAULT, Limits
from grpc_wire.server import server
from tests.wire.driving import heard
from tests.wire.tls import Tls

SERVICE = "test.Service"
MAKERS = {"grpcio": grpc.aio.server, "wire": server}

unary: Any = grpc.unary_unary_rpc_method_handler
answering: Any = grpc.unary_stream_rpc_method_handler
taking: Any = grpc.stream_unary_rpc_method_handler
both_ways: Any = grpc.stream_stream_rpc_method_handler


@dataclass(frozen=True)
class Stage:
    """A running server, and a client of it."""

    server: Any
    channel: Any
    address: str

    def call(self, name: str, request: bytes = b"request", **arguments: Any) -> Any:
        """Begins a call of one request and one response."""
        return self.channel.unary_unary(f"/{SERVICE}/{name}")(request, **arguments)

    def stream(self, name: str, request: bytes = b"request", **arguments: Any) -> Any:
        """Begins a call of one request and many responses."""
        return self.channel.unary_stream(f"/{SERVICE}/{name}")(request, **arguments)

    def upload(self, name: str, requests: Any = None, **arguments: Any) -> Any:
        """Begins a call of many requests and one response."""
        return self.channel.stream_unary(f"/{SERVICE}/{name}")(requests, **arguments)

    def talk(self, name: str, requests: Any = None, **arguments: Any) -> Any:
        """Begins a call of many requests and many responses."""
        return self.channel.stream_stream(f"/{SERVICE}/{name}")(requests, **arguments)


@asynccontextmanager
async def serving(
    methods: dict[str, Any],
    *,
    make: Callable[..., Any] = server,
    options: Iterable[tuple[str, Any]] = (),
    client: Iterable[tuple[str, Any]] = (),
    **arguments: Any,
) -> AsyncIterator[Stage]:
    """Runs a server with these methods until the block is left."""
    running = make(options=[("grpc.so_reuseport", 0), *options], **arguments)
    running.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, methods),))
    address = f"127.0.0.1:{running.add_insecure_port('127.0.0.1:0')}"
    await running.start()
    try:
        own = ("grpc.use_local_subchannel_pool", 1)  # no connection of another test
        async with grpc.aio.insecure_channel(address, options=[own, *client]) as channel:
            yield Stage(running, channel, address)
    finally:
        await running.stop(None)


async def each(requests: Iterable[bytes]) -> AsyncGenerator[bytes]:
    """Yields requests as a client streams them."""
    for request in requests:
        yield request


async def refused(call: Any) -> tuple[grpc.StatusCode, str]:
    """Returns the status of a call that must fail."""
    try:
        if hasattr(call, "__aiter__"):
            async for _ in call:
                pass
        else:
            await call
    except grpc.aio.AioRpcError as error:
        return error.code(), error.details() or ""
    raise AssertionError("the call did not fail")


async def until(condition: Callable[[], bool]) -> None:
    """Waits for something to become true."""
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.002)


REQUEST = {
    b":method": b"POST",
    b":scheme": b"http",
    b":path": f"/{SERVICE}/Echo".encode(),
    b":authority": b"test",
    b"te": b"trailers",
    b"content-type": b"application/grpc",
}


@dataclass
class Answer:
    """What came on one stream."""

    head: dict[str, str] = field(default_factory=dict)
    trailers: dict[str, str] = field(default_factory=dict)
    data: bytes = b""
    reset: int | None = None
    ended: bool = False

    @property
    def status(self) -> tuple[int, str]:
        """The status and its message, wherever they stand."""
        found = self.trailers or self.head
        return int(found["grpc-status"]), found.get("grpc-message", "")


class RawClient(asyncio.Protocol):
    """A client on the frames of HTTP/2: it asks what no client of gRPC would.

    Attributes:
        connection: its state; `flush` sends what was said to it.
        reads: whether it says that it has read what came.
        closed: whether the server has closed.
    """

    def __init__(self, limits: Limits = DEFAULT) -> None:
        self.connection = Connection(
            Role.CLIENT, replace(limits, early_resets=2**31), clock=time.monotonic
        )
        self.reads = True
        self.closed = False
        self.going: list[GoAwayReceived] = []
        self.failed: list[ConnectionFailed] = []
        self._answers: dict[int, Answer] = {}
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Says hello."""
        self._transport = transport
        self.flush()

    def data_received(self, data: bytes) -> None:
        """Keeps what came."""
        for event in heard(self.connection, data):
            self._take(event)
        self.flush()

    def _take(self, event: ConnectionEvent) -> None:
        match event:
            case HeadersReceived():
                answer = self._answers[event.stream_id]
                if event.is_trailers:
                    answer.trailers = _decoded(event.headers)
                else:
                    answer.head = _decoded(event.headers)
                self._take_more(event)
            case DataReceived():
                self._take_more(event)
            case StreamReset():
                self._answers[event.stream_id].reset = event.code
            case GoAwayReceived():
                self.going.append(event)
            case ConnectionFailed():
                self.failed.append(event)

    def _take_more(self, event: HeadersReceived | DataReceived) -> None:
        answer = self._answers[event.stream_id]
        answer.data += event.data
        if self.reads and event.data:
            self.connection.consumed(event.stream_id, len(event.data))
        if event.trailers is not None:
            answer.trailers = _decoded(event.trailers)
        answer.ended = event.end_stream

    def connection_lost(self, exc: Exception | None) -> None:
        """Knows that it is over."""
        self.closed = True

    def flush(self) -> None:
        """Sends what is to be sent."""
        while self.connection.has_output:
            self._transport.write(self.connection.take_output())

    def begin(
        self, changes: Mapping[bytes, bytes | None] | None = None, *, end: bool = False
    ) -> int:
        """Sends the head of a request, `REQUEST` with changes; returns its stream."""
        stream_id = self._open(changes, end=end)
        self.flush()
        return stream_id

    def _open(self, changes: Mapping[bytes, bytes | None] | None, *, end: bool) -> int:
        wanted = {**REQUEST, **(changes or {})}
        headers: Headers = tuple(
            (name, value) for name, value in wanted.items() if value is not None
        )
        stream_id = self.connection.open_stream(headers, end_stream=end)
        self._answers[stream_id] = Answer()
        return stream_id

    def begin_together(
        self, requests: Iterable[Mapping[bytes, bytes | None]], data: bytes
    ) -> list[int]:
        """Sends whole requests in one write, `REQUEST` with changes for each; returns their streams."""
        streams = []
        for changes in requests:
            streams.append(self._open(changes, end=False))
            self.connection.send_data(streams[-1], data, end_stream=True)
        self.flush()
        return streams

    def send(self, stream_id: int, data: bytes, *, end: bool = False) -> None:
        """Sends bytes."""
        self.connection.send_data(stream_id, data, end_stream=end)
        self.flush()

    def close(self) -> None:
        """Goes without a word."""
        self._transport.abort()

    def pause(self) -> None:
        """Reads nothing more from the socket."""
        self._transport.pause_reading()

    def resume(self) -> None:
        """Reads on."""
        self._transport.resume_reading()

    def consume(self) -> None:
        """Says that it has read all that has come."""
        for stream_id, answer in self._answers.items():
            self.connection.consumed(stream_id, len(answer.data))
        self.flush()

    def answer(self, stream_id: int) -> Answer:
        """Returns what has come on a stream so far."""
        return self._answers[stream_id]

    async def ended(self, stream_id: int) -> Answer:
        """Waits for the end of a stream."""
        answer = self._answers[stream_id]
        await until(lambda: answer.ended or answer.reset is not None or self.closed)
        return answer

    async def ask(
        self, changes: Mapping[bytes, bytes | None] | None = None, data: bytes | None = None
    ) -> Answer:
        """Sends a whole request, and returns its answer."""
        stream_id = self.begin(changes)
        self.send(stream_id, frame(b"request") if data is None else data, end=True)
        return await self.ended(stream_id)


def _decoded(headers: Headers) -> dict[str, str]:
    return {name.decode(): value.decode() for name, value in headers}


@asynccontextmanager
async def raw_client(
    address: str, limits: Limits = DEFAULT, *, tls: Tls | None = None, narrow: bool = False
) -> AsyncIterator[RawClient]:
    """Connects a client that says what it likes; if it is narrow, its system takes hardly anything for it."""
    host, port = address.rsplit(":", 1)
    loop = asyncio.get_running_loop()
    connected = socket.socket()
    if narrow:
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connected.setblocking(False)
    secured: dict[str, Any] = {} if tls is None else {"ssl": tls.channel(), "server_hostname": host}
    try:
        await loop.sock_connect(connected, (host, int(port)))
        _, client = await loop.create_connection(
            lambda: RawClient(limits), sock=connected, **secured
        )
    except BaseException:
        connected.close()
        raise
    try:
        yield client
    finally:
        client.close()
        await until(lambda: client.closed)
