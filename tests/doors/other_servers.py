"""ASGI servers that are not ours, each as a process for as long as a block."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.whole.conftest import ROOT, free_ports

_APP = "tests.doors.asgi_app:app"
_START_SECONDS = 30
_STOP_SECONDS = 20


@dataclass(frozen=True)
class OtherServer:
    """A server, and how it is started."""

    name: str
    package: str
    arguments: tuple[str, ...]
    """Of `python -m`; PORT stands for the port."""

    @property
    def installed(self) -> bool:
        """Whether the package can be imported."""
        return importlib.util.find_spec(self.package) is not None


OTHER_SERVERS = (
    OtherServer(
        "uvicorn",
        "uvicorn",
        ("uvicorn", _APP, "--port", "PORT", "--log-level", "critical"),
    ),
    OtherServer(
        "hypercorn",
        "hypercorn",
        ("hypercorn", _APP, "--bind", "127.0.0.1:PORT", "--log-level", "critical"),
    ),
    OtherServer(
        "gunicorn, its ASGI workers",
        "gunicorn",
        ("gunicorn", _APP, "-k", "asgi", "-b", "127.0.0.1:PORT", "--log-level", "critical"),
    ),
    OtherServer(
        "gunicorn, uvicorn's workers",
        "uvicorn_worker",
        (
            *("gunicorn", _APP, "-k", "uvicorn_worker.UvicornWorker"),
            *("-b", "127.0.0.1:PORT", "--log-level", "critical"),
        ),
    ),
)


@asynccontextmanager
async def under(server: OtherServer, descriptor_set: Path, upstream: str) -> AsyncIterator[int]:
    """Serves a contract; the block is given the port."""
    port = free_ports(1)[0]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", *(each.replace("PORT", str(port)) for each in server.arguments)),
        cwd=ROOT,
        env=os.environ
        | {"PROTOWAY_DESCRIPTOR_SET": str(descriptor_set), "PROTOWAY_UPSTREAM": upstream},
    )
    try:
        async with asyncio.timeout(_START_SECONDS):
            while not await _listens(port):
                assert process.returncode is None, f"{server.name} has ended"
                await asyncio.sleep(0.02)
        yield port
    finally:
        if process.returncode is None:
            process.terminate()
            try:
                await asyncio.wait_for(process.wait(), _STOP_SECONDS)
            finally:
                if process.returncode is None:
                    process.kill()
                    await process.wait()


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True
