"""A server of the tests' own contract, and the upstream port to it, over each gRPC."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from gateway.upstream.options import UpstreamOptions
from gateway.upstream.port import Upstream
from gateway.upstream.transport import TRANSPORTS, Name, make_upstream
from tests.contracts import echo_contract
from tests.echo_server import EchoServer, Everything, FailRequest, echo_server

METHODS = {method.descriptor.name: method for method in echo_contract().methods}
MESSAGE: bytes = Everything(string_field="a", int32_field=3).SerializeToString()


@pytest.fixture
async def echo() -> AsyncIterator[EchoServer]:
    """A server of the tests' own contract."""
    async with echo_server() as running:
        yield running


@pytest.fixture(params=TRANSPORTS)
def transport(request: pytest.FixtureRequest) -> Name:
    """Each gRPC that may carry the calls, in turn."""
    name: Name = request.param
    return name


@pytest.fixture
async def upstream(echo: EchoServer, transport: Name) -> AsyncIterator[Upstream]:
    """A channel to it."""
    async with open_upstream(echo.address, transport) as opened:
        yield opened


@asynccontextmanager
async def open_upstream(address: str, transport: Name) -> AsyncIterator[Upstream]:
    """Opens a channel to an address."""
    options = UpstreamOptions(address, max_message=1 << 20)
    async with make_upstream(transport, options) as opened:
        yield opened


def failing(code: int, **fields: object) -> bytes:
    """Returns the request for a call that fails."""
    return bytes(FailRequest(code=code, message="sorry", **fields).SerializeToString())
