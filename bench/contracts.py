"""Contracts made for measuring: small messages and lists of them, and as many bindings as are asked for."""

from __future__ import annotations

from typing import Any, Final

from google.api import annotations_pb2
from google.protobuf import descriptor_pool
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
    ServiceDescriptorProto,
)
from google.protobuf.message_factory import GetMessageClass

_F = FieldDescriptorProto
_RESOURCES = 25
"""Bindings that share a collection, as the methods of one resource do."""
_ANNOTATIONS: Final = "google/api/annotations.proto"
LARGE: Final = 2_000
"""So many points are 100 kB of JSON."""


def _message(name: str, /, **fields: FieldDescriptorProto.Type.ValueType) -> DescriptorProto:
    return DescriptorProto(
        name=name,
        field=[
            _F(name=field, number=number, type=kind, label=_F.LABEL_OPTIONAL)
            for number, (field, kind) in enumerate(fields.items(), 1)
        ],
    )


def points() -> bytes:
    """Returns a contract that echoes a `Point` (three fields) and a `Batch` of them, and lists batches."""
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
    service = ServiceDescriptorProto(name="Points")
    echo = _method(service, "Echo", "Point", "Point")
    echo.post, echo.body = "/points", "*"
    echo.additional_bindings.add().get = "/points"
    echo_batch = _method(service, "EchoBatch", "Batch", "Batch")
    echo_batch.post, echo_batch.body = "/batches", "*"
    _method(service, "List", "Ask", "Batch").get = "/batches"
    return _set([point, batch, _message("Ask", count=_F.TYPE_INT32)], service)


def messages() -> tuple[Any, Any, Any]:
    """Returns the classes of `Point`, `Batch` and `Ask`."""
    pool = descriptor_pool.DescriptorPool()
    for file in FileDescriptorSet.FromString(points()).file:
        pool.Add(file)
    point, batch, ask = (
        GetMessageClass(pool.FindMessageTypeByName(f"bench.{name}"))
        for name in ("Point", "Batch", "Ask")
    )
    return point, batch, ask


def filled(batch: Any, count: int) -> Any:
    """Returns a batch of so many points."""
    return batch(
        points=[{"name": f"p{i}", "count": i + 1, "weight": i + 0.5} for i in range(count)]
    )


def many_bindings(count: int) -> bytes:
    """Returns a contract with so many bindings, of resources as Google's own contracts have them."""
    service = ServiceDescriptorProto(name="Many")
    for number in range(count):
        collection, kind = divmod(number, _RESOURCES)
        rule = _method(service, f"M{number}", "Named", "Named")
        rule.get = f"/v1/{{name=projects/*/kind{collection}/*/part{kind}/*}}"
    return _set([_message("Named", name=_F.TYPE_STRING)], service)


def path_of(number: int) -> str:
    """Returns a path that the binding of this number has, counted from 0."""
    collection, kind = divmod(number, _RESOURCES)
    return f"/v1/projects/x/kind{collection}/x/part{kind}/x"


def _method(service: ServiceDescriptorProto, name: str, takes: str, gives: str) -> Any:
    method = service.method.add(
        name=name, input_type=f".bench.{takes}", output_type=f".bench.{gives}"
    )
    return method.options.Extensions[annotations_pb2.http]


def _set(made: list[DescriptorProto], service: ServiceDescriptorProto) -> bytes:
    file = FileDescriptorProto(
        name="bench.proto",
        package="bench",
        syntax="proto3",
        dependency=[_ANNOTATIONS],
        message_type=made,
        service=[service],
    )
    return FileDescriptorSet(file=[*_imported(_ANNOTATIONS), file]).SerializeToString()


def _imported(name: str) -> list[FileDescriptorProto]:
    """Returns a file behind all that it imports."""
    found: Any = descriptor_pool.Default().FindFileByName(name)
    files: dict[str, FileDescriptorProto] = {}
    for imported in found.dependencies:
        files |= {file.name: file for file in _imported(imported.name)}
    return [*files.values(), FileDescriptorProto.FromString(found.serialized_pb)]
