"""What ends on one side ends on the other: curl, a real edge process, and a server that notices."""

from __future__ import annotations

import asyncio
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.echo_server import DeafServer, EchoServer, echo_server
from tests.whole.conftest import edge_process

BOUND_SECONDS = 0.1
TRIES = 5
SETTLE_SECONDS = 0.2
"""Until whatever can be read of an upload has been read."""


def check(times: list[float]) -> None:
    """Holds the best of some tries to the bound."""
    print(f"cancelled after {sorted(round(took * 1000, 1) for took in times)} ms")
    assert min(times) < BOUND_SECONDS


async def time_to_cancel(echo: EchoServer, url: str, *options: str) -> float:
    """Returns the seconds from the end of a curl to the cancellation on the server."""
    echo.started.clear()
    echo.cancelled.clear()
    curl = await asyncio.create_subprocess_exec(
        *("curl", "-sN", *options, url), stdout=asyncio.subprocess.DEVNULL
    )
    await asyncio.wait_for(echo.started.wait(), 30)
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
    async with echo_server() as echo, edge_process(tmp_path, echo.address) as base:
        times = [await time_to_cancel(echo, base + path, *options) for _ in range(TRIES)]

    check(times)


async def time_to_cancel_an_upload(echo: EchoServer, base: str, lines: bytes) -> float:
    """Returns the seconds from the end of a socket, in the middle of an upload, to the cancellation."""
    echo.started.clear()
    echo.cancelled.clear()
    address = urlsplit(base)
    _, writer = await asyncio.open_connection(address.hostname, address.port)
    writer.write(
        b"POST /v1/upload HTTP/1.1\r\nHost: edge\r\nContent-Type: application/x-ndjson\r\n"
        b"Content-Length: 1000000\r\n\r\n" + lines
    )
    await writer.drain()
    await asyncio.wait_for(echo.started.wait(), 30)
    await asyncio.sleep(SETTLE_SECONDS)
    loop = asyncio.get_running_loop()
    closed = loop.time()
    writer.close()
    await asyncio.wait_for(echo.cancelled.wait(), 10)
    took = loop.time() - closed
    await writer.wait_closed()
    return took


@pytest.mark.parametrize("line", [b"{}", b'{"stringField":"%s"}' % (b"x" * 480)])
async def test_an_upload_that_is_cut_cancels_a_call_that_nobody_reads(
    tmp_path: Path, line: bytes
) -> None:
    """10 kB into an upload that the server never reads, an end is noticed as fast.

    What remains: an end behind more data than the buffers on the way take is not seen before them.
    """
    lines = (line + b"\n") * (10_000 // (len(line) + 1))
    async with echo_server(DeafServer) as echo, edge_process(tmp_path, echo.address) as base:
        times = [await time_to_cancel_an_upload(echo, base, lines) for _ in range(TRIES)]

    check(times)


async def time_to_cancel_a_pipelined_stream(echo: EchoServer, base: str) -> float:
    """Returns the seconds from an end, behind which another request waits, to the cancellation."""
    echo.started.clear()
    echo.cancelled.clear()
    address = urlsplit(base)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    ask = "GET {} HTTP/1.1\r\nHost: edge\r\nAccept: text/event-stream\r\n\r\n"
    writer.write((ask.format("/v1/hang-stream") + ask.format("/healthz")).encode())
    await reader.readuntil(b"first")
    loop = asyncio.get_running_loop()
    closed = loop.time()
    writer.close()
    await asyncio.wait_for(echo.cancelled.wait(), 10)
    return loop.time() - closed


async def test_a_request_that_waits_hides_no_end(tmp_path: Path) -> None:
    """A stream is cancelled as fast when its client has pipelined another request behind it."""
    async with echo_server() as echo, edge_process(tmp_path, echo.address) as base:
        times = [await time_to_cancel_a_pipelined_stream(echo, base) for _ in range(TRIES)]

    check(times)


async def test_pipelined_requests_are_answered_in_order(tmp_path: Path) -> None:
    """However many come at once: beyond sixteen or so they wait unparsed."""
    ask = b"GET /v1/names/%d HTTP/1.1\r\nHost: edge\r\n\r\n"
    async with echo_server() as echo, edge_process(tmp_path, echo.address) as base:
        address = urlsplit(base)
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        writer.write(b"".join(ask % number for number in range(500)))
        answers = [await reader.readuntil(b'"%d"' % number) for number in range(500)]
        writer.close()

    assert all(b"200 OK" in answer for answer in answers)
