"""The settings of the manifests, and programs that start with them."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import pytest

from tests.deploy.manifests import committed, one, variables
from tests.whole import processes

OBJECTS = committed("protoway.yaml")
ADDRESSES = ("HOST", "PORT", "METRICS_HOST", "METRICS_PORT")
"""Of the core: those of a pod are not free here."""


@pytest.mark.timeout(180)
async def test_an_edge_serves_what_the_core_tells_it(tmp_path: Path) -> None:
    """With the settings of their pods, the edge reads its contract from the core and is ready."""
    file = tmp_path / "edge.yaml"
    file.write_text(one(OBJECTS, "ConfigMap", "edge")["data"][file.name])
    of_core = {
        name.removeprefix("CORE_").lower(): value
        for name, value in variables(OBJECTS, "core").items()
        if name.removeprefix("CORE_") not in ADDRESSES
    }
    # they are drained at the end of a test, which does not wait as a cluster does
    of_core |= {"drain_delay": "0", "shutdown_grace": "1"}
    async with (
        processes.core(0, **of_core) as core,
        processes.edge(
            core.address,
            descriptor_set=None,
            config=str(file),
            host="127.0.0.1",
            admin_host="127.0.0.1",
            admin_port="0",
            drain_delay_seconds="0",
            drain_seconds="1",
        ) as edge,
        httpx.AsyncClient(base_url=edge.http, timeout=30) as client,
    ):
        async with asyncio.timeout(30):
            while not (await client.get("/readyz")).is_success:
                await asyncio.sleep(0.1)
        for path in ("/livez", "/startupz", "/hello/World"):
            assert (await client.get(path)).status_code == httpx.codes.OK
