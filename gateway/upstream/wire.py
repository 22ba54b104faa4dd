"""The upstream port over `grpc_wire`, by its own client API.

A unary call costs no task. A stream is read without a generator: each message is taken from the call. Only
requests that a client streams are sent by a task, because the responses are read meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from types import TracebackType
from typing import Self

from gateway.contract.method import Method
from gateway.contract.stream_type import StreamType
from gateway.transcoding.metadata import Metadata
from gateway.transcoding.status import OK
from gateway.upstream.not_open import NotOpen
from gateway.upstream.options import UpstreamOptions
from gateway.upstream.outcome import status_error
from gateway.upstream.pool import ConnectionPool
from gateway.upstream.pooled_channel import PooledChannel
from gateway.upstream.port import Call, Outcome, RequestMessages, Response
from gateway.upstream.reachability import Reachability
from gateway.upstream.unary_in_task import start_unary_in_task
from grpc_wire.client import Channel, ClientMethod, ClientStream, insecure_channel, secure_channel


class WireUpstream:
    """Connections to one server, open as long as the block."""

    def __init__(self, options: UpstreamOptions) -> None:
        """Takes the address of a server, and how to call it."""
        self._options = options
        self._channel_options = options.channel_options()
        self._pool: ConnectionPool[Channel] | None = None
        self._not_open = NotOpen()
        self._methods: dict[Method, ClientMethod] = {}
        """Those that were called. They fit all channels, which have the same target and options."""

    async def __aenter__(self) -> Self:
        """Prepares for calls; the first connects."""
        options = self._options
        self._pool = ConnectionPool(options.pool, self._open_channel, Reachability(options.target))
        return self

    async def __aexit__(self, *_: object) -> None:
        """Cancels the calls that are left, and closes the connections."""
        if self._pool is not None:
            await self._pool.close()

    @property
    def pool(self) -> ConnectionPool[Channel] | None:
        """The connections; None before the block is entered."""
        return self._pool

    def _open_channel(self) -> Channel:
        target, credentials = self._options.target, self._options.credentials
        if credentials is None:
            channel = insecure_channel(target, self._channel_options)
        else:
            channel = secure_channel(target, credentials, self._channel_options)
        return channel

    def contract_changed(self) -> None:
        """Forgets the methods, of which most will not be called any more."""
        self._methods.clear()

    def open(
        self,
        method: Method,
        requests: RequestMessages,
        *,
        metadata: Metadata = (),
        timeout: float | None = None,
    ) -> AbstractAsyncContextManager[Call]:
        """Opens a call; see `gateway.upstream.port.Upstream`."""
        if self._pool is None:
            raise self._not_open.error()
        return WireCall(self, self._pool, method, requests, metadata, timeout)

    def start_unary(
        self,
        method: Method,
        request: bytes,
        on_outcome: Callable[[Outcome], None],
        *,
        metadata: Metadata = (),
        timeout: float | None = None,
    ) -> Callable[[], object]:
        """Starts a unary call; see `gateway.upstream.port.Upstream`."""
        pool = self._pool
        if pool is None:
            raise self._not_open.error()
        one = pool.take(stream=False)
        if one is None:
            return start_unary_in_task(
                self, method, request, on_outcome, metadata=metadata, timeout=timeout
            )

        on_end = partial(_end_unary, pool, one, method, on_outcome)
        try:
            stream = one.channel.start_call(
                self._methods.get(method) or self.register(method, one.channel),
                request,
                on_end,
                metadata=metadata,
                timeout=timeout,
            )
        except BaseException:
            pool.release(one, stream=False)
            raise
        return stream.cancel

    def register(self, method: Method, channel: Channel) -> ClientMethod:
        """Returns a method as it is registered with the channels."""
        made = self._methods.get(method)
        if made is None:
            made = channel.register_method(
                method.path, single_response=not method.stream_type.server
            )
            if not method.unknown_path:
                self._methods[method] = made
        return made


class WireCall:
    """One call, started when its block is entered."""

    __slots__ = (
        "_failure",
        "_metadata",
        "_method",
        "_pool",
        "_requests",
        "_sending",
        "_stream",
        "_timeout",
        "_upstream",
    )

    def __init__(
        self,
        upstream: WireUpstream,
        pool: ConnectionPool[Channel],
        method: Method,
        requests: RequestMessages,
        metadata: Metadata,
        timeout: float | None,
    ) -> None:
        self._upstream = upstream
        self._pool = pool
        self._method = method
        self._requests = requests
        self._metadata = metadata
        self._timeout = timeout
        self._stream: ClientStream
        self._sending: asyncio.Task[None] | None = None
        self._failure: Exception | None = None
        """Raised by the iterator of requests."""

    async def __aenter__(self) -> Self:
        pool, requests = self._pool, self._requests
        streams = self._method.stream_type is not StreamType.UNARY
        one = pool.take(stream=streams)
        if one is None:
            one, self._timeout = await pool.wait(stream=streams, seconds=self._timeout)

        def on_end(_stream: ClientStream) -> None:
            pool.release(one, stream=streams)
            if self._sending is not None:
                self._sending.cancel()

        try:
            stream = self._stream = one.channel.start_call(
                self._upstream.register(self._method, one.channel),
                requests if isinstance(requests, bytes) else None,
                on_end,
                metadata=self._metadata,
                timeout=self._timeout,
            )
        except BaseException:
            pool.release(one, stream=streams)
            raise
        if not isinstance(requests, bytes) and stream.status is None:
            self._sending = stream.loop.create_task(self._send(requests))
        return self

    async def __aexit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self._stream.cancel()

    def __aiter__(self) -> WireCall:
        return self

    async def __anext__(self) -> bytes:
        stream = self._stream
        if self._method.stream_type.server:
            message = stream.take_message()
            if message is None:
                message = await stream.receive()
        else:
            await stream.wait_for_end()
            message, stream.response = stream.response, None
        if message is None:
            raise self._end()
        return message

    def take_message(self) -> bytes | None:
        """Returns the next message of a stream if it has come, and this turn of the loop may read it."""
        return self._stream.take_message() if self._method.stream_type.server else None

    def _end(self) -> Exception:
        """Returns what the iteration ends with."""
        stream = self._stream
        assert stream.status is not None  # noqa: S101 - for the type checker
        if stream.status.code == OK:
            return StopAsyncIteration()
        return self._failure or _error(stream, self._method, self._pool.reachability)

    async def initial_metadata(self) -> Metadata:
        """Waits for the initial metadata; empty if the call ends without."""
        await self._stream.wait_for_headers()
        return self._stream.initial or ()

    async def trailing_metadata(self) -> Metadata:
        """Waits for the end; returns the trailing metadata."""
        return (await self._stream.wait_for_end()).trailing

    async def _send(self, requests: AsyncIterator[bytes]) -> None:
        """Sends the requests with backpressure, then half-closes; an error of theirs cancels the call.

        Cancelled when the call ends, so that it does not wait for another request.
        """
        stream = self._stream
        cancelled: BaseException | None = None
        try:
            async for request in requests:
                if stream.needs_connection:
                    await stream.wait_for_connection()
                if stream.send(request):
                    await stream.wait_for_room()
                if stream.status is not None:
                    break
        except Exception as error:
            if stream.cancel():  # else the server's status came first
                self._failure = error
        except BaseException as caught:
            stream.cancel("the iterator of requests was cancelled")
            cancelled = caught
        else:
            stream.half_close()
        try:
            await _close(requests)
            if cancelled is not None:
                raise cancelled
        finally:
            cancelled = None  # its traceback has this frame


async def _close(requests: AsyncIterator[bytes]) -> None:
    """Closes requests that are a generator's."""
    if (close := getattr(requests, "aclose", None)) is not None:
        await close()


def _end_unary(
    pool: ConnectionPool[Channel],
    one: PooledChannel[Channel],
    method: Method,
    on_outcome: Callable[[Outcome], None],
    stream: ClientStream,
) -> None:
    """Gives a connection back, and tells the outcome of a unary call."""
    pool.release(one, stream=False)
    message, status = stream.response, stream.status
    if message is not None and status is not None and status.code == OK:
        on_outcome(Response(message, stream.initial or (), status.trailing))
    else:
        on_outcome(_error(stream, method, pool.reachability))


def _error(stream: ClientStream, method: Method, reachability: Reachability) -> Exception:
    status = stream.status
    assert status is not None  # noqa: S101 - for the type checker
    initial = stream.initial or ()
    known = "" if method.unknown_path else method.path
    return status_error(status.code, status.message, initial, status.trailing, reachability, known)
