"""nginx in front of an edge, as pages about WebSocket behind nginx set it up."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from tests.whole.conftest import free_ports

_START_SECONDS = 20
_CONFIGURATION = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log stderr error;
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    map $http_upgrade $connection_upgrade {{
        default upgrade;
        '' '';
    }}
    upstream edge {{
        server 127.0.0.1:{upstream};
        keepalive {keepalive};
    }}
    server {{
        listen 127.0.0.1:{port};
        location {denied} {{ deny all; }}
        location / {{
            proxy_pass http://edge;
            proxy_http_version 1.1;
            proxy_set_header Host $http_host;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection $connection_upgrade;
            proxy_request_buffering {buffering};
            proxy_buffering off;
        }}
    }}
}}
"""


def nginx_path() -> str | None:
    """Returns the nginx of this machine; the PATH of a person may lack where Debian puts it."""
    return shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


@asynccontextmanager
async def nginx(
    folder: Path, upstream: int, *, denied: str, buffering: bool = True, keepalive: int = 1
) -> AsyncIterator[int]:
    """Runs nginx before an edge within the block, which is given its port.

    Args:
        folder: for its files.
        upstream: port of the edge.
        denied: path that nginx lets nobody reach.
        buffering: whether it reads a whole body before it sends any of it on.
        keepalive: idle connections to the edge that it keeps.
    """
    path = nginx_path()
    assert path is not None
    port = free_ports(1)[0]
    configuration = folder / "nginx.conf"
    configuration.write_text(
        _CONFIGURATION.format(
            folder=folder,
            upstream=upstream,
            port=port,
            denied=denied,
            buffering="on" if buffering else "off",
            keepalive=keepalive,
        )
    )
    async with _running(path, folder, port, configuration):
        yield port


@asynccontextmanager
async def running_nginx(folder: Path, port: int, http: str) -> AsyncIterator[None]:
    """Runs nginx within the block.

    Args:
        folder: for its files.
        port: that it listens on.
        http: what its configuration has in `http`.
    """
    path = nginx_path()
    assert path is not None
    configuration = folder / "nginx.conf"
    head, _, _ = _CONFIGURATION.partition("    map ")
    head = head.replace("worker_connections 256", "worker_connections 4096")
    configuration.write_text(f"{head.format(folder=folder)}\n{http}\n}}\n")
    async with _running(path, folder, port, configuration):
        yield


@asynccontextmanager
async def _running(path: str, folder: Path, port: int, configuration: Path) -> AsyncIterator[None]:
    process = await asyncio.create_subprocess_exec(path, "-p", str(folder), "-c", configuration)
    try:
        async with asyncio.timeout(_START_SECONDS):
            await _listens(process, port)
        yield
    finally:
        with suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


async def _listens(process: asyncio.subprocess.Process, port: int) -> None:
    while True:
        assert process.returncode is None, "nginx did not start"
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.01)
        else:
            writer.close()
            return
