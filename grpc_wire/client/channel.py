"""The channel: the double of `grpc.aio`'s, for unmodified stubs."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from types import TracebackType
from typing import Any, Self

import grpc
from grpc import aio

from grpc_wire.call.message import ACCEPTED
from grpc_wire.call.metadata import to_headers
from grpc_wire.client import multicallable, target
from grpc_wire.client import options as channel_options
from grpc_wire.client.balancer import Balancer
from grpc_wire.client.method import ClientMethod
from grpc_wire.client.stream import ClientStream, start_stream
from grpc_wire.client.subchannel import Subchannel, SubchannelObserver
from grpc_wire.client.target import Address
from grpc_wire.credentials import restrict
from grpc_wire.headers.section import list_size

_KINDS = (
    aio.UnaryUnaryClientInterceptor,
    aio.UnaryStreamClientInterceptor,
    aio.StreamUnaryClientInterceptor,
    aio.StreamStreamClientInterceptor,
)
_USER_AGENT = "grpc-python-wire/1"
_CLOSED = "Channel is closed."
_INTERCEPTED = "a call on bytes passes no interceptors"

_Options = Iterable[tuple[str, Any]]


def insecure_channel(
    target: str,
    options: _Options | None = None,
    compression: grpc.Compression | None = None,
    interceptors: Sequence[aio.ClientInterceptor] | None = None,
) -> Channel:
    """Makes a channel without TLS; see `grpc.aio.insecure_channel`."""
    return Channel(target, None, options or (), compression, interceptors or ())


def secure_channel(
    target: str,
    credentials: ssl.SSLContext,
    options: _Options | None = None,
    compression: grpc.Compression | None = None,
    interceptors: Sequence[aio.ClientInterceptor] | None = None,
) -> Channel:
    """Makes a channel with TLS; `credentials.ssl_channel_credentials` makes its context.

    Any other context is restricted to TLS 1.2 or newer and offers `h2` by ALPN.
    """
    restrict(credentials)
    return Channel(target, credentials, options or (), compression, interceptors or ())


class Channel(aio.Channel):
    """Connections to one target, made on demand, in the event loop of the first call.

    Nothing in the loop refers to it: a channel that is dropped without `close` closes when its calls have
    ended.
    """

    _balancer: Balancer | None = None
    _closed = False

    def __init__(
        self,
        to: str,
        tls: ssl.SSLContext | None,
        options: _Options,
        compression: grpc.Compression | None,
        interceptors: Sequence[aio.ClientInterceptor],
    ) -> None:
        self._target = target.parse(to)
        self._options = channel_options.read(options)
        self._tls = tls
        self._compression = compression
        for interceptor in interceptors:
            if not isinstance(interceptor, _KINDS):
                raise ValueError(f"{interceptor!r} is not one of grpc.aio's client interceptors")
        self._interceptors = interceptors
        self._state_waiters: list[asyncio.Future[None]] = []
        self._watchers: list[Callable[[], object]] = []
        self._head = self._make_head()

    def __del__(self) -> None:
        balancer = self._balancer
        if balancer is not None and not self._closed:
            with suppress(RuntimeError):  # the loop is closed
                # the collector runs in any thread
                balancer.loop.call_soon_threadsafe(balancer.drain_when_idle)

    async def __aenter__(self) -> Self:
        """Returns the channel."""
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        """Closes it, and cancels the calls that are left."""
        await self.close()

    async def close(self, grace: float | None = None) -> None:
        """Accepts no more calls; cancels those that are left after `grace` seconds."""
        if grace is not None and grace < 0:
            raise ValueError(f"grace must be non-negative, got {grace}.")
        self._closed = True
        balancer = self._balancer
        if balancer is None:
            _notify(self._state_waiters, self._watchers)
            return
        if grace and balancer.calls:
            ends = [call.done_future() for call in balancer.calls]
            await asyncio.wait(ends, timeout=grace)
        for call in tuple(balancer.calls):
            call.cancel("the channel is closed")
        await balancer.close()

    def get_state(
        self,
        try_to_connect: bool = False,  # noqa: FBT001, FBT002 - as in grpc.aio
    ) -> grpc.ChannelConnectivity:
        """Returns the connectivity; starts to connect if `try_to_connect` is set."""
        if try_to_connect and not self._closed:
            self._open().connect()
        if self._balancer is not None:
            return self._balancer.state
        return grpc.ChannelConnectivity.SHUTDOWN if self._closed else grpc.ChannelConnectivity.IDLE

    @property
    def max_streams(self) -> int:
        """How many calls the ready connections carry at once, as their servers allow; 0 if none is ready."""
        return 0 if self._balancer is None else self._balancer.max_streams

    def watch(self, changed: Callable[[], object]) -> None:
        """Calls a function each time that the connectivity or `max_streams` has changed."""
        self._watchers.append(changed)

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        """Waits until the connectivity differs from `last_observed_state`.

        Raises:
            grpc.aio.UsageError: the channel is closed.
        """
        if self._closed:
            raise aio.UsageError(_CLOSED)
        while self.get_state() is last_observed_state:
            future = asyncio.get_running_loop().create_future()
            self._state_waiters.append(future)
            try:
                await future
            finally:
                self._state_waiters.remove(future)

    async def channel_ready(self) -> None:
        """Connects, and waits until a connection is ready."""
        while (state := self.get_state(try_to_connect=True)) is not grpc.ChannelConnectivity.READY:
            if state is grpc.ChannelConnectivity.SHUTDOWN:
                raise aio.UsageError(_CLOSED)
            await self.wait_for_state_change(state)

    def unary_unary(
        self,
        method: str,
        request_serializer: Callable[[Any], bytes] | None = None,
        response_deserializer: Callable[[bytes], Any] | None = None,
        _registered_method: bool | None = False,  # noqa: FBT001, FBT002 - generated stubs pass it
    ) -> multicallable.UnaryUnaryMultiCallable[Any, Any]:
        """Returns the multicallable of a method with one request and one response."""
        shared = self._registered(
            method, request_serializer, response_deserializer, single_response=True
        )
        return multicallable.UnaryUnaryMultiCallable(
            *shared, self._of_kind(aio.UnaryUnaryClientInterceptor)
        )

    def unary_stream(
        self,
        method: str,
        request_serializer: Callable[[Any], bytes] | None = None,
        response_deserializer: Callable[[bytes], Any] | None = None,
        _registered_method: bool | None = False,  # noqa: FBT001, FBT002 - generated stubs pass it
    ) -> multicallable.UnaryStreamMultiCallable[Any, Any]:
        """Returns the multicallable of a method with one request and a stream of responses."""
        shared = self._registered(method, request_serializer, response_deserializer)
        return multicallable.UnaryStreamMultiCallable(
            *shared, self._of_kind(aio.UnaryStreamClientInterceptor)
        )

    def stream_unary(
        self,
        method: str,
        request_serializer: Callable[[Any], bytes] | None = None,
        response_deserializer: Callable[[bytes], Any] | None = None,
        _registered_method: bool | None = False,  # noqa: FBT001, FBT002 - generated stubs pass it
    ) -> multicallable.StreamUnaryMultiCallable[Any, Any]:
        """Returns the multicallable of a method with a stream of requests and one response."""
        shared = self._registered(
            method, request_serializer, response_deserializer, single_response=True
        )
        return multicallable.StreamUnaryMultiCallable(
            *shared, self._of_kind(aio.StreamUnaryClientInterceptor)
        )

    def stream_stream(
        self,
        method: str,
        request_serializer: Callable[[Any], bytes] | None = None,
        response_deserializer: Callable[[bytes], Any] | None = None,
        _registered_method: bool | None = False,  # noqa: FBT001, FBT002 - generated stubs pass it
    ) -> multicallable.StreamStreamMultiCallable[Any, Any]:
        """Returns the multicallable of a method with streams both ways."""
        shared = self._registered(method, request_serializer, response_deserializer)
        return multicallable.StreamStreamMultiCallable(
            *shared, self._of_kind(aio.StreamStreamClientInterceptor)
        )

    def register_method(
        self,
        path: str,
        *,
        single_response: bool,
        serialize: Callable[[Any], bytes] | None = None,
        deserialize: Callable[[bytes], Any] | None = None,
    ) -> ClientMethod:
        """Computes what all calls of `/package.Service/Method` share.

        `single_response`: the server sends one message, and not a stream. `start_call` uses no serializers.
        """
        head = ((b":path", path.encode()), *self._head)
        return ClientMethod(
            path=path,
            head=head,
            head_size=list_size(head),
            single_response=single_response,
            max_send=self._options.max_send,
            max_receive=self._options.max_receive,
            serialize=serialize,
            deserialize=deserialize,
        )

    def start_call(
        self,
        method: ClientMethod,
        message: bytes | None,
        on_end: Callable[[ClientStream], object],
        *,
        metadata: Iterable[tuple[str, str | bytes]] = (),
        timeout: float | None = None,
    ) -> ClientStream:
        """Starts a call on bytes, without the objects of `grpc.aio`; requests are not compressed.

        Args:
            method: registered with this channel, or one with the same target and options.
            message: the only request; None: requests follow (`ClientStream.send`).
            on_end: called once with the stream when the call has ended, perhaps before this returns.
            metadata: sent to the server.
            timeout: seconds until the call ends with DEADLINE_EXCEEDED; None: no timeout.

        Raises:
            grpc.aio.UsageError: the channel is closed, or has interceptors.
            ValueError: metadata or timeout are invalid.
        """
        if self._interceptors:
            raise aio.UsageError(_INTERCEPTED)
        headers = to_headers(metadata) if metadata else ()
        return start_stream(self._open(), method, headers, message, on_end, timeout)

    def _registered(
        self,
        path: str,
        serialize: Callable[[Any], bytes] | None,
        deserialize: Callable[[bytes], Any] | None,
        *,
        single_response: bool = False,
    ) -> tuple[Callable[[], Balancer], ClientMethod, grpc.Compression | None]:
        method = self.register_method(
            path, single_response=single_response, serialize=serialize, deserialize=deserialize
        )
        return self._open, method, self._compression

    def _of_kind(self, kind: type[aio.ClientInterceptor]) -> tuple[aio.ClientInterceptor, ...]:
        return tuple(one for one in self._interceptors if isinstance(one, kind))

    def _make_head(self) -> tuple[tuple[bytes, bytes], ...]:
        options = self._options
        authority = options.authority or options.tls_name or self._target.authority
        user_agent = f"{options.user_agent} {_USER_AGENT}".strip()
        return (
            (b":method", b"POST"),
            (b":scheme", b"http" if self._tls is None else b"https"),
            (b":authority", authority.encode()),
            (b"te", b"trailers"),
            (b"content-type", b"application/grpc"),
            (b"user-agent", user_agent.encode()),
            ACCEPTED,
        )

    def _open(self) -> Balancer:
        if self._closed:
            raise aio.UsageError(_CLOSED)
        if self._balancer is None:
            name = self._options.tls_name or (self._target.name.host if self._target.name else "")
            make = partial(_subchannel, self._options, self._tls, name)
            changed = partial(_notify, self._state_waiters, self._watchers)
            self._balancer = Balancer(self._target, self._options, make, changed)
        return self._balancer


def _subchannel(
    options: channel_options.ChannelOptions,
    tls: ssl.SSLContext | None,
    tls_name: str,
    address: Address,
    watcher: SubchannelObserver,
) -> Subchannel:
    return Subchannel(address, options, tls, tls_name or address.host, watcher)


def _notify(watching: list[asyncio.Future[None]], watchers: list[Callable[[], object]]) -> None:
    for future in watching:
        if not future.done():
            future.set_result(None)
    for changed in watchers:
        changed()
