"""A server that does what a test says, on the `h2` package: what real servers do not do on demand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeAlias, cast

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.settings

HEAD = ((":status", "200"), ("content-type", "application/grpc"))
OK = (("grpc-status", "0"),)
ANSWER = b"\x00\x00\x00\x00\x02hi"

Script: TypeAlias = Callable[["Wire", int], None]
"""What is done when a request has come whole: the connection, and the stream."""


class Wire(asyncio.Protocol):
    """One connection. What `h2` would not send, `raw` does."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        config = h2.config.H2Configuration(
            client_side=False, header_encoding="utf-8", validate_outbound_headers=False
        )
        self.h2 = h2.connection.H2Connection(config)
        self.h2.local_settings = h2.settings.Settings(client=False, initial_values=peer.settings)
        self.headers: dict[int, list[tuple[str, str]]] = {}
        self.received: dict[int, int] = {}
        self.resets: dict[int, int] = {}
        self.windows: Callable[[], None] = lambda: None
        """What is done when there is more room to send."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Says its settings, unless it is one that says nothing."""
        self.transport = cast("asyncio.Transport", transport)
        self.peer.wires.append(self)
        self.h2.initiate_connection()
        if not self.peer.silent:
            self.flush()

    def data_received(self, data: bytes) -> None:
        """Lets the script answer."""
        self.peer.heard.set()
        for event in self.h2.receive_data(data):
            self._take(event)
        if not self.peer.silent:
            self.flush()

    def connection_lost(self, _error: Exception | None) -> None:
        """Is told of."""
        self.peer.lost.set()

    def _take(self, event: Any) -> None:
        match event:
            case h2.events.RequestReceived():
                self.headers[event.stream_id] = cast("list[tuple[str, str]]", event.headers)
                if self.peer.early:
                    self.peer.script(self, event.stream_id)
            case h2.events.DataReceived():
                self.received[event.stream_id] = self.received.get(event.stream_id, 0) + len(
                    event.data
                )
                if self.peer.reads:
                    self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            case h2.events.StreamEnded() if not self.peer.early:
                self.peer.script(self, event.stream_id)
            case h2.events.StreamReset():
                self.resets[event.stream_id] = event.error_code
                self.peer.reset.set()
            case h2.events.WindowUpdated():
                self.windows()
            case h2.events.PingReceived():
                self.peer.pinged.set()

    def flush(self) -> None:
        """Sends what is to be sent."""
        self.transport.write(self.h2.data_to_send())

    def raw(self, data: bytes) -> None:
        """Sends bytes, behind what is to be sent."""
        self.flush()
        self.transport.write(data)

    def answer(
        self, stream: int, data: bytes = ANSWER, head: Any = HEAD, trailers: Any = OK
    ) -> None:
        """Answers a call."""
        self.h2.send_headers(stream, head)
        if data:
            self.h2.send_data(stream, data)
        self.h2.send_headers(stream, trailers, end_stream=True)
        self.flush()

    def header(self, stream: int, name: str) -> str | None:
        """Returns a header of a request."""
        return dict(self.headers[stream]).get(name)


class Peer:
    """A server, and what it has seen."""

    def __init__(
        self,
        script: Script,
        *,
        settings: dict[Any, int] | None = None,
        early: bool = False,
        silent: bool = False,
        reads: bool = True,
    ) -> None:
        """Takes its script.

        Args:
            script: what it does when a request has come.
            settings: what it says in the first place.
            early: whether a request has come when its headers have.
            silent: whether it says nothing unless the script does.
            reads: whether it gives back windows.
        """
        self.script = script
        self.settings = settings or {}
        self.early = early
        self.silent = silent
        self.reads = reads
        self.wires: list[Wire] = []
        self.heard, self.lost = asyncio.Event(), asyncio.Event()
        self.reset, self.pinged = asyncio.Event(), asyncio.Event()
        self.port = 0

    @property
    def target(self) -> str:
        """Where it is."""
        return f"127.0.0.1:{self.port}"


@asynccontextmanager
async def running(peer: Peer, port: int = 0) -> AsyncIterator[Peer]:
    """Lets a server listen as long as the block."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Wire(peer), "127.0.0.1", port)
    peer.port = server.sockets[0].getsockname()[1]
    try:
        yield peer
    finally:
        server.close()
        for wire in peer.wires:
            wire.transport.abort()
        await server.wait_closed()


async def until(condition: Callable[[], bool]) -> None:
    """Waits for what nobody announces."""
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)
