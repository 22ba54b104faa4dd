"""Streams that are cut: nothing is lost in silence, and nothing comes twice."""

from __future__ import annotations

import asyncio
import contextlib
import re
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random
from typing import Any

import httpx
import pytest

from tests.contracts import echo_descriptor_set
from tests.echo_server import echo_server
from tests.whole import processes
from tests.whole.conftest import free_ports
from tests.whole.cutting import Cut, cutting
from tests.whole.event_stream import Event, EventSource

CUTS = 100
RESTARTS = 6
SETTLED = 4
"""Messages after which a stream counts as going on."""
RATES = "/rates/USD?target_currencies=EUR&target_currencies=GBP"


def number(event: Event) -> int:
    """Returns the number that the edge has given a message."""
    return int(event.id.rpartition("-")[2])


def account(events: list[Event]) -> tuple[dict[str, Any], int, int]:
    """Returns the messages by id, how many were told to be missing, and how often the stream restarted.

    Asserts that every message came once, and that what is missing was told.
    """
    messages: dict[str, Any] = {}
    missed = restarts = 0
    expected: int | None = None
    stream = ""
    for event in events:
        if event.kind == "gap":
            restarts += event.data.get("restarted", False)
            missed += event.data.get("missed", 0)
            expected = expected + event.data.get("missed", 0) if expected is not None else None
            if event.data.get("restarted"):
                expected = None
            continue
        assert event.kind == "message", event
        assert event.id not in messages, f"{event.id} came twice"
        messages[event.id] = event.data
        prefix = event.id.rpartition("-")[0]
        assert expected is None or (prefix, number(event)) == (stream, expected), event
        stream, expected = prefix, number(event) + 1
    return messages, missed, restarts


@pytest.mark.timeout(120)
async def test_a_hundred_cuts() -> None:
    """However a connection is cut, a reader that comes back has every event once, or is told of a gap."""
    random = Random(4)
    cuts = (Cut(random.randrange(3000), reset=random.random() < 0.5) for _ in range(CUTS))
    async with (
        processes.core(tick_period="0.01") as core,
        processes.edge(core.address) as edge,
        cutting(edge.address, cuts) as proxy,
        httpx.AsyncClient(timeout=10) as client,
    ):
        calm = EventSource(client, f"{edge.http}{RATES}")
        cut = EventSource(client, f"http://{proxy.address}{RATES}")
        seen: dict[str, Any] = {}
        reading = asyncio.create_task(_collect(calm, seen))
        events: list[Event] = []
        async for event in cut.events():
            events.append(event)
            if proxy.cut >= CUTS and event.id in seen:
                break
        reading.cancel()

    messages, missed, restarts = account(events)
    print(f"{len(messages)} events over {cut.connections} connections, {missed} missed")
    assert (missed, restarts) == (0, 0)  # it came back in time, and was never alone
    known = {event_id: data for event_id, data in messages.items() if event_id in seen}
    assert known == {event_id: seen[event_id] for event_id in known}
    assert len(known) > len(messages) / 2


async def _collect(source: EventSource, seen: dict[str, Any]) -> None:
    async for event in source.events():
        seen[event.id] = event.data


@pytest.mark.timeout(60 + 10 * RESTARTS)
async def test_the_core_is_killed_and_comes_back() -> None:
    """The stream stays open, says that it has restarted, and goes on with the rates of the new core."""
    (port,) = free_ports(1)
    events: list[Event] = []
    async with AsyncExitStack() as stack:
        core = await stack.enter_async_context(processes.core(port, tick_period="0.05"))
        edge = await stack.enter_async_context(processes.edge(core.address))
        client = await stack.enter_async_context(httpx.AsyncClient(timeout=60))
        source = EventSource(client, f"{edge.http}{RATES}")
        restarts = since = 0
        async for event in source.events():
            events.append(event)
            restarts, since = (restarts + 1, 0) if event.kind == "gap" else (restarts, since + 1)
            if since == SETTLED:
                if restarts == RESTARTS:
                    break
                await core.kill()
                core = await stack.enter_async_context(processes.core(port, tick_period="0.05"))

    messages, missed, told = account(events)
    assert (told, missed) == (RESTARTS, 0)
    assert source.connections == 1
    assert {data["currency"] for data in messages.values()} == {"EUR", "GBP"}


@pytest.mark.parametrize(
    ("media_type", "first"),
    [
        ("application/x-ndjson", rb'{"stringField":"first"}\n'),
        ("application/json-seq", rb'\x1e{"stringField":"first"}\n'),
        ("application/json", rb'\[{"stringField":"first"}'),
        (
            "text/event-stream",
            rb'retry: 2000\n\nid: [0-9a-f]{16}-1\ndata: {"stringField":"first"}\n\n',
        ),
    ],
)
async def test_what_a_cut_looks_like(tmp_path: Path, media_type: str, first: bytes) -> None:
    """A connection that breaks off leaves the messages, no end of the framing, and no last chunk."""
    path = tmp_path / "echo.binpb"
    path.write_bytes(echo_descriptor_set())
    async with echo_server() as echo, processes.edge(echo.address, descriptor_set=path) as edge:
        reader, writer = await asyncio.open_connection("127.0.0.1", edge.port)
        head = f"GET /v1/hang-stream HTTP/1.1\r\nHost: x\r\nAccept: {media_type}\r\n\r\n"
        writer.write(head.encode())
        answer = await reader.readuntil(b"}")
        await edge.kill()
        with contextlib.suppress(ConnectionResetError):
            answer += await reader.read()
        writer.close()

    headers, _, body = answer.partition(b"\r\n\r\n")
    assert b"transfer-encoding: chunked" in headers.lower()
    chunks = re.findall(rb"(?s)[0-9a-f]+\r\n(.*?)\r\n", body)
    assert re.fullmatch(first, b"".join(chunks))
    assert not body.endswith(b"0\r\n\r\n")


async def test_an_edge_that_goes_tells_its_readers() -> None:
    """Readers of events are told when to come back, and find at the next edge what the server has then."""
    (port,) = free_ports(1)
    events: list[Event] = []
    async with processes.core(tick_period="0.05") as core, httpx.AsyncClient(timeout=30) as client:
        async with processes.edge(core.address, port=port) as edge:
            source = EventSource(client, f"{edge.http}{RATES}", retry=0.1)
            reading = source.events()
            while len(events) < SETTLED:
                events.append(await anext(reading))
            edge.process.terminate()
            while events[-1].kind == "message":
                events.append(await anext(reading))
        async with processes.edge(core.address, port=port):
            events += [await anext(reading) for _ in range(SETTLED)]
        await reading.aclose()

    (error,) = [at for at, event in enumerate(events) if event.kind == "error"]
    assert events[error].data == {"code": 14, "message": "the server is shutting down"}
    assert events[error].id == events[error - 1].id
    assert (events[error + 1].kind, events[error + 1].data) == ("gap", {"restarted": True})
    assert [event.kind for event in events[error + 2 :]] == ["message"] * (SETTLED - 1)
