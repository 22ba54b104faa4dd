"""The messages of gRPC's reflection, without generated code.

Source: grpc/reflection/v1/reflection.proto. v1alpha has the same messages and numbers in another package.
"""

from __future__ import annotations

from typing import Any, Final

from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

from gateway.contract.errors import Location
from gateway.contract.method import Method
from gateway.contract.stream_type import StreamType

_PACKAGES: Final = ("grpc.reflection.v1", "grpc.reflection.v1alpha")
_SERVICE: Final = "ServerReflection"
_METHOD: Final = "ServerReflectionInfo"


def _pool() -> DescriptorPool:
    """Builds the parts of the messages that are used, for both packages."""
    pool = DescriptorPool()
    for package in _PACKAGES:
        file = FileDescriptorProto(name=f"{package}.proto", package=package, syntax="proto3")
        _add(
            file,
            "ServerReflectionRequest",
            file_by_filename=(3, ""),
            file_containing_symbol=(4, ""),
        )
        request = file.message_type[0]
        request.field.add(
            name="list_services", number=7, label="LABEL_OPTIONAL", type="TYPE_STRING"
        )
        request.oneof_decl.add(name="message_request")
        for field in request.field:
            field.oneof_index = 0
        _add(
            file,
            "ServerReflectionResponse",
            file_descriptor_response=(4, "FileDescriptorResponse"),
            list_services_response=(6, "ListServiceResponse"),
            error_response=(7, "ErrorResponse"),
        )
        _add(file, "FileDescriptorResponse", file_descriptor_proto=(1, "bytes*"))
        _add(file, "ListServiceResponse", service=(1, "ServiceResponse*"))
        _add(file, "ServiceResponse", name=(1, ""))
        _add(file, "ErrorResponse", error_code=(1, "int"), error_message=(2, ""))
        types = {
            "input_type": f".{package}.ServerReflectionRequest",
            "output_type": f".{package}.ServerReflectionResponse",
        }
        method = file.service.add(name=_SERVICE).method.add(name=_METHOD, **types)
        method.client_streaming = method.server_streaming = True
        pool.AddSerializedFile(file.SerializeToString())
    return pool


def _add(file: FileDescriptorProto, message_name: str, /, **fields: tuple[int, str]) -> None:
    message = file.message_type.add(name=message_name)
    for field, (number, kind) in fields.items():
        made = message.field.add(name=field, number=number)
        made.label = (
            FieldDescriptorProto.LABEL_REPEATED
            if kind.endswith("*")
            else FieldDescriptorProto.LABEL_OPTIONAL
        )
        match kind.removesuffix("*"):
            case "":
                made.type = FieldDescriptorProto.TYPE_STRING
            case "bytes":
                made.type = FieldDescriptorProto.TYPE_BYTES
            case "int":
                made.type = FieldDescriptorProto.TYPE_INT32
            case other:
                made.type = FieldDescriptorProto.TYPE_MESSAGE
                made.type_name = f".{file.package}.{other}"


def _method(pool: DescriptorPool, package: str) -> Method:
    descriptor = pool.FindServiceByName(f"{package}.{_SERVICE}").FindMethodByName(_METHOD)
    location = Location(f"{package}.proto")
    return Method(descriptor, StreamType.BIDI, rule=None, location=location, comment="")


_POOL: Final = _pool()
METHODS: Final = tuple(_method(_POOL, package) for package in _PACKAGES)
"""`ServerReflectionInfo` of v1, and of v1alpha."""
Request: Final[Any] = GetMessageClass(METHODS[0].input)
Response: Final[Any] = GetMessageClass(METHODS[0].output)
