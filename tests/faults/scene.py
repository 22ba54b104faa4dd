"""An edge that is watched while something around it fails: its readiness, metrics, log lines and callers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.operations.scrapes import Scrape, parse, total
from tests.whole import processes
from tests.whole.conftest import free_ports

WITHIN = 5.0
"""Seconds in which everything says the truth."""
DEADLINE = {"grpc-timeout": "2S"}
"""Of callers who do not wait for long."""
CONVERT = "/convert?from_currency=USD&to_currency=EUR&amount=1"
RATES = "/rates/USD?target_currencies=EUR"
LOOP_SECONDS = 0.5
"""Bound of the event loop's delay: it is 50 ms, on a machine that does nothing else."""
_DELAY = "protoway_event_loop_delay_seconds"


@dataclass
class Edge:
    """A running edge, and what it has written."""

    http: str
    admin: str
    client: httpx.AsyncClient
    log: Path
    """What it has written to stderr."""
    access_log: Path

    async def get(self, path: str, **headers: str) -> httpx.Response:
        """Asks the edge once."""
        return await self.client.get(f"{self.http}{path}", headers=DEADLINE | headers)

    async def is_ready(self) -> bool:
        """Asks `/readyz`."""
        return (await self.client.get(f"{self.http}/readyz")).is_success

    async def reason(self) -> str:
        """Returns why the upstream is not ready; empty: it is."""
        told = (await self.client.get(f"{self.http}/readyz")).json()
        return str(told["checks"]["upstream"].get("reason", ""))

    async def scrape(self) -> Scrape:
        """Scrapes the metrics."""
        return parse((await self.client.get(f"{self.admin}/metrics")).text)

    async def counted(self, name: str, **labels: str) -> float:
        """Returns the sum of some series."""
        return total(await self.scrape(), name, **labels)

    def lines(self) -> list[dict[str, Any]]:
        """Returns the lines of the access log."""
        return [json.loads(line) for line in self.access_log.read_text().splitlines()]

    async def says_ready(self, ready: bool) -> float:
        """Waits until readiness and its series say so; returns how long it took.

        Raises:
            TimeoutError: they did not in time.
        """

        async def both() -> bool:
            series = await self.counted("protoway_ready", check="upstream")
            return series == ready == await self.is_ready()

        return await until(both)

    async def loop_delay(self) -> float:
        """Returns the upper bound of the bucket with the longest delay of the event loop."""
        samples = await self.scrape()
        all_of_them = total(samples, f"{_DELAY}_count")
        bounds = sorted(
            (float(dict(labels)["le"]), count)
            for (name, labels), count in samples.items()
            if name == f"{_DELAY}_bucket"
        )
        return next(bound for bound, count in bounds if count == all_of_them)


async def until(condition: Callable[[], Any], seconds: float = WITHIN) -> float:
    """Waits until a condition holds; returns how long it took.

    Raises:
        TimeoutError: it did not in time.
    """
    loop = asyncio.get_running_loop()
    began = loop.time()
    async with asyncio.timeout(seconds):
        while not await condition():
            await asyncio.sleep(0.05)
    return loop.time() - began


@asynccontextmanager
async def watched(
    upstream: str,
    folder: Path,
    *,
    host: str = "127.0.0.1",
    namespace: str = "",
    access_log: Path | None = None,
    **settings: str,
) -> AsyncIterator[Edge]:
    """Runs an edge within the block, and looks at the end whether its event loop was held up.

    Args:
        upstream: its address.
        folder: for what it writes.
        host: address that it serves on.
        namespace: of its network.
        access_log: file; None: one of the folder.
        settings: others of the edge.
    """
    (admin,) = free_ports(1)
    log = folder / "stderr"
    access_log = access_log or folder / "access.log"
    settings = {
        "host": host,
        "admin_host": host,
        "admin_port": str(admin),
        "access_log": "json",
        "access_log_path": str(access_log),
        **settings,
    }
    given: Any = settings
    async with (
        processes.edge(upstream, namespace=namespace, stderr=str(log), **given) as running,
        httpx.AsyncClient(timeout=20, trust_env=False) as client,
    ):
        edge = Edge(running.http, f"http://{host}:{admin}", client, log, access_log)
        await edge.counted("protoway_ready")
        yield edge
        delay = await edge.loop_delay()
        print(f"the event loop was at most {delay * 1000:.0f} ms late", end=" ")
        assert delay <= LOOP_SECONDS
