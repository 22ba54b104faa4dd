"""How connections of HTTP/2 end: by the edge's shutdown, by time, and by clients that attack."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from tests.doors.http2.client import Client, connected
from tests.doors.http2.conftest import Edge
from tests.echo_server import EchoServer
from tests.wire.http2 import octets as h2

ENHANCE_YOUR_CALM = 11
LARGEST_ID = 2**31 - 1
SSE = [("accept", "text/event-stream")]


async def test_a_shutdown_says_goaway_twice(edge: Edge) -> None:
    """RFC 9113, 6.8: what is under way at the first is still answered; then the edge closes."""
    serving = edge()
    port = await serving.__aenter__()
    async with connected(port) as client:
        await client.get("/v1/echo/a")
        ends = asyncio.create_task(serving.__aexit__(None, None, None))
        await client.until(lambda: client.closed)
        await ends

    assert client.goaways == [(LARGEST_ID, 0), (1, 0)]


async def test_a_shutdown_waits_for_answers(edge: Edge, echo: EchoServer) -> None:
    """A call that is under way ends by itself; events end with the time to come back."""
    serving = edge(drain_seconds=10, retry_seconds=1)
    port = await serving.__aenter__()
    async with connected(port) as client:
        events = client.request("GET", "/v1/hang-stream", SSE)
        await client.until(lambda: b"first" in events.body)
        slow = client.request("POST", "/v1/echo", end=False)
        await client.get("/v1/echo/a")
        ends = asyncio.create_task(serving.__aexit__(None, None, None))
        await client.until(lambda: len(client.goaways) == 2)
        await client.upload(slow, b"{}")
        await client.end_of(slow)
        await client.end_of(events)
        await ends

    assert slow.status == 200
    assert b"retry: " in events.body
    assert b"event: error" in events.body


async def test_an_idle_connection_is_closed(edge: Edge) -> None:
    """Behind `keep_alive_seconds` without a request, with GOAWAY."""
    async with edge(keep_alive_seconds=0.2) as port, connected(port) as client:
        await client.get("/v1/echo/a")
        await client.until(lambda: client.closed)

    assert [code for _, code in client.goaways] == [0, 0]


async def test_a_client_that_does_not_begin_is_closed(edge: Edge) -> None:
    """A preface without SETTINGS, behind `head_timeout_seconds`."""
    async with edge(head_timeout_seconds=0.2) as port, connected(port, starts=False) as client:
        client.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        await client.until(lambda: client.closed)


async def test_a_client_that_says_nothing_is_closed(edge: Edge) -> None:
    """Half a preface, too."""
    async with edge(head_timeout_seconds=0.2) as port, connected(port, starts=False) as client:
        client.write(b"PRI * ")
        await client.until(lambda: client.closed)


async def test_a_head_that_does_not_end_is_closed(edge: Edge) -> None:
    """HEADERS without END_HEADERS holds a connection up, also one that has events: `head_timeout_seconds`."""
    async with edge(head_timeout_seconds=0.3) as port, connected(port) as client:
        events = client.request("GET", "/v1/hang-stream", SSE)
        await client.until(lambda: b"first" in events.body)
        client.write(h2.frame(1, 0, 3, _block(client)[:1]))
        await client.until(lambda: client.closed)

    assert events.lost


def _block(client: Client) -> bytes:
    fields = [
        (b":method", b"GET"),
        (b":scheme", b"http"),
        (b":authority", b"edge.test"),
        (b":path", b"/v1/hang"),
    ]
    return bytes(client.h2.encoder.encode(fields))


def _rapid_resets(client: Client) -> None:
    """CVE-2023-44487."""
    for number in range(1500):
        stream = 2 * number + 1
        client.write(h2.frame(1, 5, stream, _block(client)) + h2.reset(stream, 8))


def _made_resets(client: Client) -> None:
    """CVE-2025-8671: the server is made to reset by a window that is widened by nothing."""
    for number in range(1500):
        stream = 2 * number + 1
        client.write(h2.frame(1, 5, stream, _block(client)) + h2.window(stream, 0))


def _pings(client: Client) -> None:
    """CVE-2019-9512."""
    client.write(h2.ping(b"12345678") * 5000)


def _settings(client: Client) -> None:
    """CVE-2019-9515."""
    client.write(h2.settings() * 5000)


def _continuations(client: Client) -> None:
    """CVE-2024-27316."""
    client.write(h2.frame(1, 0, 1, b"") + h2.frame(9, 0, 1, b"") * 5000)


def _empty_data(client: Client) -> None:
    """CVE-2019-9518."""
    client.write(h2.frame(1, 4, 1, _block(client)) + h2.frame(0, 0, 1, b"") * 5000)


FLOODS: list[Callable[[Client], None]] = [
    *(_rapid_resets, _made_resets, _pings, _settings, _continuations, _empty_data),
]


@pytest.mark.parametrize("flood", FLOODS, ids=lambda flood: flood.__name__[1:])
async def test_floods_end_their_connection(edge: Edge, flood: Callable[[Client], None]) -> None:
    """With ENHANCE_YOUR_CALM; a caller beside them notices nothing."""
    async with edge() as port, connected(port) as attacker, connected(port) as other:
        await attacker.until(lambda: attacker.h2.remote_settings.max_concurrent_streams == 100)
        flood(attacker)
        answers = [await other.get("/v1/echo/a") for _ in range(5)]
        await attacker.until(lambda: attacker.closed)

    assert [code for _, code in attacker.goaways] == [ENHANCE_YOUR_CALM]
    assert [answer.status for answer in answers] == [200] * 5


async def test_resets_are_counted_by_address(edge: Edge) -> None:
    """Who begins again on new connections reaches the limit of the address."""
    seen: list[int] = []
    async with edge() as port:
        for _ in range(6):
            async with connected(port) as attacker:
                _rapid_resets(attacker)
                await attacker.until(lambda: attacker.closed)
                seen += [last for last, _ in attacker.goaways]

    assert seen[0] > 100
    assert seen[-1] < seen[0] / 10  # GOAWAY names the last stream: the first ones were too many


async def test_a_bomb_of_headers_is_431(edge: Edge) -> None:
    """A block that names one large entry of the table many times."""
    async with edge() as port, connected(port) as client:
        await client.get("/v1/echo/a", [("x-large", "x" * 3000)])
        stream = await client.get("/v1/echo/a", [("x-large", "x" * 3000)] * 1000)
        after = await client.get("/v1/echo/a")

    assert (stream.status, after.status) == (431, 200)


async def test_one_stream_too_many_is_refused(edge: Edge) -> None:
    """`http2_max_streams`; the client may send it again."""
    async with edge(http2_max_streams=2) as port, connected(port, starts=False) as client:
        client.h2.initiate_connection()
        client.h2.remote_settings[3] = 100  # what the library would hold back
        client.flush()
        streams = [client.request("GET", "/v1/hang") for _ in range(3)]
        await client.end_of(streams[2])

    assert streams[2].reset == 7
    assert not any(stream.ended for stream in streams[:2])
