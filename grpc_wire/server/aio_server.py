"""The server: the double of `grpc.aio.server`.

Rule: the order of starting and of stopping stands here. Stopping means: accept no connections; send GOAWAY,
twice; let calls finish until the grace is over; cut the others; wait until the last servicer has returned.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor
from enum import Enum, auto
from typing import Any

import grpc
import grpc.aio

from grpc_wire.call.request import (
    MIN_RESPONSE_HEADERS,
    Refusal,
    header_list_refusal,
    read_request,
)
from grpc_wire.http2.connection import Role
from grpc_wire.http2.errors import ErrorCode
from grpc_wire.http2.events import GoAwayReceived, HeadersReceived, RequestTooLarge
from grpc_wire.server.call import ServerCall
from grpc_wire.server.listener import Listener
from grpc_wire.server.methods import Methods
from grpc_wire.server.options import server_options
from grpc_wire.server.serving import serve
from grpc_wire.transport.deadlines import Deadlines
from grpc_wire.transport.transport import Transport

_log = logging.getLogger(__name__)

_CLOSING = 1.0
"""Seconds that clients have to close connections without open calls."""

_STOPPED = "the server has stopped"


class _State(Enum):
    READY = auto()
    RUNNING = auto()
    STOPPING = auto()
    STOPPED = auto()


class Server(grpc.aio.Server):
    """Serves RPCs."""

    def __init__(
        self,
        *,
        methods: Methods,
        options: Sequence[tuple[str, Any]] = (),
        maximum_concurrent_rpcs: int | None = None,
        compression: grpc.Compression | None = None,
    ) -> None:
        self._methods = methods
        self._options = server_options(options)
        self._message_limits = (self._options.receive, self._options.send)
        self._max_calls = maximum_concurrent_rpcs
        self._compression = compression
        self._state = _State.READY
        self._listeners: list[Listener] = []
        self._transports: set[Transport] = set()
        self._calls: set[ServerCall] = set()
        self._cutting = False
        self._deadlines: Deadlines
        self._changed = asyncio.Event()
        self._stopped = asyncio.Event()
        self._endings: set[asyncio.Task[None]] = set()

    def add_generic_rpc_handlers(self, generic_rpc_handlers: Iterable[Any]) -> None:
        """Adds handlers that look up methods themselves."""
        self._methods.add_generic(generic_rpc_handlers)

    def add_registered_method_handlers(
        self, service_name: str, method_handlers: Mapping[str, Any]
    ) -> None:
        """Adds the methods of a service; they come before generic handlers."""
        self._methods.add_registered(
            {f"/{service_name}/{name}": handler for name, handler in method_handlers.items()}
        )

    def add_insecure_port(self, address: str) -> int:
        """Binds an address without TLS; returns its port.

        Raises:
            RuntimeError: it cannot be bound.
        """
        return self._listen(address, None)

    def add_secure_port(self, address: str, server_credentials: Any) -> int:
        """Binds an address with TLS; returns its port.

        Args:
            address: to listen on.
            server_credentials: from `grpc_wire.credentials.ssl_server_credentials`, or another
                `ssl.SSLContext` that
                offers `h2` by ALPN.

        Raises:
            RuntimeError: the address cannot be bound.
            TypeError: these are credentials of grpc, which cannot be read.
        """
        if not isinstance(server_credentials, ssl.SSLContext):
            raise TypeError(
                "credentials of grpc cannot be read; use grpc_wire.credentials.ssl_server_credentials"
            )
        return self._listen(address, server_credentials)

    def _listen(self, address: str, tls: ssl.SSLContext | None) -> int:
        try:
            listener = Listener(address, tls, reuse_port=self._options.reuse_port)
        except (OSError, ValueError) as error:
            raise RuntimeError(f"Failed to bind to address {address}: {error}") from error
        self._listeners.append(listener)
        return listener.port

    async def start(self) -> None:
        """Starts to serve.

        Raises:
            grpc.aio.UsageError: it has stopped.
        """
        if self._state is _State.RUNNING:
            return
        if self._state is not _State.READY:
            raise grpc.aio.UsageError("Server not in ready state")
        self._state = _State.RUNNING
        self._deadlines = Deadlines(asyncio.get_running_loop())
        for listener in self._listeners:
            await listener.prepare(self._accept, self._options.lifetimes.handshake)
        for listener in self._listeners:
            await listener.accept()

    def _accept(self) -> Transport:
        return Transport(Role.SERVER, self, self._options.limits, self._options.lifetimes)

    async def stop(self, grace: float | None) -> None:
        """Stops, and returns when the last servicer has; goes on if the waiter is cancelled.

        The waiter may be a servicer; it is cut like all others.

        Args:
            grace: seconds that calls have to finish; None cuts them at once, also while an earlier `stop`
                waits.
        """
        if self._state is _State.RUNNING:
            self._state = _State.STOPPING
            for transport in self._transports:
                transport.go_away()
            for listener in self._listeners:
                listener.pause()
            await asyncio.sleep(0)
        for listener in self._listeners:
            listener.close()
        ending = asyncio.get_running_loop().create_task(self._end(grace))
        self._endings.add(ending)
        ending.add_done_callback(self._endings.discard)
        await asyncio.shield(ending)

    async def _end(self, grace: float | None) -> None:
        if self._state is _State.STOPPING:
            await self._end_calls(grace)
        self._state = _State.STOPPED
        self._stopped.set()

    async def _end_calls(self, grace: float | None) -> None:
        if grace:
            await self._let_finish(grace)
        self._cutting = True
        for call in tuple(self._calls):
            if not call.abort():  # its task was cancelled before it had started
                self._calls.discard(call)
        await self._until(lambda: not self._calls, None)
        if grace is not None:
            await self._until(lambda: not self._transports, _CLOSING)
        for transport in tuple(self._transports):
            transport.abort(_STOPPED)
        await self._until(lambda: not self._transports, None)
        self._deadlines.stop()

    async def _let_finish(self, grace: float) -> None:
        loop = asyncio.get_running_loop()
        ends = loop.time() + grace
        await self._until(self._finished, grace)
        await self._until(lambda: not self._transports, min(_CLOSING, ends - loop.time()))
        await self._until(self._finished, ends - loop.time())  # some were under way to here

    def _finished(self) -> bool:
        """Whether all servicers have returned, and clients have read their responses."""
        return not self._calls and not any(each.stream_count for each in self._transports)

    async def _until(self, condition: Callable[[], bool], seconds: float | None) -> None:
        try:
            async with asyncio.timeout(seconds):
                while not condition():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            return

    async def wait_for_termination(
        self,
        timeout: float | None = None,  # noqa: ASYNC109 - as in grpc
    ) -> bool:
        """Waits until the server has stopped; returns whether the timeout passed first."""
        try:
            async with asyncio.timeout(timeout):
                await self._stopped.wait()
        except TimeoutError:
            return True
        return False

    # Callbacks of its connections.

    def connected(self, transport: Transport) -> None:
        """Refuses a client that accepts no response headers."""
        limit = transport.connection.peer.max_header_list
        if limit is not None and limit < MIN_RESPONSE_HEADERS:
            transport.abort("the client takes no headers", ErrorCode.ENHANCE_YOUR_CALM)

    def requested(self, transport: Transport, event: HeadersReceived) -> None:
        """Starts a call; refuses it while calls are cut: the client may retry elsewhere."""
        if self._cutting:
            transport.reset(event.stream_id, ErrorCode.REFUSED_STREAM)
            return
        try:
            request = read_request(event.headers, event.prefix)
        except Refusal as refusal:
            transport.send_headers(event.stream_id, refusal.response, end_stream=True)
            return
        call = ServerCall(transport, event, request, self._message_limits, self._deadlines)
        exceeded = self._max_calls is not None and len(self._calls) >= self._max_calls
        self._calls.add(call)
        transport.register(event.stream_id, call)
        call.handle(
            serve(call, self._methods, self._compression, self._call_done, exceeded=exceeded)
        )

    def oversized(self, transport: Transport, event: RequestTooLarge) -> None:
        """Responds with RESOURCE_EXHAUSTED."""
        refusal = header_list_refusal(event.sizes)
        transport.send_headers(event.stream_id, refusal, end_stream=True)

    def _call_done(self, call: ServerCall) -> None:
        self._calls.discard(call)
        if not self._calls:
            self._changed.set()

    def changed(self, _transport: Transport) -> None:
        """Wakes `stop`: the last stream of a connection has ended."""
        self._changed.set()

    def going_away(self, transport: Transport, event: GoAwayReceived) -> None:
        """Does nothing: a client that opens no more streams closes after the last."""

    def opened(self, transport: Transport) -> None:
        """Adds a connection; closes one that was accepted while the server stops."""
        self._transports.add(transport)
        if self._cutting:
            transport.abort(_STOPPED)
        elif self._state is _State.STOPPING:
            transport.go_away()

    def disconnected(self, transport: Transport, reason: str) -> None:
        """Removes a connection."""
        _log.debug("a connection has ended: %s", reason)
        self._transports.discard(transport)
        self._changed.set()


def server(
    migration_thread_pool: Executor | None = None,
    handlers: Sequence[grpc.GenericRpcHandler] | None = None,
    interceptors: Sequence[Any] | None = None,
    options: Sequence[tuple[str, Any]] | None = None,
    maximum_concurrent_rpcs: int | None = None,
    compression: grpc.Compression | None = None,
) -> Server:
    """Makes a server; the arguments are those of `grpc.aio.server`.

    Args:
        migration_thread_pool: runs plain functions; None: the loop's executor.
        handlers: generic handlers; more may be added.
        interceptors: of all methods, the outermost first.
        options: pairs of names and values; see `grpc_wire.server.options`.
        maximum_concurrent_rpcs: calls served at once; others end with RESOURCE_EXHAUSTED.
        compression: of responses, for clients that accept it.

    Raises:
        ValueError: an interceptor is none, or an option is unknown.
    """
    for each in interceptors or ():
        if not isinstance(each, grpc.aio.ServerInterceptor):
            raise ValueError(f"Interceptor must be ServerInterceptor, not {each!r}")
    if maximum_concurrent_rpcs is not None and maximum_concurrent_rpcs <= 0:
        raise ValueError("maximum_concurrent_rpcs should be a positive integer")
    methods = Methods(interceptors or (), migration_thread_pool)
    methods.add_generic(handlers or ())
    return Server(
        methods=methods,
        options=options or (),
        maximum_concurrent_rpcs=maximum_concurrent_rpcs,
        compression=compression,
    )
