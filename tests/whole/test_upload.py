"""Uploads larger than any memory: what is read goes on at once, and what cannot go on is not read."""

from __future__ import annotations

import asyncio
import os

import orjson
import pytest

from tests.whole import processes

SIZE = int(os.environ.get("UPLOAD_BYTES", str(1 << 28)))
"""A quarter of a gigabyte; `make soak` sends a whole one."""
LINE_BYTES = 64 * 1024
MOST_RESIDENT = 100 * 1000 * 1000
HEAD = (
    "POST /convert:batch HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-ndjson\r\n"
    f"Content-Length: {SIZE}\r\nConnection: close\r\n\r\n"
)


@pytest.mark.timeout(180)
async def test_a_long_upload() -> None:
    """It is converted line by line, and the edge never has 100 MB of memory."""
    text = b'{"fromCurrency":"USD","toCurrency":"EUR","amount":1}'
    line = text + b" " * (LINE_BYTES - len(text) - 1) + b"\n"
    block = line * 4
    most = 0
    async with processes.core() as core, processes.edge(core.address) as edge:
        reader, writer = await asyncio.open_connection("127.0.0.1", edge.port)
        writer.write(HEAD.encode())
        for _ in range(SIZE // len(block)):
            writer.write(block)
            await writer.drain()
            most = max(most, edge.resident())
        answer = await reader.read()
        writer.close()

    print(f"at most {most:,} bytes resident")
    assert orjson.loads(answer.partition(b"\r\n\r\n")[2])["count"] == SIZE // LINE_BYTES
    assert most < MOST_RESIDENT
