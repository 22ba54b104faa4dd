"""The process that asks, as the bench sees it: orders go to it, figures come back."""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self

from bench.processes import Part

Figures = dict[str, float]
Pids = Mapping[str, int]


class Load:
    """The process, as the bench sees it."""

    def __init__(self, part: Part) -> None:
        self._part = part

    @classmethod
    @asynccontextmanager
    async def running(cls) -> AsyncIterator[Self]:
        """Runs it within the block."""
        command = (sys.executable, "-m", "bench.load")
        async with Part.started(command, piped=True) as part:
            yield cls(part)

    async def turns(
        self,
        kind: str,
        port: int,
        request: bytes,
        *,
        count: int,
        seconds: float,
        pids: Pids,
        path: str = "",
        channel: str = "",
    ) -> Figures:
        """Lets so many take turns; see `bench.lab.Turns` for the kinds, and `Side` for the channel."""
        figures: Figures = await self._order(
            "turns",
            kind=kind,
            port=port,
            request=base64.b64encode(request).decode(),
            count=count,
            seconds=seconds,
            pids=dict(pids),
            path=path,
            channel=channel,
        )
        return figures

    async def subscribers(
        self,
        port: int,
        target: str,
        *,
        counts: Sequence[int],
        seconds: float,
        ticks: Path | None,
        pids: Pids,
        streams: int = 1,
        store: int | None = None,
    ) -> list[Figures]:
        """Lets more and more subscribers read a stream; one answer for each number of them.

        With `streams` above 1 so many share a connection of HTTP/2. With `store`, a port, the commands
        that this Redis obeys are counted.
        """
        figures: list[Figures] = await self._order(
            "subscribers",
            port=port,
            target=target,
            counts=list(counts),
            seconds=seconds,
            ticks=str(ticks) if ticks else None,
            pids=dict(pids),
            streams=streams,
            store=store,
        )
        return figures

    async def idle(self, port: int, request: bytes, *, count: int, pids: Pids) -> Figures:
        """Lets connections ask once and then be silent."""
        figures: Figures = await self._order(
            "idle",
            port=port,
            request=base64.b64encode(request).decode(),
            count=count,
            pids=dict(pids),
        )
        return figures

    async def beside(
        self, port: int, opening: bytes, request: bytes, *, count: int, seconds: float, pids: Pids
    ) -> Figures:
        """Lets so many streams be open and silent, and a few connections take turns beside them."""
        figures: Figures = await self._order(
            "beside",
            port=port,
            opening=base64.b64encode(opening).decode(),
            request=base64.b64encode(request).decode(),
            count=count,
            seconds=seconds,
            pids=dict(pids),
        )
        return figures

    async def idle_calls(
        self, port: int, path: str, request: bytes, *, channel: str, count: int, pids: Pids
    ) -> Figures:
        """Lets calls get one message each and then be silent, on one connection."""
        figures: Figures = await self._order(
            "idle_calls",
            port=port,
            path=path,
            request=base64.b64encode(request).decode(),
            channel=channel,
            count=count,
            pids=dict(pids),
        )
        return figures

    async def _order(self, do: str, **arguments: Any) -> Any:
        process = self._part.process
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps({"do": do, **arguments}).encode() + b"\n")
        answer = json.loads(await process.stdout.readline() or '{"failed": "the load has ended"}')
        if "failed" in answer:
            raise RuntimeError(f"{do}: {answer['failed']}")
        return answer["figures"]
