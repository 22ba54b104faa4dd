"""Four servers as processes behind one edge, each with its own CA: the others do not feel a fault of one."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.operations.scrapes import parse, total
from tests.whole import processes
from tests.whole.certificates import Issuer
from tests.whole.conftest import free_ports

pytestmark = pytest.mark.timeout(120)

CONVERT = "/convert?from_currency=USD&to_currency=EUR&amount=1"
AMOUNT = "/v2/amounts:convert?amount.currency_code=USD&amount.units=1&target_currency_code=EUR"
BATCH = b'{"fromCurrency":"USD","toCurrency":"EUR","amount":1}\n'
SHORT = {"grpc-timeout": "400m"}
NOTICED = 3.0
"""Seconds: a call that took so long would have waited for another upstream's deadline or connection."""


@dataclass
class Scene:
    """An edge, and the servers behind it by the names of their upstreams."""

    client: httpx.AsyncClient
    admin: str
    cores: dict[str, processes.Running]
    durations: list[float]
    """Of the calls of those who should notice nothing, in seconds."""

    async def convert_all_the_time(self) -> None:
        """Calls the default server until it is cancelled.

        Raises:
            HTTPStatusError: a call has failed.
        """
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            (await self.client.get(CONVERT)).raise_for_status()
            self.durations.append(loop.time() - began)
            await asyncio.sleep(0.01)

    async def greet(self) -> int:
        """Calls `greetings` with a short deadline; returns the HTTP status."""
        return (await self.client.get("/hello/Ann", headers=SHORT)).status_code

    async def convert_amount(self) -> int:
        """Calls `amounts`; returns the HTTP status."""
        return (await self.client.get(AMOUNT)).status_code

    async def batch(self) -> int:
        """Calls `batches`; returns the HTTP status."""
        headers = {"content-type": "application/x-ndjson"}
        return (
            await self.client.post("/convert:batch", content=BATCH, headers=headers)
        ).status_code

    async def counted(self, name: str, **labels: str) -> float:
        """Returns the sum of some series of the edge."""
        return total(parse((await self.client.get(f"{self.admin}/metrics")).text), name, **labels)


@asynccontextmanager
async def scene(folder: Path) -> AsyncIterator[Scene]:
    """Runs four cores and the edge: one in clear text, the others each with a CA and callers of its own."""
    entries: list[dict[str, Any]] = []
    cores: dict[str, processes.Running] = {}
    async with AsyncExitStack() as running:
        cores["default"] = await running.enter_async_context(processes.core())
        for name, methods in (
            ("greetings", "hello.*"),
            ("amounts", "finance.v2.*"),
            ("batches", "finance.CurrencyConverter/BatchConvert"),
        ):
            issuer = Issuer(folder / name)
            certificate, key = issuer.issue("core", dns_names=[f"{name}.test"])
            own = f"spiffe://tests/{name}"
            core = await running.enter_async_context(
                processes.core(
                    tls_certificate=certificate,
                    tls_key=key,
                    tls_client_ca=str(issuer.ca),
                    allowed_callers=f"*={own}",
                )
            )
            cores[name] = core
            certificate, key = issuer.issue("edge", uris=[own])
            entries.append(
                {
                    "name": name,
                    "methods": methods,
                    "addresses": core.address,
                    "server_name": f"{name}.test",
                    "ca": str(issuer.ca),
                    "certificate": certificate,
                    "key": key,
                }
            )
        (admin,) = free_ports(1)
        config = folder / "protoway.yaml"
        config.write_text(json.dumps({"upstreams": entries}))  # JSON is YAML
        edge = await running.enter_async_context(
            processes.edge(cores["default"].address, config=str(config), admin_port=str(admin))
        )
        client = await running.enter_async_context(
            httpx.AsyncClient(base_url=edge.http, timeout=20, trust_env=False)
        )
        yield Scene(client, f"http://127.0.0.1:{admin}", cores, [])


@asynccontextmanager
async def paused_mostly(pid: int) -> AsyncIterator[None]:
    """Stops a process for nine tenths of the time, so that it is slow."""

    async def pause() -> None:
        while True:
            os.kill(pid, signal.SIGSTOP)
            await asyncio.sleep(0.18)
            os.kill(pid, signal.SIGCONT)
            await asyncio.sleep(0.02)

    pausing = asyncio.create_task(pause())
    try:
        yield
    finally:
        pausing.cancel()
        with suppress(asyncio.CancelledError):
            await pausing
        os.kill(pid, signal.SIGCONT)


async def test_one_hangs_one_dies_one_is_slow(tmp_path: Path) -> None:
    """Its own callers are told; those of the default server lose no call and wait for nobody."""
    async with scene(tmp_path) as at:
        assert [await at.greet(), await at.convert_amount(), await at.batch()] == [200] * 3
        others = asyncio.create_task(at.convert_all_the_time())
        hung, dead, slow = (at.cores[name] for name in ("greetings", "amounts", "batches"))
        os.kill(hung.process.pid, signal.SIGSTOP)
        try:
            await dead.kill()
            async with paused_mostly(slow.process.pid):
                for _ in range(3):
                    assert await asyncio.gather(*(at.greet() for _ in range(20))) == [504] * 20
                    assert (
                        await asyncio.gather(*(at.convert_amount() for _ in range(20)))
                        == [503] * 20
                    )
                    assert await asyncio.gather(*(at.batch() for _ in range(5))) == [200] * 5
            ready = await at.client.get("/readyz")
        finally:
            os.kill(hung.process.pid, signal.SIGCONT)
        async with asyncio.timeout(30):
            while await at.greet() != 200:
                await asyncio.sleep(0.05)
        assert not others.done()
        others.cancel()
        late = await at.counted("grpc_client_handled_total", grpc_code="DEADLINE_EXCEEDED")
        lost = await at.counted("grpc_client_handled_total", grpc_code="UNAVAILABLE")

    assert ready.status_code == 200  # none of the three is required
    checks = {name: each["status"] for name, each in ready.json()["checks"].items()}
    assert checks["upstream"] == "SERVING"
    assert checks["upstream:greetings"] == checks["upstream:amounts"] == "NOT_SERVING"
    assert max(at.durations) < NOTICED
    assert len(at.durations) > 50
    assert (late, lost) == (60, 60)


async def test_credentials_stay_apart(tmp_path: Path) -> None:
    """A server refuses the certificate of another one's caller, which only its own callers see."""
    async with scene(tmp_path) as at:
        config = tmp_path / "protoway.yaml"
        found = json.loads(config.read_text())
        first, second = found["upstreams"][:2]
        for each in ("certificate", "key"):
            first[each] = second[each]
        config.write_text(json.dumps(found))
        async with processes.edge(at.cores["default"].address, config=str(config)) as edge:
            refused = await at.client.get(f"{edge.http}/hello/Ann")
            served = await at.client.get(f"{edge.http}{AMOUNT}")

    assert (refused.status_code, served.status_code) == (503, 200)
