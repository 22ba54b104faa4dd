"""One WebSocket that sends as much as it can, beside callers that behave."""

from __future__ import annotations

import asyncio
import statistics
import zlib
from collections.abc import AsyncIterator
from contextlib import suppress
from urllib.parse import urlsplit

import pytest

from tests.echo_server import echo_server
from tests.whole.conftest import edge_process
from tests.whole.test_websocket_limits import handshake

_MASK = b"\0\0\0\0"
_GET = b"GET /v1/names/a HTTP/1.1\r\nHost: x\r\n\r\n"
SECONDS = 1.0
MEDIAN_SECONDS = 0.1
"""An idle edge answers in a millisecond; a machine with other work is slower."""


def _compressed(size: int) -> bytes:
    compressor = zlib.compressobj(wbits=-12)
    data = compressor.compress(b" " * size) + compressor.flush(zlib.Z_SYNC_FLUSH)
    data = data.removesuffix(b"\0\0\xff\xff")
    return b"\xc1\xfe" + len(data).to_bytes(2) + _MASK + data


FLOODS = {
    "empty fragments": b"\0\x80" + _MASK,
    "small fragments": b"\0\x82" + _MASK + b"xy",
    "fragments": b"\0\xc0" + _MASK + b"x" * 64,
    "pings": b"\x89\x80" + _MASK,
    "messages behind the half-close": b"\x81\x81" + _MASK + b"x",
    "bombs": _compressed(512 * 1024),
}


async def _flood(base: str, kind: str) -> None:
    """Sends the same frame without an end, or until it is cut."""
    path = "/v1/hang-stream" if kind.startswith("messages") else "/v1/bidi"
    reader, writer = await handshake(base, path)
    if "fragments" in kind:
        writer.write(b"\x01\x81" + _MASK + b"x")
    data = FLOODS[kind] * (64 * 1024 // len(FLOODS[kind]))
    sink = asyncio.create_task(reader.read(1 << 20))
    try:
        with suppress(ConnectionError):
            while True:
                writer.write(data)
                await writer.drain()
    finally:
        sink.cancel()
        writer.transport.abort()


async def _latencies(port: int) -> list[float]:
    """Asks again and again; returns how long each answer took."""
    loop, took = asyncio.get_running_loop(), []
    until = loop.time() + SECONDS
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while loop.time() < until:
        started = loop.time()
        writer.write(_GET)
        await reader.readuntil(b'"a"')
        took.append(loop.time() - started)
    writer.close()
    return took


@pytest.fixture(scope="module")
async def http(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """One edge for all floods; only the bombs ask for compression."""
    folder = tmp_path_factory.mktemp("edge")
    async with (
        echo_server() as echo,
        edge_process(folder, echo.address, "--websocket-compression") as base,
    ):
        yield base


@pytest.mark.parametrize("kind", FLOODS)
async def test_a_flood_starves_nobody(http: str, kind: str) -> None:
    """Others are answered meanwhile, most of them within 100 ms."""
    flooding = asyncio.create_task(_flood(http.replace("http", "ws", 1), kind))
    await asyncio.sleep(0.2)
    port = urlsplit(http).port
    assert port is not None
    took = await _latencies(port)
    flooding.cancel()
    await asyncio.gather(flooding, return_exceptions=True)

    median, worst = statistics.median(took) * 1000, max(took) * 1000
    print(f"{kind}: {len(took)} answers, p50 {median:.1f} ms, max {worst:.0f} ms")
    assert statistics.median(took) < MEDIAN_SECONDS
