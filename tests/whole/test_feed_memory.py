"""Many readers with credentials of their own: the memory of the edge is what its settings say."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from grpc import aio, unary_stream_rpc_method_handler
from grpc import method_handlers_generic_handler as generic_handler

from tests.contracts import feeds_descriptor_set
from tests.feeds.stage import news
from tests.whole import processes

CALLERS = 25
MESSAGES = 1_100
TOTAL = 6 * 1024 * 1024
READER_BYTES = 64 * 1024
"""Bytes of one reader and its connection, generously: about 21 KiB."""


@asynccontextmanager
async def flooding() -> AsyncIterator[tuple[str, list[int]]]:
    """Runs a server that sends many small messages by each call; gives its address, and what ended calls."""
    ended: list[int] = []

    async def send(_request: bytes, _context: Any) -> AsyncIterator[bytes]:
        for number in range(1, MESSAGES + 1):
            yield news(number, padding=20)
            await asyncio.sleep(0)
        ended.append(1)
        await asyncio.Event().wait()

    server = aio.server()
    handlers: dict[str, Any] = {"LastTwo": unary_stream_rpc_method_handler(send)}
    server.add_generic_rpc_handlers((generic_handler("feeds.v1.Feeds", handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}", ended
    finally:
        await server.stop(None)


async def read(port: int, caller: int, number: int) -> asyncio.StreamWriter:
    """Reads a stream until the last message has come; returns its connection, which stays open."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(
        b"GET /last-two/t HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n"
        b"Authorization: Bearer %d\r\n\r\n" % caller
    )
    mark, tail = b'"number":"%d"' % number, b""
    while mark not in tail:
        data = await reader.read(65_536)
        assert data, tail
        tail = tail[-64:] + data
    return writer


@pytest.mark.timeout(300)
async def test_readers_with_credentials_of_their_own_take_what_the_settings_say(
    tmp_path: Path,
) -> None:
    """Two readers for each caller, so that JSON is kept too; all get every message to the last."""
    contract = tmp_path / "feeds.binpb"
    contract.write_bytes(feeds_descriptor_set())
    async with (
        flooding() as (address, ended),
        processes.edge(
            address,
            descriptor_set=contract,
            max_total_feed_bytes=str(TOTAL),
            max_caller_feed_bytes=str(TOTAL),
        ) as edge,
    ):
        (await read(edge.port, -1, MESSAGES)).close()
        before = edge.resident()
        writers = await asyncio.gather(
            *(read(edge.port, number % CALLERS, MESSAGES) for number in range(2 * CALLERS))
        )
        grown = edge.resident() - before
        for writer in writers:
            writer.close()

    print(f"grown by {grown:,} bytes")
    assert len(ended) == CALLERS + 1
    assert grown < TOTAL * 1.5 + 2 * CALLERS * READER_BYTES
