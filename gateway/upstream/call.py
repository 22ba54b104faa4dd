"""One call of `grpc.aio`.

The four kinds of call become one shape: requests in, an iterator of responses out. What is known of
`grpc.aio`'s faults is kept here, and nowhere else:

* An exception inside a request iterator becomes a cancellation that has lost its reason; so the iterator
  is wrapped, and the reason raised where the responses are read.
* A cancelled call raises `CancelledError`, just as a cancelled task does; which it is, only the task knows.
* A server that aborts while the client still writes loses its status on the client (grpc/grpc#36066): a
  write that fails after the status has come puts an INTERNAL of its own in its place. The status is seen
  before that in a done callback, which is called each time; so it is kept there (`_TrueStatus`).
* Initial metadata that are taken behind the status, or behind such a write, are dropped for good.
* A call that has ended goes on waiting for its next request; so whoever waits there is cancelled.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Any, Final, Self, TypeAlias

import grpc
from grpc import aio

from gateway.contract.method import Method, StreamType
from gateway.transcoding.metadata import Metadata
from gateway.transcoding.status import CANCELLED, StatusError
from gateway.upstream.outcome import rpc_error
from gateway.upstream.pool import ConnectionPool
from gateway.upstream.pooled_channel import PooledChannel
from gateway.upstream.port import Requests

_WRITE_FAILED: Final = "Internal error from Core"
_STATUS_SECONDS: Final = 0.5
"""How long the status may take that comes after a failed write."""
_Ended: TypeAlias = tuple[grpc.StatusCode, aio.Metadata, str]
"""Code, trailing metadata and message of a status."""


class _Slot:
    """One stream of a pooled connection, held until its call has ended or its block is left.

    It has no reference to the call, so that no cycle keeps the call alive.
    """

    __slots__ = ("_one", "_pool", "_stream")

    def __init__(self, pool: ConnectionPool, one: PooledChannel, *, stream: bool) -> None:
        self._pool = pool
        self._one: PooledChannel | None = one
        self._stream = stream

    def release(self, _call: object = None) -> None:
        """Gives the stream back; after the first time, does nothing."""
        one, self._one = self._one, None
        if one is not None:
            self._pool.release(one, stream=self._stream)


class GrpcCall:
    """One call of `grpc.aio`, made when its block is entered."""

    def __init__(
        self,
        pool: ConnectionPool,
        method: Method,
        requests: Requests,
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
        one = self._pool.take(stream=stream) or await self._wait(stream=stream)
        self._slot = _Slot(self._pool, one, stream=stream)
        requests = self._requests
        try:
            self._call = one.callables[self._method](
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

    async def _wait(self, *, stream: bool) -> PooledChannel:
        """Waits for a stream; the call's timeout is shortened by the time that this takes."""
        loop = asyncio.get_running_loop()
        if self._timeout is None:
            return await self._pool.wait(stream=stream, deadline=None)
        deadline = loop.time() + self._timeout
        one = await self._pool.wait(stream=stream, deadline=deadline)
        self._timeout = max(deadline - loop.time(), 0.0)
        return one

    def __aiter__(self) -> GrpcCall:
        return self

    async def __anext__(self) -> bytes:
        try:
            message: bytes = await anext(self._responses)
        except aio.AioRpcError as error:
            raise self._failure or rpc_error(
                await self._told(error), self._pool.reachability
            ) from error
        except asyncio.CancelledError:
            raise self._reason() from None
        return message

    async def initial_metadata(self) -> Metadata:
        """Waits for what the server says before its first message."""
        return tuple(await self._call.initial_metadata() or ())

    async def trailing_metadata(self) -> Metadata:
        """Waits for what the server says after its last message."""
        return tuple(await self._call.trailing_metadata() or ())

    async def _guarded(self, requests: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        self._reader = asyncio.current_task()
        try:
            async for request in requests:
                yield request
        except Exception as error:
            self._failure = error
            self._call.cancel()

    async def _told(self, error: aio.AioRpcError) -> aio.AioRpcError:
        """Returns what the server has ended the call with, where grpc says something else."""
        if not self._stream_type.client or error.details() != _WRITE_FAILED:
            return error
        true = await self._true_status.within(_STATUS_SECONDS)
        if true is None:
            return error
        code, trailing, details = true
        return aio.AioRpcError(code, error.initial_metadata(), trailing, details)

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
