"""The profile `scale` of docker-compose.yml: its parts fit each other, and its nginx balances real edges."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import grpc.aio
import httpx
import pytest
import yaml
from websockets.asyncio.client import connect

from gateway.settings import Settings
from grpc_core._generated.hello_pb2 import HelloRequest
from grpc_core._generated.hello_pb2_grpc import GreeterStub
from tests.deploy.manifests import ROOT
from tests.whole import processes
from tests.whole.conftest import free_ports
from tests.whole.event_stream import Event, EventSource
from tests.whole.nginx import nginx_path, running_nginx

SERVICES: Any = {
    name: service
    for name, service in yaml.safe_load((ROOT / "docker-compose.yml").read_text())[
        "services"
    ].items()
    if "scale" in service.get("profiles", ())
}
NGINX = (ROOT / "deploy/compose/nginx.conf").read_text()
EDGES = ("edge-1", "edge-2", "edge-3")
needs_nginx = pytest.mark.skipif(nginx_path() is None, reason="no nginx here")

pytestmark = pytest.mark.timeout(240)  # six programs start


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The settings of an edge of the profile."""
    for name, value in SERVICES["edge-1"]["environment"].items():
        monkeypatch.setenv(name, str(value).replace("/pages", str(ROOT / "web")))
    return Settings()


def seconds(name: str) -> float:
    """Returns the time of a directive."""
    (found,) = re.findall(rf"^ *{name} (\d+)s;", NGINX, re.MULTILINE)
    return float(found)


def test_its_parts() -> None:
    """Two cores and three edges, all of a kind the same; only the balancer is published."""
    cores = [each for each in SERVICES if each.startswith("core-")]

    assert sorted(SERVICES) == sorted([*cores, *EDGES, "redis", "balancer"])
    assert len(cores) == 2
    assert all(SERVICES[edge] == SERVICES[EDGES[0]] for edge in EDGES)
    assert SERVICES[cores[0]] == SERVICES[cores[1]]
    assert [name for name, service in SERVICES.items() if "ports" in service] == ["balancer"]
    outside = {name for name, service in SERVICES.items() if "front" in service["networks"]}
    assert outside == {"balancer"}


def test_names_and_ports(settings: Settings) -> None:
    """Edges find the cores, and nginx the edges, by the names and ports that those have."""
    host, _, port = settings.upstream.partition(":")

    assert SERVICES["core-1"]["networks"]["back-scale"]["aliases"] == [host]
    assert port == "50051"
    (edges,) = SERVICES[EDGES[0]]["networks"]["back-scale"]["aliases"]
    assert set(re.findall(r"set \$edges (\S+);", NGINX)) == {f"{edges}:{settings.port}"}
    listening = re.findall(r"^ *listen (\d+)", NGINX, re.MULTILINE)
    assert [each.rpartition(":")[2] for each in SERVICES["balancer"]["ports"]] == listening


def test_times(settings: Settings) -> None:
    """Silent streams stay open, nginx looks away before an edge does, and nobody kills too early."""
    looks = float(re.findall(r"resolver \S+ valid=(\d+)s", NGINX)[0])

    assert seconds("proxy_read_timeout") > settings.heartbeat_seconds
    assert settings.drain_delay_seconds > looks
    ends = settings.drain_delay_seconds + settings.drain_seconds
    for edge in EDGES:
        assert float(SERVICES[edge]["stop_grace_period"].rstrip("s")) > ends


@dataclass
class Edge:
    """A process, and the port of its admin listener."""

    running: processes.Running
    admin: int

    async def readers(self, client: httpx.AsyncClient) -> int:
        """Returns how many readers of feeds it has."""
        told = (await client.get(f"http://127.0.0.1:{self.admin}/metrics")).text
        return sum(
            map(int, re.findall(r"^protoway_feed_readers(?:{.*})? (\d+)", told, re.MULTILINE))
        )


@dataclass
class Balanced:
    """Edges on this machine behind the profile's nginx."""

    edges: list[Edge]
    http: int
    grpc: int


def _configuration(edges: list[processes.Running], http: int, grpc_port: int) -> str:
    """Returns the profile's configuration with a list of edges where it asks Docker's name server."""
    body = NGINX[NGINX.index("    map ") : NGINX.rindex("}")]
    servers = "".join(f"server {edge.address} max_fails=0; " for edge in edges)
    body = body.replace("listen 8080;", f"listen 127.0.0.1:{http};")
    body = body.replace("listen 50051 http2;", f"listen 127.0.0.1:{grpc_port} http2;")
    body = re.sub(r" *set \$edges .*\n", "", body).replace("://$edges", "://edges")
    return f"    upstream edges {{ {servers} }}\n{body}"


@pytest.fixture(scope="module")
async def balanced(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Balanced]:
    """Two cores, three edges, and nginx before them; the last test that uses them kills edges."""
    http, grpc_port, *admins = free_ports(2 + len(EDGES))
    async with AsyncExitStack() as stack:
        start = stack.enter_async_context
        cores = [await start(processes.core(0, tick_period="0.2")) for _ in range(2)]
        upstream = "ipv4:" + ",".join(core.address for core in cores)
        edges = [
            Edge(await start(processes.edge(upstream, admin_port=str(admin))), admin)
            for admin in admins
        ]
        configuration = _configuration([edge.running for edge in edges], http, grpc_port)
        await start(running_nginx(tmp_path_factory.mktemp("nginx"), http, configuration))
        yield Balanced(edges, http, grpc_port)


@needs_nginx
async def test_every_wire_passes_nginx(balanced: Balanced) -> None:
    """A unary request, a WebSocket and gRPC reach an edge, and by it a core."""
    async with httpx.AsyncClient(timeout=30) as client:
        answer = await client.get(f"http://127.0.0.1:{balanced.http}/hello/World")
    assert answer.json() == {"message": "Hello, World!"}
    async with connect(f"ws://127.0.0.1:{balanced.http}/convert:live", proxy=None) as socket:
        await socket.send('{"fromCurrency":"USD","toCurrency":"EUR","amount":1}')
        assert await asyncio.wait_for(socket.recv(), 30)
    async with grpc.aio.insecure_channel(f"127.0.0.1:{balanced.grpc}") as channel:
        greeter: Any = GreeterStub(channel)  # type: ignore[no-untyped-call]  # generated code has no types
        assert (await greeter.SayHello(HelloRequest(name="World"), timeout=30)).message


@needs_nginx
async def test_a_reader_goes_to_another_edge(balanced: Balanced) -> None:
    """Whoever reads from an edge that is killed is back at another one, and is told what that means."""
    events: list[Event] = []

    async def read(source: EventSource) -> None:
        async for event in source.events():
            events.append(event)  # noqa: PERF401 - the test looks at them meanwhile

    async def more() -> None:
        seen = len(events)
        async with asyncio.timeout(30):
            while len(events) < seen + 3:
                await asyncio.sleep(0.05)

    async with httpx.AsyncClient(timeout=30) as client, asyncio.TaskGroup() as tasks:
        url = f"http://127.0.0.1:{balanced.http}/rates/USD"
        reading = tasks.create_task(read(EventSource(client, url, retry=0.1)))
        left = list(balanced.edges)
        while len(left) > 1:
            await more()
            (edge,) = [each for each in left if await each.readers(client)]
            left.remove(edge)
            before = len(events)
            await edge.running.kill()
            async with asyncio.timeout(30):
                while not await sum_of_readers(left, client):
                    await asyncio.sleep(0.05)
            await more()
            assert "gap" in {event.kind for event in events[before:]}
        reading.cancel()

    gaps = [event.data["restarted"] for event in events if event.kind == "gap"]
    assert gaps == [True, True]


async def sum_of_readers(edges: list[Edge], client: httpx.AsyncClient) -> int:
    """Returns how many readers some edges have."""
    return sum([await edge.readers(client) for edge in edges])
