"""A server in a process of its own, to be killed: it says its port, and serves the methods of the scene."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.wire.tls import Tls

ROOT = Path(__file__).parents[3]


@asynccontextmanager
async def server_process(
    tls: Tls | None = None,
) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """Runs one until the block is left; gives its address too."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", __name__, *([str(tls.folder)] if tls else ())),
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
    )
    try:
        assert process.stdout is not None
        port = int(await process.stdout.readline())
        yield process, f"127.0.0.1:{port}"
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def _serve(*folders: str) -> None:
    from tests.wire.faults.scene import serving

    tls = Tls(Path(*folders)) if folders else None
    async with serving(tls=tls) as (running, address):
        print(address.rpartition(":")[2], flush=True)
        await running.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(_serve(*sys.argv[1:]))
