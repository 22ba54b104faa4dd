"""A core on a free port of this machine, and what its errors say."""

import asyncio
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
)
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

import grpc
import grpc.aio
import pytest
from google.rpc.error_details_pb2 import BadRequest
from google.rpc.status_pb2 import Status
from grpc_health.v1.health_pb2_grpc import HealthStub

from grpc_core._generated.finance.v2.currency_converter_pb2_grpc import (
    CurrencyConverterStub as ConverterV2Stub,
)
from grpc_core._generated.finance_pb2_grpc import CurrencyConverterStub
from grpc_core._generated.hello_pb2_grpc import GreeterStub
from grpc_core.rate_feed import RateFeed
from grpc_core.server import CoreServer
from grpc_core.settings import Settings
from grpc_core.transport import TransportName


@dataclass(frozen=True, slots=True)
class Loopback:
    """A running core, its insides, and clients of its services."""

    server: CoreServer
    feed: RateFeed
    channel: Any
    converter: Any
    converter_v2: Any
    greeter: Any


@dataclass(frozen=True, slots=True)
class Refusal:
    """What a call that failed said: its code, its message, and what was wrong with which field."""

    code: grpc.StatusCode
    message: str
    violations: list[tuple[str, str]]


@asynccontextmanager
async def loopback(
    feed: RateFeed, transport: TransportName = "wire", *, max_connection_age: float | None = None
) -> AsyncIterator[Loopback]:
    """Runs a core until the block is left."""
    settings = Settings(port=0, transport=transport, max_connection_age=max_connection_age)
    server = CoreServer(settings, feed)
    await server.start()
    try:
        async with grpc.aio.insecure_channel(server.address) as channel:
            converter, greeter = converter_stub(channel), GreeterStub(channel)  # type: ignore[no-untyped-call]  # generated code has no types
            converter_v2 = ConverterV2Stub(channel)  # type: ignore[no-untyped-call]  # generated code has no types
            yield Loopback(server, feed, channel, converter, converter_v2, greeter)
    finally:
        await server.stop(None)


def converter_stub(channel: grpc.Channel | grpc.aio.Channel) -> Any:
    """Returns a client of `finance.CurrencyConverter`."""
    return CurrencyConverterStub(channel)  # type: ignore[no-untyped-call]  # generated code has no types


def health_stub(channel: grpc.Channel | grpc.aio.Channel) -> Any:
    """Returns a client of `grpc.health.v1.Health`."""
    return HealthStub(channel)


def published(core: Loopback, **per_euro: Decimal) -> None:
    """Publishes other rates for some currencies."""
    current = core.feed.current
    core.feed.publish(replace(current, per_euro={**current.per_euro, **per_euro}))


async def each(requests: Iterable[Any]) -> AsyncGenerator[Any]:
    """Yields requests as a client streams them."""
    for request in requests:
        yield request


async def collect(responses: AsyncIterable[Any]) -> list[Any]:
    """Returns all responses of a stream."""
    return [response async for response in responses]


async def until(condition: Callable[[], bool]) -> None:
    """Waits for something to become true."""
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.002)


async def refusal(call: Awaitable[Any]) -> Refusal:
    """Returns what a call that must fail says."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return said(caught.value)


def said(error: grpc.aio.AioRpcError) -> Refusal:
    """Reads an error, and asserts that its details agree with its status."""
    packed = error.trailing_metadata().get("grpc-status-details-bin")
    assert isinstance(packed, bytes)
    status = Status.FromString(packed)
    assert (status.code, status.message) == (error.code().value[0], error.details())
    bad_request = BadRequest()
    for detail in status.details:
        assert detail.Unpack(bad_request)
    fields = [(each.field, each.description) for each in bad_request.field_violations]
    return Refusal(error.code(), status.message, fields)
