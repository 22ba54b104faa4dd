"""`grpc.health.v1.Health`, from the edge's readiness.

Source: grpc/health/v1/health.proto, and "GRPC Health Checking Protocol". A service is as healthy as the edge;
one that the contract has not is NOT_FOUND.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from typing import Any, Final

from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass

from gateway.contract.errors import Location
from gateway.contract.method import Method
from gateway.contract.stream_type import StreamType
from gateway.exchange.own_calls import OwnCall
from gateway.transcoding.status import INVALID_ARGUMENT, NOT_FOUND, StatusError
from gateway.transcoding.violations import quoted

SERVICE: Final = "grpc.health.v1.Health"
_SERVING, _NOT_SERVING, _SERVICE_UNKNOWN = 1, 2, 3
_WATCH_SECONDS: Final = 1.0
"""Interval at which a watcher's state is looked at; the upstream is asked no more often anyway."""


def _file() -> FileDescriptorProto:
    package, _, name = SERVICE.rpartition(".")
    file = FileDescriptorProto(name="grpc/health/v1/health.proto", package=package, syntax="proto3")
    request = file.message_type.add(name="HealthCheckRequest")
    request.field.add(name="service", number=1, label="LABEL_OPTIONAL", type="TYPE_STRING")
    response = file.message_type.add(name="HealthCheckResponse")
    status = response.enum_type.add(name="ServingStatus")
    for number, text in enumerate(("UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN")):
        status.value.add(name=text, number=number)
    response.field.add(
        name="status",
        number=1,
        label="LABEL_OPTIONAL",
        type="TYPE_ENUM",
        type_name=f".{package}.HealthCheckResponse.ServingStatus",
    )
    types = {
        "input_type": f".{package}.HealthCheckRequest",
        "output_type": f".{package}.HealthCheckResponse",
    }
    service = file.service.add(name=name)
    service.method.add(name="Check", **types)
    service.method.add(name="Watch", server_streaming=True, **types)
    return file


FILE: Final = _file()
"""health.proto, which is in no package of the edge."""
_POOL: Final = DescriptorPool()
_POOL.AddSerializedFile(FILE.SerializeToString())
_SERVICE: Final = _POOL.FindServiceByName(SERVICE)
_Request: Final[Any] = GetMessageClass(_SERVICE.FindMethodByName("Check").input_type)
_Response: Final[Any] = GetMessageClass(_SERVICE.FindMethodByName("Check").output_type)


def health_calls(
    is_serving: Callable[[], Awaitable[bool]], services: Collection[str]
) -> dict[Method, OwnCall]:
    """Returns the methods of the service, and what answers each.

    Args:
        is_serving: asks whether the edge is ready.
        services: full names of those that have a state.
    """

    async def status(service: str) -> int:
        if service and service not in services:
            return _SERVICE_UNKNOWN
        return _SERVING if await is_serving() else _NOT_SERVING

    async def check(requests: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        service = await _service(requests)
        found = await status(service)
        if found == _SERVICE_UNKNOWN:
            raise StatusError.of(NOT_FOUND, f"no service {quoted(service)} is served here")
        yield _Response(status=found).SerializeToString()

    async def watch(requests: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        service = await _service(requests)
        told = 0
        while True:
            found = await status(service)
            if found != told:
                told = found
                yield _Response(status=found).SerializeToString()
            await asyncio.sleep(_WATCH_SECONDS)

    location = Location(FILE.name)
    kinds = (("Check", StreamType.UNARY, check), ("Watch", StreamType.SERVER, watch))
    return {
        Method(_SERVICE.FindMethodByName(name), kind, rule=None, location=location, comment=""): run
        for name, kind, run in kinds
    }


async def _service(requests: AsyncIterator[bytes]) -> str:
    """Returns the name of the service in the one request.

    Raises:
        StatusError: INVALID_ARGUMENT, it is no HealthCheckRequest.
    """
    try:
        return str(_Request.FromString(await anext(requests)).service)
    except DecodeError:
        raise StatusError.of(INVALID_ARGUMENT, "it is no HealthCheckRequest") from None
