"""Feeds over an upstream whose every message the test sends, and readers that the test moves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from google.protobuf.message_factory import GetMessageClass

from gateway.feeds.accounting import FeedLimits
from gateway.feeds.feeds import Feeds
from gateway.feeds.requests import StreamRequest
from gateway.feeds.source import Gap, Item, Source, StreamEvent
from gateway.testing import ScriptedCall, ScriptedUpstream
from gateway.transcoding.event_fields import stream_spec
from gateway.transcoding.metadata import Metadata
from gateway.transcoding.status import StatusError
from tests.contracts import feeds_contract

_CONTRACT = feeds_contract()
METHODS = {method.descriptor.name: method for method in _CONTRACT.methods}
News: Any = GetMessageClass(_CONTRACT.pool.FindMessageTypeByName("feeds.v1.News"))
Request: Any = GetMessageClass(_CONTRACT.pool.FindMessageTypeByName("feeds.v1.Request"))

Seen: TypeAlias = int | Gap
"""What a reader got: the number of a message, or a gap."""


def news(number: int, name: str = "", padding: int = 0) -> bytes:
    """Makes a message."""
    message = News(number=number, id=f"id{number}", padding=b"x" * padding)
    message.item.name = name
    return bytes(message.SerializeToString())


async def settled() -> None:
    """Lets run what can; nothing here waits for a clock or a socket."""
    for _ in range(50):
        await asyncio.sleep(0)


class Line:
    """One call, seen from the server."""

    def __init__(self, call: ScriptedCall) -> None:
        self.call = call
        self.taken = 0
        """How many messages the edge has asked for and got."""
        self._answers: asyncio.Queue[bytes | BaseException | None] = asyncio.Queue()

    def send(self, *messages: bytes) -> None:
        """Sends messages."""
        for message in messages:
            self._answers.put_nowait(message)

    def fail(self, error: int | BaseException) -> None:
        """Ends the call with a code, or a script's own fault."""
        failure = StatusError.of(error, "as you wish") if isinstance(error, int) else error
        self._answers.put_nowait(failure)

    def end(self) -> None:
        """Ends the call with OK."""
        self._answers.put_nowait(None)

    async def answers(self) -> AsyncIterator[bytes]:
        """Yields what was sent."""
        while (answer := await self._answers.get()) is not None:
            if isinstance(answer, BaseException):
                raise answer
            self.taken += 1
            yield answer


class Reader:
    """One caller."""

    def __init__(self, block: AbstractAsyncContextManager[Source]) -> None:
        self._block = block
        self._inside = False
        self.ids: list[str] = []

    async def join(self) -> Reader:
        """Enters the block."""
        self.source = await self._block.__aenter__()
        self._inside = True
        return self

    async def leave(self) -> None:
        """Leaves the block, if it has not."""
        if self._inside:
            self._inside = False
            await self._block.__aexit__(None, None, None)

    async def items(self) -> list[Item]:
        """Waits for the next items."""
        items = await asyncio.wait_for(anext(self.source), 5)
        self.ids += [item.id.decode() for item in items if isinstance(item, StreamEvent)]
        return list(items)

    async def read(self) -> list[Seen]:
        """Waits for the next items, and begins to answer."""
        items = await self.items()
        self.source.mark_started()
        return seen(items)

    async def rest(self) -> list[Seen]:
        """Reads to the clean end."""
        found: list[Seen] = []
        while True:
            try:
                found += await self.read()
            except StopAsyncIteration:
                return found

    async def failure(self) -> StatusError:
        """Waits for the next items, which must not come, and returns why."""
        try:
            items = await self.items()
        except StatusError as error:
            return error
        raise AssertionError(f"it reads {items}")

    async def waits(self) -> bool:
        """Whether there is nothing to read now."""
        task = asyncio.ensure_future(self.source.__anext__())
        await settled()
        if task.done():
            task.exception()
            return False
        task.cancel()
        await asyncio.wait([task])
        return True


def seen(items: Iterable[Item]) -> list[Seen]:
    """Returns what a caller is told by some items."""
    return [
        item if isinstance(item, Gap) else int(News.FromString(item.message).number)
        for item in items
    ]


@dataclass(eq=False)
class Stage:
    """Feeds, their upstream, and all who read."""

    upstream: ScriptedUpstream
    feeds: Feeds
    lines: list[Line] = field(default_factory=list)
    readers: list[Reader] = field(default_factory=list)

    def request(
        self,
        method: str,
        *,
        topic: str = "t",
        message: bytes | None = None,
        metadata: Metadata = (),
        timeout: float | None = None,
        last_event_id: str = "",
        client: str = "",
    ) -> StreamRequest:
        """Makes a request."""
        return StreamRequest(
            method=METHODS[method],
            stream_spec=stream_spec(METHODS[method]),
            requests=Request(topic=topic).SerializeToString() if message is None else message,
            metadata=metadata,
            timeout=timeout,
            last_event_id=last_event_id,
            client=client,
        )

    async def join(self, method: str, **request: Any) -> Reader:
        """Opens a stream, and lets its call begin."""
        reader = Reader(self.feeds.open(self.request(method, **request)))
        self.readers.append(reader)
        await reader.join()
        await settled()
        return reader

    @property
    def line(self) -> Line:
        """The newest call."""
        return self.lines[-1]

    async def send(self, *messages: bytes) -> None:
        """Lets messages of the newest call come in."""
        self.line.send(*messages)
        await settled()


LIMITS = FeedLimits(
    max_feed_bytes=1 << 20,
    max_idle_bytes=1 << 20,
    max_feeds=1000,
    max_bytes=1 << 30,
    max_caller_feeds=1000,
    max_caller_bytes=1 << 30,
    caller_keys=frozenset({"authorization"}),
    call_bytes=12 * 1024,
)


@asynccontextmanager
async def staged(**limits: Any) -> AsyncIterator[Stage]:
    """Runs feeds around the block, and looks whether anything is left of them then."""
    before = asyncio.all_tasks()
    upstream = ScriptedUpstream({})
    feeds = Feeds(upstream, replace(LIMITS, **limits))
    stage = Stage(upstream, feeds)

    def script(call: ScriptedCall) -> AsyncIterator[bytes]:
        line = Line(call)
        stage.lines.append(line)
        return line.answers()

    upstream.scripts.update({method.path: script for method in METHODS.values()})
    try:
        async with feeds:
            yield stage
    finally:
        for reader in stage.readers:
            await reader.leave()
    await settled()  # others, of tests before, may end or be collected meanwhile
    assert asyncio.all_tasks() - before == set()
    assert [
        name for name, value in vars(feeds).items() if hasattr(value, "__len__") and value
    ] == []
    assert feeds.accounting.is_empty
    assert [line for line in stage.lines if not line.call.ended.is_set()] == []
