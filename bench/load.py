"""Who asks: a process of its own, told over a pipe what to do, so that its cost is counted apart.

`python -m bench.load` reads one order a line, as JSON, and answers each with a line of figures. It looks at
the accounts of the processes that it is told of, at the begin and the end of the time that is measured.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from bench import accounts, callers
from bench.orders import Figures, Pids
from bench.subscribers import DATA, Tally, subscribed
from bench.turns import (
    Connection,
    HttpConnection,
    StreamConnection,
    Turns,
    WebSocketConnection,
    connect,
)
from bench.turns_http2 import Http2Connection, Http2Streams

try:
    from uvloop import new_event_loop
except ImportError:
    from asyncio import new_event_loop  # type: ignore[assignment]  # it is another type of loop

_LINE: Final = 2**24
_WARM_SECONDS: Final = 0.3
_SETTLE_SECONDS: Final = 1.5
_BESIDE: Final = 4
"""Connections that take turns beside streams: few, for it is not their own crowd that they wait for."""
_WINDINGS: Final[dict[str, type[Connection]]] = {
    "http": HttpConnection,
    "http2": Http2Connection,
    "http2 streams": Http2Streams,
    "websocket": WebSocketConnection,
}


@dataclass(frozen=True)
class Accounts:
    """What some processes have cost up to a moment."""

    at: float
    cpu: Figures

    @classmethod
    def of(cls, pids: Pids) -> Self:
        """Reads the accounts, and this process's own as `client`."""
        return cls(
            time.perf_counter(),
            {name: accounts.cpu(pid) for name, pid in pids.items()}
            | {"client": time.process_time()},
        )

    def micros_since(self, begin: Accounts, events: float) -> Figures:
        """Returns the microseconds of each process for each event."""
        return {
            f"{name}_us": (self.cpu[name] - begin.cpu[name]) / max(events, 1) * 1e6
            for name in self.cpu
        }


def share(sorted_numbers: Sequence[float], part: float) -> float:
    """Returns the number that so large a part of them does not exceed."""
    return sorted_numbers[int(part * (len(sorted_numbers) - 1))] if sorted_numbers else 0.0


async def turns(
    kind: str,
    port: int,
    request: str,
    count: int,
    seconds: float,
    pids: Pids,
    path: str,
    channel: str,
) -> Figures:
    """Measures turns for some seconds, and for one on each connection at least; so before, unmeasured."""
    seen = Turns()
    asked = base64.b64decode(request)
    turning = (
        taking(_WINDINGS[kind], port, asked, count, seen)
        if kind in _WINDINGS
        else callers.taking(kind, channel, port, path, asked, count, seen)
    )
    async with turning:
        await asyncio.sleep(_WARM_SECONDS)
        await seen.answers(count)
        seen.latencies = []
        begin = Accounts.of(pids)
        await asyncio.sleep(seconds)
        await seen.answers(count)
        latencies, end = sorted(seen.latencies), Accounts.of(pids)
        await seen.rest()
    return {
        **end.micros_since(begin, len(latencies)),
        "per_second": len(latencies) / (end.at - begin.at),
        "p50_ms": share(latencies, 0.5) * 1000,
        "p99_ms": share(latencies, 0.99) * 1000,
        **{f"{name}_mb": accounts.resident(pid) / 1e6 for name, pid in pids.items()},
    }


@asynccontextmanager
async def taking(
    winding: type[Connection],
    port: int,
    request: bytes,
    count: int,
    seen: Turns,
) -> AsyncIterator[None]:
    """Has turns taken, so many at a time, as long as the block."""
    opened = 1 if winding.takes_all else count
    connections = await connect(winding, seen, port=port, request=request, count=opened)
    try:
        for at in range(count):
            connections[at % opened].ask()
        yield
    finally:
        seen.going = False
        for connection in connections:
            connection.transport.abort()


async def subscribers(
    port: int,
    target: str,
    counts: list[int],
    seconds: float,
    ticks: str | None,
    pids: Pids,
    streams: int,
    store: int | None,
) -> list[Figures]:
    """Measures a stream with so many subscribers, then with more; `streams` on each connection."""
    tally = Tally(DATA)
    figures = []
    connections: list[asyncio.BaseTransport] = []
    try:
        for count in counts:
            before = {name: accounts.resident(pid) for name, pid in pids.items()}
            more = count - streams * len(connections)
            connections += await subscribed(port, target, more, tally, streams)
            await asyncio.sleep(_SETTLE_SECONDS)
            sizes = {name: accounts.resident(pid) for name, pid in pids.items()}
            held = {f"{name}_kb_each": (sizes[name] - before[name]) / more / 1000 for name in pids}
            asked = accounts.commands(store) if store else 0
            tally.reset()
            begin = Accounts.of(pids)
            await asyncio.sleep(seconds)
            end = Accounts.of(pids)
            grown = {
                f"{name}_grown_mb": (accounts.resident(pid) - sizes[name]) / 1e6
                for name, pid in pids.items()
            }
            messages = tally.events / count
            counted = {"commands": (accounts.commands(store) - asked) / messages} if store else {}
            if tally.lost:
                raise RuntimeError(f"{tally.lost} of {count} subscribers were cut")
            delays = sorted(tally.delays(_read(ticks)))
            figures.append(
                {
                    **end.micros_since(begin, tally.events),
                    "per_second": tally.events / (end.at - begin.at),
                    "p50_ms": share(delays, 0.5) * 1000,
                    "p99_ms": share(delays, 0.99) * 1000,
                    **held,
                    **grown,
                    **counted,
                }
            )
    finally:
        for connection in connections:
            connection.abort()  # type: ignore[attr-defined] # a socket has it, whatever its base says
    return figures


def _read(ticks: str | None) -> list[float]:
    return [float(line) for line in Path(ticks).read_text().splitlines()] if ticks else []


async def idle(port: int, request: str, count: int, pids: Pids) -> Figures:
    """Measures the memory of connections that have asked once."""
    async with _silent(HttpConnection, port, request, count, pids) as held:
        return held


async def beside(
    port: int, opening: str, request: str, count: int, seconds: float, pids: Pids
) -> Figures:
    """Measures the memory of streams that are open, and turns beside them."""
    async with _silent(StreamConnection, port, opening, count, pids) as held:
        taken = await turns("http", port, request, _BESIDE, seconds, pids, "", "")
        return {"p50_ms": taken["p50_ms"], "p99_ms": taken["p99_ms"], **held}


@asynccontextmanager
async def _silent(
    kind: Callable[[Turns, bytes], Connection], port: int, request: str, count: int, pids: Pids
) -> AsyncIterator[Figures]:
    """Has connections that have asked once, within the block, and measures what they take."""
    seen = Turns()
    seen.going = False  # one turn, and no more
    connections: list[Connection] = []
    sizes = []
    try:
        for more in (1, count):
            opened = await connect(
                kind, seen, port=port, request=base64.b64decode(request), count=more
            )
            connections += opened
            for connection in opened:
                connection.ask()
                await seen.rest()
            await asyncio.sleep(_SETTLE_SECONDS)
            sizes.append({name: accounts.resident(pid) for name, pid in pids.items()})
        begin, end = sizes
        yield {f"{name}_kb_each": (end[name] - begin[name]) / count / 1000 for name in pids}
    finally:
        for connection in connections:
            connection.transport.abort()


async def idle_calls(
    port: int, path: str, request: str, channel: str, count: int, pids: Pids
) -> Figures:
    """Measures the memory of calls that are open and silent; this process's own too."""
    known = {**pids, "client": os.getpid()}
    sizes = []
    async with callers.held(channel, port, path, base64.b64decode(request)) as hold:
        for more in (1, count):
            await hold(more)
            await asyncio.sleep(_SETTLE_SECONDS)
            sizes.append({name: accounts.resident(pid) for name, pid in known.items()})
    begin, end = sizes
    return {f"{name}_kb_each": (end[name] - begin[name]) / count / 1000 for name in known}


async def obey() -> None:
    """Takes orders until there are no more."""
    orders: dict[str, Callable[..., Awaitable[Any]]] = {
        order.__name__: order for order in (turns, subscribers, idle, beside, idle_calls)
    }
    reader = asyncio.StreamReader(limit=_LINE)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        order: dict[str, Any] = json.loads(line)
        try:
            answer: Any = {"figures": await orders[order.pop("do")](**order)}
        except Exception as error:
            answer = {"failed": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    import resource

    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(obey())
