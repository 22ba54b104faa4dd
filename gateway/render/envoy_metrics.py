"""A listener of Envoy for Prometheus, which passes `GET /stats/prometheus` on to its admin pages.

The admin pages can stop Envoy and change its log levels, so they stay on its loopback; this listener shows
their one path that tells what Envoy counts.
"""

from __future__ import annotations

from itertools import combinations
from typing import Final

from gateway.render.envoy_routes import EnvoyOptions
from gateway.render.envoy_tls import Node
from gateway.render.envoy_upstream import socket_address

PATH: Final = "/stats/prometheus"
_CLUSTER: Final = "admin"
_MANAGER: Final = (
    "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
)


def check_ports(options: EnvoyOptions) -> None:
    """Looks that no port is given twice.

    Raises:
        ValueError: one is.
    """
    ports = {name: getattr(options, name) for name in ("port", "admin_port", "metrics_port")}
    for (name, port), (other, same) in combinations(ports.items(), 2):
        if port == same:
            raise ValueError(f"{name} and {other} are both {port}")


def metrics_listeners(options: EnvoyOptions) -> list[Node]:
    """Returns the listener, if there is one. It asks for no credentials, and has no limit of connections."""
    if options.metrics_port is None:
        return []
    route = {
        "match": {
            "path": PATH,
            "headers": [{"name": ":method", "string_match": {"exact": "GET"}}],
        },
        "route": {"cluster": _CLUSTER, "timeout": "10s"},
    }
    manager = {
        "@type": f"type.googleapis.com/{_MANAGER}",
        "stat_prefix": "metrics",
        "request_headers_timeout": "10s",
        "common_http_protocol_options": {"idle_timeout": "300s"},
        "route_config": {
            "name": "metrics",
            "virtual_hosts": [{"name": "metrics", "domains": ["*"], "routes": [route]}],
        },
        "http_filters": [
            {
                "name": "envoy.filters.http.router",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"
                },
            }
        ],
    }
    listener = {
        "name": "metrics",
        "address": socket_address(options.host, options.metrics_port),
        "ignore_global_conn_limit": True,
        "filter_chains": [
            {
                "filters": [
                    {
                        "name": "envoy.filters.network.http_connection_manager",
                        "typed_config": manager,
                    }
                ]
            }
        ],
    }
    return [listener]


def metrics_clusters(options: EnvoyOptions) -> list[Node]:
    """Returns the cluster of the admin pages, if the listener needs it."""
    if options.metrics_port is None:
        return []
    endpoint = {"endpoint": {"address": socket_address("127.0.0.1", options.admin_port)}}
    cluster = {
        "name": _CLUSTER,
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": {
            "cluster_name": _CLUSTER,
            "endpoints": [{"lb_endpoints": [endpoint]}],
        },
    }
    return [cluster]
