"""A real Envoy with what is rendered for it: it takes each rendering, and its one port serves every wire."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from grpc import aio

from gateway.admission.proxy_settings import ProxySettings
from gateway.render.envoy_cors import EnvoyCors
from tests.contracts import compile_text, echo_descriptor_set, feeds_descriptor_set
from tests.echo_server import EchoServer, Everything, echo_server
from tests.parity.client import ask
from tests.parity.edges import envoy, envoy_path, why_no_envoy, write
from tests.whole.certificates import made
from tests.whole.conftest import ROOT, free_ports
from tests.whole.processes import DESCRIPTOR_SET, core

pytestmark = [pytest.mark.skipif(bool(why_no_envoy()), reason=why_no_envoy())]

_JSON = {"content-type": "application/json"}


def _validate(configuration: Path) -> str:
    """Returns what Envoy says against a configuration; empty where it takes it."""
    command = [envoy_path() or "envoy", "--mode", "validate", "-l", "error"]
    done = subprocess.run([*command, "-c", configuration], capture_output=True, text=True)
    return "" if done.returncode == 0 else done.stdout + done.stderr


_OPTIONS: tuple[dict[str, Any], ...] = (
    {"auto_mapping": True},
    {"ignore_unknown": True},
    {"print_defaults": True, "print_proto_names": True},
    {"print_enum_numbers": True, "print_int64_numbers": True},
    {"cors": EnvoyCors(("https://a.test", "https://*.b.test:8443", "*"))},
    {"cors": EnvoyCors(("https://a.test",), credentials=True, private_network=True)},
    {"timeout_seconds": None},
    {"timeout_seconds": 1e-9},
    {"timeout_seconds": 1e300},
    {"upstream": "[::1]:50051"},
    {"upstream": "dns:///core.test:50051"},
    {"upstream": "unix:/run/core.sock"},
    {"host": "::", "max_connections": 1},
    {"send_timeout_seconds": 0.5, "upstream_keepalive_seconds": 1.0},
    {"proxies": ProxySettings(trusted=("10.0.0.0/8", "2001:db8::/32", "192.0.2.1", "loopback"))},
    {"proxies": ProxySettings(trusted=("10.0.0.0/8",), believe_host=True, protocol="required")},
    {"proxies": ProxySettings(trusted=("10.0.0.0/8",), forward=False)},
)


@pytest.mark.parametrize(
    ("contract", "options"),
    [("demo", {}), ("echo", {}), ("feeds", {}), *(("echo", options) for options in _OPTIONS)],
    ids=str,
)
def test_envoy_takes_what_is_rendered(
    tmp_path: Path, contract: str, options: dict[str, Any]
) -> None:
    """With each option, and without."""
    sets = {
        "demo": (ROOT / "protos" / "descriptor_set.binpb").read_bytes(),
        "echo": echo_descriptor_set(),
        "feeds": feeds_descriptor_set(),
    }
    (tmp_path / "given.binpb").write_bytes(sets[contract])
    given = {"upstream": "127.0.0.1:50051"} | options

    assert _validate(write(tmp_path / "made", tmp_path / "given.binpb", **given)) == ""


def test_envoy_takes_the_committed_one(tmp_path: Path) -> None:
    """Where its descriptor set is mounted."""
    text = (ROOT / "envoy" / "envoy.yaml").read_text()
    (tmp_path / "envoy.yaml").write_text(text.replace("/etc/envoy", str(ROOT / "envoy")))

    assert _validate(tmp_path / "envoy.yaml") == ""


_RULES = """
syntax = "proto3";
package test;
import "google/api/annotations.proto";
import "google/api/httpbody.proto";
message M {
  string a = 1;
  google.api.HttpBody h = 2;
  repeated M l = 3;
  map<string, string> m = 4;
  M n = 5;
}
service S { rpc R(M) returns (M) { option (google.api.http) = { RULE }; } }
"""


@pytest.mark.parametrize(
    "rule",
    [
        'get: "/"',
        'get: "/a" response_body: "a"',
        'get: "/a" response_body: "h"',
        'get: "/a" additional_bindings {get: "/b" response_body: "h"}',
        'post: "/a" body: "h" additional_bindings {post: "/b" body: "*"}',
        'get: "/{a=**}" additional_bindings {get: "/{a=x/**}:verb"}',
        'get: "/a%20b/c-d_e~f"',
        'get: "/{a}/{h.content_type}"',
        'custom {kind: "*" path: "/a"} additional_bindings {get: "/a"}',
        'custom {kind: "REPORT" path: "/a"}',
        'post: "/a" body: "l"',
        'post: "/a" body: "m"',
        'get: "/a" body: "*"',
        'post: "/a" body: "n.n" additional_bindings {post: "/b" body: "n.a"}',
        'post: "/a" body: "n.h" response_body: "n.n.h"',
        'post: "/a" response_body: "n.a"',
    ],
)
def test_envoy_takes_every_rule_that_is_left(tmp_path: Path, rule: str) -> None:
    """What it would refuse is not in the descriptor set that it is given."""
    (tmp_path / "given.binpb").write_bytes(compile_text(_RULES.replace("RULE", rule)))

    assert _validate(write(tmp_path / "made", tmp_path / "given.binpb", "core.test:1")) == ""


@contextlib.asynccontextmanager
async def _over_echo(folder: Path, **options: Any) -> AsyncIterator[tuple[int, EchoServer]]:
    """Runs Envoy over an echo server; the block is given its port, and the server."""
    (folder / "echo.binpb").write_bytes(echo_descriptor_set())
    async with (
        echo_server() as echo,
        envoy(folder / "made", folder / "echo.binpb", echo.address, **options) as port,
    ):
        yield port, echo


async def test_one_port_serves_grpc_and_grpc_web(tmp_path: Path) -> None:
    """Plain gRPC, unary and both ways, and gRPC-Web."""
    async with _over_echo(tmp_path) as (port, _):
        async with aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            message = Everything(string_field="a").SerializeToString()
            assert await channel.unary_unary("/echo.v1.Echo/Unary")(message) == message
            call: Any = channel.stream_stream("/echo.v1.Echo/Bidi")(iter([message, message]))
            assert [each async for each in call] == [message, message]
            with pytest.raises(aio.AioRpcError) as raised:
                await channel.unary_unary("/echo.v1.Other/Unary")(message)
            assert raised.value.code() is grpc.StatusCode.UNIMPLEMENTED

        frame = b"\0" + len(message).to_bytes(4, "big") + message
        answer = await ask(
            *(port, "POST", "/echo.v1.Echo/Unary"),
            {"content-type": "application/grpc-web+proto", "x-grpc-web": "1"},
            frame,
        )
        assert answer.status == 200
        assert answer.body.startswith(frame + b"\x80")


async def test_a_page_of_a_known_origin_may_ask(tmp_path: Path) -> None:
    """CORS answers the origins of the setting, and no others."""
    async with _over_echo(tmp_path, cors=EnvoyCors(("https://a.test", "https://*.c.test"))) as (
        port,
        _,
    ):
        for origin, allowed in (
            ("https://a.test", "https://a.test"),
            ("https://b.test", None),
            ("https://d.e.c.test", "https://d.e.c.test"),
            ("https://c.test", None),
        ):
            answer = await ask(port, "GET", "/v1/echo", {"origin": origin}, None)
            assert answer.headers.get("access-control-allow-origin") == allowed
        preflight = {"origin": "https://a.test", "access-control-request-method": "POST"}
        answer = await ask(port, "OPTIONS", "/v1/echo", preflight, None)
        assert answer.status == 200
        assert "POST" in answer.headers["access-control-allow-methods"]


async def test_tls_both_ways(tmp_path: Path) -> None:
    """Callers see Envoy's certificate; the core asks for one; it must have its own name, of the CA."""
    parties, strangers = made(tmp_path / "parties"), made(tmp_path / "strangers")
    own = {"certificate": "certificate.pem", "key": "key.pem"}
    towards = {f"upstream_{name}": parties / "envoy" / file for name, file in own.items()}
    serving = {f"tls_{name}": parties / "envoy" / file for name, file in own.items()}
    answered = []
    for issuer, upstream_name in ((parties, "core"), (parties, "other"), (strangers, "core")):
        trusted = {"upstream_ca": issuer / "envoy/ca.pem", "upstream_name": upstream_name}
        folder = tmp_path / f"trusts-{issuer.name}-{upstream_name}"
        async with (
            core(
                tls_client_ca=str(parties / "core/ca.pem"),
                tls_certificate=str(parties / "core/certificate.pem"),
                tls_key=str(parties / "core/key.pem"),
            ) as running,
            envoy(folder, DESCRIPTOR_SET, running.address, **serving, **towards, **trusted) as port,
        ):
            trust = ssl.create_default_context(cafile=parties / "client/ca.pem")
            async with httpx.AsyncClient(verify=trust, timeout=20) as client:
                answer = await client.get(f"https://localhost:{port}/hello/World")
                answered.append((answer.status_code, answer.json().get("message")))

    assert answered[0] == (200, "Hello, World!")
    assert [status for status, _ in answered[1:]] == [503, 503]


async def test_unary_calls_end_in_time_and_streams_do_not(tmp_path: Path) -> None:
    """`timeout_seconds` is for unary calls alone, and Envoy cancels the call."""
    async with _over_echo(tmp_path, timeout_seconds=0.3) as (port, echo):
        stream = asyncio.create_task(ask(port, "GET", "/v1/hang-stream", {}, None))
        answer = await ask(port, "GET", "/v1/hang", {}, None)
        assert answer.status == 504
        assert json.loads(answer.body)["code"] == 4
        await asyncio.wait_for(echo.cancelled.wait(), 5)
        await asyncio.sleep(0.4)
        assert not stream.done()
        stream.cancel()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux cuts who takes nothing")
async def test_a_client_that_takes_nothing_is_cut(tmp_path: Path) -> None:
    """After `send_timeout_seconds`, and the call upstream with it."""
    async with _over_echo(tmp_path, send_timeout_seconds=0.5) as (port, echo):
        deaf = socket.create_connection(("127.0.0.1", port))
        large = "x" * 40_000
        deaf.sendall(
            f"GET /v1/stream/{large}?int32_field=100000 HTTP/1.1\r\nhost: a\r\n\r\n".encode()
        )
        await asyncio.wait_for(echo.cancelled.wait(), 15)
        deaf.close()


async def test_accept_chooses_the_framing_of_mapped_methods_too(tmp_path: Path) -> None:
    """A method without a rule of its own is framed like any other."""
    async with _over_echo(tmp_path, auto_mapping=True, print_proto_names=True) as (port, _):
        body = b'{"stringField":"a"}'
        answer = await ask(port, "POST", "/echo.v1.Echo/Unbound", _JSON, body)
        assert answer.status == 501
        for accept, start in (("text/event-stream", b"data: {"), ("application/json", b"[{")):
            answer = await ask(port, "GET", "/v1/stream/a?int32_field=1", {"accept": accept}, None)
            assert answer.body.startswith(start)
            assert b"string_field" in answer.body


async def test_more_clients_than_the_limit_are_turned_away(tmp_path: Path) -> None:
    """`max_connections` holds; those who are in stay in."""
    async with _over_echo(tmp_path, max_connections=1) as (port, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /v1/echo HTTP/1.1\r\nhost: a\r\n\r\n")
        assert b" 200 " in await reader.readline()
        refused, other = await asyncio.open_connection("127.0.0.1", port)
        with contextlib.suppress(ConnectionResetError):
            assert await refused.read() == b""
        other.close()
        writer.close()


async def test_the_log_has_the_status_of_grpc(tmp_path: Path) -> None:
    """Each request is a line of JSON on stdout, with the server's own status."""
    async with _over_echo(tmp_path) as (port, _):
        await ask(port, "GET", "/v1/fail/9?message=secret", {}, None)
        await ask(port, "GET", "/v1/fail-stream/8?after=1", {}, None)
    lines = (tmp_path / "made" / "envoy.log").read_text().splitlines()
    logged = [json.loads(line) for line in lines if line.startswith("{")]

    assert [(each["path"], each["status"], each["grpc_status"]) for each in logged] == [
        ("/v1/fail/9", 400, 9),
        ("/v1/fail-stream/8", 200, 8),
    ]


async def test_its_statistics_have_a_port_of_their_own(tmp_path: Path) -> None:
    """Prometheus reads them there; no other admin page is there, not even by another method or path."""
    (port,) = free_ports(1)
    async with (
        envoy(tmp_path / "envoy", DESCRIPTOR_SET, "127.0.0.1:1", metrics_port=port),
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client,
    ):
        told = await client.get("/stats/prometheus?usedonly")
        others = [
            await client.request(method, path)
            for method, path in (
                ("POST", "/stats/prometheus"),
                ("POST", "/quitquitquit"),
                ("GET", "/stats/prometheus/../../quitquitquit"),
                ("GET", "/config_dump"),
                ("GET", "/"),
            )
        ]

    assert told.status_code == 200
    assert "envoy_server_live" in told.text
    assert [each.status_code for each in others] == [404] * len(others)
