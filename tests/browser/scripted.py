"""A server that answers with the bytes it is told to, as docs/reference/wires.md has them."""

from __future__ import annotations

import asyncio
import logging
import re
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import uvicorn

from gateway.doors.types import Receive, Scope, Send

MODULE = (Path(__file__).parents[2] / "web" / "protoway.js").read_bytes()


@dataclass(frozen=True)
class Answer:
    """One answer, and how it ends: as it should, by a cut, or not until the client leaves."""

    body: bytes = b""
    status: int = 200
    media_type: str = "text/event-stream"
    headers: tuple[tuple[bytes, bytes], ...] = ()
    end: Literal["clean", "cut", "silence"] = "clean"


@dataclass
class ScriptedServer:
    """Answers each path's requests in turn; `asked` are the requests, each with the last id it named.

    An answer is cut when the page has acknowledged every event in it, by a request for `/read`: what is
    still under way when a connection breaks is lost, in a browser as on a wire.
    """

    url: str
    answers: dict[str, list[Answer]] = field(default_factory=dict)
    asked: list[tuple[str, str, str | None, bytes]] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    reads: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))

    def plays(self, path: str, *answers: Answer) -> str:
        """Says what a path is answered with; returns its URL."""
        self.answers[path] = list(answers)
        return self.url + path

    def last_ids(self, path: str) -> list[str | None]:
        """Returns the last id of each request for a path."""
        return [last_id for _, asked, last_id, _ in self.asked if asked == path]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        answer = await self._answer(scope, receive)
        headers = [(b"content-type", answer.media_type.encode()), *answer.headers]
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        if answer.end == "clean":
            await send({"type": "http.response.body", "body": answer.body})
            return
        await send({"type": "http.response.body", "body": answer.body, "more_body": True})
        while answer.end == "silence":
            if (await receive())["type"] == "http.disconnect":
                self.left.append(scope["path"])
                return
        for _ in re.findall(rb"data: .*\n\n", answer.body):
            await self.reads.acquire()
        raise ConnectionError("a cut, as it was told to")

    async def _answer(self, scope: Scope, receive: Receive) -> Answer:
        path = scope["path"]
        if path == "/":
            return Answer(b"<!doctype html><link rel=icon href=data:,>", media_type="text/html")
        if path == "/protoway.js":
            return Answer(MODULE, media_type="text/javascript")
        if path == "/read":
            self.reads.release()
            return Answer()
        last_id = dict(scope["headers"]).get(b"last-event-id")
        body = (await receive())["body"]
        self.asked.append((scope["method"], path, last_id.decode() if last_id else None, body))
        return self.answers[path].pop(0)


class _Uvicorn(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leaves the signals to pytest."""
        yield


@asynccontextmanager
async def serving() -> AsyncIterator[ScriptedServer]:
    """Runs a server without a script as yet."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = ScriptedServer(f"http://127.0.0.1:{listening.getsockname()[1]}")
        config = uvicorn.Config(
            server,
            log_config=None,
            lifespan="off",
            ws="websockets-sansio",
            timeout_graceful_shutdown=1,
        )
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)  # the cuts are meant
        uvicorn_server = _Uvicorn(config)
        running = asyncio.create_task(uvicorn_server.serve([listening]))
        yield server
        uvicorn_server.should_exit = True
        await running
