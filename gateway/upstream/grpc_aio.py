"""`grpc.aio` as the upstream of the edge.

The four kinds of call become one shape: requests in, an iterator of responses out. What is known of
`grpc.aio`'s faults is kept here, and nowhere else:

* An exception inside a request iterator becomes a cancellation that has lost its reason; so the iterator
  is wrapped, and the reason raised where the responses are read.
* A cancelled call raises `CancelledError`, just as a cancelled task does; which it is, only the task knows.
* A server that aborts while the client still writes loses its status on the client (grpc/grpc#36066): a
  write that fails after the status has come puts an INTERNAL of its own in its place. The status is seen
  before that in a done callback, which is called each time; so it is kept there (`_TrueStatus`).
* A call that has ended goes on waiting for its next request; so whoever waits there is cancelled.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from functools import partial
from types import TracebackType
from typing import Any, Final, Self

import grpc
from grpc import aio

from gateway.contract.method import Method, StreamType
from gateway.transcoding.metadata import Metadata
from gateway.transcoding.status import CANCELLED, StatusError
from gateway.upstream.asking import ask_in_task
from gateway.upstream.outcome import rpc_error, tell_outcome
from gateway.upstream.port import Call, Outcome, Requests
from gateway.upstream.transport import TRANSPORTS, Name, check_target

log = logging.getLogger(__name__)

DEFAULT_KEEPALIVE: Final = 300.0
"""What every gRPC server allows (gRPC's "Keepalive User Guide", on the server's enforcement)."""
_WRITE_FAILED: Final = "Internal error from Core"
_STATUS_SECONDS: Final = 0.5
"""How long the status may take that comes after a failed write."""
_MULTICALLABLE: Final[Mapping[StreamType, str]] = {
    StreamType.UNARY: "unary_unary",
    StreamType.CLIENT: "stream_unary",
    StreamType.SERVER: "unary_stream",
    StreamType.BIDI: "stream_stream",
}


class GrpcUpstream:
    """One channel to one server, open as long as the block."""

    def __init__(
        self,
        target: str,
        methods: Iterable[Method],
        *,
        max_message: int,
        keepalive: float = DEFAULT_KEEPALIVE,
        credentials: Any = None,
        name: str | None = None,
        transport: Name = "wire",
    ) -> None:
        """Takes the address of a server.

        Args:
            target: `host:port`, or any name that gRPC resolves.
            methods: all methods that will be called.
            max_message: bytes of the largest message either way.
            keepalive: seconds of silence after which the server is asked whether it is there. A server that
                is asked more often than it allows ends all calls.
            credentials: what TLS needs, as the transport makes it; None is no TLS.
            name: what the server's certificate must name, where it is not the address.
            transport: which gRPC carries the calls.

        Raises:
            TargetError: the transport does not know what the target is.
        """
        check_target(transport, target)
        self._target = target
        self._credentials = credentials
        self._transport = TRANSPORTS[transport]
        self._methods = tuple(methods)
        self._options = (
            ("grpc.max_send_message_length", max_message),
            ("grpc.max_receive_message_length", max_message),
            ("grpc.initial_reconnect_backoff_ms", 100),
            # what an attempt has at least: over TLS to far away, or on a busy machine, 0.1 s is too little
            ("grpc.min_reconnect_backoff_ms", 500),
            ("grpc.max_reconnect_backoff_ms", 2_000),
            ("grpc.keepalive_time_ms", round(keepalive * 1000)),
            # a server that comes back may have another address; by default that is found within 30 s
            ("grpc.dns_min_time_between_resolutions_ms", 1_000),
            ("grpc.keepalive_timeout_ms", 10_000),
            # docker puts its user's proxy into every container, where it leads to no upstream
            ("grpc.enable_http_proxy", 0),
            *((("grpc.ssl_target_name_override", name),) if name else ()),
        )
        self._multicallables: dict[Method, Any] = _NotOpen()

    async def __aenter__(self) -> Self:
        """Opens the channel; it connects with the first call."""
        self._channel = (
            self._transport.insecure_channel(self._target, options=self._options)
            if self._credentials is None
            else self._transport.secure_channel(
                self._target, self._credentials, options=self._options
            )
        )
        self._multicallables = {
            method: getattr(self._channel, _MULTICALLABLE[method.stream_type])(method.path)
            for method in self._methods
        }
        return self

    async def __aexit__(self, *_: object) -> None:
        """Cancels the calls that are left, and closes the channel."""
        await self._channel.close()

    def open(
        self,
        method: Method,
        requests: Requests,
        *,
        metadata: Metadata = (),
        timeout: float | None = None,
    ) -> AbstractAsyncContextManager[Call]:
        """Opens a call; see `gateway.upstream.port.Upstream`."""
        return _GrpcCall(
            self._multicallables[method], method.stream_type, requests, metadata, timeout
        )

    def ask(
        self,
        method: Method,
        request: bytes,
        told: Callable[[Outcome], None],
        *,
        metadata: Metadata = (),
        timeout: float | None = None,
    ) -> Callable[[], object]:
        """Makes a call with one message each way; see `gateway.upstream.port.Upstream`."""
        begin = self._transport.ask
        if begin is None:
            return ask_in_task(self, method, request, told, metadata=metadata, timeout=timeout)
        tell = partial(tell_outcome, told)
        call = begin(
            self._multicallables[method], request, tell, metadata=metadata, timeout=timeout
        )
        return call.cancel


class _NotOpen(dict[Method, Any]):
    """What can be called before the channel is open."""

    def __missing__(self, _method: Method) -> Any:
        raise RuntimeError("the upstream is not open: its application's lifespan was not run")


class _GrpcCall:
    """One call of `grpc.aio`, made when its block is entered."""

    def __init__(
        self,
        multicallable: Any,
        stream_type: StreamType,
        requests: Requests,
        metadata: Metadata,
        timeout: float | None,
    ) -> None:
        self._multicallable = multicallable
        self._stream_type = stream_type
        self._requests = requests
        self._metadata = metadata
        self._timeout = timeout
        self._failure: Exception | None = None
        self._reader: asyncio.Task[Any] | None = None

    async def __aenter__(self) -> Self:
        requests = self._requests
        self._call = self._multicallable(
            requests if isinstance(requests, bytes) else self._guarded(requests),
            metadata=self._metadata or None,
            timeout=self._timeout,
        )
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
        if self._reader is not None:
            self._reader.cancel()
        if not isinstance(self._requests, bytes):
            await _close(self._requests)

    def __aiter__(self) -> _GrpcCall:
        return self

    async def __anext__(self) -> bytes:
        try:
            message: bytes = await anext(self._responses)
        except aio.AioRpcError as error:
            raise self._failure or rpc_error(await self._told(error)) from error
        except asyncio.CancelledError:
            raise self._reason() from None
        return message

    async def initial_metadata(self) -> Metadata:
        return tuple(await self._call.initial_metadata() or ())

    async def trailing_metadata(self) -> Metadata:
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
        return await self._true_status.within(_STATUS_SECONDS) or error

    def _reason(self) -> BaseException:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            return asyncio.CancelledError()
        return self._failure or StatusError.of(CANCELLED, "the call was cancelled")


class _TrueStatus:
    """Keeps the status that came over the wire, whatever a failed write says before or after it."""

    def __init__(self, call: Any) -> None:
        self._found: asyncio.Future[aio.AioRpcError] = asyncio.get_running_loop().create_future()
        call.add_done_callback(self._look)

    def _look(self, call: Any) -> None:
        code, details = _known(call.code()), _known(call.details())
        if details != _WRITE_FAILED and code is not grpc.StatusCode.OK and not self._found.done():
            trailing = _known(call.trailing_metadata())
            self._found.set_result(aio.AioRpcError(code, aio.Metadata(), trailing, details))

    async def within(self, seconds: float) -> aio.AioRpcError | None:
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
