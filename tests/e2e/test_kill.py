"""The core is killed under a hundred readers, and comes back; the edge is stopped under one."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from tests.e2e.compose import Stack, docker
from tests.whole.event_stream import Event, EventSource
from tests.whole.test_cuts import account

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

READERS = 100
BASES = ("USD", "EUR", "GBP", "JPY", "CHF")
GONE_SECONDS = 12
"""How long the core is away: long enough that whoever looks for it has begun to look more seldom."""
BACK_SECONDS = 5
AT_ONCE_SECONDS = 3
"""Within which a request must be answered while the core is away."""
SETTLED = 4


class Reader:
    """One reader of events, and what it has seen."""

    def __init__(self, client: httpx.AsyncClient, url: str) -> None:
        self.source = EventSource(client, url)
        self.events: list[Event] = []
        self.since_gap = 0
        self.restarts = 0

    async def read(self) -> None:
        """Reads until it is cancelled."""
        async for event in self.source.events():
            self.events.append(event)
            gap = event.kind == "gap"
            self.restarts += gap and bool(event.data.get("restarted"))
            self.since_gap = 0 if gap else self.since_gap + 1


async def until(condition: Callable[[], bool], seconds: float) -> float:
    """Waits for something to become true; returns how long it took."""
    started = time.monotonic()
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.02)
    return time.monotonic() - started


async def asked(client: httpx.AsyncClient, url: str) -> tuple[int, float]:
    """Asks once; returns the status and how long it took."""
    started = time.monotonic()
    answer = await client.get(url)
    if answer.status_code == httpx.codes.SERVICE_UNAVAILABLE and "8081" not in url:
        assert int(answer.headers["retry-after"]) > 0
    return answer.status_code, time.monotonic() - started


async def test_the_core_is_killed(stack: Stack) -> None:
    """Readers lose and repeat nothing unannounced; others hear 503 at once; in 5 s all is well again."""
    limits = httpx.Limits(max_connections=None)
    convert = f"{stack.http}/convert?from_currency=USD&to_currency=EUR&amount=1"
    async with (
        httpx.AsyncClient(timeout=60, limits=limits) as client,
        httpx.AsyncClient(timeout=AT_ONCE_SECONDS) as impatient,
        asyncio.TaskGroup() as tasks,
    ):
        query = "target_currencies=SEK&target_currencies=NOK"
        urls = [f"{stack.http}/rates/{BASES[n % len(BASES)]}?{query}" for n in range(READERS)]
        readers = [Reader(client, url) for url in urls]
        reading = [tasks.create_task(reader.read()) for reader in readers]
        await until(lambda: all(reader.since_gap >= SETTLED for reader in readers), 60)

        core = await asyncio.to_thread(stack.container, "core")
        await asyncio.to_thread(docker, "kill", core)
        gone = time.monotonic()
        statuses, longest = Counter[int](), 0.0
        while time.monotonic() < gone + GONE_SECONDS:
            fresh = f"{stack.http}/rates/AUD?{query}"
            for url in (convert, fresh):
                status, seconds = await asked(impatient, url)
                statuses[status] += 1
                longest = max(longest, seconds)
            await asyncio.sleep(0.1)
        with pytest.raises(ConnectionClosed) as closed:
            async with connect(f"{stack.http.replace('http', 'ws')}/convert:live") as socket:
                await socket.send('{"fromCurrency":"USD","toCurrency":"EUR","amount":1}')
                await asyncio.wait_for(socket.recv(), AT_ONCE_SECONDS)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 4014
        print(f"\ngone {GONE_SECONDS} s: {dict(statuses)}, longest answer {longest:.2f} s")
        assert set(statuses) == {503}

        await asyncio.to_thread(docker, "start", core)
        back = time.monotonic()
        while (await asked(impatient, convert))[0] != httpx.codes.OK:
            assert time.monotonic() < back + BACK_SECONDS
            await asyncio.sleep(0.05)
        answered = time.monotonic() - back
        while await asyncio.to_thread(stack.health, "core") != "healthy":
            assert time.monotonic() < back + BACK_SECONDS
        healthy = time.monotonic() - back
        await until(lambda: all(reader.restarts for reader in readers), 30)
        restarted = time.monotonic() - back
        await until(lambda: all(reader.since_gap >= SETTLED for reader in readers), 60)
        for task in reading:
            task.cancel()

    print(
        f"back: answers in {answered:.2f} s, healthy in {healthy:.2f} s, streams in {restarted:.2f} s"
    )
    told = Counter[tuple[int, int]]()
    for reader in readers:
        messages, missed, restarts = account(reader.events)
        told[missed, restarts] += 1
        assert len(messages) >= 2 * SETTLED
        assert reader.source.connections == 1
    print(f"(missed, restarts) of {READERS} readers: {dict(told)}")
    assert set(told) == {(0, 1)}


async def test_envoy_finds_the_core_again(stack: Stack) -> None:
    """Envoy's callers are answered too, some seconds after the core is back."""
    url = f"{stack.envoy}/convert?from_currency=USD&to_currency=EUR&amount=1"
    core = stack.container("core")
    docker("kill", core)
    async with httpx.AsyncClient(timeout=10) as client:
        while (await client.get(url)).status_code == httpx.codes.OK:
            await asyncio.sleep(0.05)
        docker("start", core)
        async with asyncio.timeout(15):
            while (await client.get(url)).status_code != httpx.codes.OK:
                await asyncio.sleep(0.1)


async def test_a_stop_drains(stack: Stack) -> None:
    """A reader is told that the edge shuts down; edge and core end by themselves, not by a kill."""
    async with httpx.AsyncClient(timeout=60) as client:
        reader = Reader(client, f"{stack.http}/rates/USD")
        reading = asyncio.create_task(reader.read())
        await until(lambda: reader.since_gap >= SETTLED, 30)
        await asyncio.to_thread(stack.compose, "stop", "gateway", "core")
        reading.cancel()
    ends = {name: stack.inspect(name)["State"]["ExitCode"] for name in ("gateway", "core")}
    stack.up("gateway")

    errors = [event.data for event in reader.events if event.kind == "error"]
    assert errors == [{"code": 14, "message": "the server is shutting down"}]
    assert ends == {"gateway": 0, "core": 0}
