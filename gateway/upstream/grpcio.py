"""The upstream port over grpcio (`grpc.aio`).

The four kinds of call become one shape: requests in, an iterator of responses out. The workarounds for faults
of `grpc.aio` are here, and nowhere else:

* An exception inside a request iterator becomes a cancellation without its reason. So the iterator is
  wrapped, and the reason is raised where the responses are read.
* A cancelled call raises `CancelledError`, as a cancelled task does. The task tells which of the two it was.
* A server that aborts while the client still writes loses its status on the client (grpc/grpc#36066): a write
  that fails after the status has come replaces it by INTERNAL. A done callback sees the status before that,
  and keeps it (`_TrueStatus`).
* Initial metadata that are read after the status, or after such a write, are lost for good.
* A call that has ended goes on waiting for its next request. So the task that waits there is cancelled.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any, Final, Self, TypeAlias

import grpc
from grpc import aio

from gateway.contract.method import Method
from gateway.contract.stream_type import StreamType
from gateway.transcoding.metadata import Metadata
from gateway.transcoding.status import CANCELLED, StatusError
from gateway.upstream.not_open import NotOpen
from gateway.upstream.options import UpstreamOptions
from gateway.upstream.outcome import status_error
from gateway.upstream.pool import ConnectionPool
from gateway.upstream.pooled_channel import PooledChannel
from gateway.upstream.port import Call, Outcome, RequestMessages
from gateway.upstream.reachability import Reachability
from gateway.upstream.unary_in_task import start_unary_in_task

_ASSUMED_STREAMS: Final = 100
"""What a server is assumed to allow, which grpcio does not tell: no server should allow fewer (RFC 9113,
6.5.2)."""
_WRITE_FAILED: Final = "Internal error from Core"
_STATUS_SECONDS: Final = 0.5
"""Timeout for a status that comes after a failed write, in seconds."""
_MULTICALLABLE: Final[Mapping[StreamType, str]] = {
    StreamType.UNARY: "unary_unary",
    StreamType.CLIENT: "stream_unary",
    StreamType.SERVER: "unary_stream",
    StreamType.BIDI: "stream_stream",
}
_Ended: TypeAlias = tuple[grpc.StatusCode, aio.Metadata, str]
"""Code, trailing metadata and message of a status."""


class GrpcioUpstream:
    """Connections to one server, open as long as the block."""

    def __init__(self, options: UpstreamOptions) -> None:
        """Takes the address of a server, and how to call it."""
        self._options = options
        self._pool: ConnectionPool[_Channel] | None = None
        self._not_open = NotOpen()

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
    def pool(self) -> ConnectionPool[_Channel] | None:
        """The connections; None before the block is entered."""
        return self._pool

    def _open_channel(self) -> _Channel:
        options = self._options
        settings = options.channel_options()
        if options.credentials is None:
            channel = aio.insecure_channel(options.target, options=settings)
        else:
            channel = aio.secure_channel(options.target, options.credentials, options=settings)
        return _Channel(channel)

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
        return GrpcioCall(self._pool, method, requests, metadata, timeout)

    def start_unary(
        self,
        method: Method,
        request: bytes,
        on_outcome: Callable[[Outcome], None],
        *,
        metadata: Metadata = (),
        timeout: float | None = None,
    ) -> Callable[[], object]:
        """Starts a unary call in a task; see `gateway.upstream.port.Upstream`."""
        if self._pool is None:
            raise self._not_open.error()
        return start_unary_in_task(
            self, method, request, on_outcome, metadata=metadata, timeout=timeout
        )


class _Channel:
    """A channel of grpcio as the pool needs it, with the multicallables of the methods that were called."""

    max_streams = _ASSUMED_STREAMS

    def __init__(self, channel: aio.Channel) -> None:
        self._channel = channel
        self._watching: asyncio.Task[None] | None = None
        self._callables: dict[tuple[str, StreamType], Any] = {}

    def callable_of(self, method: Method) -> Any:
        """Returns the multicallable of a method; that of a contract's is kept."""
        kind = method.path, method.stream_type
        made = self._callables.get(kind)
        if made is None:
            made = getattr(self._channel, _MULTICALLABLE[method.stream_type])(method.path)
            if not method.unknown_path:
                self._callables[kind] = made
        return made

    def get_state(
        self,
        try_to_connect: bool = False,  # noqa: FBT001, FBT002 - as in grpc.aio
    ) -> grpc.ChannelConnectivity:
        """Returns the connectivity; starts to connect if `try_to_connect` is set."""
        return self._channel.get_state(try_to_connect)

    def watch(self, changed: Callable[[], object]) -> None:
        """Calls a function each time that the connectivity has changed, until the channel is closed."""

        async def watch() -> None:
            state = grpc.ChannelConnectivity.IDLE
            while True:
                await self._channel.wait_for_state_change(state)
                state = self._channel.get_state()
                changed()

        self._watching = asyncio.get_running_loop().create_task(watch())

    async def close(self) -> None:
        """Closes the connection, and cancels its calls."""
        if self._watching is not None:
            self._watching.cancel()
        await self._channel.close()


class _Slot:
    """One stream of a pooled connection, held until its call has ended or its block is left.

    It has no reference to the call, so that no cycle keeps the call alive.
    """

    __slots__ = ("_one", "_pool", "_stream")

    def __init__(
        self, pool: ConnectionPool[_Channel], one: PooledChannel[_Channel], *, stream: bool
    ) -> None:
        self._pool = pool
        self._one: PooledChannel[_Channel] | None = one
        self._stream = stream

    def release(self, _call: object = None) -> None:
        """Gives the stream back; after the first time, does nothing."""
        one, self._one = self._one, None
        if one is not None:
            self._pool.release(one, stream=self._stream)


class GrpcioCall:
    """One call of `grpc.aio`, made when its block is entered."""

    def __init__(
        self,
        pool: ConnectionPool[_Channel],
        method: Method,
        requests: RequestMessages,
        metadata: Metadata,
        timeout: float | None,
    ) -> None:
        self._pool = pool
        self._method = method
        self._stream_type = method.stream_type
        self._requests = requests
        self._metadata = metadata
        self._timeout = timeout
        self._failure: Exception | None = None
        self._reader: asyncio.Task[Any] | None = None

    async def __aenter__(self) -> Self:
        stream = self._stream_type is not StreamType.UNARY
        one = self._pool.take(stream=stream)
        if one is None:
            one, self._timeout = await self._pool.wait(stream=stream, seconds=self._timeout)
        self._slot = _Slot(self._pool, one, stream=stream)
        requests = self._requests
        try:
            self._call = one.channel.callable_of(self._method)(
                requests if isinstance(requests, bytes) else self._guarded(requests),
                metadata=self._metadata or None,
                timeout=self._timeout,
            )
        except BaseException:
            self._slot.release()
            raise
        self._call.add_done_callback(self._slot.release)
        if self._stream_type.client:
            self._true_status = _TrueStatus(self._call)
        self._responses = self._call.__aiter__() if self._stream_type.server else _Only(self._call)
        return self

    async def __aexit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self._call.cancel()
        self._slot.release()
        if self._reader is not None:
            self._reader.cancel()
        if not isinstance(self._requests, bytes):
            await _close(self._requests)

    def __aiter__(self) -> GrpcioCall:
        return self

    async def __anext__(self) -> bytes:
        try:
            message: bytes = await anext(self._responses)
        except aio.AioRpcError as error:
            if self._failure is not None:
                raise self._failure from error
            raise await self._status_error(error) from error
        except asyncio.CancelledError:
            raise self._reason() from None
        return message

    async def initial_metadata(self) -> Metadata:
        """Waits for the initial metadata; empty if the call ends without."""
        return tuple(await self._call.initial_metadata() or ())

    async def trailing_metadata(self) -> Metadata:
        """Waits for the end; returns the trailing metadata."""
        return tuple(await self._call.trailing_metadata() or ())

    async def _guarded(self, requests: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        self._reader = asyncio.current_task()
        try:
            async for request in requests:
                yield request
        except Exception as error:
            self._failure = error
            self._call.cancel()

    async def _status_error(self, error: aio.AioRpcError) -> StatusError:
        """Returns the status of the server, even where a failed write has replaced it."""
        code, trailing, details = error.code(), error.trailing_metadata(), error.details() or ""
        if self._stream_type.client and details == _WRITE_FAILED:
            true = await self._true_status.within(_STATUS_SECONDS)
            code, trailing, details = true or (code, trailing, details)
        number: int = code.value[0]
        initial = tuple(error.initial_metadata() or ())
        reachability = self._pool.reachability
        method = "" if self._method.unknown_path else self._method.path
        return status_error(number, details, initial, tuple(trailing or ()), reachability, method)

    def _reason(self) -> BaseException:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            return asyncio.CancelledError()
        return self._failure or StatusError.of(CANCELLED, "the call was cancelled")


class _TrueStatus:
    """Keeps the status that came over the wire, whatever a failed write says before or after it."""

    def __init__(self, call: Any) -> None:
        self._found: asyncio.Future[_Ended] = asyncio.get_running_loop().create_future()
        call.add_done_callback(self._look)

    def _look(self, call: Any) -> None:
        code, details = _known(call.code()), _known(call.details())
        if details != _WRITE_FAILED and code is not grpc.StatusCode.OK and not self._found.done():
            self._found.set_result((code, _known(call.trailing_metadata()), details))

    async def within(self, seconds: float) -> _Ended | None:
        """Waits for the status; None if it does not come."""
        done, _ = await asyncio.wait({self._found}, timeout=seconds)
        return self._found.result() if done else None


def _known(coroutine: Any) -> Any:
    """Returns the result of a coroutine that has nothing to wait for."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        return done.value
    raise RuntimeError("the call is not done")


class _Only:
    """The one answer of a call, as an iterator: a generator would leave the loop a task to close it."""

    def __init__(self, call: Any) -> None:
        self._call = call

    async def __anext__(self) -> bytes:
        if self._call is None:
            raise StopAsyncIteration
        call, self._call = self._call, None
        answer: bytes = await call
        return answer


async def _close(requests: AsyncIterator[bytes]) -> None:
    """Closes a generator that nobody reads any more, unless its reader is just being stopped."""
    close = getattr(requests, "aclose", None)
    try:
        if close is not None:
            await close()
    except RuntimeError:
        return
