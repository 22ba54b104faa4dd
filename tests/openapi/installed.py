"""What `make openapi` has installed, and the processes that are asked."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.contracts import echo_descriptor_set
from tests.echo_server import echo_server
from tests.openapi.finite_echo import FiniteEcho
from tests.whole import processes

INSTALLED = Path(os.environ.get("OPENAPI", "/nowhere"))
"""Where `make openapi` has put openapi-typescript, tsc and schemathesis."""


async def run(*command: str | Path, seconds: float, **environment: str) -> tuple[int, str]:
    """Runs a program for so many seconds at most; returns its exit status and what it says."""
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=INSTALLED,
        env=os.environ | environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        said, _ = await asyncio.wait_for(process.communicate(), seconds)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return process.returncode, said.decode()


@asynccontextmanager
async def demo(_folder: Path, **settings: Any) -> AsyncIterator[str]:
    """Runs the demo's core and an edge before it; gives the edge's base URL."""
    async with processes.core() as core, processes.edge(core.address, **settings) as edge:
        yield edge.http


@asynccontextmanager
async def echo(folder: Path, **settings: Any) -> AsyncIterator[str]:
    """Runs the tests' own contract and an edge before it; gives the edge's base URL."""
    descriptor_set = folder / "echo.binpb"
    descriptor_set.write_bytes(echo_descriptor_set())
    async with (
        echo_server(FiniteEcho) as server,
        processes.edge(server.address, descriptor_set=descriptor_set, **settings) as edge,
    ):
        yield edge.http
