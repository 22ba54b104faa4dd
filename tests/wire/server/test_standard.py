"""Servicers that were written for `grpc.aio`, and run here as they are: health and reflection."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
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

from grpc_core.server import SERVICES
from tests.grpc_core.loopback import collect, each
from tests.wire.server.stage import MAKERS


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


def test_there_are_two_servers_to_compare() -> None:
    """The promises above are tried on grpc's own server as well as on ours."""
    assert list(MAKERS) == ["grpcio", "wire"]
