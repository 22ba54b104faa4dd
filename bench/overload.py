"""What an edge serves under twice the load that its core can carry: `python -m bench.overload`, a minute.

The core works on a known number of calls at a time, so its capacity is known. First as many connections as
it has places take turns: that is what it can. Then requests come at random times, twice as many a second,
whoever is answered or not, and each is given up after two seconds. A target is that at least 90 % of the
capacity is served, and the 99th percentile of those that are served is at most twice that without a queue.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from random import Random
from typing import Final

from bench.load import share
from bench.processes import Part
from bench.turns import http_request

_AT_A_TIME: Final = 16
_CALL_SECONDS: Final = 0.04
_CAPACITY: Final = _AT_A_TIME / _CALL_SECONDS
_PATIENCE: Final = 2.0
_SECONDS: Final = 8.0
_WARM_SECONDS: Final = {"adaptive": 10.0}
_REQUEST: Final = http_request(
    "POST", "/convert", b'{"fromCurrency":"USD","toCurrency":"EUR","amount":100}'
)
_EDGES: Final[dict[str, dict[str, str]]] = {
    "none": {},
    "max_calls": {"PROTOWAY_OVERLOAD_MAX_CALLS": str(_AT_A_TIME * 5 // 4)},
    "adaptive": {"PROTOWAY_OVERLOAD_ADAPTIVE": "true"},
}


@dataclass
class Seen:
    """What became of the requests."""

    since: float
    """Those that end earlier are not counted, nor those that end after `_SECONDS`."""
    latencies: list[float] = field(default_factory=list)
    """Of those that were served."""
    refused: list[float] = field(default_factory=list)
    """Latencies of those that were answered with 503."""
    failed: int = 0
    """Given up, or answered otherwise."""

    def told(self, seconds: float) -> str:
        """Returns the line of a table."""
        latencies, refused = sorted(self.latencies), sorted(self.refused)
        return (
            f"served {len(latencies) / seconds:6.1f}/s, p50 {share(latencies, 0.5) * 1e3:6.1f} ms,"
            f" p99 {share(latencies, 0.99) * 1e3:6.1f} ms; refused {len(refused) / seconds:6.1f}/s,"
            f" p99 {share(refused, 0.99) * 1e3:5.1f} ms; failed {self.failed / seconds:5.1f}/s"
        )


class Client:
    """Open connections to an edge, of which each request takes one."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._free: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def ask(self, seen: Seen) -> None:
        """Makes one request."""
        began = time.perf_counter()
        try:
            async with asyncio.timeout(_PATIENCE):
                status = await self._status()
        except (TimeoutError, OSError, EOFError):
            status = 0
        ended = time.perf_counter()
        if not seen.since <= ended < seen.since + _SECONDS:
            return
        if status in (200, 503):
            taken = seen.latencies if status == 200 else seen.refused
            taken.append(ended - began)
        else:
            seen.failed += 1

    async def _status(self) -> int:
        if self._free:
            reader, writer = self._free.pop()
        else:
            reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            writer.write(_REQUEST)
            head = await reader.readuntil(b"\r\n\r\n")
            length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
            await reader.readexactly(int(length))
        except BaseException:
            writer.close()
            raise
        self._free.append((reader, writer))
        return int(head.split(maxsplit=2)[1])


async def _by_turns(client: Client, seen: Seen, until: float) -> None:
    """Has as many connections as the core has places."""

    async def take_turns() -> None:
        while time.perf_counter() < until:
            await client.ask(seen)

    await asyncio.gather(*(take_turns() for _ in range(_AT_A_TIME)))


async def _at_random(client: Client, seen: Seen, until: float) -> None:
    """Begins requests at random times, twice as many as the core can answer."""
    random, due = Random(1), time.perf_counter()
    asked: set[asyncio.Task[None]] = set()
    while due < until:
        due += random.expovariate(2 * _CAPACITY)
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        task = asyncio.create_task(client.ask(seen))
        asked.add(task)
        task.add_done_callback(asked.discard)
    await asyncio.gather(*asked)


async def _run(
    name: str, edge: Part, load: Callable[[Client, Seen, float], Awaitable[None]]
) -> Seen:
    now = time.perf_counter()
    since = now + _WARM_SECONDS.get(name, 3.0)
    seen = Seen(since)
    with suppress(TimeoutError):
        await load(Client(edge.port), seen, since + _SECONDS)
    return seen


async def measure() -> None:
    """Prints what each edge serves, and how it compares with what the core can."""
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        places = (str(_AT_A_TIME), str(_CALL_SECONDS))
        core = await enter(Part.serving("bench.peers.slow_core", *places))
        edges = {
            name: await enter(
                Part.serving(
                    *("gateway", "serve", "--port", "0", "--log-level", "error"),
                    PROTOWAY_UPSTREAM=core.address,
                    PROTOWAY_DESCRIPTOR_SET="protos/descriptor_set.binpb",
                    **settings,
                )
            )
            for name, settings in _EDGES.items()
        }
        can = await _run("", edges["none"], _by_turns)
        print(f"by turns:   {can.told(_SECONDS)}")
        for name, edge in edges.items():
            seen = await _run(name, edge, _at_random)
            print(f"{name + ':':11} {seen.told(_SECONDS)}", flush=True)
            served = len(seen.latencies) / max(1, len(can.latencies))
            slower = share(sorted(seen.latencies), 0.99) / share(sorted(can.latencies), 0.99)
            print(f"            {served:.0%} of what the core can; p99 {slower:.2f} times")


if __name__ == "__main__":
    asyncio.run(measure())
