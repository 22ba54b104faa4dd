"""Makes the way upstream that the settings describe: the default server, and the others of `upstreams`.

Rule: everything is looked at before anything connects, and what is wrong names its entry.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from google.rpc.code_pb2 import Code

from gateway.contract.method import Method
from gateway.contract.method_patterns import prefix_of, prefixes_of
from gateway.setting_secrets import secret_of
from gateway.settings import Settings
from gateway.tls import channel_credentials, client_tls, upstream_tls
from gateway.transcoding.metadata import Metadata
from gateway.upstream.balanced import BalancedUpstream
from gateway.upstream.bounded import BoundedUpstream, Bounds
from gateway.upstream.ejection import EjectionPolicy, Endpoint
from gateway.upstream.options import UpstreamOptions
from gateway.upstream.pool_limits import PoolLimits
from gateway.upstream.port import Upstream
from gateway.upstream.retrying import RetryingUpstream, RetryPolicy
from gateway.upstream.routed import RoutedUpstream
from gateway.upstream.transport import TargetError, make_upstream
from gateway.upstream_settings import (
    DEFAULT_NAME,
    EjectionSettings,
    RetrySettings,
    UpstreamSettings,
)
from grpc_wire.renewal import Renewed, watching

_PRINTABLE: Final = frozenset(map(chr, range(0x20, 0x7F)))


@dataclass(frozen=True, slots=True)
class Upstreams:
    """What carries the calls of an edge."""

    upstream: Upstream
    """All of it."""
    tls: Renewed[Any] | None = None
    """Files of TLS to the default server."""
    named: Mapping[str, Upstream] = field(default_factory=dict)
    """The others, by their names."""
    named_tls: Sequence[Renewed[Any]] = ()
    """Files of TLS to the others."""
    uses_default: bool = True
    """Whether a method of the contract goes to the default server."""

    @property
    def renewed(self) -> tuple[Renewed[Any], ...]:
        """All files of TLS."""
        return (*(() if self.tls is None else (self.tls,)), *self.named_tls)

    @asynccontextmanager
    async def watching(self, interval: float) -> AsyncIterator[None]:
        """Looks at the files of TLS while the block runs, at an interval in seconds."""
        async with AsyncExitStack() as watched:
            for each in self.renewed:
                await watched.enter_async_context(watching(each, interval))
            yield


def make_upstreams(settings: Settings, methods: Sequence[Method]) -> Upstreams:
    """Makes the upstreams of an edge; nothing connects before the first call.

    Args:
        settings: of the edge.
        methods: those of the contract.

    Raises:
        TargetError: an address is wrong, or a pattern fits no method of the contract.
        TlsError: a certificate, a key or a CA cannot be used.
        SecretError: a file of metadata has no usable value.
        FileReadError: a file cannot be read; it is an OSError.
    """
    tls = upstream_tls(settings)
    default = make_upstream(settings.transport, _default_options(settings, tls))
    if not settings.upstreams:
        return Upstreams(default, tls)
    named: dict[str, Upstream] = {}
    named_tls = []
    for each in settings.upstreams:
        own_tls = _tls(each)
        named[each.name] = _named(settings, each, own_tls)
        if own_tls is not None:
            named_tls.append(own_tls)
    prefixes = {
        prefix_of(pattern): each.name for each in settings.upstreams for pattern in each.methods
    }
    passes_unknown = settings.rpc == "upstream"
    if not passes_unknown:
        _check_patterns(settings.upstreams, methods)
    routed = RoutedUpstream({DEFAULT_NAME: default, **named}, prefixes)
    taken = routed.resolve(methods)
    uses_default = passes_unknown or DEFAULT_NAME in taken.values()
    return Upstreams(routed, tls, named, named_tls, uses_default)


def _check_patterns(upstreams: Iterable[UpstreamSettings], methods: Iterable[Method]) -> None:
    names = {"", *(name for each in methods for name in prefixes_of(each.full_name))}
    for each in upstreams:
        for pattern in (*each.methods, *(each.retry.methods if each.retry else ())):
            if prefix_of(pattern) not in names:
                raise TargetError(
                    f"upstreams[{each.name}]: {pattern!r} fits no method of the contract"
                )


def _default_options(settings: Settings, tls: Renewed[Any] | None) -> UpstreamOptions:
    return UpstreamOptions(
        settings.upstream,
        max_message=settings.max_message_bytes,
        max_metadata=settings.max_upstream_metadata_bytes,
        keepalive=settings.upstream_keepalive_seconds,
        credentials=channel_credentials(tls),
        name=settings.upstream_name,
        pool=PoolLimits(
            max_connections=settings.upstream_max_connections,
            min_connections=settings.upstream_min_connections,
            streams_per_connection=settings.upstream_streams_per_connection,
            idle=settings.upstream_idle_seconds,
            unary_reserve=settings.upstream_unary_reserve,
        ),
    )


def _named(settings: Settings, own: UpstreamSettings, tls: Renewed[Any] | None) -> BoundedUpstream:
    endpoints = []
    for address in own.addresses:
        options = UpstreamOptions(
            address,
            max_message=settings.max_message_bytes,
            max_metadata=settings.max_upstream_metadata_bytes,
            keepalive=settings.upstream_keepalive_seconds,
            connect_timeout=own.connect_timeout_seconds,
            credentials=channel_credentials(tls),
            name=own.server_name,
            pool=PoolLimits(
                max_connections=own.max_connections,
                streams_per_connection=settings.upstream_streams_per_connection,
                idle=settings.upstream_idle_seconds,
                unary_reserve=settings.upstream_unary_reserve,
            ),
        )
        try:
            endpoints.append(Endpoint(address, make_upstream(own.transport, options)))
        except TargetError as error:
            raise TargetError(f"upstreams[{own.name}]: {error}") from error
    inner: Upstream = endpoints[0].upstream
    if len(endpoints) > 1:
        inner = BalancedUpstream(own.name, endpoints, own.balance, _ejection(own.ejection))
    if own.retry is not None:
        inner = RetryingUpstream(inner, _retry_policy(own.retry))
    bounds = Bounds(
        max_calls=own.max_calls,
        max_streams=own.max_streams,
        timeout=own.timeout_seconds,
        metadata=_metadata(own),
    )
    return BoundedUpstream(inner, bounds)


def _ejection(ejection: EjectionSettings | None) -> EjectionPolicy | None:
    if ejection is None:
        return None
    return EjectionPolicy(
        failures=ejection.consecutive_failures,
        slow_calls=ejection.consecutive_slow,
        slow=ejection.slow_seconds,
        time=ejection.seconds,
        max_time=ejection.max_seconds,
        max_share=ejection.max_share,
        slow_start=ejection.slow_start_seconds,
    )


def _retry_policy(retry: RetrySettings) -> RetryPolicy:
    return RetryPolicy(
        retry.is_safe,
        frozenset(Code.Value(each) for each in retry.retryable_status_codes),
        max_attempts=retry.max_attempts,
        initial_backoff=retry.initial_backoff_seconds,
        max_backoff=retry.max_backoff_seconds,
        multiplier=retry.backoff_multiplier,
        max_tokens=retry.max_tokens,
        token_ratio=retry.token_ratio,
    )


def _metadata(own: UpstreamSettings) -> Metadata:
    return tuple((each.key, _value(own, index)) for index, each in enumerate(own.metadata))


def _value(own: UpstreamSettings, index: int) -> str:
    entry = own.metadata[index]
    value = secret_of(entry, "value") or ""
    if not _PRINTABLE.issuperset(value) or value != value.strip():
        raise TargetError(
            f"upstreams[{own.name}].metadata[{index}]: the value of {entry.key} has characters that"
            " metadata cannot have: they are printable ASCII, without spaces around"
        )
    return value


def _tls(own: UpstreamSettings) -> Renewed[Any] | None:
    if not own.has_tls:
        return None
    return client_tls(
        f"upstreams.{own.name}.",
        own.transport,
        ca=own.ca,
        certificate=own.certificate,
        key=own.key,
    )
