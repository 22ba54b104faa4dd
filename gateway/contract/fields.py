"""Fields of message types: dotted paths to them, resolved once, and what their types are.

Source: `google.api.HttpRule`: path variables, `body` and `response_body` name fields by their proto name.
"""

from __future__ import annotations

from typing import TypeAlias

from google.protobuf.descriptor import Descriptor, FieldDescriptor

FieldPath: TypeAlias = tuple[FieldDescriptor, ...]


def is_message(field: FieldDescriptor) -> bool:
    """Whether the field holds messages; a map does, of its entries."""
    return field.message_type is not None


def message_type(field: FieldDescriptor) -> Descriptor:
    """Returns the type of a field that holds messages."""
    if field.message_type is None:
        raise TypeError(f"{field.full_name} holds no messages")
    return field.message_type


def map_entry(field: FieldDescriptor) -> tuple[FieldDescriptor, FieldDescriptor] | None:
    """Returns the key and value fields of a map's entries, or None where the field is no map."""
    entry = field.message_type
    if entry is None or not entry.GetOptions().map_entry:
        return None
    return entry.fields_by_name["key"], entry.fields_by_name["value"]


def rivals(field: FieldDescriptor) -> str:
    """Returns the name of the oneof in which the field is not alone, or `""`."""
    oneof = field.containing_oneof
    return oneof.name if oneof is not None and len(oneof.fields) > 1 else ""


def resolve(message: Descriptor, text: str) -> FieldPath:
    """Resolves `a.b.c` from `message` down.

    Raises:
        ValueError: a name is not a field, or one before the last is not a single message.
    """
    fields: list[FieldDescriptor] = []
    for name in text.split("."):
        if fields:
            message = _descend(fields[-1])
        if name not in message.fields_by_name:
            raise ValueError(f"{message.full_name} has no field {name!r}")
        fields.append(message.fields_by_name[name])
    return tuple(fields)


def dotted(path: FieldPath) -> str:
    """Returns a path as a rule writes it, by proto names; `*` for the message itself."""
    return ".".join(field.name for field in path) or "*"


def _descend(field: FieldDescriptor) -> Descriptor:
    if field.message_type is None or field.is_repeated:
        raise ValueError(f"{field.full_name} is not a single message, so it has no fields to name")
    return field.message_type
