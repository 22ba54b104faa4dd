"""What the tests of the client share: a real server, and a channel to it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from grpc_wire.client import Channel, insecure_channel
from tests.echo_server import EchoServer, echo_server


@pytest.fixture
async def echo() -> AsyncIterator[EchoServer]:
    """A server of the tests' own contract, on `grpc.aio`."""
    async with echo_server() as running:
        yield running


@pytest.fixture
async def channel(echo: EchoServer) -> AsyncIterator[Channel]:
    """A channel to it."""
    async with insecure_channel(echo.address) as opened:
        yield opened
