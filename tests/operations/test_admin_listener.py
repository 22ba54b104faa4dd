"""The admin listener of real processes: edges with one worker and with two, and a Prometheus."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from time import monotonic
from typing import Any

import httpx
import pytest

from tests.contracts import echo_descriptor_set
from tests.echo_server import echo_server
from tests.operations.scrapes import Scrape, check, parse, promtool, total
from tests.whole.conftest import free_ports
from tests.whole.forking import run
from tests.whole.processes import DESCRIPTOR_SET, Running, core, edge
from tests.worker_processes import workers_of

DURATION = "http_server_request_duration_seconds_count"
CONVERT = "/convert?from_currency=USD&to_currency=EUR&amount=1"
REQUESTS = 40
PROMPTLY = 20


@asynccontextmanager
async def watched_edge(
    upstream: str, descriptor_set: Path = DESCRIPTOR_SET, **settings: str
) -> AsyncIterator[tuple[Running, str]]:
    """Runs an edge with an admin listener; gives both, the latter as a base URL."""
    (port,) = free_ports(1)
    settings |= {"admin_port": str(port)}
    given: Any = settings
    async with edge(upstream, descriptor_set=descriptor_set, **given) as running:
        yield running, f"http://127.0.0.1:{port}"


async def scraped(admin: str) -> Scrape:
    """Scrapes once."""
    async with httpx.AsyncClient(timeout=PROMPTLY) as client:
        response = await client.get(f"{admin}/metrics")
    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
    return parse(response.text)


async def until(admin: str, name: str, value: float, **labels: str) -> None:
    """Scrapes until a series has a value."""
    async with asyncio.timeout(PROMPTLY):
        while total(await scraped(admin), name, **labels) != value:
            await asyncio.sleep(0.05)


async def test_the_counts_of_workers_add_up() -> None:
    """Whichever of them answers the scrape; each has its own label."""
    async with core() as upstream, watched_edge(upstream.address, workers="2") as (running, admin):
        for _ in range(REQUESTS):
            async with httpx.AsyncClient(base_url=running.http) as client:
                assert (await client.get(CONVERT)).status_code == 200
        scrapes = [await scraped(admin) for _ in range(6)]

    for samples in scrapes:
        assert total(samples, "protoway_worker_up") == 2
        for name, labels in (
            (DURATION, {}),
            ("grpc_client_started_total", {"grpc_method": "Convert"}),  # readiness asks for health
            ("grpc_client_handled_total", {"grpc_method": "Convert"}),
        ):
            each = [total(samples, name, worker=number, **labels) for number in (0, 1)]
            assert sum(each) == REQUESTS
            assert all(each)


async def test_a_worker_that_does_not_answer_is_told_of() -> None:
    """Each scrape is answered by one that runs, and that one is up again when it goes on."""
    async with core() as upstream, watched_edge(upstream.address, workers="2") as (running, admin):
        stopped = workers_of(running.process.pid)[0]
        os.kill(stopped, signal.SIGSTOP)
        try:
            scrapes = await asyncio.gather(*(scraped(admin) for _ in range(8)))
        finally:
            os.kill(stopped, signal.SIGCONT)
        for samples in scrapes:
            assert total(samples, "protoway_worker_up", worker="0") == 0
            assert total(samples, "protoway_worker_up", worker="1") == 1
        await until(admin, "protoway_worker_up", 2)


async def test_a_worker_that_takes_the_place_of_another_is_counted() -> None:
    """Under the same label, from zero."""
    async with core() as upstream, watched_edge(upstream.address, workers="2") as (running, admin):
        os.kill(workers_of(running.process.pid)[1], signal.SIGKILL)
        async with asyncio.timeout(PROMPTLY):
            while len(workers_of(running.process.pid)) < 2:
                await asyncio.sleep(0.02)
        await until(admin, "protoway_worker_up", 2)


async def test_connections_to_the_upstream_are_counted() -> None:
    """Their states, and that another was made when the upstream had gone."""
    name = "protoway_upstream_connections"
    async with core() as upstream:
        port = upstream.port
        async with (
            watched_edge(upstream.address) as (running, admin),
            httpx.AsyncClient(base_url=running.http) as client,
        ):
            await client.get(CONVERT)
            await until(admin, name, 1, state="ready")
            await upstream.kill()
            await until(admin, name, 0, state="ready")
            async with core(port):
                while (await client.get(CONVERT)).status_code != 200:
                    await asyncio.sleep(0.05)
                samples = await scraped(admin)
    assert total(samples, name, state="ready") == 1
    assert total(samples, "protoway_upstream_connections_established_total") == 2


async def test_calls_that_wait_for_a_connection_are_counted(tmp_path: Path) -> None:
    """Where all streams of all connections are taken."""
    file = tmp_path / "echo.binpb"
    file.write_bytes(echo_descriptor_set())
    limits = {"upstream_max_connections": "1", "upstream_streams_per_connection": "1"}
    async with (
        echo_server() as upstream,
        watched_edge(upstream.address, file, **limits) as (running, admin),
        httpx.AsyncClient(base_url=running.http) as client,
    ):
        asking = [asyncio.create_task(client.get("/v1/hang")) for _ in range(3)]
        await until(admin, "protoway_upstream_calls_waiting", 2)
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)
        await until(admin, "protoway_upstream_calls_waiting", 0)
        await until(admin, "grpc_client_handled_total", 3, grpc_code="CANCELLED")


async def test_nothing_else_is_served_there() -> None:
    """Nor are the metrics on the port of callers."""
    async with watched_edge("127.0.0.1:9") as (running, admin), httpx.AsyncClient() as client:
        assert (await client.get(f"{running.http}/metrics")).status_code == 404
        assert (await client.get(f"{admin}{CONVERT}")).status_code == 404
        assert (await client.post(f"{admin}/metrics")).status_code == 405


async def test_a_unix_socket_may_be_scraped(tmp_path: Path) -> None:
    """By whoever may open it; the start line names it."""
    path = tmp_path / "admin.sock"
    given: Any = {"admin_port": "0", "admin_host": f"unix:{path}", "workers": "2"}
    async with edge("127.0.0.1:9", **given) as running:
        assert running.process.stdout is not None
        lines = [await running.process.stdout.readline() for _ in range(3)]
        transport = httpx.AsyncHTTPTransport(uds=str(path))
        async with httpx.AsyncClient(transport=transport) as client:
            samples = parse((await client.get("http://admin/metrics")).text)

    assert f"protoway: serving /metrics on unix:{path}\n" in [line.decode() for line in lines]
    assert total(samples, "protoway_worker_up") == 2


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_an_admin_port_that_is_taken_stops_the_start(workers: str) -> None:
    """In one line, as that of the edge does."""
    async with core() as upstream:
        ended = await asyncio.to_thread(
            run,
            *("gateway", "serve", "--port", "0", "--workers", workers),
            *("--descriptor-set", str(DESCRIPTOR_SET), "--admin-port", str(upstream.port)),
        )

    assert ended.returncode == 1
    assert f"cannot listen on 127.0.0.1:{upstream.port}: Address already in use" in ended.stderr
    assert "Traceback" not in ended.stderr


async def test_the_edge_tells_while_it_drains() -> None:
    """Until its last stream has ended, and then its process ends."""
    async with core() as upstream, watched_edge(upstream.address) as (running, admin):
        async with httpx.AsyncClient(base_url=running.http) as client:
            asking = asyncio.create_task(_read(client))
            await until(admin, "protoway_streams_open", 1, wire="sse")
            since = monotonic()
            running.process.send_signal(signal.SIGTERM)
            await asking
        assert await asyncio.wait_for(running.process.wait(), PROMPTLY) in (0, -signal.SIGTERM)
        assert monotonic() - since < 10


async def _read(client: httpx.AsyncClient) -> None:
    headers = {"accept": "text/event-stream"}
    path = "/rates/USD?target_currencies=EUR"
    async with client.stream("GET", path, headers=headers) as response:
        async for _ in response.aiter_lines():
            pass


_NO_HEALTH = '{grpc_service!="grpc.health.v1.Health"}'
"""Leaves out the calls by which an edge learns whether it is ready; a scrape makes some."""


@pytest.mark.skipif(promtool() is None, reason="no prometheus: apt-get install prometheus")
async def test_prometheus_scrapes_edge_and_core(tmp_path: Path) -> None:
    """A real one; what it stores is what was counted, and promtool has nothing to say."""
    program = shutil.which("prometheus")
    assert program is not None
    (port,) = free_ports(1)
    told = f"http://127.0.0.1:{port}"
    async with (
        core(metrics_port=str(port)) as upstream,
        watched_edge(upstream.address, workers="2") as (running, admin),
    ):
        async with httpx.AsyncClient(base_url=running.http) as client:
            for _ in range(REQUESTS):
                await client.get(CONVERT)
            check((await client.get(f"{admin}/metrics")).content)
            check((await client.get(f"{told}/metrics")).content)
        async with prometheus(program, tmp_path, edge=admin, core=told) as asked:
            assert await asked(f"sum(grpc_server_handled_total{_NO_HEALTH})", REQUESTS)
            assert await asked('up{job="core"}', 1)
            assert await asked(f"sum(grpc_client_handled_total{_NO_HEALTH})", REQUESTS)
            assert await asked(f"sum({DURATION})", REQUESTS)
            assert await asked("sum(protoway_worker_up)", 2)
            assert await asked('up{job="edge"}', 1)


@asynccontextmanager
async def prometheus(program: str, folder: Path, **jobs: str) -> AsyncIterator[Asked]:
    """Runs a Prometheus that scrapes each job four times a second."""
    (port,) = free_ports(1)
    targets = "".join(
        f"  - job_name: {name}\n    static_configs: [{{targets: ['{url.partition('//')[2]}']}}]\n"
        for name, url in jobs.items()
    )
    configuration = folder / "prometheus.yml"
    configuration.write_text(
        "global: {scrape_interval: 250ms, scrape_timeout: 250ms}\nscrape_configs:\n" + targets
    )
    process = await asyncio.create_subprocess_exec(
        program,
        f"--config.file={configuration}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        yield Asked(f"http://127.0.0.1:{port}")
    finally:
        process.terminate()
        await process.wait()


class Asked:
    """Questions to a Prometheus."""

    def __init__(self, url: str) -> None:
        self._url = url

    async def __call__(self, query: str, value: float) -> bool:
        """Asks until the answer is this value."""
        async with asyncio.timeout(PROMPTLY * 2), httpx.AsyncClient() as client:
            while True:
                try:
                    answer = await client.get(f"{self._url}/api/v1/query", params={"query": query})
                    found = answer.json().get("data", {}).get("result", [])
                except (httpx.TransportError, ValueError):
                    found = []
                if [float(each["value"][1]) for each in found] == [value]:
                    return True
                await asyncio.sleep(0.1)
