"""What the streams of a method depend on, which tells whether another contract changes them."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from hashlib import sha256
from typing import Final

from google.protobuf import descriptor_pb2
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor

from gateway.contract.method import Method

_ANY: Final = "google.protobuf.Any"


def signature(method: Method) -> Hashable:
    """Returns a value that is equal for a method of two contracts if its streams are the same in both.

    These count: the name of the method, its stream type and stream options, and all types that its messages
    are made of. Comments and HTTP rules do not. A message with an `Any` may hold every type of its contract,
    so such a method is equal to itself alone.
    """
    options = b"" if method.stream is None else method.stream.SerializeToString(deterministic=True)
    digest = sha256(f"{method.path} {method.stream_type.name} {len(options)}\0".encode() + options)
    for root in (method.input, method.output):
        digest.update(b"\0" + root.full_name.encode())
    for each in _reachable(method.input, method.output):
        if each.full_name == _ANY:
            return method
        text = _text(each)
        digest.update(b"\0%d %b" % (len(text), text))
    return digest.digest()


def _reachable(*roots: Descriptor) -> Iterator[Descriptor | EnumDescriptor]:
    """Yields messages and the types of their fields, each once, in an order that does not change."""
    seen: set[str] = set()
    waiting: list[Descriptor | EnumDescriptor] = [*roots]
    while waiting:
        each = waiting.pop()
        if each.full_name in seen:
            continue
        seen.add(each.full_name)
        yield each
        if isinstance(each, Descriptor):
            types = (field.message_type or field.enum_type for field in _fields(each))
            waiting += (found for found in types if found is not None)


def _fields(message: Descriptor) -> list[FieldDescriptor]:
    """Returns the fields of a message, and its extensions in the contract, by their numbers."""
    extensions = message.file.pool.FindAllExtensions(message) if message.is_extendable else []
    return sorted((*message.fields, *extensions), key=lambda field: field.number)


def _text(each: Descriptor | EnumDescriptor) -> bytes:
    """Returns what the contract says of one type, without the types inside it."""
    if isinstance(each, EnumDescriptor):
        enum = descriptor_pb2.EnumDescriptorProto()
        each.CopyToProto(enum)
        text = enum.SerializeToString(deterministic=True)
        return b"%b %b %d" % (each.full_name.encode(), text, each.is_closed)
    message = descriptor_pb2.DescriptorProto()
    each.CopyToProto(message)
    for inside in ("nested_type", "enum_type", "extension"):
        message.ClearField(inside)
    # a file's syntax or features say the rest
    fields = (
        f"{field.full_name} {field.number} {field.type} {field.is_repeated} {field.has_presence}"
        for field in _fields(each)
    )
    text = message.SerializeToString(deterministic=True)
    return b"\0".join((each.full_name.encode(), "\n".join(fields).encode(), text))
