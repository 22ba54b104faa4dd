"""Uploads of much in little: messages are looked for in pieces, and the event loop gets its turns between."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from fastapi import FastAPI

from gateway.exchange import upload
from gateway.testing import ScriptedCall, ScriptedUpstream
from gateway.transcoding.frame_decoders import (
    JsonArrayDecoder,
    JsonSeqDecoder,
    NdjsonDecoder,
    RawDecoder,
)
from tests.edge.asgi import start

SIZE = 64 * 1024
DECODERS = (JsonArrayDecoder, JsonSeqDecoder, NdjsonDecoder)

BODIES = {
    "empty lines": ("application/x-ndjson", b"\n" * SIZE * 4 + b"{}", 1),
    "lines of spaces": ("application/x-ndjson", b" \r\n" * SIZE + b"{}", 1),
    "small messages": ("application/x-ndjson", b"{}\n" * 20_000, 20_000),
    "space in an array": ("application/json", b"[" + b" " * SIZE * 4 + b"{}]", 1),
    "small messages of an array": ("application/json", b"[" + b"{}," * 20_000 + b"{}]", 20_001),
    "brackets in a string": (
        "application/json",
        b'[{"stringField":"' + b"]" * SIZE * 4 + b'"}]',
        1,
    ),
    "escapes in a string": (
        "application/json",
        b'[{"stringField":"' + b"\\\\" * SIZE * 2 + b'"}]',
        1,
    ),
    "a sequence of nothing": ("application/json-seq", b"\x1e" * SIZE * 4 + b"{}", 1),
    "a sequence of little": ("application/json-seq", b"\x1e{}" * 20_000, 20_000),
}


@pytest.mark.parametrize(("media_type", "body", "count"), BODIES.values(), ids=BODIES)
async def test_messages_are_looked_for_in_turns(
    app: FastAPI, media_type: str, body: bytes, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a chunk of a quarter of a megabyte a piece is looked at in a turn, and every message is found."""
    turn = 0
    fed: list[tuple[int, int]] = []

    def spying(kind: Any) -> None:
        feed = kind.feed

        def spy(decoder: Any, data: bytes) -> Any:
            fed.append((turn, len(data)))
            return feed(decoder, data)

        monkeypatch.setattr(kind, "feed", spy)

    for kind in (NdjsonDecoder, JsonArrayDecoder, JsonSeqDecoder):
        spying(kind)
    request = start(app, "POST", "/v1/upload", body, {"content-type": media_type})
    async with asyncio.timeout(30):
        while not request.task.done():
            await asyncio.sleep(0)
            turn += 1

    assert request.json["count"] == count
    assert sum(size for _, size in fed) >= len(body)
    assert max(size for _, size in fed) <= upload._PIECE_BYTES
    turns = [number for number, _ in fed]
    assert len(set(turns)) == len(turns)


@pytest.mark.parametrize("kind", [*DECODERS, RawDecoder])
@pytest.mark.parametrize("body", [b"\n" * SIZE, b"[" + b" " * SIZE, b"\x1e" + b" " * SIZE])
def test_bytes_that_come_one_by_one_cost_little(kind: Any, body: bytes) -> None:
    """What was looked at is not looked at again, however a body is cut."""
    decoder = kind(4 * 1024 * 1024)
    started = time.process_time()
    try:
        for at in range(len(body)):
            list(decoder.feed(body[at : at + 1]))
    except ValueError:
        return

    assert time.process_time() - started < 2


async def test_raw_data_is_not_cut(app: FastAPI, upstream: ScriptedUpstream) -> None:
    """A chunk of an HttpBody is one message, as it came."""
    requests: list[bytes] = []

    async def keep(call: ScriptedCall) -> AsyncIterator[bytes]:
        requests.extend([request async for request in call.requests])
        yield b""

    upstream.scripts["/echo.v1.Echo/RawUpload"] = keep
    body = b"\n" * SIZE
    headers = {"content-type": "text/plain"}
    await start(app, "POST", "/v1/raw:upload", body, headers).ended()

    assert len(requests) == 1
    assert body in requests[0]
