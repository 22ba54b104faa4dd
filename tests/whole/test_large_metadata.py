"""Metadata that is too large is refused to the caller who sent it, and disturbs nobody else.

Source: RFC 6585, section 5 (431); RFC 9113, section 6.5.2 (how header fields are counted).
"""

from __future__ import annotations

import asyncio
import base64
import json
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from tests.whole.processes import Running, core, edge

WEBSOCKETS, UPLOADS = 50, 20
MESSAGE = '{"fromCurrency":"USD","toCurrency":"EUR","amount":100}'
ENVELOPE = Subprotocol("grpc-json-envelope.v1")
SECONDS = 60

LARGE: dict[str, list[tuple[str, str]]] = {
    "one header": [("Authorization", "b" * 70_000)],
    "far more than any frame": [("Authorization", "b" * 900_000)],
    "many headers": [(f"Grpc-Metadata-Part-{n}", "b" * 4096) for n in range(18)],
    "many small headers": [(f"Grpc-Metadata-{n}", "b") for n in range(2_000)],
    "one header, often": [("Authorization", "b" * 50)] * 1_000,
    "a name": [("Grpc-Metadata-" + "n" * 60_000, "b")],
    "bytes": [("Grpc-Metadata-Token-Bin", base64.b64encode(bytes(50_000)).decode())],
    "a trace": [("Tracestate", "t=" + "a" * 20_000)],
}


@asynccontextmanager
async def websockets_open(base: str) -> AsyncIterator[list[ClientConnection]]:
    """Opens WebSockets, each of which has been answered once; all are open and answer in the end."""
    async with AsyncExitStack() as stack:
        opened = [
            await stack.enter_async_context(connect(f"{base}/convert:live"))
            for _ in range(WEBSOCKETS)
        ]
        await _all_answer(opened)
        yield opened
        await _all_answer(opened)


async def _all_answer(opened: list[ClientConnection]) -> None:
    async with asyncio.timeout(SECONDS):
        for websocket in opened:
            await websocket.send(MESSAGE)
        for websocket in opened:
            assert "convertedAmount" in str(await websocket.recv())


@asynccontextmanager
async def uploads_open(base: str) -> AsyncIterator[None]:
    """Begins uploads, which end when the block does, all with their answer."""
    ending = asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        yield MESSAGE.encode() + b"\n"
        begun.release()
        await ending.wait()
        yield MESSAGE.encode() + b"\n"

    begun = asyncio.Semaphore(0)
    headers = {"content-type": "application/x-ndjson"}
    async with (
        httpx.AsyncClient(base_url=base, timeout=SECONDS) as client,
        asyncio.TaskGroup() as group,
    ):
        asked = [
            group.create_task(client.post("/convert:batch", content=body(), headers=headers))
            for _ in range(UPLOADS)
        ]
        for _ in asked:
            await begun.acquire()
        yield
        ending.set()
    assert {(each.result().status_code, each.result().json()["count"]) for each in asked} == {
        (200, 2)
    }


@asynccontextmanager
async def others(running: Running) -> AsyncIterator[None]:
    """Those who must not be disturbed: on one connection to the upstream, or on a few."""
    async with websockets_open(running.websocket), uploads_open(running.http):
        yield


def refused(answer: httpx.Response) -> None:
    """Sees that an answer is 431, and says so with a Status."""
    assert answer.status_code == 431, answer.text
    assert answer.json()["code"] == 8
    assert re.search("metadata|the head is longer|more than 100 headers", answer.json()["message"])


async def envelope_refused(base: str, headers: dict[str, str | list[str]]) -> None:
    """Sees that the headers frame of a WebSocket is refused with the status, and the code for it."""
    async with connect(f"{base}/convert:live", subprotocols=[ENVELOPE]) as websocket:
        await websocket.send(json.dumps({"headers": headers}))
        with pytest.raises(ConnectionClosed):
            while True:
                frame = json.loads(await websocket.recv())
        assert frame["status"]["code"] == 8
        assert websocket.close_code == 4008


@pytest.mark.parametrize("transport", ["wire", "grpcio"])
async def test_metadata_that_is_too_large_disturbs_nobody(transport: str) -> None:
    """Each way to say too much is 431 or 4008 for who does, and nothing for those who are connected."""
    async with (
        core(transport=transport) as upstream,
        edge(upstream.address, transport=transport) as running,
        others(running),
        httpx.AsyncClient(base_url=running.http, timeout=SECONDS) as attacker,
    ):
        for headers in LARGE.values():
            chunked = [*headers, ("Transfer-Encoding", "chunked")]
            refused(await attacker.get("/hello/x", headers=headers))
            refused(await attacker.post("/convert", content=MESSAGE, headers=headers))
            refused(await attacker.post("/convert", content=_chunks(), headers=chunked))
            refused(await attacker.get("/rates/USD", headers=headers))
            events = [*headers, ("Accept", "text/event-stream")]
            refused(await attacker.get("/rates/USD", headers=events))
            refused(await attacker.post("/convert:batch", content=MESSAGE, headers=headers))
        await envelope_refused(running.websocket, {"authorization": "b" * 12_000})
        await envelope_refused(running.websocket, {"authorization": ["b" * 50] * 200})
        assert (await attacker.get("/hello/x")).status_code == 200


async def _chunks() -> AsyncIterator[bytes]:
    yield MESSAGE.encode()


@pytest.mark.parametrize("edge_transport", ["wire", "grpcio"])
@pytest.mark.parametrize("core_transport", ["wire", "grpcio"])
async def test_what_the_server_announces_is_kept_to(
    edge_transport: str, core_transport: str
) -> None:
    """An edge that lets more pass than its server takes answers 431, and disturbs nobody either."""
    async with (
        core(transport=core_transport, max_metadata_bytes="4000") as upstream,
        edge(upstream.address, transport=edge_transport, max_metadata_bytes="1000000") as running,
        others(running),
        httpx.AsyncClient(base_url=running.http, timeout=SECONDS) as attacker,
    ):
        for size in (4_000, 20_000, 70_000, 700_000):
            headers = {"authorization": "b" * size}
            refused(await attacker.get("/hello/x", headers=headers))
            refused(await attacker.get("/rates/USD", headers=headers))
            refused(await attacker.post("/convert:batch", content=MESSAGE, headers=headers))
        few = {"authorization": "b" * 2_000}
        assert (await attacker.get("/hello/x", headers=few)).status_code == 200
