"""What the server writes without `send`: the same bytes, and only where nobody would have seen it pass."""

from __future__ import annotations

import asyncio
import gzip
import os
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI

from gateway.app import create_app
from gateway.doors import asgi
from gateway.doors.http.exchange import HttpExchange
from gateway.feeds.feed import Feed
from gateway.settings import Settings
from gateway.testing import ScriptedCall, ScriptedUpstream
from tests.contracts import feeds_descriptor_set
from tests.edge.asgi import http_scope
from tests.feeds.stage import METHODS, Line, News, news
from tests.interpreted import needs_source
from tests.whole.serving import serving as listen

_SMALL = 4096
"""What sockets are let hold, so that a reader which does not read is felt soon."""


class Upstream:
    """The server that the test speaks for: its calls, newest last."""

    def __init__(self) -> None:
        self.lines: list[Line] = []
        self.port = ScriptedUpstream({method.path: self._script for method in METHODS.values()})

    def _script(self, call: ScriptedCall) -> AsyncIterator[bytes]:
        self.lines.append(Line(call))
        return self.lines[-1].answers()


class Whole:
    """An edge that listens, and the server behind it."""

    def __init__(self, app: FastAPI, upstream: Upstream, port: int) -> None:
        self.app = app
        self.upstream = upstream
        self.port = port

    @property
    def feed(self) -> Feed:
        """The only feed that there is."""
        feeds: dict[Feed, object] = self.app.state.edge.feeds._entries
        (feed,) = feeds
        return feed

    async def waits(self) -> None:
        """Returns when the only reader waits for more."""
        async with asyncio.timeout(10):
            while not self._waits():
                await asyncio.sleep(0.001)

    def _waits(self) -> bool:
        (reader,) = self.feed.readers
        waiter = reader._waiter
        return waiter is not None and not waiter.done() and reader.offset == self.feed.log.end

    async def send(self, *numbers: int, padding: int = 0) -> None:
        """Sends messages one by one, each when the one before was delivered."""
        for number in numbers:
            self.upstream.lines[-1].send(news(number, padding=padding))
            while self.feed.log.end < number:
                await asyncio.sleep(0)
            await self.waits()


@asynccontextmanager
async def serving(
    tmp_path: Path, *middleware: Any, heartbeat: float = 60, **others: Any
) -> AsyncIterator[Whole]:
    """Runs an edge within the block, with some middleware of a user's."""
    path = tmp_path / "feeds.binpb"
    path.write_bytes(feeds_descriptor_set())
    settings = Settings(
        descriptor_set=path,
        log_level="error",
        drain_seconds=1,
        heartbeat_seconds=heartbeat,
        **others,
    )
    upstream = Upstream()
    app = create_app(settings, upstream.port)
    for each in middleware:
        app.add_middleware(each)
    async with listen(app, settings, send_buffer=_SMALL) as port:
        yield Whole(app, upstream, port)


@pytest.fixture
def bodies(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The parts of bodies that were written by an exchange that had its turn."""
    needs_source(HttpExchange.__module__)
    seen: list[bytes] = []
    write_body = HttpExchange.write_body

    def spy(exchange: HttpExchange, part: bytes, **more: Any) -> None:
        seen.append(part)
        write_body(exchange, part, **more)

    monkeypatch.setattr(HttpExchange, "write_body", spy)
    return seen


class Client:
    """One connection, on which one request after the other is made."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._loop = asyncio.get_running_loop()
        self._rest = b""

    async def ask(self, target: str, http_method: str = "GET", coding: str = "identity") -> None:
        """Asks for events."""
        accepted = f"accept: text/event-stream\r\naccept-encoding: {coding}"
        head = f"{http_method} {target} HTTP/1.1\r\nhost: x\r\n{accepted}\r\n\r\n"
        await self._loop.sock_sendall(self._socket, head.encode())

    async def until(self, mark: bytes) -> bytes:
        """Reads up to a mark, and returns all to its end."""
        while mark not in self._rest:
            data = await asyncio.wait_for(self._loop.sock_recv(self._socket, 1 << 16), 10)
            assert data, f"cut after {self._rest!r}"
            self._rest += data
        found, _, self._rest = self._rest.partition(mark)
        return found + mark

    async def body(self) -> bytes:
        """Reads a chunked body to its end, as HTTP says it."""
        parts = []
        while size := int(await self.until(b"\r\n"), 16):
            while len(self._rest) < size + 2:
                self._rest += await asyncio.wait_for(
                    self._loop.sock_recv(self._socket, 1 << 16), 10
                )
            parts.append(self._rest[:size])
            assert self._rest[size : size + 2] == b"\r\n"
            self._rest = self._rest[size + 2 :]
        assert await self.until(b"\r\n") == b"\r\n"
        return b"".join(parts)


@asynccontextmanager
async def client(port: int) -> AsyncIterator[Client]:
    """Connects, with a socket that takes little before it is read."""
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SMALL)
        connection.setblocking(False)
        await asyncio.get_running_loop().sock_connect(connection, ("127.0.0.1", port))
        yield Client(connection)


def numbers(body: bytes) -> list[int]:
    """Returns the numbers of the messages in events."""
    return [int(number) for number in re.findall(rb'"number":"(\d+)"', body)]


async def begun(whole: Whole, reader: Client, target: str, coding: str = "identity") -> None:
    """Asks for a stream, and reads up to its first message."""
    await reader.ask(target, coding=coding)
    while not whole.upstream.lines:
        await asyncio.sleep(0.001)
    whole.upstream.lines[-1].send(news(1))
    assert b"transfer-encoding: chunked" in await reader.until(b"\r\n\r\n")
    await whole.waits()


async def test_events_are_written_without_send(tmp_path: Path, bodies: list[bytes]) -> None:
    """All but the first go out as chunks of their own; the end and the next request are as ever."""
    async with serving(tmp_path) as whole, client(whole.port) as reader:
        await begun(whole, reader, "/drop-oldest/t")
        await whole.send(2, 3, 4)
        whole.upstream.lines[-1].end()
        body = await reader.body()
        await reader.ask("/healthz")
        next_answer = await reader.until(b"SERVING")

    assert numbers(body) == [1, 2, 3, 4]
    assert body.endswith(b"id: end\nevent: end\ndata: {}\n\n")
    assert [numbers(part) for part in bodies[:2]] == [[1], []]
    assert next_answer.startswith(b"HTTP/1.1 200 ")


async def test_what_is_written_is_a_sign_of_life(tmp_path: Path) -> None:
    """A stream that has news more often than a heartbeat needs none; a busy machine may make one late."""
    async with serving(tmp_path, heartbeat=0.25) as whole, client(whole.port) as reader:
        await begun(whole, reader, "/drop-oldest/t")
        for number in range(2, 21):
            await whole.send(number)
            await asyncio.sleep(0.05)
        whole.upstream.lines[-1].end()
        body = await reader.body()

    assert numbers(body) == list(range(1, 21))
    assert body.count(b"\n\n:\n\n") <= 1


async def test_middleware_of_a_user_sees_all_events(tmp_path: Path, bodies: list[bytes]) -> None:
    """Where something stands around `send`, all goes through it."""

    class Shouts:
        def __init__(self, app: Any) -> None:
            self._app = app

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            async def shout(event: Any) -> None:
                if "body" in event:
                    event["body"] = event["body"].upper()
                await send(event)

            await self._app(scope, receive, shout)

    async with serving(tmp_path, Shouts) as whole, client(whole.port) as reader:
        await begun(whole, reader, "/drop-oldest/t")
        await whole.send(2, 3)
        whole.upstream.lines[-1].end()
        body = await reader.body()

    assert re.findall(rb'"NUMBER":"(\d+)"', body) == [b"1", b"2", b"3"]
    assert b"".join(bodies) == body == body.upper()


async def test_who_does_not_read_is_not_written_to(tmp_path: Path) -> None:
    """Back-pressure is the transport's: beyond its limit nothing is written, and what is missed is told."""
    total = 200
    async with serving(tmp_path) as whole, client(whole.port) as reader:
        await begun(whole, reader, "/drop-oldest/t")
        line, feed = whole.upstream.lines[-1], whole.feed
        (reading,) = feed.readers
        for number in range(2, total + 1):
            line.send(news(number, padding=4096))
            while feed.log.end < number or feed._batch_timer is not None:
                await asyncio.sleep(0.001)
        assert reading.offset < feed.log.start
        line.end()
        body = await reader.body()

    missed = [int(number) for number in re.findall(rb'"missed":(\d+)', body)]
    found = numbers(body)
    assert missed
    assert len(found) + sum(missed) == total
    assert found == sorted(set(found))
    assert found[-1] == total


async def test_compressed_events_are_written_without_send(
    tmp_path: Path, bodies: list[bytes]
) -> None:
    """Each as soon as it comes, and all together are one body of the coding."""
    async with (
        serving(tmp_path, stream_compression=True) as whole,
        client(whole.port) as reader,
    ):
        await begun(whole, reader, "/drop-oldest/t", "gzip")
        await whole.send(2, 3, 4)
        whole.upstream.lines[-1].end()
        body = await reader.body()

    assert numbers(gzip.decompress(body)) == [1, 2, 3, 4]
    assert len(bodies) == 2


async def test_what_is_compressed_is_written(tmp_path: Path) -> None:
    """A reader that is too slow misses messages, and no part of the coding."""
    total = 100
    async with (
        serving(tmp_path, stream_compression=True) as whole,
        client(whole.port) as reader,
    ):
        await begun(whole, reader, "/drop-oldest/t", "gzip")
        line, feed = whole.upstream.lines[-1], whole.feed
        (reading,) = feed.readers
        for number in range(2, total + 1):
            line.send(News(number=number, padding=os.urandom(8192)).SerializeToString())
            while feed.log.end < number or feed._batch_timer is not None:
                await asyncio.sleep(0.001)
        assert reading.offset < feed.log.start
        line.end()
        body = gzip.decompress(await reader.body())

    missed = [int(number) for number in re.findall(rb'"missed":(\d+)', body)]
    assert missed
    assert len(numbers(body)) + sum(missed) == total


async def test_nothing_is_written_before_a_sign_of_life_that_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What `send` was given first is first on the wire: with a coding the order of its parts matters."""
    body = b""
    taken = asyncio.Semaphore(0)
    come: asyncio.Queue[Any] = asyncio.Queue()
    come.put_nowait({"type": "http.request", "body": b"", "more_body": False})

    class Sink(asgi.AsgiSink):
        def write_now(self, part: bytes) -> bool:  # type: ignore[override]
            nonlocal body
            body += part
            return True

    async def send(event: Any) -> None:
        nonlocal body
        await taken.acquire()
        body += event.get("body", b"")

    headers = {"accept": "text/event-stream", "accept-encoding": "gzip"}
    scope = http_scope("GET", "/drop-oldest/t", headers)
    monkeypatch.setattr(asgi, "AsgiSink", Sink)
    async with serving(tmp_path, heartbeat=0.1, stream_compression=True) as whole:
        answering = asyncio.create_task(whole.app(scope, come.get, send))
        while not whole.upstream.lines:
            await asyncio.sleep(0.001)
        line = whole.upstream.lines[-1]
        line.send(news(1))
        taken.release()
        taken.release()
        while not body:
            await asyncio.sleep(0.001)
        await whole.waits()
        before = len(body)
        await asyncio.sleep(0.3)  # the sign of life waits in `send`
        line.send(news(2))
        while whole.feed.log.end < 2 or whole.feed._batch_timer is not None:
            await asyncio.sleep(0.001)
        assert len(body) == before
        for _ in range(10):
            taken.release()
        line.end()
        await answering

    assert numbers(gzip.decompress(body)) == [1, 2]


async def test_the_answer_to_head_is_no_stream(tmp_path: Path) -> None:
    """It has no body, and the next answer stands right behind it."""
    async with serving(tmp_path) as whole, client(whole.port) as reader:
        await reader.ask("/drop-oldest/t", "HEAD")
        await reader.until(b"\r\n\r\n")
        await reader.ask("/healthz")

        assert (await reader.until(b"SERVING")).startswith(b"HTTP/1.1 200 ")
        assert whole.upstream.lines == []
