"""A reader of Server-Sent Events that comes back, after the HTML standard; it is the tests' own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import orjson


@dataclass
class Event:
    """One event."""

    kind: str
    """`message`, or what the stream calls it."""
    id: str
    """The last id when it came."""
    data: Any


@dataclass
class EventSource:
    """Reads one URL, again and again, until the stream has ended."""

    client: httpx.AsyncClient
    url: str
    headers: dict[str, str] = field(default_factory=dict)
    last_id: str = ""
    retry: float | None = None
    """Seconds to wait before coming back; a test that cannot wait says less."""
    connections: int = 0
    refused: list[int] = field(default_factory=list)
    """The statuses of answers that were no streams."""

    async def events(self) -> AsyncGenerator[Event]:
        """Yields events, over as many connections as it takes, up to `end` or an error that is final."""
        while self.last_id != "end":
            try:
                async for event in self._connection():
                    yield event
            except httpx.HTTPError:
                pass
            if self.last_id != "end":
                await asyncio.sleep(self.retry or 0)

    async def _connection(self) -> AsyncIterator[Event]:
        headers = {"accept": "text/event-stream", **self.headers}
        if self.last_id:
            headers["last-event-id"] = self.last_id
        self.connections += 1
        async with self.client.stream("GET", self.url, headers=headers) as answer:
            if answer.status_code != httpx.codes.OK:
                self.refused.append(answer.status_code)
                return
            kind, last_id, data = "message", self.last_id, list[str]()
            async for line in _lines(answer):
                name, _, value = line.partition(":")
                value = value.removeprefix(" ")
                if not line:
                    self.last_id = last_id
                    if data:
                        yield Event(kind, last_id, orjson.loads("\n".join(data)))
                    kind, data = "message", []
                elif name == "event":
                    kind = value
                elif name == "id":
                    last_id = value
                elif name == "data":
                    data.append(value)


async def _lines(answer: httpx.Response) -> AsyncIterator[str]:
    """Yields complete lines only; httpx would yield the rest of one that was cut, too."""
    rest = ""
    async for text in answer.aiter_text():
        *lines, rest = (rest + text).split("\n")
        for line in lines:
            yield line
