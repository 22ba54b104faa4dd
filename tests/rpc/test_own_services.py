"""Health and reflection, which the edge answers itself, by grpcio's own clients and by Connect."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import httpx
import orjson
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from grpc import aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)

from gateway.contract.descriptors import load
from gateway.rpc_services.reflection import reflection_calls
from tests.doors.http2.conftest import Edge

_SERVICE = "echo.v1.Echo"
_Health: Any = health_pb2_grpc.HealthStub
_Reflection: Any = reflection_pb2_grpc.ServerReflectionStub


async def test_health(edge: Edge) -> None:
    """The edge, and each service of the contract, serves; another service is not known."""
    async with edge() as port, aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        health = _Health(channel)
        answers = [
            await health.Check(health_pb2.HealthCheckRequest(service=name))
            for name in ("", _SERVICE)
        ]
        with pytest.raises(aio.AioRpcError) as caught:
            await health.Check(health_pb2.HealthCheckRequest(service="other"))

    assert [each.status for each in answers] == [1, 1]
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


async def test_watching_health(edge: Edge) -> None:
    """The state comes at once, and for a service that is not known too."""
    async with edge() as port, aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        health = _Health(channel)
        found = []
        for name in ("", "other"):
            call = health.Watch(health_pb2.HealthCheckRequest(service=name))
            async with asyncio.timeout(20):
                found.append((await call.read()).status)
            call.cancel()

    assert found == [1, 3]


async def test_health_over_connect(edge: Edge) -> None:
    """The services speak every wire of RPC."""
    async with edge() as port, httpx.AsyncClient() as client:
        response = await client.post(
            f"http://127.0.0.1:{port}/grpc.health.v1.Health/Check",
            json={"service": _SERVICE},
            headers={"connect-protocol-version": "1"},
        )

    assert orjson.loads(response.content) == {"status": "SERVING"}


async def test_reflection(edge: Edge) -> None:
    """A client builds the contract from what it is told, and nothing but the served services is named."""
    async with edge() as port:

        def read() -> tuple[list[str], list[str]]:
            with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
                database = ProtoReflectionDescriptorDatabase(channel)
                pool = DescriptorPool(database)
                service = pool.FindServiceByName(_SERVICE)
                return list(database.get_services()), [each.name for each in service.methods]

        services, methods = await asyncio.to_thread(read)

    assert services == [
        _SERVICE,
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
    ]
    assert {"Unary", "Bidi", "Unbound"} <= set(methods)


async def test_what_reflection_does_not_have(edge: Edge) -> None:
    """It says so in a response, and the conversation goes on."""
    request: Any = reflection_pb2.ServerReflectionRequest
    async with edge() as port, aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        call = _Reflection(channel).ServerReflectionInfo()
        found = []
        for asked in (
            request(file_containing_symbol="echo.v1.Missing"),
            request(all_extension_numbers_of_type="echo.v1.Everything"),
            request(file_by_filename="grpc/health/v1/health.proto"),
        ):
            await call.write(asked)
            found.append(await call.read())
        await call.done_writing()

    codes = [each.error_response.error_code for each in found]
    (file,) = found[2].file_descriptor_response.file_descriptor_proto
    assert codes == [5, 12, 0]
    assert FileDescriptorProto.FromString(file).package == "grpc.health.v1"


async def test_reflection_of_files_that_many_ways_lead_to() -> None:
    """Each file is sent once, and looked at once: with two imports each, 60 files have 10^12 ways."""
    files = FileDescriptorSet()
    for number in range(60):
        file = files.file.add(name=f"{number}.proto", package="p", syntax="proto3")
        file.dependency.extend(f"{each}.proto" for each in (number - 1, number - 2) if each >= 0)
        file.message_type.add(name=f"M{number}")
    last = files.file[-1]
    method = last.service.add(name="S").method.add(name="Do", input_type=".p.M59")
    method.output_type = ".p.M59"
    answer = next(iter(reflection_calls(load(files.SerializeToString())).values()))

    async def ask() -> AsyncIterator[bytes]:
        request: Any = reflection_pb2.ServerReflectionRequest(file_containing_symbol="p.S")
        yield request.SerializeToString()

    (told,) = [reflection_pb2.ServerReflectionResponse.FromString(e) async for e in answer(ask())]
    sent = told.file_descriptor_response.file_descriptor_proto
    names = [FileDescriptorProto.FromString(each).name for each in sent]

    assert names[0] == "59.proto"
    assert sorted(names) == sorted({file.name for file in files.file})


async def test_no_reflection(edge: Edge) -> None:
    """Where the contract's document is not served, reflection is not either."""
    async with edge(openapi_path="") as port, aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        call = _Reflection(channel).ServerReflectionInfo()
        async with asyncio.timeout(
            20
        ):  # grpcio says INTERNAL if a message is sent behind the refusal
            assert await call.code() is grpc.StatusCode.UNIMPLEMENTED
