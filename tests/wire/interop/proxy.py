"""Envoy as a proxy of gRPC and nothing else: what comes on a port goes to a server as it is."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.parity.edges import run_envoy
from tests.whole.conftest import free_ports

_TYPES = "type.googleapis.com/envoy.extensions"


@asynccontextmanager
async def proxied(folder: Path, targets: Sequence[str]) -> AsyncIterator[list[str]]:
    """Runs one Envoy before some servers; the block is given its addresses, in the same order."""
    admin_port, *ports = free_ports(1 + len(targets))
    pairs = [(port, _port(target)) for port, target in zip(ports, targets, strict=True)]
    configuration = {
        "admin": {"address": _address(admin_port)},
        "static_resources": {
            "listeners": [_listener(*pair) for pair in pairs],
            "clusters": [_cluster(port) for _, port in pairs],
        },
    }
    path = folder / "envoy.json"
    path.write_text(json.dumps(configuration))
    async with run_envoy(path, admin_port):
        yield [f"127.0.0.1:{port}" for port in ports]


def _port(target: str) -> int:
    return int(target.rpartition(":")[2])


def _address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def _listener(port: int, target: int) -> dict[str, Any]:
    """Returns a port; deadlines are the callers' and the servers', not the proxy's."""
    route = {"cluster": str(target), "timeout": "0s"}
    manager = {
        "@type": f"{_TYPES}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": str(port),
        "codec_type": "HTTP2",
        "route_config": {
            "virtual_hosts": [
                {
                    "name": "all",
                    "domains": ["*"],
                    "routes": [{"match": {"prefix": "/"}, "route": route}],
                }
            ]
        },
        "http_filters": [
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": f"{_TYPES}.filters.http.router.v3.Router"},
            }
        ],
    }
    chain = {"filters": [{"name": "http", "typed_config": manager}]}
    return {"name": str(port), "address": _address(port), "filter_chains": [chain]}


def _cluster(port: int) -> dict[str, Any]:
    options = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
    return {
        "name": str(port),
        "type": "STATIC",
        "typed_extension_protocol_options": {
            options: {
                "@type": f"type.googleapis.com/{options}",
                "explicit_http_config": {"http2_protocol_options": {}},
            }
        },
        "load_assignment": {
            "cluster_name": str(port),
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": _address(port)}}]}],
        },
    }
