"""What a load balancer sees of an edge: while its upstream is hung or gone, and while it shuts down."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable

import httpx
import pytest

from tests.whole import processes
from tests.whole.conftest import free_ports

WITHIN = 15.0
"""Seconds that readiness may take to tell the truth; five, on a machine that has time."""
CONVERT = {"fromCurrency": "USD", "toCurrency": "EUR", "amount": 1}


async def _until(
    client: httpx.AsyncClient, url: str, told: Callable[[httpx.Response], bool]
) -> httpx.Response:
    """Asks until an answer is as it is to be, and returns that."""
    async with asyncio.timeout(WITHIN):
        while True:
            answer = await client.get(url)
            if told(answer):
                return answer
            await asyncio.sleep(0.1)


@pytest.mark.parametrize("transport", ["wire", "grpcio"])
async def test_readiness_follows_the_upstream(transport: str) -> None:
    """Hung, back, killed, back: the readiness says so each time, and the edge stays alive."""
    (port,) = free_ports(1)
    async with (
        processes.core(port) as core,
        processes.edge(core.address, transport=transport) as edge,
        httpx.AsyncClient(timeout=10) as client,
    ):
        ready = f"{edge.http}/readyz"
        checks = (await _until(client, ready, lambda told: told.is_success)).json()["checks"]
        assert {name: each["status"] for name, each in checks.items()} == {
            "contract": "SERVING",
            "upstream": "SERVING",
            "shutdown": "SERVING",
        }

        core.process.send_signal(signal.SIGSTOP)
        hung = await _until(client, ready, lambda told: told.status_code == 503)
        assert hung.json()["checks"]["upstream"]["reason"] == "the upstream does not answer in time"
        core.process.send_signal(signal.SIGCONT)
        await _until(client, ready, lambda told: told.is_success)

        await core.kill()
        gone = await _until(client, ready, lambda told: told.status_code == 503)
        reason = gone.json()["checks"]["upstream"]["reason"]
        assert "127.0.0.1" not in reason
        assert (await client.get(f"{edge.http}/livez")).status_code == 200
        assert (await client.get(f"{edge.http}/startupz")).status_code == 200
        async with processes.core(port):
            await _until(client, ready, lambda told: told.is_success)


async def _health(edge: processes.Running, *arguments: str) -> int:
    command = [sys.executable, "-m", "gateway.health", *arguments]
    environment = os.environ | {"PROTOWAY_PORT": str(edge.port)}
    process = await asyncio.create_subprocess_exec(*command, env=environment)
    return await process.wait()


async def test_the_command_asks_for_both() -> None:
    """An edge without an upstream is alive, and not ready."""
    (nobody,) = free_ports(1)
    async with processes.edge(f"127.0.0.1:{nobody}") as edge:
        assert await _health(edge) == 0
        assert await _health(edge, "--ready") == 1


async def test_a_core_that_drains_is_not_ready() -> None:
    """The core's health falls first, while it still answers calls; then it ends."""
    async with (
        processes.core(drain_delay="4") as core,
        processes.edge(core.address) as edge,
        httpx.AsyncClient(timeout=10) as client,
    ):
        assert (await client.get(f"{edge.http}/readyz")).is_success
        core.process.terminate()
        fallen = await _until(client, f"{edge.http}/readyz", lambda told: not told.is_success)
        assert fallen.json()["checks"]["upstream"]["reason"] == "grpc.health.v1: NOT_SERVING"
        assert (await client.post(f"{edge.http}/convert", json=CONVERT)).is_success
        assert await asyncio.wait_for(core.process.wait(), WITHIN) == 0


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_an_edge_that_drains_still_accepts(workers: str) -> None:
    """Readiness falls, new connections are answered and told to close; after the delay none is accepted."""
    async with (
        processes.core() as core,
        processes.edge(core.address, drain_delay_seconds="3", workers=workers) as edge,
        httpx.AsyncClient(timeout=10) as client,
    ):
        before = await client.post(f"{edge.http}/convert", json=CONVERT)
        assert "connection" not in before.headers
        edge.process.terminate()
        loop = asyncio.get_running_loop()
        began = loop.time()
        fallen = await _until(client, f"{edge.http}/readyz", lambda told: not told.is_success)
        assert "shutdown" in fallen.text
        assert (await client.get(f"{edge.http}/livez")).is_success
        while loop.time() - began < 2:
            answer = await client.post(f"{edge.http}/convert", json=CONVERT)
            assert answer.is_success
            if loop.time() - began > 1:  # so that all workers know
                assert answer.headers["connection"] == "close"
        assert await asyncio.wait_for(edge.process.wait(), WITHIN) == 0
        assert loop.time() - began >= 3
        with pytest.raises(httpx.ConnectError):
            await client.get(f"{edge.http}/livez")


async def test_a_second_signal_ends_the_delay() -> None:
    """Who presses Ctrl-C twice does not wait, at the edge and at the core."""
    async with (
        processes.core(drain_delay="600") as core,
        processes.edge(core.address, drain_delay_seconds="600") as edge,
    ):
        for process in (edge.process, core.process):
            process.terminate()
            await asyncio.sleep(0.5)
            assert process.returncode is None
            process.terminate()
            assert await asyncio.wait_for(process.wait(), WITHIN) == 0
