"""h2load (nghttp2), a client that nobody here wrote, against the edge."""

from __future__ import annotations

import asyncio
import shutil

import pytest

from tests.doors.http2.conftest import Edge

pytestmark = pytest.mark.skipif(shutil.which("h2load") is None, reason="there is no h2load")


async def _load(port: int, *options: str) -> str:
    process = await asyncio.create_subprocess_exec(
        "h2load",
        *options,
        f"http://127.0.0.1:{port}/v1/echo/a",
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(30):
            said, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        raise
    return said.decode()


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("--header-table-size=0",),
        ("--window-bits=8", "--connection-window-bits=8"),
        ("--header=authorization: Bearer token", "--header=traceparent: 00-1-2-01"),
    ],
    ids=["plain", "no-table", "small-windows", "with-a-token"],
)
async def test_every_request_is_answered(edge: Edge, options: tuple[str, ...]) -> None:
    """Four connections with up to 50 streams each: no request fails, or is refused."""
    async with edge() as port:
        said = await _load(port, "-n400", "-c4", "-m50", *options)

    assert "400 succeeded, 0 failed, 0 errored, 0 timeout" in said
    assert "status codes: 400 2xx" in said
