"""Two edges behind nginx and two cores, replaced one after the other under load; nobody notices.

nginx runs with the configuration of docs/operations/run-in-production.md, with TLS to the edges.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from scripts.make_tls import Authority
from tests.operations.production import examples
from tests.whole import processes
from tests.whole.conftest import free_ports
from tests.whole.event_stream import EventSource
from tests.whole.load import Sender, sending
from tests.whole.nginx import nginx_path, running_nginx

pytestmark = [
    pytest.mark.rolling,
    pytest.mark.timeout(300),
    pytest.mark.skipif(nginx_path() is None, reason="no nginx here"),
]

RATE = int(os.environ.get("ROLLING_RATE", "100"))
"""Requests a second."""
STREAMS = int(os.environ.get("ROLLING_STREAMS", "20"))
"""Streams of events, and half as many WebSockets."""
DELAY = 2.0
REQUEST = '{"fromCurrency":"USD","toCurrency":"EUR","amount":1}'
REQUESTS = ("hello", "GET", "/hello/World", ""), ("convert", "POST", "/convert", REQUEST)
RATES = "/rates/USD?target_currencies=EUR"


class Load:
    """Requests of a process of its own (`tests.whole.load`), and what became of them."""

    def __init__(self, sender: Sender) -> None:
        self._sender = sender
        self.phases: list[tuple[float, str]] = []
        """When each began."""

    def begin(self, phase: str) -> None:
        """Notes what happens from now on."""
        self.phases.append((asyncio.get_running_loop().time(), phase))

    async def stop(self) -> Any:
        """Ends it; returns what it tells."""
        told = await self._sender.stop()
        sent = told["slowest"][1]
        told["slowest"][1] = [phase for began, phase in self.phases if began <= sent][-1]
        return told


async def _read(source: EventSource, kinds: Counter[str], stop: asyncio.Event) -> bool:
    """Reads until a message came after `stop`; returns whether each break was told."""
    told, connections, last = True, 1, ""
    async for event in source.events():
        kinds[event.kind] += 1
        if source.connections > connections:
            # the connection before ended with an error event, or this one begins with a gap
            told &= last == "error" or event.kind == "gap"
            connections = source.connections
        last = event.kind
        if stop.is_set() and event.kind == "message":
            break
    return told


async def _converse(url: str, closes: Counter[int | str], stop: asyncio.Event) -> None:
    """Converses until `stop`; comes back after each end, and notes its code, or why it could not."""
    while not stop.is_set():
        socket: ClientConnection | None = None
        try:
            async with connect(url, proxy=None) as socket:
                while not stop.is_set():
                    await socket.send(REQUEST)
                    await asyncio.wait_for(socket.recv(), 30)
                    await asyncio.sleep(0.5)
        except ConnectionClosed:
            assert socket is not None
            closes[socket.close_code or 0] += 1
        except (OSError, TimeoutError, InvalidHandshake) as error:
            closes[repr(error)] += 1


class Edges:
    """Edges and cores at fixed ports, each of which can be replaced."""

    def __init__(self, stack: AsyncExitStack, folder: Path) -> None:
        self._stack = stack
        self.ports = free_ports(4)
        self.running: list[processes.Running] = []
        self._authority = Authority.new()
        self._folder = folder
        self.renew()
        (folder / "ca.pem").write_bytes(self._authority.issue("client")["ca.pem"])

    def renew(self) -> None:
        """Replaces certificate and key of the edges."""
        for name, content in self._authority.issue("gateway").items():
            (self._folder / f"new-{name}").write_bytes(content)
            os.replace(self._folder / f"new-{name}", self._folder / f"edge-{name}")

    async def start(self, number: int) -> processes.Running:
        """Starts a core (0, 1) or an edge (2, 3), and waits until it is ready."""
        port = self.ports[number]
        if number < 2:
            made = processes.core(
                port, tick_period="0.5", drain_delay=str(DELAY), shutdown_grace="5"
            )
            return await self._stack.enter_async_context(made)
        cores = [f"127.0.0.1:{each}" for each in self.ports[:2]]
        edge = await self._stack.enter_async_context(
            processes.edge(
                "ipv4:" + ",".join(cores if number == 2 else reversed(cores)),
                port=port,
                drain_delay_seconds=str(DELAY),
                tls_certificate=str(self._folder / "edge-certificate.pem"),
                tls_key=str(self._folder / "edge-key.pem"),
                tls_check_seconds="0.2",
                retry_seconds="0.2",
            )
        )
        async with httpx.AsyncClient(verify=False) as client, asyncio.timeout(30):
            while not (await client.get(f"https://127.0.0.1:{port}/readyz")).is_success:
                await asyncio.sleep(0.1)
        return edge

    async def replace(self, number: int) -> None:
        """Stops one as a supervisor does, and starts another in its place."""
        old = self.running[number]
        old.process.terminate()
        assert await asyncio.wait_for(old.process.wait(), 60) == 0
        self.running[number] = await self.start(number)
        await asyncio.sleep(1)


def _configuration(edges: Edges, folder: Path, port: int) -> str:
    """Returns the page's configuration, with the test's addresses and TLS to the edges."""
    (text,) = examples("nginx")
    for number, address in ((2, "10.0.0.11"), (3, "10.0.0.12")):
        assert address in text
        text = text.replace(f"{address}:8080", f"127.0.0.1:{edges.ports[number]}")
    text = text.replace("listen 80;", f"listen 127.0.0.1:{port};")
    tls = f"proxy_ssl_verify on; proxy_ssl_name gateway; proxy_ssl_trusted_certificate {folder}/ca.pem;"
    return text.replace("proxy_pass http://edge;", f"proxy_pass https://edge; {tls}")


@pytest.mark.timeout(300)
async def test_everything_is_replaced(tmp_path: Path) -> None:
    """No request fails; each stream goes on or is told why not; a certificate is renewed meanwhile."""
    ended = asyncio.Event()
    kinds: Counter[str] = Counter()
    closes: Counter[int | str] = Counter()
    (port,) = free_ports(1)
    url = f"http://127.0.0.1:{port}"
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=50)
    async with AsyncExitStack() as stack:
        edges = Edges(stack, tmp_path)
        for number in range(4):
            edges.running.append(await edges.start(number))
        configuration = _configuration(edges, tmp_path, port)
        await stack.enter_async_context(running_nginx(tmp_path, port, configuration))
        client = await stack.enter_async_context(httpx.AsyncClient(timeout=60, limits=limits))
        sources = [EventSource(client, f"{url}{RATES}", retry=0.2) for _ in range(STREAMS)]
        load = Load(await stack.enter_async_context(sending(url, RATE, REQUESTS)))
        load.begin("the start")
        async with asyncio.TaskGroup() as tasks:
            reading = [tasks.create_task(_read(each, kinds, ended)) for each in sources]
            for _ in range(STREAMS // 2):
                address = f"ws://127.0.0.1:{port}/convert:live"
                tasks.create_task(_converse(address, closes, ended))
            await asyncio.sleep(2)
            edges.renew()
            for number in range(4):
                load.begin(f"the replacement of {number}")
                await edges.replace(number)
            edges.renew()
            await asyncio.sleep(2)
            told = await load.stop()
            ended.set()
    answers, seconds = told["answers"], told["seconds"]
    print(f"{sum(answers.values()) / seconds:.0f} requests a second for {seconds:.0f} s:", told)
    print(f"{STREAMS} streams: {dict(kinds)}, {STREAMS // 2} WebSockets closed: {dict(closes)}")

    assert answers.keys() == {"hello 200", "convert 200"}
    assert all(task.result() for task in reading)
    assert kinds["message"]
    assert set(closes) <= {1001, 4014}
    assert not any(source.refused for source in sources)
