"""A contract is replaced again and again under load: no request fails that the change does not explain.

`make reloads` raises the load, with two workers.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import httpx
import orjson
import pytest
from websockets.asyncio.client import connect

from tests.reload.conftest import SERVICE
from tests.reload.versions import (
    Change,
    binding_moved,
    field_added,
    first,
    message,
    method_added,
    replace_file,
    version,
)
from tests.whole import processes
from tests.whole.conftest import free_ports
from tests.whole.load import sending

PATHS = ("get", "/items/n"), ("got", "/got/n"), ("find", "/find/n")
RATE = int(os.environ.get("RELOAD_RATE", "50"))
"""Requests a second."""
REQUESTS = [
    each
    for count in range(250)
    for each in (
        ("add", "POST", "/items", '{"name":"n"}'),
        *((name, "GET", f"{path}?count={count}", "") for name, path in PATHS),
    )
]
STREAMS = int(os.environ.get("RELOAD_STREAMS", "4"))
"""Streams on each of five wires."""
SWAPS = int(os.environ.get("RELOAD_SWAPS", "6"))
WORKERS = os.environ.get("RELOAD_WORKERS", "1")
TICK = float(os.environ.get("RELOAD_TICK", "0.25"))
"""Seconds between two messages of a stream."""
TIMEOUT = 30
WRONG: tuple[Change, ...] = (binding_moved("Get", "/items/{nobody}"),)
VERSIONS: tuple[tuple[Change, ...], ...] = (
    (field_added("Order"),),
    (field_added("Order"), method_added()),
    (field_added("Order"), method_added(), binding_moved("Get", "/got/{name}")),
    WRONG,
    (method_added(), binding_moved("Get", "/got/{name}")),
    (),
)

pytestmark = pytest.mark.timeout(120 + 10 * SWAPS)


class Servicer(grpc.GenericRpcHandler):
    """Echoes items, and sends numbered messages for ever."""

    def service(self, details: Any) -> Any:
        """Returns what answers a method."""
        method = details.method.removeprefix(SERVICE)
        if method == "Talk":
            return grpc.stream_stream_rpc_method_handler(self._echo)
        if method == "Upload":
            return grpc.stream_unary_rpc_method_handler(self._count)
        if method in ("Watch", "Orders", "Follow"):
            return grpc.unary_stream_rpc_method_handler(self._ticks(method))
        return grpc.unary_unary_rpc_method_handler(self._same)

    async def _same(self, request: bytes, _context: Any) -> bytes:
        return request

    async def _echo(self, requests: AsyncIterator[bytes], _context: Any) -> AsyncIterator[bytes]:
        async for request in requests:
            yield request

    async def _count(self, requests: AsyncIterator[bytes], _context: Any) -> bytes:
        return message("Item", count=sum([1 async for _ in requests]))

    def _ticks(self, method: str) -> Any:
        kind = {"Watch": "Price", "Orders": "Order", "Follow": "Item"}[method]

        async def ticks(_request: bytes, _context: Any) -> AsyncIterator[bytes]:
            for number in range(1_000_000):
                yield message(kind, name=str(number))
                await asyncio.sleep(TICK)

        return ticks


@asynccontextmanager
async def upstream() -> AsyncIterator[str]:
    """Runs the server; the block is given its address."""
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((Servicer(),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(0)


class Streams:
    """Streams, and what became of them."""

    def __init__(self, url: str, client: httpx.AsyncClient, stop: asyncio.Event) -> None:
        self._url = url
        self._client = client
        self._stop = stop
        self.messages: Counter[str] = Counter()
        self.cuts: list[str] = []

    async def read(self, path: str, accept: str) -> None:
        """Reads a stream to the end of the load, and looks that no message is missing."""
        headers = {"accept": accept}
        async with self._client.stream("GET", self._url + path, headers=headers) as answer:
            last = -1
            async for line in answer.aiter_lines():
                text = line.removeprefix("data:").strip().strip("[,]\x1e")
                if line.startswith(("event:", "id:", "retry:", ":")) or not text:
                    if line.startswith("event:"):
                        self.cuts.append(f"{path} {accept}: {line}")
                    continue
                number = int(orjson.loads(text)["name"])
                if last >= 0 and number != last + 1:
                    self.cuts.append(f"{path} {accept}: {number} behind {last}")
                last = number
                self.messages[accept] += 1
                if self._stop.is_set():
                    return
        self.cuts.append(f"{path} {accept} has ended behind {last}")

    async def talk(self) -> None:
        """Talks over a WebSocket to the end of the load."""
        url = self._url.replace("http", "ws") + "/talk"
        async with connect(url, proxy=None, open_timeout=TIMEOUT) as socket:
            while not self._stop.is_set():
                await socket.send('{"name":"n"}')
                assert orjson.loads(await asyncio.wait_for(socket.recv(), TIMEOUT)) == {"name": "n"}
                self.messages["websocket"] += 1
                await asyncio.sleep(TICK)

    async def upload(self) -> None:
        """Uploads items to the end of the load."""
        sent = 0

        async def items() -> AsyncIterator[bytes]:
            nonlocal sent
            while not self._stop.is_set():
                sent += 1
                yield b'{"name":"n"}\n'
                await asyncio.sleep(TICK)

        headers = {"content-type": "application/x-ndjson"}
        answer = await self._client.post(f"{self._url}/upload", content=items(), headers=headers)
        assert answer.json() == {"count": sent}
        self.messages["upload"] += sent


async def replace_each(path: Path, admin: httpx.AsyncClient) -> list[bool]:
    """Replaces the contract `SWAPS` times; returns of each whether all workers served another one then."""
    found: list[bool] = []
    before = await in_force(admin)
    for number in range(SWAPS):
        replace_file(path, version(*VERSIONS[number % len(VERSIONS)]))
        assert (await admin.post("/reload")).status_code in (200, 422)
        after = await in_force(admin)
        found.append(after != before)
        before = after
        await asyncio.sleep(2 * TICK)
    return found


async def in_force(admin: httpx.AsyncClient) -> str:
    """Returns the fingerprint of the contract that all workers serve."""
    (found,) = (await admin.get("/status.json")).json()["contract"]["fingerprints"]
    return str(found)


async def test_reloads_under_load(tmp_path: Path) -> None:
    """No request fails that the change does not explain, and no stream is cut whose method stayed."""
    path = tmp_path / "shop.binpb"
    path.write_bytes(first())
    (port,) = free_ports(1)
    options: Any = {
        "on_breaking": "allow",
        "reload": "true",
        "admin_port": str(port),
        "workers": WORKERS,
    }
    stop = asyncio.Event()
    async with AsyncExitStack() as stack:
        address = await stack.enter_async_context(upstream())
        edge = await stack.enter_async_context(
            processes.edge(address, descriptor_set=path, **options)
        )
        admin = await stack.enter_async_context(
            httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60)
        )
        sender = await stack.enter_async_context(sending(edge.http, RATE, REQUESTS))
        limits = httpx.Limits(max_connections=None)
        client = httpx.AsyncClient(timeout=TIMEOUT, limits=limits, trust_env=False)
        streams = Streams(edge.http, await stack.enter_async_context(client), stop)
        async with asyncio.TaskGroup() as tasks:
            for _ in range(STREAMS):
                tasks.create_task(streams.read("/prices/n", "text/event-stream"))
                tasks.create_task(streams.read("/follow/n", "application/x-ndjson"))
                tasks.create_task(streams.read("/follow/n", "application/json-seq"))
                tasks.create_task(streams.talk())
                tasks.create_task(streams.upload())
            await asyncio.sleep(4 * TICK)
            swapped = await replace_each(path, admin)
            stop.set()
        told = await sender.stop()

    print(swapped, told, dict(streams.messages))
    assert swapped == [VERSIONS[n % len(VERSIONS)] is not WRONG for n in range(SWAPS)]
    assert not streams.cuts
    # 404 where a binding was moved, or a method is not there yet
    moved = {f"{name} {status}" for name, _ in PATHS for status in (200, 404)}
    assert {"add 200", *(f"{name} 200" for name, _ in PATHS)} <= told["answers"].keys()
    assert told["answers"].keys() <= {"add 200"} | moved
    wires = {"text/event-stream", "application/x-ndjson", "application/json-seq"}
    assert set(streams.messages) == wires | {"websocket", "upload"}
