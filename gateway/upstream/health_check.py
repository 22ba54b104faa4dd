"""Asks a gRPC server whether it serves, over the connections that calls use.

Source: grpc/health/v1/health.proto, and "GRPC Health Checking Protocol". A server without that service is one
that answers, and so one that serves.
"""

from __future__ import annotations

from typing import Any, Final

from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

from gateway.contract.errors import Location
from gateway.contract.method import Method
from gateway.contract.stream_type import StreamType
from gateway.transcoding.status import (
    CANCELLED,
    DEADLINE_EXCEEDED,
    INTERNAL,
    NOT_FOUND,
    UNAVAILABLE,
    UNKNOWN,
    StatusError,
)
from gateway.upstream.port import Upstream
from gateway.upstream.reachability import HEALTH_CHECK_PATH, NOT_GRPC_TEXT

_SERVING: Final = 1
_STATUSES: Final = {0: "UNKNOWN", 2: "NOT_SERVING", 3: "SERVICE_UNKNOWN"}
_NO_ANSWER: Final = frozenset({CANCELLED, UNKNOWN, DEADLINE_EXCEEDED, INTERNAL, UNAVAILABLE})
"""Codes that the edge's own side makes too; any other one is the answer of a server."""


def _method() -> Method:
    """Builds the one method that is called; health.proto itself is in no package of the edge."""
    package, service, name = HEALTH_CHECK_PATH[1:].replace("/", ".").rsplit(".", 2)
    file = FileDescriptorProto(name="gateway/health_check.proto", package=package, syntax="proto3")
    request = file.message_type.add(name="HealthCheckRequest")
    request.field.add(name="service", number=1, label="LABEL_OPTIONAL", type="TYPE_STRING")
    response = file.message_type.add(name="HealthCheckResponse")
    response.field.add(name="status", number=1, label="LABEL_OPTIONAL", type="TYPE_INT32")
    types = {
        "input_type": f".{package}.{request.name}",
        "output_type": f".{package}.{response.name}",
    }
    file.service.add(name=service).method.add(name=name, **types)
    pool = DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    descriptor = pool.FindServiceByName(f"{package}.{service}").FindMethodByName(name)
    return Method(descriptor, StreamType.UNARY, rule=None, location=Location(file.name), comment="")


HEALTH_CHECK: Final = _method()
"""`grpc.health.v1.Health/Check`; an upstream is made with it."""
_Request: Final[Any] = GetMessageClass(HEALTH_CHECK.input)
_Response: Final[Any] = GetMessageClass(HEALTH_CHECK.output)


async def problem_of(upstream: Upstream, service: str, seconds: float) -> str:
    """Asks an upstream, and connects first if nothing is connected; returns why it does not serve, or "".

    Args:
        upstream: made with `HEALTH_CHECK`; one that knows no such method is not asked.
        service: name that it is asked about; empty: the whole server.
        seconds: maximum duration.
    """
    request = _Request(service=service).SerializeToString()
    status = _SERVING
    try:
        async with upstream.open(HEALTH_CHECK, request, timeout=seconds) as call:
            async for message in call:
                status = _Response.FromString(message).status
    except StatusError as error:
        return _problem_of_status(error, service)
    except LookupError:  # an upstream of a user's, made with the methods of the contract alone
        return ""
    if status == _SERVING:
        return ""
    return f"grpc.health.v1: {_STATUSES.get(status, status)}"


def _problem_of_status(error: StatusError, service: str) -> str:
    code, message = error.status.code, error.status.message
    if code == NOT_FOUND and service:
        return f"grpc.health.v1: the upstream knows no service {service!r}"
    if code == DEADLINE_EXCEEDED:
        return "the upstream does not answer in time"
    if code in _NO_ANSWER or message.startswith(NOT_GRPC_TEXT):
        return message or "the upstream does not answer"
    return ""
