"""What ends on one side ends on the other: curl, a real edge process, and a server that notices."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from tests.contracts import echo_descriptor_set
from tests.echo_server import EchoServer, echo_server
from tests.whole.conftest import ROOT

BOUND_SECONDS = 0.1
TRIES = 5


async def time_to_cancel(echo: EchoServer, url: str, *options: str) -> float:
    """Returns the seconds from the end of a curl to the cancellation on the server."""
    echo.started.clear()
    echo.cancelled.clear()
    curl = await asyncio.create_subprocess_exec(
        *("curl", "-sN", *options, url), stdout=asyncio.subprocess.DEVNULL
    )
    await asyncio.wait_for(echo.started.wait(), 10)
    loop = asyncio.get_running_loop()
    killed = loop.time()
    curl.kill()
    await asyncio.wait_for(echo.cancelled.wait(), 10)
    took = loop.time() - killed
    await curl.wait()
    return took


@pytest.mark.parametrize(
    ("path", "options"),
    [
        ("/v1/hang-stream", ("-H", "Accept: text/event-stream")),
        ("/v1/hang-stream", ()),
        ("/v1/hang", ()),
    ],
)
async def test_a_curl_that_ends_cancels_the_call(
    tmp_path: Path, path: str, options: tuple[str, ...]
) -> None:
    """The RPC is cancelled in the server within 100 ms of the client's end (the best of five)."""
    descriptor_set = tmp_path / "echo.binpb"
    descriptor_set.write_bytes(echo_descriptor_set())
    async with echo_server() as echo:
        edge = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "gateway", "serve", "--port", "0", "--log-level", "warning"),
            *("--descriptor-set", str(descriptor_set), "--upstream", echo.address),
            cwd=ROOT,
            stdout=asyncio.subprocess.PIPE,
        )
        assert edge.stdout is not None
        base = (await edge.stdout.readline()).decode().split()[-1]
        try:
            times = [await time_to_cancel(echo, base + path, *options) for _ in range(TRIES)]
        finally:
            edge.terminate()
            await edge.wait()

    print(f"cancelled after {sorted(round(took * 1000, 1) for took in times)} ms")
    assert min(times) < BOUND_SECONDS
