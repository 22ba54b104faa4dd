"""Both edges ask the same external authorizer over gRPC, and do what it says alike."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.authorizers import by_token, grpc_authorizer
from tests.contracts import echo_descriptor_set
from tests.echo_server import echo_server
from tests.parity.client import ask
from tests.parity.edges import Ports, run_envoy, why_no_envoy, write
from tests.whole.conftest import free_ports
from tests.whole.processes import edge

pytestmark = [pytest.mark.skipif(bool(why_no_envoy()), reason=why_no_envoy())]

_SEEN = ("x-user", "x-role", "x-quota", "www-authenticate", "location", "retry-after")
"""Headers that the authorizer has a hand in; what the server was told comes back as headers."""


def _with_authorizer(path: Path, address: str) -> None:
    """Adds the filter and its cluster to what is rendered for Envoy."""
    made = yaml.safe_load(path.read_text())
    resources = made["static_resources"]
    manager = resources["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    # what is rendered puts each body that Envoy itself sends into a google.rpc.Status
    manager.pop("local_reply_config")
    http = "type.googleapis.com/envoy.extensions"
    service = {"envoy_grpc": {"cluster_name": "authorizer"}, "timeout": "20s"}
    manager["http_filters"].insert(
        0,
        {
            "name": "envoy.filters.http.ext_authz",
            "typed_config": {
                "@type": f"{http}.filters.http.ext_authz.v3.ExtAuthz",
                "transport_api_version": "V3",
                "grpc_service": service,
                "status_on_error": {"code": "ServiceUnavailable"},
            },
        },
    )
    options = f"{http[len('type.googleapis.com/') :]}.upstreams.http.v3.HttpProtocolOptions"
    host, port = address.split(":")
    socket = {"socket_address": {"address": host, "port_value": int(port)}}
    resources["clusters"].append(
        {
            "name": "authorizer",
            "type": "STATIC",
            "typed_extension_protocol_options": {
                options: {
                    "@type": f"type.googleapis.com/{options}",
                    "explicit_http_config": {"http2_protocol_options": {}},
                }
            },
            "load_assignment": {
                "cluster_name": "authorizer",
                "endpoints": [{"lb_endpoints": [{"endpoint": {"address": socket}}]}],
            },
        }
    )
    path.write_text(yaml.safe_dump(made))


@asynccontextmanager
async def _both(folder: Path, authorizer: str) -> AsyncIterator[Ports]:
    descriptor_set = folder / "echo.binpb"
    descriptor_set.write_bytes(echo_descriptor_set())
    port, admin_port = free_ports(2)
    async with echo_server() as echo:
        ports = {"port": port, "admin_port": admin_port}
        configuration = write(folder / "envoy", descriptor_set, echo.address, **ports)
        _with_authorizer(configuration, authorizer)
        settings: dict[str, Any] = {
            "authorizer_grpc": authorizer,
            "authorizer_headers": "authorization",
            "authorizer_timeout_seconds": "20",
            "request_headers": "x-user,x-role",
            "response_headers": "x-user,x-role",
        }
        async with (
            edge(echo.address, descriptor_set=descriptor_set, **settings) as ours,
            run_envoy(configuration, admin_port),
        ):
            yield Ports(ours.port, port)


_REQUESTS: tuple[tuple[str, str, bytes | None], ...] = (
    ("POST", "/v1/echo", b'{"stringField":"a"}'),
    ("GET", "/v1/echo/a", None),
    ("GET", "/v1/stream/a?int32_field=2", None),
    ("POST", "/v1/upload", b'[{"stringField":"a"}]'),
    ("GET", "/v1/hang", None),
)


async def test_both_edges_do_what_an_authorizer_says(tmp_path: Path) -> None:
    """Status, body and headers of each verdict, for each kind of method; and what goes upstream."""
    forged = {"x-user": "root", "x-role": "root", "content-type": "application/json"}
    told: list[dict[str, Any]] = []

    async def check(request: Any, context: Any) -> Any:
        http = request.attributes.request.http
        told.append(
            {
                "method": http.method,
                "path": http.path,
                "scheme": http.scheme,
                "host": http.host,
                "protocol": http.protocol,
                "client": request.attributes.source.address.socket_address.address,
                "authorization": http.headers["authorization"],
            }
        )
        return await by_token(request, context)

    verdicts: dict[str, list[Any]] = {}
    async with grpc_authorizer(check) as authorizer, _both(tmp_path, authorizer) as ports:
        for caller in ("ann", "bob", "carl", "dora", "nothing", "eve"):
            for method, target, body in _REQUESTS:
                if (caller, target) == ("nothing", "/v1/hang"):
                    continue
                headers = forged | {"authorization": f"Bearer {caller}"}
                answers = [
                    await ask(port, method, target, headers, body)
                    for port in (ports.ours, ports.envoy)
                ]
                seen = [_compared(each) for each in answers]
                assert seen[0] == seen[1], (caller, method, target)
                verdicts.setdefault(caller, []).append(seen[0][0])

    assert told[0::2] == told[1::2]
    assert verdicts == {
        "ann": [200, 200, 200, 200, 403],
        "bob": [403, 403, 403, 403, 403],
        "carl": [302, 302, 302, 302, 403],
        "dora": [429, 429, 429, 429, 403],
        "nothing": [200, 200, 200, 200],
        "eve": [401, 401, 401, 401, 403],
    }


def _compared(answer: Any) -> tuple[Any, ...]:
    """Returns what is compared: the body only of what the authorizer has written."""
    own = answer.status == 200 or (answer.status == 403 and b"bob" not in answer.body)
    headers = {name: value for name, value in answer.headers.items() if name in _SEEN}
    return answer.status, headers, b"" if own else answer.body


async def test_both_edges_refuse_while_the_authorizer_is_down(tmp_path: Path) -> None:
    """503, as Envoy is told to answer."""
    async with grpc_authorizer(by_token) as authorizer:
        pass
    async with _both(tmp_path, authorizer) as ports:
        for port in (ports.ours, ports.envoy):
            answer = await ask(port, "GET", "/v1/echo", {"authorization": "Bearer ann"}, None)
            assert answer.status == 503
