"""`grpc.testing`: its messages, and a stub, from the tests' own copy of the contract."""

from __future__ import annotations

from typing import Any

from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

from tests.contracts import PROTOS, compile_protos

SERVICE = "grpc.testing.TestService"
UNIMPLEMENTED = "grpc.testing.UnimplementedService"
POOL = DescriptorPool()
"""Not the default one: whoever has grpc's own package of these messages has them there."""
for _file in FileDescriptorSet.FromString(compile_protos(PROTOS, "grpc/testing/test.proto")).file:
    POOL.Add(_file)


def _message(name: str) -> Any:
    return GetMessageClass(POOL.FindMessageTypeByName(f"grpc.testing.{name}"))


BoolValue = _message("BoolValue")
EchoStatus = _message("EchoStatus")
Empty = _message("Empty")
Payload = _message("Payload")
ResponseParameters = _message("ResponseParameters")
SimpleRequest = _message("SimpleRequest")
SimpleResponse = _message("SimpleResponse")
StreamingInputCallRequest = _message("StreamingInputCallRequest")
StreamingInputCallResponse = _message("StreamingInputCallResponse")
StreamingOutputCallRequest = _message("StreamingOutputCallRequest")
StreamingOutputCallResponse = _message("StreamingOutputCallResponse")


class Stub:
    """The methods of a service on a channel, as generated code makes them."""

    def __init__(self, channel: Any, service: str = SERVICE) -> None:
        for method in POOL.FindServiceByName(service).methods:
            kind = f"{_arity(method.client_streaming)}_{_arity(method.server_streaming)}"
            made = getattr(channel, kind)(
                f"/{service}/{method.name}",
                request_serializer=GetMessageClass(method.input_type).SerializeToString,
                response_deserializer=GetMessageClass(method.output_type).FromString,
                _registered_method=True,
            )
            setattr(self, method.name, made)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)


def _arity(streaming: Any) -> str:
    return "stream" if streaming else "unary"


def zeros(size: int) -> Any:
    """Returns a payload of so many zeros."""
    return Payload(body=bytes(size))
