"""What an upstream is made with, whichever transport carries its calls."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from gateway.upstream.pool_limits import DEFAULT_LIMITS, PoolLimits

DEFAULT_KEEPALIVE: Final = 300.0
"""What every gRPC server allows (gRPC's "Keepalive User Guide", on the server's enforcement)."""
DEFAULT_CONNECT_TIMEOUT: Final = 2.0
"""Leaves a lost SYN its retransmission after 1 s, and a busy server time for its SETTINGS."""
DEFAULT_MAX_METADATA: Final = 16 * 1024
"""What gRPC clients announce by default."""


@dataclass(frozen=True, slots=True)
class UpstreamOptions:
    """The address of a server, and how it is called."""

    target: str
    """`host:port`, or any name that the transport resolves."""
    max_message: int
    """Maximum bytes of a message, either way."""
    max_metadata: int = DEFAULT_MAX_METADATA
    """Maximum bytes of the initial metadata, or the trailers, that the server may send."""
    keepalive: float = DEFAULT_KEEPALIVE
    """Keepalive ping interval, in seconds. A server that allows fewer pings ends all calls."""
    connect_timeout: float = DEFAULT_CONNECT_TIMEOUT
    """How long an attempt to connect may take, in seconds; later ones may take as long as their backoff."""
    credentials: Any = None
    """For TLS, as the transport makes them; None: no TLS."""
    name: str | None = None
    """Name in the server's certificate, if it is not the host of the address."""
    pool: PoolLimits = DEFAULT_LIMITS

    def channel_options(self) -> tuple[tuple[str, Any], ...]:
        """Returns the options of a channel, by gRPC's names."""
        return (
            ("grpc.max_send_message_length", self.max_message),
            ("grpc.max_receive_message_length", self.max_message),
            # two limits, between which grpcio refuses at random
            ("grpc.max_metadata_size", self.max_metadata),
            ("grpc.absolute_max_metadata_size", self.max_metadata),
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.min_reconnect_backoff_ms", round(self.connect_timeout * 1000)),
            ("grpc.max_reconnect_backoff_ms", 2_000),
            ("grpc.keepalive_time_ms", round(self.keepalive * 1000)),
            # a server that restarts may have another address; the default is 30 s
            ("grpc.dns_min_time_between_resolutions_ms", 1_000),
            ("grpc.keepalive_timeout_ms", 10_000),
            # docker puts its user's proxy into every container, where it leads to no upstream
            ("grpc.enable_http_proxy", 0),
            # channels to the same server would share one connection
            ("grpc.use_local_subchannel_pool", 1),
            *((("grpc.ssl_target_name_override", self.name),) if self.name else ()),
        )
