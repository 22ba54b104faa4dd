"""A method that the contract does not know: its caller names it, and its messages pass as bytes."""

from __future__ import annotations

import re
from typing import Final

from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.empty_pb2 import DESCRIPTOR as EMPTY

from gateway.contract.errors import Location
from gateway.contract.http_rule import Binding, Body
from gateway.contract.method import Method
from gateway.contract.path_template import PathTemplate
from gateway.contract.stream_type import StreamType

_PATH: Final = re.compile(r"/[A-Za-z_]\w*(\.[A-Za-z_]\w*)*/[A-Za-z_]\w*", re.ASCII)
_MAX_PATH: Final = 1024
_NOWHERE: Final = Location("")


def is_method_path(path: str) -> bool:
    """Whether a path can be that of a method, `/package.Service/Method`."""
    return len(path) <= _MAX_PATH and _PATH.fullmatch(path) is not None


def unknown_binding(path: str, *, streams: bool) -> Binding:
    """Returns the binding of a method that the contract does not know.

    Args:
        path: for which `is_method_path` is true.
        streams: whether both sides send any number of messages; False: each sends one.
    """
    method = Method(
        _STREAM if streams else _UNARY,
        StreamType.BIDI if streams else StreamType.UNARY,
        None,
        _NOWHERE,
        "",
        unknown_path=path,
    )
    return Binding(method, "POST", PathTemplate.parse(path), (), Body(()), ())


def _descriptors() -> tuple[MethodDescriptor, MethodDescriptor]:
    """Returns the methods, unary and bidirectional, of a service that stands for all unknown ones."""
    pool = DescriptorPool()
    pool.AddSerializedFile(EMPTY.serialized_pb)
    file = FileDescriptorProto(name="unknown.proto", dependency=[EMPTY.name])
    service = file.service.add(name="Unknown")
    for name, streams in (("Unary", False), ("Stream", True)):
        service.method.add(
            name=name,
            input_type=".google.protobuf.Empty",
            output_type=".google.protobuf.Empty",
            client_streaming=streams,
            server_streaming=streams,
        )
    pool.Add(file)
    found = pool.FindServiceByName("Unknown")
    return found.methods_by_name["Unary"], found.methods_by_name["Stream"]


_UNARY, _STREAM = _descriptors()
