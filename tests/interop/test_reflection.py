"""Servers that nobody here wrote, served by their reflection alone: `make interop` installs and runs them.

grpcio's is in `tests/sources/test_reflected_server.py`.
"""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest

from tests.interop.test_interop import INSTALLED, environment
from tests.sources.reflected import check_that_it_is_served

pytestmark = pytest.mark.interop

HERE = Path(__file__).parent
SERVERS = {
    "grpc-go": ("bin/reflection_go",),
    "grpc-js": ("node", "reflection.mjs", str(HERE)),
}


@pytest.mark.parametrize("name", SERVERS)
async def test_a_server_is_served_by_its_reflection(name: str) -> None:
    """Its contract has no HTTP rules, so `--auto-mapping` serves its methods, with streams."""
    command = SERVERS[name]
    if (
        not shutil.which(command[0], path=f"{INSTALLED}:/usr/bin:/usr/local/bin")
        and not (INSTALLED / command[0]).exists()
    ):
        pytest.skip(f"{command[0]} is not installed here")
    server = await asyncio.create_subprocess_exec(
        *command,
        cwd=INSTALLED,
        env=environment(None),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert server.stdin is not None
    assert server.stdout is not None
    try:
        port = int(await server.stdout.readline())
        await check_that_it_is_served(f"127.0.0.1:{port}")
    finally:
        server.stdin.close()
        await server.wait()
