"""An ASGI server's side, played by the test: it sees every event, and decides when each one comes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import unquote

import orjson
from fastapi import FastAPI

Json = Any


class Request:
    """One HTTP request or one WebSocket to an application, under way as a task."""

    def __init__(self, app: FastAPI, scope: dict[str, Any]) -> None:
        self._events: asyncio.Queue[dict[str, Any] | Exception] = asyncio.Queue()
        self._changed = asyncio.Event()
        self.sent: list[dict[str, Any]] = []
        self.task = asyncio.create_task(self._run(app, scope))

    async def _run(self, app: FastAPI, scope: dict[str, Any]) -> None:
        try:
            await app(scope, self._receive, self._send)
        finally:
            self._changed.set()

    async def _receive(self) -> dict[str, Any]:
        event = await self._events.get()
        if isinstance(event, Exception):
            raise event
        return event

    async def _send(self, event: Any) -> None:
        self.sent.append(event)
        self._changed.set()

    def arrives(self, event_type: str, **event: Any) -> None:
        """Lets an event come in."""
        self._events.put_nowait({"type": event_type, **event})

    def fails(self, error: Exception) -> None:
        """Lets `receive` raise an error, when what arrived before has been taken."""
        self._events.put_nowait(error)

    @property
    def waiting(self) -> int:
        """How many events have arrived and are not taken."""
        return self._events.qsize()

    async def until_sent(self, count: int) -> None:
        """Waits until the application has sent so many events."""
        while len(self.sent) < count and not self.task.done():
            self._changed.clear()
            await self._changed.wait()
        assert len(self.sent) >= count, f"it ended after {self.sent}"

    async def ended(self) -> Request:
        """Waits until the application has returned."""
        await self.task
        return self

    @property
    def status(self) -> int:
        """The HTTP status of the answer."""
        return int(self.sent[0]["status"])

    @property
    def headers(self) -> dict[str, str]:
        """The headers of the answer."""
        return {name.decode(): value.decode() for name, value in self.sent[0]["headers"]}

    @property
    def body(self) -> bytes:
        """All of the body that was sent."""
        return b"".join(event.get("body", b"") for event in self.sent)

    @property
    def json(self) -> Json:
        """The body, parsed."""
        return orjson.loads(self.body)

    @property
    def complete(self) -> bool:
        """Whether the body has come to its end, as HTTP tells it from a cut."""
        return self.sent[-1]["type"] == "http.response.body" and not self.sent[-1].get("more_body")


def start(
    app: FastAPI,
    http_method: str,
    target: str,
    body: bytes | None = b"",
    headers: dict[str, str] | None = None,
) -> Request:
    """Begins a request; a body of None is one that has not come yet."""
    request = Request(app, http_scope(http_method, target, headers))
    if body is not None:
        request.arrives("http.request", body=body, more_body=False)
    return request


async def ask(
    app: FastAPI,
    http_method: str,
    target: str,
    body: bytes = b"",
    headers: dict[str, str] | None = None,
) -> Request:
    """Makes a whole request, and waits for the whole answer."""
    return await start(app, http_method, target, body, headers).ended()


def connect(
    app: FastAPI,
    target: str,
    headers: dict[str, str] | None = None,
    subprotocols: tuple[str, ...] = (),
    *,
    scheme: str = "ws",
) -> Request:
    """Begins a WebSocket handshake; with `wss` as the scheme it comes over TLS."""
    scope = websocket_scope(target, headers)
    scope |= {"scheme": scheme, "subprotocols": list(subprotocols)}
    request = Request(app, scope)
    request.arrives("websocket.connect")
    return request


def websocket_scope(target: str, headers: dict[str, str] | None = None) -> dict[str, Any]:
    """Returns the scope of a WebSocket without a subprotocol, whose refusal may be an HTTP response."""
    return _scope("websocket", target, headers) | {
        "scheme": "ws",
        "subprotocols": [],
        "extensions": {"websocket.http.response": {}},
    }


def http_scope(
    http_method: str, target: str, headers: dict[str, str] | None = None
) -> dict[str, Any]:
    """Returns the scope of a request."""
    return _scope("http", target, headers) | {"method": http_method}


def _scope(scope_type: str, target: str, headers: dict[str, str] | None) -> dict[str, Any]:
    path, _, query = target.partition("?")
    return {
        "type": scope_type,
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "path": unquote(path),
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": query.encode(),
        "headers": [(k.lower().encode(), v.encode()) for k, v in (headers or {}).items()],
        "state": {},
    }


@asynccontextmanager
async def running(app: FastAPI) -> AsyncIterator[FastAPI]:
    """Runs the lifespan of an application around the block."""
    async with app.router.lifespan_context(app):
        yield app
