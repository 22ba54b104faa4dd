"""A channel, to be put in the place of `grpc.aio`'s: stubs do not see the difference."""

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
from grpc_wire.client import multicallable as made
from grpc_wire.client import options as channel_options
from grpc_wire.client import target
from grpc_wire.client.balancer import Balancer
from grpc_wire.client.method import Method
from grpc_wire.client.subchannel import Subchannel, Watcher
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
    """Makes a channel with TLS; `credentials.ssl_channel_credentials` makes what it takes.

    A context that was made elsewhere is told to offer `h2`, and nothing older.
    """
    restrict(credentials)
    return Channel(target, credentials, options or (), compression, interceptors or ())


class Channel(aio.Channel):
    """Connections to one target, made when they are wanted, in the event loop of the first call.

    Nothing that lives in the loop holds it: one that is dropped without `close` closes when its calls end.
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
        self._watching: list[asyncio.Future[None]] = []
        self._watchers: list[Callable[[], object]] = []
        self._head = self._make_head()

    def __del__(self) -> None:
        balancer = self._balancer
        if balancer is not None and not self._closed:
            with suppress(RuntimeError):  # the loop is closed
                balancer.loop.call_soon_threadsafe(balancer.leave)  # this may be any thread

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
        """Takes no more calls; those that are left when the grace (seconds) is over are cancelled."""
        if grace is not None and grace < 0:
            raise ValueError(f"grace must be non-negative, got {grace}.")
        self._closed = True
        balancer = self._balancer
        if balancer is None:
            _tell(self._watching, self._watchers)
            return
        if grace and balancer.calls:
            ends = [call.over_soon() for call in balancer.calls]
            await asyncio.wait(ends, timeout=grace)
        for call in tuple(balancer.calls):
            call.cancel("the channel is closed")
        await balancer.close()

    def get_state(
        self,
        try_to_connect: bool = False,  # noqa: FBT001, FBT002 - the place that grpc.aio gives it
    ) -> grpc.ChannelConnectivity:
        """Returns the state of its connections; begins to connect if it is told to."""
        if try_to_connect and not self._closed:
            self._open().connect()
        if self._balancer is not None:
            return self._balancer.state
        return grpc.ChannelConnectivity.SHUTDOWN if self._closed else grpc.ChannelConnectivity.IDLE

    @property
    def max_streams(self) -> int:
        """How many calls its ready connections carry at once, as their servers allow; 0 if none is ready."""
        return 0 if self._balancer is None else self._balancer.max_streams

    def watch(self, changed: Callable[[], object]) -> None:
        """Lets a function be called each time that the state or `max_streams` has changed."""
        self._watchers.append(changed)

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        """Waits until the state is another.

        Raises:
            grpc.aio.UsageError: the channel was closed before, and stays so.
        """
        if self._closed:
            raise aio.UsageError(_CLOSED)
        while self.get_state() is last_observed_state:
            future = asyncio.get_running_loop().create_future()
            self._watching.append(future)
            try:
                await future
            finally:
                self._watching.remove(future)

    async def channel_ready(self) -> None:
        """Connects, and waits until it has."""
        while (state := self.get_state(try_to_connect=True)) is not grpc.ChannelConnectivity.READY:
            if state is grpc.ChannelConnectivity.SHUTDOWN:
                raise aio.UsageError(_CLOSED)
            await self.wait_for_state_change(state)

    def unary_unary(
        self,
        method: str,
        request_serializer: Callable[[Any], bytes] | None = None,
        response_deserializer: Callable[[bytes], Any] | None = None,
        _registered_method: bool | None = False,  # noqa: FBT001, FBT002 - generated stubs say it
    ) -> made.UnaryUnaryMultiCallable[Any, Any]:
        """Returns what makes calls with one request and one response."""
        shared = self._shared(method, request_serializer, response_deserializer, one_response=True)
        return made.UnaryUnaryMultiCallable(*shared, self._of_kind(aio.UnaryUnaryClientInterceptor))

    def unary_stream(
        self,
        method: str,
        request_serializer: Callable[[Any], bytes] | None = None,
        response_deserializer: Callable[[bytes], Any] | None = None,
        _registered_method: bool | None = False,  # noqa: FBT001, FBT002 - generated stubs say it
    ) -> made.UnaryStreamMultiCallable[Any, Any]:
        """Returns what makes calls with one request and a stream of responses."""
        shared = self._shared(method, request_serializer, response_deserializer)
        return made.UnaryStreamMultiCallable(
            *shared, self._of_kind(aio.UnaryStreamClientInterceptor)
        )

    def stream_unary(
        self,
        method: str,
        request_serializer: Callable[[Any], bytes] | None = None,
        response_deserializer: Callable[[bytes], Any] | None = None,
        _registered_method: bool | None = False,  # noqa: FBT001, FBT002 - generated stubs say it
    ) -> made.StreamUnaryMultiCallable[Any, Any]:
        """Returns what makes calls with a stream of requests and one response."""
        shared = self._shared(method, request_serializer, response_deserializer, one_response=True)
        return made.StreamUnaryMultiCallable(
            *shared, self._of_kind(aio.StreamUnaryClientInterceptor)
        )

    def stream_stream(
        self,
        method: str,
        request_serializer: Callable[[Any], bytes] | None = None,
        response_deserializer: Callable[[bytes], Any] | None = None,
        _registered_method: bool | None = False,  # noqa: FBT001, FBT002 - generated stubs say it
    ) -> made.StreamStreamMultiCallable[Any, Any]:
        """Returns what makes calls with a stream either way."""
        shared = self._shared(method, request_serializer, response_deserializer)
        return made.StreamStreamMultiCallable(
            *shared, self._of_kind(aio.StreamStreamClientInterceptor)
        )

    def _shared(
        self,
        path: str,
        serialize: Callable[[Any], bytes] | None,
        deserialize: Callable[[bytes], Any] | None,
        *,
        one_response: bool = False,
    ) -> tuple[Callable[[], Balancer], Method, grpc.Compression | None]:
        head = ((b":path", path.encode()), *self._head)
        method = Method(
            path=path,
            head=head,
            head_size=list_size(head),
            one_response=one_response,
            max_send=self._options.max_send,
            max_receive=self._options.max_receive,
            serialize=serialize,
            deserialize=deserialize,
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
            changed = partial(_tell, self._watching, self._watchers)
            self._balancer = Balancer(self._target, self._options, make, changed)
        return self._balancer


def _subchannel(
    options: channel_options.ChannelOptions,
    tls: ssl.SSLContext | None,
    tls_name: str,
    address: Address,
    watcher: Watcher,
) -> Subchannel:
    return Subchannel(address, options, tls, tls_name or address.host, watcher)


def _tell(watching: list[asyncio.Future[None]], watchers: list[Callable[[], object]]) -> None:
    for future in watching:
        if not future.done():
            future.set_result(None)
    for changed in watchers:
        changed()
