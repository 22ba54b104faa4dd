"""The four call objects of a channel, with the interface and behaviour of `grpc.aio`'s.

They refer to the call, and nothing refers to them: dropping one cancels its call.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Generator, Iterable
from contextlib import suppress
from enum import Enum, auto
from typing import Any, TypeAlias, TypeVar

import grpc
from grpc import aio

from grpc_wire.call.status import INTERNAL, OK, Status
from grpc_wire.client.stream import ClientStream

log = logging.getLogger(__name__)

_Request = TypeVar("_Request")
_Response = TypeVar("_Response")
RequestIterable: TypeAlias = AsyncIterable[Any] | Iterable[Any]

_CODES = {code.value[0]: code for code in grpc.StatusCode}
_DROPPED = "Cancelled upon garbage collection!"
FINISHED = "RPC already finished."
HALF_CLOSED = 'RPC is half closed after calling "done_writing".'
MIXED = "The iterator and read/write APIs may not be mixed on a single RPC."


class _Call(aio.Call):
    """What all four share: the end, and metadata."""

    def __init__(self, stream: ClientStream) -> None:
        self._stream = stream

    def __del__(self) -> None:
        stream = getattr(self, "_stream", None)
        if stream is not None and stream.status is None:
            with suppress(RuntimeError):  # the loop is closed
                stream.loop.call_soon_threadsafe(
                    stream.cancel, _DROPPED
                )  # the collector runs in any thread

    def __repr__(self) -> str:
        status = self._stream.status
        if status is None:
            return f"<{type(self).__name__} of {self._stream.method.path}, not done>"
        return f"<{type(self).__name__} of {self._stream.method.path}: {_text(status)}>"

    def cancelled(self) -> bool:
        """Returns whether it ended with CANCELLED, by either side."""
        status = self._stream.status
        return status is not None and _CODES[status.code] is grpc.StatusCode.CANCELLED

    def done(self) -> bool:
        """Returns whether it has ended."""
        return self._stream.status is not None

    def cancel(self) -> bool:
        """Cancels it; returns False if it had ended."""
        return self._stream.cancel()

    def time_remaining(self) -> float | None:
        """Returns the seconds to the deadline; None if there is none."""
        return self._stream.time_left()

    def add_done_callback(self, callback: Callable[[Any], None]) -> None:
        """Calls a function with this call when it has ended; at once if it has."""
        stream = self._stream
        if stream.status is None:
            stream.done_callbacks += (lambda _stream: callback(self),)
        else:
            callback(self)

    async def initial_metadata(self) -> aio.Metadata:
        """Waits for the initial metadata; empty if the call ends without."""
        await self._stream.wait_for_headers()
        return aio.Metadata(*(self._stream.initial or ()))

    async def trailing_metadata(self) -> aio.Metadata:
        """Waits for the end; returns the trailing metadata."""
        return aio.Metadata(*(await self._stream.wait_for_end()).trailing)

    async def code(self) -> grpc.StatusCode:
        """Waits for the end; returns the status code."""
        return _CODES[(await self._stream.wait_for_end()).code]

    async def details(self) -> str:
        """Waits for the end; returns the status message."""
        return (await self._stream.wait_for_end()).message

    async def debug_error_string(self) -> str:
        """Waits for the end; returns the status as text."""
        return _text(await self._stream.wait_for_end())

    async def wait_for_connection(self) -> None:
        """Waits until it is sent on a connection; raises its error if it ends before."""
        await self._wait_or_cancel(self._stream.wait_for_connection())
        self._raise_for_status()

    def _raise_for_status(self) -> None:
        status = self._stream.status
        if status is None or status.code == OK:
            return
        if self._stream.cancelled_locally:
            raise asyncio.CancelledError
        raise aio.AioRpcError(
            _CODES[status.code],
            aio.Metadata(*(self._stream.initial or ())),
            aio.Metadata(*status.trailing),
            status.message,
            _text(status),
        )

    async def _wait_or_cancel(self, waiting: Awaitable[Any]) -> Any:
        """Awaits; cancelling the waiter cancels the call."""
        try:
            return await waiting
        except asyncio.CancelledError:
            self.cancel()
            raise

    def _deserialized(self, message: bytes) -> Any:
        deserialize = self._stream.method.deserialize
        if deserialize is None:
            return message
        try:
            return deserialize(message)
        except Exception as error:
            log.exception("a response of %s cannot be read", self._stream.method.path)
            self._stream.fail(Status(INTERNAL, f"Exception deserializing response: {error!r}"))
            self._raise_for_status()
            raise  # the call was cancelled before


class _UnaryResponse(_Call):
    """A call with one response."""

    _response: Any = None

    def __await__(self) -> Generator[Any, None, Any]:
        stream = self._stream
        if stream.status is None:
            try:
                yield from stream.done_future()
            except asyncio.CancelledError:
                self.cancel()
                raise
        if stream.status is None or stream.status.code != OK:
            self._raise_for_status()
        message, stream.response = stream.response, None
        if message is not None:
            self._response = self._deserialized(message)
        return self._response


class _Style(Enum):
    """How one side of a stream is used."""

    UNKNOWN = auto()
    ITERATOR = auto()
    CALLS = auto()


class _StreamResponse(_Call):
    """A call with a stream of responses."""

    _reads = _Style.UNKNOWN
    _iterator: AsyncIterator[Any] | None = None

    def __aiter__(self) -> AsyncIterator[Any]:
        """Returns the iterator of responses, always the same."""
        self._set_read_style(_Style.ITERATOR)
        if self._iterator is None:
            self._iterator = self._responses()
        return self._iterator

    async def read(self) -> Any:
        """Waits for a response; returns `grpc.aio.EOF` if there are no more."""
        stream = self._stream
        if stream.status is not None and not stream.has_message:
            self._raise_for_status()
            return aio.EOF
        self._set_read_style(_Style.CALLS)
        if (message := stream.take_message()) is None:
            message = await self._wait_or_cancel(stream.receive())
        if message is None:
            self._raise_for_status()
            return aio.EOF
        return self._deserialized(message)

    async def _responses(self) -> AsyncIterator[Any]:
        stream = self._stream
        while True:
            if (message := stream.take_message()) is None:
                message = await self._wait_or_cancel(stream.receive())
            if message is None:
                break
            yield self._deserialized(message)
        self._raise_for_status()

    def _set_read_style(self, style: _Style) -> None:
        if self._reads not in (_Style.UNKNOWN, style):
            raise aio.UsageError(MIXED)
        self._reads = style


class _StreamRequest(_Call):
    """A call with a stream of requests."""

    def __init__(self, stream: ClientStream, requests: RequestIterable | None) -> None:
        super().__init__(stream)
        self._writes = _Style.CALLS if requests is None else _Style.ITERATOR
        if requests is not None and stream.status is None:
            sending = stream.loop.create_task(send_all(stream, requests))
            stream.done_callbacks += (lambda _stream: sending.cancel(),)

    async def write(self, request: Any) -> None:
        """Sends a request, and waits until there is room for another."""
        self._check_write_style()
        stream = self._stream
        if stream.status is not None:
            raise asyncio.InvalidStateError(FINISHED)
        if stream.half_closed:
            raise asyncio.InvalidStateError(HALF_CLOSED)
        message = serialized(stream, request)
        if message is not None:
            if stream.needs_connection:
                await self._wait_or_cancel(stream.wait_for_connection())
            if stream.send(message):
                await self._wait_or_cancel(stream.wait_for_room())
        self._raise_for_status()

    async def done_writing(self) -> None:
        """Ends the requests."""
        self._check_write_style()
        self._stream.half_close()

    def _check_write_style(self) -> None:
        if self._writes is not _Style.CALLS:
            raise aio.UsageError(MIXED)


class UnaryUnaryCall(_UnaryResponse, aio.UnaryUnaryCall[_Request, _Response]):
    """A call with one request and one response."""


class UnaryStreamCall(_StreamResponse, aio.UnaryStreamCall[_Request, _Response]):
    """A call with one request and a stream of responses."""


class StreamUnaryCall(_StreamRequest, _UnaryResponse, aio.StreamUnaryCall[_Request, _Response]):
    """A call with a stream of requests and one response."""


class StreamStreamCall(_StreamRequest, _StreamResponse, aio.StreamStreamCall[_Request, _Response]):
    """A call with a stream either way."""


def _text(status: Status) -> str:
    return (
        f"{_CODES[status.code].name}: {status.message}"
        if status.message
        else _CODES[status.code].name
    )


async def send_all(stream: ClientStream, requests: RequestIterable) -> None:
    """Sends the requests of an iterator, then half-closes.

    An exception of the iterator cancels the call, as in `grpc.aio`; here it is logged, too.
    """
    try:
        if isinstance(requests, AsyncIterable):
            async for request in requests:
                if not await _send(stream, request):
                    return
        else:
            for request in requests:
                if not await _send(stream, request):
                    return
    except Exception:
        log.exception("the requests of %s broke off; it is cancelled", stream.method.path)
        stream.cancel("the iterator of requests has raised an exception")
    except BaseException:
        stream.cancel("the iterator of requests was cancelled")
        raise
    else:
        stream.half_close()


async def _send(stream: ClientStream, request: Any) -> bool:
    """Sends a request; returns whether to go on: an endless iterator must not outlive its call."""
    message = serialized(stream, request)
    if message is not None:
        if stream.needs_connection:
            await stream.wait_for_connection()
        if stream.send(message):
            await stream.wait_for_room()
    return stream.status is None


def serialized(stream: ClientStream, request: Any) -> bytes | None:
    """Returns a request as bytes; if the serializer fails, ends the call and returns None."""
    serialize = stream.method.serialize
    try:
        message = request if serialize is None else serialize(request)
        if not isinstance(message, bytes):
            raise TypeError(f"bytes are to be sent, not {type(message).__name__}")
    except Exception as error:
        log.exception("a request of %s cannot be written", stream.method.path)
        stream.fail(Status(INTERNAL, f"Exception serializing request: {error!r}"))
        return None
    return message
