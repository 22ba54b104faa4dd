"""The table of requests, asked of one application under several doors.

The requests are those that our edge and Envoy are compared by (`tests/parity/requests.py`).
"""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI

from gateway.app import create_app
from gateway.settings import Settings
from tests.contracts import echo_descriptor_set
from tests.doors.http2.client import ask as ask_over_http2
from tests.doors.http2.client import ask_in_parts as ask_in_parts_over_http2
from tests.echo_server import echo_server
from tests.parity.admission import SECTIONS
from tests.parity.client import Answer, ask, ask_in_parts
from tests.parity.edges import WholeEchoServer
from tests.parity.requests import Case, cases
from tests.whole.conftest import free_ports
from tests.whole.processes import DESCRIPTOR_SET, core
from tests.whole.serving import serving

_AT_ONCE = 8
_OF_THE_SERVER = ("date", "server", "connection", "transfer-encoding")
"""Headers that are the server's own, and no part of the edge's answer."""
_DRAWN = re.compile(rb"^(id|retry): .*\n", re.MULTILINE)
"""What is drawn by lot: ids of events, and the reconnection time after an error."""


class PassesOn:
    """Pure ASGI middleware of a user's."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Passes on, by functions of its own."""

        async def received() -> Any:
            return await receive()

        async def sent(event: Any) -> None:
            await send(event)

        await self._app(scope, received, sent)


@asynccontextmanager
async def under_uvicorn(app: Any, protocol: str) -> AsyncIterator[int]:
    """Serves by uvicorn with its own `httptools` or `h11` protocol; the block is given the port."""
    config = uvicorn.Config(
        app, http=protocol, log_config=None, log_level="critical", lifespan="on"
    )
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = uvicorn.Server(config)
        task = asyncio.create_task(server.serve(sockets=[listening]))
        while not server.started:
            await asyncio.sleep(0.001)
        try:
            yield listening.getsockname()[1]
        finally:
            server.should_exit = True
            await task


@dataclass(frozen=True)
class DoorOfTable:
    """One way to serve the application."""

    name: str
    serve: Callable[[FastAPI, Settings], Any]
    middleware: bool = False
    prefix: str = ""
    """Of all paths, where the application is mounted."""
    ask: Callable[..., Awaitable[Answer]] = ask
    """How it is asked."""
    has_grpc: bool = False
    """Whether gRPC is answered, which needs HTTP/2 and its trailers, and not refused."""


def _mounted(app: FastAPI, _settings: Settings) -> Any:
    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        async with app.router.lifespan_context(app):
            yield

    outer = FastAPI(lifespan=lifespan)
    outer.mount("/api", app)
    return under_uvicorn(outer, "httptools")


OURS = DoorOfTable("protoway", serving)
HTTP2 = DoorOfTable("protoway, HTTP/2", serving, ask=ask_over_http2, has_grpc=True)
OTHERS = (
    HTTP2,
    DoorOfTable("protoway, in parts", serving, ask=ask_in_parts),
    DoorOfTable("protoway, HTTP/2, in parts", serving, ask=ask_in_parts_over_http2, has_grpc=True),
    DoorOfTable("protoway, with middleware", serving, middleware=True),
    DoorOfTable("protoway, HTTP/2, with middleware", serving, middleware=True, ask=ask_over_http2),
    DoorOfTable("uvicorn, httptools", lambda app, _: under_uvicorn(app, "httptools")),
    DoorOfTable("uvicorn, h11", lambda app, _: under_uvicorn(app, "h11")),
    DoorOfTable(
        "uvicorn, with middleware", lambda app, _: under_uvicorn(app, "httptools"), middleware=True
    ),
    DoorOfTable("mounted", _mounted, prefix="/api"),
)


@dataclass(frozen=True)
class Seen:
    """What is compared of an answer."""

    status: int
    headers: dict[str, str]
    body: bytes
    whole: bool
    trailers: dict[str, str]


async def ask_the_table(folder: Path) -> dict[str, dict[str, Seen]]:
    """Returns door -> name of the request -> answer."""
    echo_set = folder / "echo.binpb"
    echo_set.write_bytes(echo_descriptor_set())
    async with AsyncExitStack() as stack:
        echo = await stack.enter_async_context(echo_server(WholeEchoServer))
        own = await stack.enter_async_context(core(ticker="off"))
        nobody = f"127.0.0.1:{free_ports(1)[0]}"
        servers = {
            "echo": (echo_set, echo.address),
            "core": (DESCRIPTOR_SET, own.address),
            "down": (echo_set, nobody),
        }
        # those about admission have a table of their own, `test_admission_table`
        table = [case for case in cases() if case.server not in SECTIONS]
        seen: dict[str, dict[str, Seen]] = {}
        for door in (OURS, *OTHERS):
            ports = {
                name: await stack.enter_async_context(edge(door, *server))
                for name, server in servers.items()
            }
            seen[door.name] = await ask_all(table, ports, door.prefix, door.ask)
        return seen


@asynccontextmanager
async def edge(door: DoorOfTable, descriptor_set: Path, upstream: str) -> AsyncIterator[int]:
    """Serves a contract behind a door; the block is given the port."""
    settings = Settings(descriptor_set=descriptor_set, upstream=upstream, log_level="critical")
    app = create_app(settings)
    if door.middleware:
        app.add_middleware(PassesOn)
    async with door.serve(app, settings) as port:
        yield port


async def ask_all(
    table: Sequence[Case],
    ports: Mapping[str, int],
    prefix: str = "",
    by: Callable[..., Awaitable[Answer]] = ask,
) -> dict[str, Seen]:
    """Returns name of the request -> answer; `ports` are those of the edges over each server of the table."""
    turn = asyncio.Semaphore(_AT_ONCE)

    async def one(case: Case) -> Seen:
        async with turn:
            port = ports.get(case.server, ports["echo"])  # `fragile` is for Envoy alone
            target = prefix + case.target
            return _seen(await by(port, case.method, target, case.headers, case.body), case)

    answers = await asyncio.gather(*map(one, table))
    return dict(zip((case.name for case in table), answers, strict=True))


def _seen(answer: Answer, case: Case) -> Seen:
    left_out = {*_OF_THE_SERVER, *(() if "x-request-id" in case.headers else ("x-request-id",))}
    headers = {name: value for name, value in answer.headers.items() if name not in left_out}
    body = _DRAWN.sub(b"", answer.body)
    return Seen(answer.status, headers, body, answer.whole, answer.trailers)
