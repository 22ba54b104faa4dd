"""The core is killed under a hundred readers, and comes back; the edge is stopped under one."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable

import grpc.aio
import httpx
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from tests.e2e.compose import PROJECT, Stack, docker
from tests.grpc_core.loopback import health_stub
from tests.whole.event_stream import Event, EventSource
from tests.whole.test_cuts import account

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

READERS = 100
BASES = ("USD", "EUR", "GBP", "JPY", "CHF")
GONE_SECONDS = 12
"""How long the core is away: long enough that whoever looks for it has begun to look more seldom."""
BACK_SECONDS = 5
STREAMS_SECONDS = 7
"""A feed looks for its server every 5 s at most, with a jitter of a fifth."""
AT_ONCE_SECONDS = 3
"""Within which a request must be answered while the core is away."""
SETTLED = 4
SHUTTING_DOWN = {"code": 14, "message": "the server is shutting down"}


class Reader:
    """One reader of events, and what it has seen."""

    def __init__(self, client: httpx.AsyncClient, url: str) -> None:
        self.source = EventSource(client, url)
        self.events: list[Event] = []
        self.by_connection: defaultdict[int, list[Event]] = defaultdict(list)
        self.since_gap = 0
        self.restarts = 0

    async def read(self) -> None:
        """Reads until it is cancelled."""
        async for event in self.source.events():
            self.events.append(event)
            self.by_connection[self.source.connections].append(event)
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
    if answer.status_code == httpx.codes.SERVICE_UNAVAILABLE:
        assert int(answer.headers["retry-after"]) > 0
    return answer.status_code, time.monotonic() - started


async def first(condition: Callable[[], Awaitable[bool]]) -> float:
    """Asks until the answer is yes; returns when it was."""
    async with asyncio.timeout(60):
        while not await condition():
            await asyncio.sleep(0.05)
    return time.monotonic()


async def serves(stack: Stack) -> bool:
    """Whether the core itself answers: only then it is back."""
    async with grpc.aio.insecure_channel(stack.core) as channel:
        try:
            answer = await health_stub(channel).Check(HealthCheckRequest(), timeout=1)
        except grpc.aio.AioRpcError:
            return False
    return bool(answer.status == HealthCheckResponse.SERVING)


async def answers(client: httpx.AsyncClient, url: str) -> bool:
    """Whether a request is answered with OK."""
    return (await asked(client, url))[0] == httpx.codes.OK


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
        served, answered = await asyncio.gather(
            first(lambda: serves(stack)), first(lambda: answers(impatient, convert))
        )
        assert answered - served < BACK_SECONDS
        await until(lambda: all(reader.restarts for reader in readers), STREAMS_SECONDS)
        restarted = time.monotonic()
        await until(lambda: all(reader.since_gap >= SETTLED for reader in readers), 60)
        for task in reading:
            task.cancel()

    healthy = stack.seconds_until_healthy("core")
    after = {"core": served, "edge": answered, "streams": restarted}
    print("after its start", {name: round(at - back, 2) for name, at in after.items()}, end=" ")
    print(f"and healthy for docker in {healthy:.2f} s")
    assert healthy < served - back + BACK_SECONDS
    told = Counter[tuple[int, int]]()
    for reader in readers:
        messages, missed, restarts = account(reader.events)
        told[missed, restarts] += 1
        assert len(messages) >= 2 * SETTLED
        assert reader.source.connections == 1
    print(f"(missed, restarts) of {READERS} readers: {dict(told)}")
    assert set(told) == {(0, 1)}


async def test_the_core_comes_back_elsewhere(stack: Stack) -> None:
    """A core that has another address after its return is found as soon."""
    core, squatter = stack.container("core"), f"{PROJECT}-squatter"
    image, network = stack.inspect("core")["Image"], f"{PROJECT}_back"
    sleeping = ("--rm", "--name", squatter, "--network", network, "--entrypoint", "sleep")
    before = address(stack)
    docker("kill", core)
    docker("run", "--detach", *sleeping, image, "120")  # takes the address that is free now
    try:
        async with httpx.AsyncClient(timeout=AT_ONCE_SECONDS) as client:
            url = f"{stack.http}/hello/World"
            assert (await asked(client, url))[0] == httpx.codes.SERVICE_UNAVAILABLE
            await asyncio.sleep(GONE_SECONDS / 2)
            docker("start", core)
            assert address(stack) != before
            served, answered = await asyncio.gather(
                first(lambda: serves(stack)), first(lambda: answers(client, url))
            )
            print(f"elsewhere: answers {answered - served:.2f} s after the core")
            assert answered - served < BACK_SECONDS
    finally:
        docker("rm", "--force", squatter)


def address(stack: Stack) -> str:
    """Returns the core's address in the network that it shares with the edges."""
    networks = stack.inspect("core")["NetworkSettings"]["Networks"]
    return str(networks[f"{PROJECT}_back"]["IPAddress"])


async def test_a_core_that_crashes(stack: Stack) -> None:
    """Docker starts it again, nobody asked; Envoy's callers are answered too, some seconds later."""
    url = f"{stack.envoy}/convert?from_currency=USD&to_currency=EUR&amount=1"
    restarts = stack.inspect("core")["RestartCount"]
    docker("exec", "--detach", stack.container("core"), "sh", "-c", "kill -KILL -1")
    # a caller may see nothing of it: Envoy lets a request wait for a connection
    await until(lambda: stack.inspect("core")["RestartCount"] == restarts + 1, 15)
    async with httpx.AsyncClient(timeout=10) as client, asyncio.timeout(15):
        while (await client.get(url)).status_code != httpx.codes.OK:
            await asyncio.sleep(0.1)


async def test_a_stop_drains(stack: Stack) -> None:
    """A reader is told that the edge shuts down, and of the gap when it is back; nothing has to be killed."""
    async with httpx.AsyncClient(timeout=60) as client:
        reader = Reader(client, f"{stack.http}/rates/USD")
        reader.source.retry = 0.1
        reading = asyncio.create_task(reader.read())
        await until(lambda: reader.since_gap >= SETTLED, 30)
        await asyncio.to_thread(stack.compose, "stop", "gateway", "core")
        ends = {name: stack.inspect(name)["State"]["ExitCode"] for name in ("gateway", "core")}
        await asyncio.to_thread(stack.up, "gateway")
        await until(lambda: reader.restarts == 1 and reader.since_gap >= SETTLED, 30)
        reading.cancel()

    assert ends == {"gateway": 0, "core": 0}
    # it comes back at once, and may be told again by the edge that still shuts down
    first, *between, last = (list(events) for events in reader.by_connection.values())
    for told in ([first.pop()], *between):
        assert [(event.kind, event.data) for event in told] == [("error", SHUTTING_DOWN)]
    _, missed, restarts = account([*first, *last])
    assert (missed, restarts) == (0, 1)
