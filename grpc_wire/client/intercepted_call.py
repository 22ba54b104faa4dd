"""The four call objects of a channel with interceptors.

The interceptors run in a task. The object waits for it, and then passes everything on to the call that the
outermost interceptor has returned.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Generator, Sequence
from contextlib import suppress
from typing import Any, ClassVar, Final, TypeVar

import grpc
from grpc import aio

from grpc_wire.client.call import FINISHED, HALF_CLOSED, MIXED
from grpc_wire.client.interceptor_chain import Chain, StartCall
from grpc_wire.client.stream import LOCALLY_CANCELLED

_Request = TypeVar("_Request")
_Response = TypeVar("_Response")
_LAST: Final = object()
"""Stands in the queue of written requests behind the last."""


class _InterceptedCall(aio.Call):
    """What all four share: the end, and metadata."""

    intercept: ClassVar[str]
    one_response: ClassVar[bool]

    def __init__(
        self,
        interceptors: Sequence[Any],
        start: StartCall,
        details: aio.ClientCallDetails,
        request: Any,
    ) -> None:
        chain = Chain(interceptors, self.intercept, start, one_response=self.one_response)
        loop = asyncio.get_running_loop()
        self._task = loop.create_task(chain.run(0, details, request))

    def __del__(self) -> None:
        task = getattr(self, "_task", None)
        if task is not None:
            with suppress(RuntimeError):  # the loop is closed
                # the collector runs in any thread
                task.get_loop().call_soon_threadsafe(_cancel, task)

    def cancel(self) -> bool:
        """Cancels it; returns False if it had ended."""
        return _cancel(self._task)

    def cancelled(self) -> bool:
        """Returns whether it ended with CANCELLED."""
        if not self._task.done():
            return False
        call = self._call()
        if call is not None:
            return call.cancelled()
        error = self._error()
        return error is None or error.code() is grpc.StatusCode.CANCELLED

    def done(self) -> bool:
        """Returns whether it has ended."""
        if not self._task.done():
            return False
        call = self._call()
        return call is None or call.done()

    def time_remaining(self) -> float | None:
        """Returns the seconds to the deadline; None if there is none, or while interceptors run."""
        call = self._call()
        return None if call is None else call.time_remaining()

    def add_done_callback(self, callback: Callable[[Any], None]) -> None:
        """Calls a function with this call when it has ended; at once if it has."""

        def on_started(_task: object) -> None:
            call = self._call()
            if call is None:
                callback(self)
            else:
                call.add_done_callback(lambda _call: callback(self))

        if self._task.done():
            on_started(self._task)
        else:
            self._task.add_done_callback(on_started)

    async def initial_metadata(self) -> aio.Metadata:
        """Waits for the initial metadata; empty if the call ends without."""
        if (call := await self._wait()) is not None:
            return await call.initial_metadata()
        error = self._error()
        return aio.Metadata() if error is None else error.initial_metadata()

    async def trailing_metadata(self) -> aio.Metadata:
        """Waits for the end; returns the trailing metadata."""
        if (call := await self._wait()) is not None:
            return await call.trailing_metadata()
        error = self._error()
        return aio.Metadata() if error is None else error.trailing_metadata()

    async def code(self) -> grpc.StatusCode:
        """Waits for the end; returns the status code."""
        if (call := await self._wait()) is not None:
            return await call.code()
        error = self._error()
        return grpc.StatusCode.CANCELLED if error is None else error.code()

    async def details(self) -> str:
        """Waits for the end; returns the status message."""
        if (call := await self._wait()) is not None:
            return await call.details()
        error = self._error()
        return LOCALLY_CANCELLED if error is None else error.details() or ""

    async def debug_error_string(self) -> str:
        """Waits for the end; returns the status as text."""
        code = await self.code()
        return f"{code.name}: {await self.details()}"

    async def wait_for_connection(self) -> None:
        """Waits until it is sent on a connection; raises its error if it ends before."""
        call = await self._task
        await call.wait_for_connection()

    def _call(self) -> aio.Call | None:
        """Returns the call; None while the interceptors run, or if they raised."""
        task = self._task
        if not task.done() or task.cancelled() or task.exception() is not None:
            return None
        return task.result()

    async def _wait(self) -> aio.Call | None:
        """Waits for the interceptors; returns the call, or None if they raised."""
        await asyncio.wait({self._task})
        return self._call()

    def _error(self) -> aio.AioRpcError | None:
        """Returns the status that the interceptors raised; None if they were cancelled.

        Raises:
            Exception: another one that they raised.
        """
        if self._task.cancelled():
            return None
        error = self._task.exception()
        if isinstance(error, aio.AioRpcError):
            return error
        assert error is not None  # noqa: S101 - for the type checker
        raise error


class _UnaryResponse(_InterceptedCall):
    one_response = True

    def __await__(self) -> Generator[Any, None, Any]:
        call: Any = yield from self._task
        return (yield from call.__await__())


class _StreamResponse(_InterceptedCall):
    one_response = False
    _iterator: AsyncIterator[Any] | None = None

    def __aiter__(self) -> AsyncIterator[Any]:
        """Returns the iterator of responses, always the same."""
        if self._iterator is None:
            self._iterator = _responses(self._task)
        return self._iterator

    async def read(self) -> Any:
        """Waits for a response; returns `grpc.aio.EOF` if there are no more."""
        return await anext(aiter(self), aio.EOF)


async def _responses(task: asyncio.Task[aio.Call]) -> AsyncIterator[Any]:
    call: Any = await task
    async for response in call:
        yield response


class _StreamRequest(_InterceptedCall):
    def __init__(
        self,
        interceptors: Sequence[Any],
        start: StartCall,
        details: aio.ClientCallDetails,
        request: Any,
    ) -> None:
        self._written: asyncio.Queue[Any] | None = None
        self._half_closed = False
        if request is None:
            self._written = asyncio.Queue(1)
            request = _until_last(self._written)
        super().__init__(interceptors, start, details, request)

    async def write(self, request: Any) -> None:
        """Sends a request, and waits until there is room for another."""
        if self._written is None:
            raise aio.UsageError(MIXED)
        call = await self._wait()
        if call is None or call.done():
            raise asyncio.InvalidStateError(FINISHED)
        if self._half_closed:
            raise asyncio.InvalidStateError(HALF_CLOSED)
        await _put(self._written, request, call)
        if call.done():
            raise asyncio.InvalidStateError(FINISHED)

    async def done_writing(self) -> None:
        """Ends the requests."""
        if self._written is None:
            raise aio.UsageError(MIXED)
        call = await self._wait()
        if call is None:
            raise asyncio.InvalidStateError(FINISHED)
        if not self._half_closed:
            self._half_closed = True
            await _put(self._written, _LAST, call)


async def _until_last(written: asyncio.Queue[Any]) -> AsyncIterator[Any]:
    while (request := await written.get()) is not _LAST:
        yield request


async def _put(written: asyncio.Queue[Any], request: Any, call: aio.Call) -> None:
    """Puts a request into a queue, unless the call ends before there is room."""
    putting = asyncio.ensure_future(written.put(request))
    ended = asyncio.ensure_future(call.code())
    try:
        await asyncio.wait({putting, ended}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        putting.cancel()
        ended.cancel()


def _cancel(task: asyncio.Task[aio.Call]) -> bool:
    """Cancels the interceptors, or the call that they have returned."""
    if not task.done():
        return task.cancel()
    if task.cancelled() or task.exception() is not None:
        return False
    return task.result().cancel()


class UnaryUnaryCall(_UnaryResponse, aio.UnaryUnaryCall[_Request, _Response]):
    """An intercepted call with one request and one response."""

    intercept = "intercept_unary_unary"


class UnaryStreamCall(_StreamResponse, aio.UnaryStreamCall[_Request, _Response]):
    """An intercepted call with one request and a stream of responses."""

    intercept = "intercept_unary_stream"


class StreamUnaryCall(_StreamRequest, _UnaryResponse, aio.StreamUnaryCall[_Request, _Response]):
    """An intercepted call with a stream of requests and one response."""

    intercept = "intercept_stream_unary"


class StreamStreamCall(_StreamRequest, _StreamResponse, aio.StreamStreamCall[_Request, _Response]):
    """An intercepted call with a stream either way."""

    intercept = "intercept_stream_stream"
