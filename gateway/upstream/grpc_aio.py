"""gRPC channels as the upstream of the edge: those of `grpc.aio`, or of `grpc_wire`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any, Final, Self

from grpc import aio

from gateway.contract.method import Method, StreamType
from gateway.transcoding.metadata import Metadata
from gateway.upstream.asking import ask_in_task
from gateway.upstream.call import GrpcCall
from gateway.upstream.outcome import tell_outcome
from gateway.upstream.pool import ConnectionPool
from gateway.upstream.pool_limits import DEFAULT_LIMITS, PoolLimits
from gateway.upstream.pooled_channel import Callables, PooledChannel
from gateway.upstream.port import Call, Outcome, Requests
from gateway.upstream.reachability import Reachability
from gateway.upstream.transport import TRANSPORTS, Name, check_target
from grpc_wire.client.stream import ClientStream

DEFAULT_KEEPALIVE: Final = 300.0
"""What every gRPC server allows (gRPC's "Keepalive User Guide", on the server's enforcement)."""
DEFAULT_MAX_METADATA: Final = 16 * 1024
"""What gRPC clients announce by default."""
_NOT_OPEN: Final = "the upstream is not open: its application's lifespan was not run"
_MULTICALLABLE: Final[Mapping[StreamType, str]] = {
    StreamType.UNARY: "unary_unary",
    StreamType.CLIENT: "stream_unary",
    StreamType.SERVER: "unary_stream",
    StreamType.BIDI: "stream_stream",
}


class GrpcUpstream:
    """Connections to one server, open as long as the block."""

    def __init__(
        self,
        target: str,
        methods: Iterable[Method],
        *,
        max_message: int,
        max_metadata: int = DEFAULT_MAX_METADATA,
        keepalive: float = DEFAULT_KEEPALIVE,
        credentials: Any = None,
        name: str | None = None,
        transport: Name = "wire",
        pool: PoolLimits = DEFAULT_LIMITS,
    ) -> None:
        """Takes the address of a server.

        Args:
            target: `host:port`, or any name that gRPC resolves.
            methods: all methods that will be called.
            max_message: bytes of the largest message either way.
            max_metadata: bytes of the initial metadata, or the trailers, that the server may send.
            keepalive: seconds of silence after which the server is asked whether it is there. A server that
                is asked more often than it allows ends all calls.
            credentials: what TLS needs, as the transport makes it; None is no TLS.
            name: what the server's certificate must name, where it is not the address.
            transport: which gRPC carries the calls.
            pool: how many connections there are, and what they carry.

        Raises:
            TargetError: the target is a URL, has no port, or is no name that the transport knows.
        """
        check_target(transport, target)
        self._target = target
        self._credentials = credentials
        self._transport = TRANSPORTS[transport]
        self._methods = tuple(methods)
        self._options = (
            ("grpc.max_send_message_length", max_message),
            ("grpc.max_receive_message_length", max_message),
            # two limits, between which grpcio refuses at random
            ("grpc.max_metadata_size", max_metadata),
            ("grpc.absolute_max_metadata_size", max_metadata),
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
            # channels to the same server would share one connection
            ("grpc.use_local_subchannel_pool", 1),
            *((("grpc.ssl_target_name_override", name),) if name else ()),
        )
        self._limits = pool
        self._pool: ConnectionPool | None = None

    async def __aenter__(self) -> Self:
        """Is ready for calls; the first connects."""
        self._pool = ConnectionPool(
            self._transport, self._limits, self._open_channel, Reachability(self._target)
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        """Cancels the calls that are left, and closes the connections."""
        if self._pool is not None:
            await self._pool.close()

    def _open_channel(self) -> tuple[aio.Channel, Callables]:
        channel = (
            self._transport.insecure_channel(self._target, options=self._options)
            if self._credentials is None
            else self._transport.secure_channel(
                self._target, self._credentials, options=self._options
            )
        )
        callables = {
            method: getattr(channel, _MULTICALLABLE[method.stream_type])(method.path)
            for method in self._methods
        }
        return channel, callables

    def open(
        self,
        method: Method,
        requests: Requests,
        *,
        metadata: Metadata = (),
        timeout: float | None = None,
    ) -> AbstractAsyncContextManager[Call]:
        """Opens a call; see `gateway.upstream.port.Upstream`."""
        if self._pool is None:
            raise RuntimeError(_NOT_OPEN)
        return GrpcCall(self._pool, method, requests, metadata, timeout)

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
        pool, begin = self._pool, self._transport.ask
        if pool is None:
            raise RuntimeError(_NOT_OPEN)
        one = pool.take(stream=False) if begin is not None else None
        if one is None or begin is None:
            return ask_in_task(self, method, request, told, metadata=metadata, timeout=timeout)
        tell = partial(_tell, pool, one, told)
        try:
            call = begin(one.callables[method], request, tell, metadata=metadata, timeout=timeout)
        except BaseException:
            pool.release(one, stream=False)
            raise
        return call.cancel


def _tell(
    pool: ConnectionPool, one: PooledChannel, told: Callable[[Outcome], None], ended: ClientStream
) -> None:
    pool.release(one, stream=False)
    tell_outcome(told, ended, pool.reachability)
