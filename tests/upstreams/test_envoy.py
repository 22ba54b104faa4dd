"""Envoy's rendering of several upstreams: the same routes, credentials and bounds, or a refusal."""

from __future__ import annotations

from pathlib import Path

import grpc
import pytest
import yaml

from gateway.cli import main
from tests.parity.client import ask
from tests.parity.edges import rendered, run_envoy, why_no_envoy
from tests.upstreams.contract import descriptor_set, shop_server
from tests.whole.conftest import free_ports
from tests.whole.processes import edge


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        (
            "upstreams: [{name: a, methods: shop.*, addresses: 'h:1', metadata: [{key: k, value_file: f}]}]",
            "upstreams[a]: Envoy reads no value_file",
        ),
        (
            "upstreams: [{name: a, methods: shop.*, addresses: ['h:1', 'i:1'], ca: ca.pem}]",
            "upstreams[a]: Envoy verifies one name for all addresses: give server_name",
        ),
        (
            "upstreams: [{name: a, methods: shop.*, addresses: 'h:1', tls: true}]",
            "upstreams[a]: Envoy trusts no CA by itself",
        ),
        (
            "upstreams: [{name: a, methods: shop.*, addresses: ['h:1', 'unix:/s']}]",
            "upstreams[a]: Envoy has names and Unix sockets in no one cluster",
        ),
        (
            "upstreams: [{name: a, methods: shop.*, addresses: 'h:1', retry: {backoff_multiplier: 3}}]",
            "upstreams[a]: Envoy has no backoff_multiplier other than 2",
        ),
        (
            "upstreams: [{name: a, methods: '*', addresses: h:1, retry: {retryable_status_codes: ABORTED}}]",
            "upstreams[a]: Envoy retries no ABORTED",
        ),
        (
            "upstreams: [{name: a, methods: '*', addresses: [h:1, i:1], ejection: {slow_seconds: 1}}]",
            "upstreams[a]: Envoy ejects for no latency",
        ),
        (
            "upstreams: [{name: a, methods: shop.*, addresses: 'h:1'}]\noverload: {max_calls: 1}",
            "Envoy bounds the calls of each cluster",
        ),
    ],
)
def test_what_envoy_cannot_say_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], config: str, problem: str
) -> None:
    """Nothing is rendered that Envoy would do otherwise than the edge."""
    (tmp_path / "shop.binpb").write_bytes(descriptor_set())
    file = tmp_path / "edge.yaml"
    file.write_text(config)
    options = ["--descriptor-set", str(tmp_path / "shop.binpb"), "--config", str(file)]

    status = main(["envoy", *options, "--descriptor-set-out", str(tmp_path / "out.binpb")])

    told = capsys.readouterr()
    assert (status, told.out) == (2, "")
    assert problem in told.err


@pytest.mark.skipif(bool(why_no_envoy()), reason=why_no_envoy())
async def test_both_edges_route_alike(tmp_path: Path) -> None:
    """Two services behind each edge: each call reaches its server, with the metadata of its entry alone."""
    path = tmp_path / "shop.binpb"
    path.write_bytes(descriptor_set())
    port, admin_port = free_ports(2)
    async with shop_server() as orders, shop_server() as other, shop_server() as default:
        entries = [
            {
                "name": "orders",
                "methods": ["shop.v1.Orders"],
                "addresses": [orders.address],
                "timeout_seconds": 20,
                "retry": {"initial_backoff_seconds": 0.02},
                "max_calls": 50,
                "metadata": [{"key": "x-key", "value": "orders 100%"}],
            },
            {
                "name": "place",
                "methods": ["shop.v1.Orders/Place"],
                "addresses": [other.address, other.address],
                "ejection": {"seconds": 5},
                "balance": "least_outstanding",
                "metadata": [{"key": "x-key", "value": "place"}],
            },
        ]
        file = tmp_path / "edge.yaml"
        file.write_text(yaml.safe_dump({"upstreams": entries}))
        configuration = tmp_path / "envoy.yaml"
        configuration.write_bytes(
            await rendered(file, path, default.address, port=port, admin_port=admin_port)
        )
        async with (
            edge(default.address, descriptor_set=path, config=str(file)) as ours,
            run_envoy(configuration, admin_port),
        ):
            seen = []
            for each in (ours.port, port):
                for server in (orders, other, default):
                    server.calls.clear()
                for target in ("/orders", "/orders:place", "/stock"):
                    answer = await ask(
                        each, "POST", target, {"content-type": "application/json"}, b'{"name":"a"}'
                    )
                    assert (answer.status, answer.body) == (200, b'{"name":"a"}')
                # a safe call is made again by both
                orders.code, orders.failures = grpc.StatusCode.UNAVAILABLE, 1
                orders.calls.clear()
                answer = await ask(
                    each, "POST", "/orders", {"content-type": "application/json"}, b'{"name":"a"}'
                )
                assert (answer.status, len(orders.calls)) == (200, 2)
                orders.code = grpc.StatusCode.OK
                watched = await ask(each, "GET", "/orders:watch?name=b", {}, None)
                assert watched.status == 200
                seen.append(
                    [
                        (list(server.calls), server.metadata.get("x-key"))
                        for server in (orders, other, default)
                    ]
                )

    assert seen[0] == [
        (["/shop.v1.Orders/Get"] * 2 + ["/shop.v1.Orders/Watch"], "orders 100%"),
        (["/shop.v1.Orders/Place"], "place"),
        (["/shop.v1.Stock/Get"], None),
    ]
    assert seen[1] == seen[0]
