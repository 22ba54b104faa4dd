"""`CORE_RATES=ecb docker compose up`, with a container that plays the ECB, over TLS.

That a core reaches the world outside by it, a machine without such a way cannot show: its default route does.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

from grpc_core._generated.finance_pb2 import ConvertRequest
from grpc_core.finance.target_days import due, quoted_at
from scripts.make_tls import Authority
from tests.e2e.compose import PROJECT, docker
from tests.grpc_core.finance.ecb import RATES, document
from tests.grpc_core.loopback import converter_stub
from tests.whole.conftest import free_ports

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

DOLLARS = ConvertRequest(from_currency="EUR", to_currency="USD", amount=1)
HOST = "rates"
SERVER = """
import http.server, ssl
context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
context.load_cert_chain("/ecb/certificate.pem", "/ecb/key.pem")
http.server.SimpleHTTPRequestHandler.extensions_map[".xml"] = "text/xml"
server = http.server.ThreadingHTTPServer(("", 443), http.server.SimpleHTTPRequestHandler)
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
"""
OVERRIDE = """
services:
  ecb:
    image: python:3.13-slim
    init: true
    working_dir: /ecb
    command: [python, serve.py]
    networks: {{online: {{aliases: [{host}]}}}}
    volumes: ["{folder}:/ecb:ro"]
    healthcheck:
      test: [CMD, python, -c, "import socket; socket.create_connection(('127.0.0.1', 443)).close()"]
      interval: 1s
  core:
    environment: {{CORE_RATES_POLL: 1, SSL_CERT_FILE: /ecb/ca.pem}}
    volumes: ["{folder}/ca.pem:/ecb/ca.pem:ro"]
    healthcheck: {{interval: 1s, start_period: 5s}}
"""
"""Docker looks ten times as often as `docker-compose.yml` says: unhealthy is what three looks find."""


@dataclass(frozen=True)
class Live:
    """A core with live rates, and who publishes them."""

    folder: Path
    port: int
    environment: Mapping[str, str]

    def compose(self, *arguments: str) -> str:
        """Runs `docker compose` for this project."""
        os.environ.update(self.environment)
        files = ("-f", "docker-compose.yml", "-f", str(self.folder / "override.yml"))
        try:
            return docker("compose", "-p", f"{PROJECT}-live", *files, *arguments)
        finally:
            for name in self.environment:
                del os.environ[name]

    def core(self) -> Any:
        """Returns what docker knows of the core."""
        return json.loads(docker("inspect", self.compose("ps", "-aq", "core").strip()))[0]

    async def is_found(self, health: str) -> None:
        """Waits until docker finds this health of the core; `up --wait` does not wait for a better one."""
        async with asyncio.timeout(300):
            while self.core()["State"]["Health"]["Status"] != health:
                await asyncio.sleep(1)

    async def dollars(self) -> float:
        """Returns the dollars that a euro is."""
        async with grpc.aio.insecure_channel(f"127.0.0.1:{self.port}") as channel:
            answer = await converter_stub(channel).Convert(DOLLARS, timeout=30, wait_for_ready=True)
        assert datetime.fromisoformat(answer.timestamp) == quoted_at(due(datetime.now(UTC)))
        return float(answer.rate)


@pytest.fixture
def live(tmp_path: Path) -> Iterator[Live]:
    """One of which nothing runs yet; at the end it is taken away."""
    tmp_path.chmod(0o755)  # the container's user reads it
    for name, content in Authority.new().issue(HOST).items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "serve.py").write_text(SERVER)
    (tmp_path / "rates.xml").write_text(document(due(datetime.now(UTC))))
    (tmp_path / "override.yml").write_text(OVERRIDE.format(host=HOST, folder=tmp_path))
    (port,) = free_ports(1)
    found = Live(
        tmp_path,
        port,
        {
            "CORE_RATES": "ecb",
            "CORE_RATES_URL": f"https://{HOST}/rates.xml",
            "CORE_PORT": str(port),
        },
    )
    found.compose("down", "--volumes", "--rmi", "local")
    try:
        yield found
    finally:
        found.compose("down", "--volumes", "--remove-orphans", "--rmi", "local")


async def test_live_rates_by_one_variable(live: Live) -> None:
    """Without rates it is not healthy, with them it is; the last good ones outlive core and source."""
    live.compose("up", "--build", "--detach", "core")
    await live.is_found("unhealthy")
    with pytest.raises(grpc.aio.AioRpcError, match="there are no reference rates yet"):
        await live.dollars()

    live.compose("up", "--wait", "ecb")
    await live.is_found("healthy")
    assert await live.dollars() == float(RATES["USD"])

    live.compose("rm", "--stop", "--force", "ecb", "core")
    live.compose("up", "--wait", "core")
    assert await live.dollars() == float(RATES["USD"])


async def test_what_is_new_is_in_force(live: Live) -> None:
    """A core takes what is published later, and its default route is the network that leads out."""
    live.compose("up", "--build", "--wait", "ecb", "core")
    newer = document(due(datetime.now(UTC)), USD="1.1")
    (live.folder / "rates.xml").write_text(newer)
    async with asyncio.timeout(60):
        while await live.dollars() != 1.1:
            await asyncio.sleep(0.1)

    routes = live.compose("exec", "core", "cat", "/proc/net/route").splitlines()
    (gateway,) = [fields[2] for line in routes if (fields := line.split())[1] == "00000000"]
    online = live.core()["NetworkSettings"]["Networks"][f"{PROJECT}-live_online"]
    assert IPv4Address(bytes.fromhex(gateway)[::-1]) == IPv4Address(online["Gateway"])
