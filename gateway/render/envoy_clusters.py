"""All clusters of gRPC servers that callers reach: the default server, and the other upstreams."""

from __future__ import annotations

from gateway.render.envoy_routes import EnvoyOptions
from gateway.render.envoy_tls import Node
from gateway.render.envoy_upstream import CLUSTER, STREAMS, upstream_cluster
from gateway.render.envoy_upstreams import upstreams_clusters


def upstream_clusters(options: EnvoyOptions) -> list[Node]:
    """Returns the clusters of the gRPC servers; two of one if calls and streams have limits of their own."""
    overload = options.admission.overload
    if overload.is_on and options.upstreams:
        raise ValueError(
            "Envoy bounds the calls of each cluster, not of all: with upstreams, give max_calls and"
            " max_streams of each in the place of overload_max_calls and overload_max_streams"
        )
    limits = {CLUSTER: overload.max_calls}
    if overload.is_on:
        limits[STREAMS] = overload.max_streams
    default = [
        upstream_cluster(
            options.upstream,
            options.max_connections,
            keepalive=options.upstream_keepalive_seconds,
            tls=options,
            name=name,
            max_calls=limit,
        )
        for name, limit in limits.items()
    ]
    keepalive = options.upstream_keepalive_seconds
    return [*default, *upstreams_clusters(options.upstreams, keepalive=keepalive)]
