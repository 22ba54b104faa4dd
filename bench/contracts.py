"""Contracts made for measuring: a small message, one of fifty, and as many bindings as are asked for."""

from __future__ import annotations

from google.api import annotations_pb2
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
    ServiceDescriptorProto,
)

_F = FieldDescriptorProto
_RESOURCES = 25
"""Bindings that share a collection, as the methods of one resource do."""


def _message(name: str, /, **fields: FieldDescriptorProto.Type.ValueType) -> DescriptorProto:
    return DescriptorProto(
        name=name,
        field=[
            _F(name=field, number=number, type=kind, label=_F.LABEL_OPTIONAL)
            for number, (field, kind) in enumerate(fields.items(), 1)
        ],
    )


def points() -> bytes:
    """Returns a contract with `Point` (three fields) and `Batch` (a list of points)."""
    point = _message("Point", name=_F.TYPE_STRING, count=_F.TYPE_INT32, weight=_F.TYPE_DOUBLE)
    batch = DescriptorProto(
        name="Batch",
        field=[
            _F(
                name="points",
                number=1,
                type=_F.TYPE_MESSAGE,
                type_name=".bench.Point",
                label=_F.LABEL_REPEATED,
            )
        ],
    )
    return _set([point, batch], ServiceDescriptorProto(name="Empty"))


def many_bindings(count: int) -> bytes:
    """Returns a contract with so many bindings, of resources as Google's own contracts have them."""
    service = ServiceDescriptorProto(name="Many")
    for number in range(count):
        method = service.method.add(
            name=f"M{number}", input_type=".bench.Named", output_type=".bench.Named"
        )
        rule = method.options.Extensions[annotations_pb2.http]
        collection, kind = divmod(number, _RESOURCES)
        rule.get = f"/v1/{{name=projects/*/kind{collection}/*/part{kind}/*}}"
    return _set([_message("Named", name=_F.TYPE_STRING)], service)


def _set(messages: list[DescriptorProto], service: ServiceDescriptorProto) -> bytes:
    file = FileDescriptorProto(
        name="bench.proto",
        package="bench",
        syntax="proto3",
        dependency=["google/api/annotations.proto"],
        message_type=messages,
        service=[service],
    )
    return FileDescriptorSet(file=[file]).SerializeToString()
