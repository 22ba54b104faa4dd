"""Servicers that were written for `grpc.aio`, and run here as they are: health, reflection, our core."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub, add_HealthServicer_to_server
from grpc_reflection.v1alpha import reflection
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest
from grpc_reflection.v1alpha.reflection_pb2_grpc import ServerReflectionStub

from grpc_core._generated.finance_pb2 import ConvertRequest, WatchRequest
from grpc_core._generated.hello_pb2 import HelloRequest
from grpc_core.finance.rates import Snapshot
from grpc_core.rate_feed import RateFeed
from grpc_core.server import SERVICES
from tests.grpc_core.loopback import Loopback, collect, each, loopback, published, refusal
from tests.wire.server.stage import MAKERS

ONE_EURO = ConvertRequest(from_currency="EUR", to_currency="USD", amount=1)


@asynccontextmanager
async def standard(make: Any) -> AsyncIterator[tuple[Any, Any]]:
    """Runs health and reflection."""
    running = make(options=[("grpc.so_reuseport", 0)])
    healthy = health.aio.HealthServicer()
    add_HealthServicer_to_server(healthy, running)
    reflection.enable_server_reflection(SERVICES, running)
    port = running.add_insecure_port("127.0.0.1:0")
    await running.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield channel, healthy
    await running.stop(None)


async def test_health(make: Any) -> None:
    """The health service of grpc answers, refuses what it does not know, and tells a watcher of a change."""
    async with standard(make) as (channel, healthy):
        stub: Any = HealthStub(channel)
        await healthy.set("a.Service", HealthCheckResponse.SERVING)
        reply = await stub.Check(HealthCheckRequest(service="a.Service"))
        assert reply.status == HealthCheckResponse.SERVING
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.Check(HealthCheckRequest(service="no.Service"))
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND
        watcher = stub.Watch(HealthCheckRequest(service="a.Service"))
        assert (await watcher.read()).status == HealthCheckResponse.SERVING
        await healthy.enter_graceful_shutdown()
        assert (await watcher.read()).status == HealthCheckResponse.NOT_SERVING
        watcher.cancel()


async def test_reflection(make: Any) -> None:
    """The reflection service of grpc lists services, and gives their files."""
    async with standard(make) as (channel, _):
        stub: Any = ServerReflectionStub(channel)
        questions = [
            ServerReflectionRequest(list_services=""),
            ServerReflectionRequest(file_containing_symbol="finance.CurrencyConverter"),
            ServerReflectionRequest(file_containing_symbol="no.Such"),
        ]
        listed, file, none = await collect(stub.ServerReflectionInfo(each(questions)))
        assert {service.name for service in listed.list_services_response.service} == set(SERVICES)
        assert file.file_descriptor_response.file_descriptor_proto
        assert none.error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0]


@pytest.fixture
async def core(make: Any, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Loopback]:
    """Our core, on either server."""
    monkeypatch.setattr("grpc_core.server.grpc.aio.server", make)
    rates = {"USD": Decimal("1.25"), "JPY": Decimal(160), "GBP": Decimal("0.8")}
    snapshot = Snapshot(
        datetime(2026, 11, 20, 13, 15, tzinfo=UTC), rates, retired=frozenset({"DEM"})
    )
    async with loopback(RateFeed(snapshot)) as running:
        yield running


async def test_the_core_answers(core: Loopback) -> None:
    """Methods of all four types of the core answer."""
    greeting = await core.greeter.SayHello(HelloRequest(name="Ada"))
    assert greeting.message == "Hello, Ada!"
    assert (await core.converter.Convert(ONE_EURO)).converted_amount == 1.25
    batch = await core.converter.BatchConvert(each([ONE_EURO] * 3))
    assert (batch.total_converted, batch.count) == (3.75, 3)
    live = await collect(core.converter.LiveConvert(each([ONE_EURO] * 3)))
    assert [reply.rate for reply in live] == [1.25] * 3
    watch = core.converter.WatchRates(WatchRequest(base_currency="EUR", target_currencies=["USD"]))
    assert (await watch.read()).rate == 1.25
    published(core, USD=Decimal(2))
    assert (await watch.read()).rate == 2
    watch.cancel()


async def test_the_core_refuses(core: Loopback) -> None:
    """Errors of the core come with their details, which are metadata in bytes."""
    said = await refusal(core.greeter.SayHello(HelloRequest()))
    assert (said.code, said.violations) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        [("name", "name must not be empty")],
    )
    wrong = ConvertRequest(from_currency="DEM", to_currency="XXX", amount=-1)
    said = await refusal(core.converter.Convert(wrong))
    assert len(said.violations) == 3


def test_there_are_two_servers_to_compare() -> None:
    """The promises above are tried on grpc's own server as well as on ours."""
    assert list(MAKERS) == ["grpcio", "wire"]
