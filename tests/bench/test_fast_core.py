"""The core that costs nothing: to a client of gRPC it is a server like any other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc.aio
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from bench.contracts import filled, messages
from bench.peers.fast_core import Connection, answers


@pytest.fixture
async def channel() -> AsyncIterator[grpc.aio.Channel]:
    """A channel to one that lists batches of 3."""
    known = answers(3)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(known), "127.0.0.1", 0)
    address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server, grpc.aio.insecure_channel(address) as opened:
        yield opened


@pytest.mark.parametrize("size", [1, 70_000, 3_000_000])
async def test_it_sends_back_what_it_was_sent(channel: grpc.aio.Channel, size: int) -> None:
    """Many at once, and messages that no window and no frame holds at once."""
    echo: Any = channel.unary_unary("/bench.Points/Echo")
    sent = [bytes([65 + number]) * size for number in range(4)]

    assert await asyncio.gather(*(echo(message) for message in sent)) == sent


async def test_it_says_that_it_serves(channel: grpc.aio.Channel) -> None:
    """As Envoy asks before it sends anything."""
    check: Any = channel.unary_unary("/grpc.health.v1.Health/Check")

    answer = await check(HealthCheckRequest().SerializeToString())

    assert HealthCheckResponse.FromString(answer).status == HealthCheckResponse.SERVING


async def test_it_lists_what_it_is_asked_for(channel: grpc.aio.Channel) -> None:
    """A small request has a large answer."""
    _, batch, ask = messages()
    listed: Any = channel.unary_unary("/bench.Points/List")

    answer = await listed(ask(count=3).SerializeToString())

    assert batch.FromString(answer) == filled(batch, 3)
