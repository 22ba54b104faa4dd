"""Which modules a request passes: a trace of edge and core while they answer one.

`python -m tests.walks` prints the modules for each wire, in the order in which they are entered.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import is_dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from types import FrameType
from typing import Any, Final

import httpx
from websockets.asyncio.client import connect

from gateway.app import create_app
from gateway.settings import Settings
from gateway.testing import serving
from grpc_core._generated import finance_pb2
from grpc_core.finance.rates import Snapshot
from grpc_core.rate_feed import RateFeed
from tests.doors.http2.client import connected
from tests.grpc_core.loopback import Loopback, loopback

ROOT: Final = Path(__file__).parents[1]
_PACKAGES: Final = ("gateway", "grpc_wire", "grpc_core")
_SETTLE_SECONDS: Final = 0.05
_GENERATED: Final = "__create_fn__"
"""In the name of a method that dataclasses have generated."""
_SNAPSHOT: Final = Snapshot(
    datetime(2026, 11, 20, tzinfo=UTC), {"USD": Decimal("1.25"), "GBP": Decimal("0.8")}
)
_CONVERT: Final = '{"fromCurrency":"USD","toCurrency":"GBP","amount":3}'


class Trace:
    """The modules that edge and core enter while `recording`.

    A module is entered when one of its functions is called, or goes on, from another module of ours or from
    the event loop. Constructors of dataclasses do not count.
    """

    def __init__(self) -> None:
        self.recording = False
        self.edge: list[str] = []
        """By the thread of the edge, in order."""
        self.core: list[str] = []
        """By the thread of the core, in order."""
        self._core_thread = threading.get_ident()

    @contextmanager
    def record(self) -> Iterator[None]:
        """Records while the block runs, and what follows at once."""
        self.edge.clear()
        self.core.clear()
        self.recording = True
        try:
            yield
        finally:
            time.sleep(_SETTLE_SECONDS)  # the edge has a thread of its own
            self.recording = False

    def profile(self, frame: FrameType, event: str, _argument: object) -> None:
        """See `sys.setprofile`."""
        if not self.recording or event != "call" or _makes_record(frame):
            return
        module = _module(frame)
        if module is None:
            return
        caller = frame.f_back
        while caller is not None and _module(caller) is None:
            caller = caller.f_back
        if caller is None or _module(caller) != module:
            of_core = threading.get_ident() == self._core_thread
            (self.core if of_core else self.edge).append(module)


def _makes_record(frame: FrameType) -> bool:
    """Returns whether a function constructs an instance of a dataclass."""
    code = frame.f_code
    if code.co_name != "__init__":
        return _GENERATED in code.co_qualname
    return is_dataclass(frame.f_locals.get("self"))


def _module(frame: FrameType) -> str | None:
    name: str = frame.f_globals.get("__name__", "")
    return name if name.startswith(_PACKAGES) else None


@asynccontextmanager
async def traced() -> AsyncIterator[tuple[Trace, str, Loopback]]:
    """Runs the core in this thread and the edge in another; yields the trace, the edge's URL and the core."""
    trace = Trace()
    async with loopback(RateFeed(_SNAPSHOT)) as core:
        settings = Settings(
            descriptor_set=ROOT / "protos/descriptor_set.binpb",
            upstream=core.server.address,
            transport="wire",
            log_level="warning",
        )
        block = serving(create_app(settings), settings)
        threading.setprofile(trace.profile)
        try:
            url = await asyncio.to_thread(block.__enter__)
        finally:
            threading.setprofile(None)
        sys.setprofile(trace.profile)
        try:
            yield trace, url, core
        finally:
            sys.setprofile(None)
            await asyncio.to_thread(block.__exit__, None, None, None)


async def unary(trace: Trace, url: str, core: Loopback, token: str) -> None:
    """Sends two POSTs as curl does, each with a bearer token; the second one is recorded."""
    host, _, port = url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    await _post(reader, writer, f"{token}-1")
    with trace.record():
        await _post(reader, writer, f"{token}-2")
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()


async def _post(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, token: str) -> None:
    lines = ("Host: edge", "User-Agent: curl/8", "Accept: */*", f"Authorization: Bearer {token}")
    length = (f"Content-Length: {len(_CONVERT)}", "Content-Type: application/json")
    text = "\r\n".join(("POST /convert HTTP/1.1", *lines, *length, "", _CONVERT))
    writer.write(text.encode())
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    assert head.startswith("http/1.1 200")
    await reader.readexactly(int(head.split("content-length: ")[1].split("\r\n")[0]))


async def unary_over_http2(trace: Trace, url: str, core: Loopback, token: str) -> None:
    """Sends two GETs on one connection of HTTP/2, each with a bearer token; the second one is recorded."""
    target = "/convert?fromCurrency=USD&toCurrency=GBP&amount=3"
    async with connected(int(url.rpartition(":")[2])) as client:
        await client.get(target, [("authorization", f"{token}-1")])
        with trace.record():
            stream = await client.get(target, [("authorization", f"{token}-2")])
    assert stream.status == 200


async def server_stream(trace: Trace, url: str, core: Loopback, token: str) -> None:
    """Reads the first event of a shared stream, as a browser does."""
    headers = {"accept": "text/event-stream", "authorization": token}
    async with httpx.AsyncClient(base_url=url, headers=headers) as client:
        with trace.record():
            async with client.stream("GET", "/rates/USD") as response:
                async for line in response.aiter_lines():
                    if line.startswith("data:"):
                        return


async def upload(trace: Trace, url: str, core: Loopback, token: str) -> None:
    """Uploads two lines of NDJSON."""
    headers = {"content-type": "application/x-ndjson", "authorization": token}
    async with httpx.AsyncClient(base_url=url, headers=headers) as client:
        with trace.record():
            response = await client.post("/convert:batch", content=f"{_CONVERT}\n{_CONVERT}\n")
        assert response.json()["count"] == 2


async def websocket(trace: Trace, url: str, core: Loopback, token: str) -> None:
    """Sends a message over WebSocket, reads the answer, and half-closes."""
    url = url.replace("http", "ws") + "/convert:live"
    headers = {"authorization": token}
    with trace.record():
        async with connect(url, additional_headers=headers) as socket:
            await socket.send(_CONVERT)
            assert "convertedAmount" in str(await socket.recv())
            await socket.send("")
            async for _ in socket:
                pass


async def grpc_call(trace: Trace, url: str, core: Loopback, token: str) -> None:
    """Calls the core by grpc.aio."""
    request = finance_pb2.ConvertRequest(from_currency="USD", to_currency="GBP", amount=3)
    with trace.record():
        await core.converter.Convert(request, metadata=(("authorization", token),))


WIRES: Final[dict[str, Callable[[Trace, str, Loopback, str], Coroutine[Any, Any, None]]]] = {
    "Unary": unary,
    "Unary, over HTTP/2": unary_over_http2,
    "Server stream": server_stream,
    "Upload": upload,
    "WebSocket": websocket,
    "gRPC at the core": grpc_call,
}


async def walks() -> dict[str, list[str]]:
    """Returns the modules that the second request of each wire enters, in order.

    They are the edge's; of the gRPC call they are the core's.
    """
    entered: dict[str, list[str]] = {}
    async with traced() as (trace, url, core):
        for name, ask in WIRES.items():
            for token in ("first", "other"):
                await ask(trace, url, core, token)
            entered[name] = list(trace.core if ask is grpc_call else trace.edge)
    return entered


if __name__ == "__main__":
    for wire, modules in asyncio.run(walks()).items():
        counts = {module: modules.count(module) for module in dict.fromkeys(modules)}
        print(f"{wire}: {len(counts)} modules")
        for module, count in counts.items():
            print(f"  {count} {module}")
