"""Envoy as a proxy of gRPC and nothing else: what comes on a port goes to a server as it is.

Where there is TLS, it is on both sides, and each shows its certificate.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from scripts.make_tls import with_tls
from tests.parity.edges import run_envoy
from tests.whole.conftest import free_ports
from tests.wire.tls import Tls

_TYPES = "type.googleapis.com/envoy.extensions"


@asynccontextmanager
async def proxied(folder: Path, targets: Mapping[str, Tls | None]) -> AsyncIterator[list[str]]:
    """Runs one Envoy before some servers; the block is given its addresses, in the same order."""
    admin_port, *ports = free_ports(1 + len(targets))
    before = [
        _before(port, _port(target), tls)
        for port, (target, tls) in zip(ports, targets.items(), strict=True)
    ]
    configuration = {
        "admin": {"address": _address("127.0.0.1", admin_port)},
        "static_resources": {
            "listeners": [listener for each in before for listener in each["listeners"]],
            "clusters": [cluster for each in before for cluster in each["clusters"]],
        },
    }
    path = folder / "envoy.json"
    path.write_text(json.dumps(configuration))
    async with run_envoy(path, admin_port):
        yield [f"127.0.0.1:{port}" for port in ports]


def _before(port: int, target: int, tls: Tls | None) -> dict[str, Any]:
    resources = {"listeners": [_listener(port, target)], "clusters": [_cluster(target)]}
    if tls is not None:
        with_tls({"static_resources": resources}, str(tls.folder / "envoy"))
        asked = resources["listeners"][0]["filter_chains"][0]["transport_socket"]["typed_config"]
        asked["require_client_certificate"] = True
        ca = {"filename": str(tls.folder / "envoy" / "ca.pem")}
        asked["common_tls_context"]["validation_context"] = {"trusted_ca": ca}
    return resources


def _port(target: str) -> int:
    return int(target.rpartition(":")[2])


def _address(host: str, port: int) -> dict[str, Any]:
    return {"socket_address": {"address": host, "port_value": port}}


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
    return {"name": str(port), "address": _address("127.0.0.1", port), "filter_chains": [chain]}


def _cluster(port: int) -> dict[str, Any]:
    options = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
    return {
        "name": str(port),
        "type": "STRICT_DNS",  # for the name in the certificate
        "dns_lookup_family": "V4_ONLY",
        "typed_extension_protocol_options": {
            options: {
                "@type": f"type.googleapis.com/{options}",
                "explicit_http_config": {"http2_protocol_options": {}},
            }
        },
        "load_assignment": {
            "cluster_name": str(port),
            "endpoints": [
                {"lb_endpoints": [{"endpoint": {"address": _address("localhost", port)}}]}
            ],
        },
    }
