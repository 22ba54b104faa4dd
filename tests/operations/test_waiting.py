"""The admin listener of a real process that waits for the server whose reflection it reads."""

from __future__ import annotations

import asyncio
import os

import httpx
import pytest

from tests.operations.scrapes import parse, total
from tests.whole.conftest import free_ports
from tests.whole.forking import forked, run
from tests.whole.processes import core

SECONDS = 50
"""What nothing here may take."""
REASON = "waiting for reflection: upstream cannot be reached: connection refused"


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_the_admin_listener_tells_what_a_start_waits_for(workers: str) -> None:
    """It is alive, not started and not ready, says why, and keeps its address when the edge serves."""
    upstream, port, admin_port = free_ports(3)
    admin = f"http://127.0.0.1:{admin_port}"
    arguments = ["serve", "--reflect", "--auto-mapping", "--upstream", f"127.0.0.1:{upstream}"]
    settings = {"PORT": str(port), "ADMIN_PORT": str(admin_port), "WORKERS": workers}
    environment = os.environ | {f"PROTOWAY_{name}": value for name, value in settings.items()}
    process = await forked("gateway", arguments, environment, stderr=2)
    try:
        async with asyncio.timeout(SECONDS), httpx.AsyncClient(timeout=SECONDS) as client:
            while (alive := await asked(client, f"{admin}/livez")) is None:
                await asyncio.sleep(0.02)
            assert (alive.status_code, alive.json()) == (200, {"status": "SERVING"})
            check = {"status": "NOT_SERVING", "reason": REASON}
            for path in ("/startupz", "/readyz", "/", "/status.json"):
                told = await client.get(admin + path)
                assert (told.status_code, told.json()["checks"]["contract"]) == (503, check), path
            samples = parse((await client.get(f"{admin}/metrics")).text)
            assert total(samples, "protoway_ready", check="contract") == 0
            assert await asked(client, f"http://127.0.0.1:{port}/livez") is None

            async with core(upstream):
                assert b"serving" in await process.stdout.readline()
                for path in ("/livez", "/startupz", "/readyz", "/status.json"):
                    assert (await client.get(admin + path)).status_code == 200, path
                samples = parse((await client.get(f"{admin}/metrics")).text)
                assert total(samples, "protoway_worker_up") == int(workers)
    finally:
        if process.returncode is None:
            process.terminate()
        await asyncio.wait_for(process.wait(), SECONDS)
        process.close()


async def test_a_wait_that_is_over_ends_the_process() -> None:
    """With the one line of before, though the admin listener was there."""
    upstream, admin_port = free_ports(2)
    ended = await asyncio.to_thread(
        run,
        *("gateway", "serve", "--reflect", "--upstream", f"127.0.0.1:{upstream}"),
        *("--reflect-wait-seconds", "0.3", "--admin-port", str(admin_port)),
    )

    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1].startswith("protoway: the reflection of 127.0.0.1:")
    assert "Traceback" not in ended.stderr


async def asked(client: httpx.AsyncClient, url: str) -> httpx.Response | None:
    """Returns the response; None: the connection is refused."""
    try:
        return await client.get(url)
    except httpx.ConnectError:
        return None
