"""Every kind of RPC, on every door."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import Any

import grpc
import httpx
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest
from grpc_reflection.v1alpha.reflection_pb2_grpc import ServerReflectionStub

from grpc_core._generated.finance_pb2 import ConvertRequest, WatchRequest
from grpc_core._generated.hello_pb2 import HelloRequest
from grpc_core._generated.hello_pb2_grpc import GreeterStub
from tests.e2e.compose import Stack
from tests.grpc_core.loopback import converter_stub, health_stub
from tests.whole.conftest import ROOT
from tests.whole.test_readme import COMMANDS, DOCKER, EXPECTED

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

LINES = dict(zip(EXPECTED, COMMANDS, strict=True))
ON_ENVOY = EXPECTED | {"/rates/": r'"currency":"EUR","rate":[\d.]+}'}
"""Envoy frames a stream in its own way, takes no lines for an upload, and speaks no WebSocket for gRPC."""
REQUEST = ConvertRequest(from_currency="USD", to_currency="EUR", amount=100)


def run(command: str, port: int) -> str:
    """Runs a line of the README against a port."""
    command = command.replace("localhost:8080", f"localhost:{port}")
    command = command.replace(".venv/bin/python", sys.executable)
    if "/rates/" in command:
        command = f"timeout 3 {command}"  # it has no end
    done = subprocess.run(
        ["sh", "-c", command], cwd=ROOT, capture_output=True, text=True, timeout=30
    )
    return done.stdout


def test_the_readme_starts_what_is_tested() -> None:
    """The stack of these tests is brought up and taken down by the same commands, with other names."""
    assert DOCKER == ["docker compose up --build --wait", "docker compose down"]


@pytest.mark.parametrize("key", EXPECTED)
def test_the_readme_on_the_edge(stack: Stack, key: str) -> None:
    """Each line of the README gives what it promises."""
    assert re.search(EXPECTED[key], run(LINES[key], stack.ports["GATEWAY_PORT"]))


@pytest.mark.parametrize("key", ["-d '{", "/convert?", "/rates/", "hello"])
def test_the_readme_on_envoy(stack: Stack, key: str) -> None:
    """So does each line that Envoy can serve."""
    assert re.search(ON_ENVOY[key], run(LINES[key], stack.ports["ENVOY_PORT"]))


def test_plain_grpc(stack: Stack) -> None:
    """The four kinds of RPC, health and reflection answer on the core's own port."""
    with grpc.insecure_channel(stack.core) as channel:
        converter = converter_stub(channel)
        greeter: Any = GreeterStub(channel)  # type: ignore[no-untyped-call]  # generated code has no types
        reflection: Any = ServerReflectionStub(channel)
        assert converter.Convert(REQUEST, timeout=10).converted_amount > 0
        watch = converter.WatchRates(WatchRequest(base_currency="USD"), timeout=10)
        assert next(watch).rate > 0
        watch.cancel()
        assert converter.BatchConvert(iter([REQUEST] * 3), timeout=10).count == 3
        assert len(list(converter.LiveConvert(iter([REQUEST] * 3), timeout=10))) == 3
        assert greeter.SayHello(HelloRequest(name="World"), timeout=10).message == "Hello, World!"
        answer = health_stub(channel).Check(HealthCheckRequest(), timeout=10)
        assert answer.status == HealthCheckResponse.SERVING
        asked = iter([ServerReflectionRequest(list_services="")])
        (listed,) = reflection.ServerReflectionInfo(asked, timeout=10)
        names = {service.name for service in listed.list_services_response.service}
        assert {"finance.CurrencyConverter", "hello.Greeter"} <= names


def test_the_page(stack: Stack) -> None:
    """The edge serves the page, and the script that it loads."""
    page = httpx.get(f"{stack.http}/")

    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert httpx.get(f"{stack.http}/protoway.js").status_code == 200
