"""Envoy's cluster for a gRPC server.

Calls are not retried: the server may have executed them. A dead server is detected by health checks and TCP
keepalive. HTTP/2 keepalive pings have the interval of the setting; Envoy adds a jitter of up to 15 %.
"""

from __future__ import annotations

import re
from typing import Final

from gateway.render.envoy_tls import Node, TlsOptions, is_ip, upstream_tls

CLUSTER: Final = "upstream"
STREAMS: Final = "upstream-streams"
"""Cluster of the same server for streams, where they have a limit of their own."""
_HTTP_OPTIONS: Final = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_NAMED: Final = re.compile(r"(?:dns:(?:///)?)?(?:\[([^\]]+)\]|([^:/\[\]]+)):(\d{1,5})")
_MIN_SECONDS: Final = 0.001
_MAX_SECONDS: Final = 315_360_000.0
"""Ten years; a duration of centuries overflows in Envoy."""
_UNIX: Final = re.compile(r"unix:(?://)?(/?[^/].*)")


def upstream_cluster(
    upstream: str,
    max_connections: int,
    *,
    keepalive: float,
    tls: TlsOptions,
    name: str = CLUSTER,
    max_calls: int | None = None,
) -> Node:
    """Returns the cluster of one gRPC server.

    Args:
        upstream: its address.
        max_connections: to it.
        keepalive: interval of pings, in seconds.
        tls: to it.
        name: of the cluster.
        max_calls: maximum calls under way, beyond which Envoy answers 503; None: as many as connections.

    Raises:
        ValueError: Envoy does not support the address or the TLS settings.
    """
    host, address = host_and_address(upstream)
    return {
        "name": name,
        "type": "STATIC" if "pipe" in address or is_ip(host) else "STRICT_DNS",
        "connect_timeout": "2s",
        "upstream_connection_options": {
            "tcp_keepalive": {
                "keepalive_time": 30,
                "keepalive_interval": 10,
                "keepalive_probes": 3,
            }
        },
        "typed_extension_protocol_options": {
            _HTTP_OPTIONS: {
                "@type": f"type.googleapis.com/{_HTTP_OPTIONS}",
                "explicit_http_config": {
                    "http2_protocol_options": {
                        "connection_keepalive": {"interval": seconds(keepalive), "timeout": "10s"}
                    }
                },
            }
        },
        **upstream_tls(tls, host),
        "health_checks": [
            {
                "interval": "5s",
                "timeout": "2s",
                "unhealthy_threshold": 2,
                "healthy_threshold": 1,
                "grpc_health_check": {},
            }
        ],
        "circuit_breakers": {
            "thresholds": [
                {
                    "max_connections": max_connections,
                    "max_pending_requests": max_connections,
                    "max_requests": max_connections if max_calls is None else max_calls,
                    "max_retries": 0,
                }
            ]
        },
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}],
        },
    }


def plain_cluster(name: str, host: str, port: int, tls: TlsOptions) -> Node:
    """Returns the cluster of one server of HTTP/1.1.

    Raises:
        ValueError: see `upstream_cluster`.
    """
    return _small_cluster(
        name, host, socket_address(host, port), upstream_tls(tls, host, "http/1.1")
    )


def grpc_cluster(name: str, target: str, tls: TlsOptions) -> Node:
    """Returns the cluster of one gRPC server that is asked before calls.

    Raises:
        ValueError: see `upstream_cluster`.
    """
    host, address = host_and_address(target)
    options = {
        "@type": f"type.googleapis.com/{_HTTP_OPTIONS}",
        "explicit_http_config": {"http2_protocol_options": {}},
    }
    return _small_cluster(name, host, address, upstream_tls(tls, host)) | {
        "typed_extension_protocol_options": {_HTTP_OPTIONS: options}
    }


def _small_cluster(name: str, host: str, address: Node, secured: Node) -> Node:
    return {
        "name": name,
        "type": "STATIC" if "pipe" in address or is_ip(host) else "STRICT_DNS",
        "connect_timeout": "2s",
        **secured,
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}],
        },
    }


def host_and_address(upstream: str) -> tuple[str, Node]:
    """Returns the host, as in gRPC's `:authority`, and Envoy's address.

    Raises:
        ValueError: Envoy does not support the address.
    """
    if match := _UNIX.fullmatch(upstream):
        return "localhost", {"pipe": {"path": match[1]}}
    match = _NAMED.fullmatch(upstream)
    if match is None or not 0 < int(match[3]) < 2**16:
        raise ValueError(
            f"upstream {upstream!r} is neither HOST:PORT nor unix:PATH, as Envoy wants it"
        )
    host = match[1] or match[2]
    return host, socket_address(host, int(match[3]))


def socket_address(host: str, port: int) -> Node:
    """Returns a TCP address."""
    return {"socket_address": {"address": host, "port_value": port}}


def seconds(number: float) -> str:
    """Returns a duration in protobuf's JSON, at least 1 ms: Envoy rounds less to 0, which is no limit."""
    number = min(max(number, _MIN_SECONDS), _MAX_SECONDS)
    return f"{number:.9f}".rstrip("0").rstrip(".") + "s"
