"""Fields of message types: dotted paths to them, resolved once, and what their types are.

Source: `google.api.HttpRule`: path variables, `body` and `response_body` name fields by their proto name.
"""

from __future__ import annotations

from collections import Counter
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


def shared_oneof(field: FieldDescriptor) -> str:
    """Returns the name of the oneof in which the field is not alone, or `""`."""
    oneof = field.containing_oneof
    return oneof.name if oneof is not None and len(oneof.fields) > 1 else ""


def json_names(message: Descriptor) -> dict[str, str]:
    """Returns the name that JSON has for each field of a message, by the field's own name.

    It is the field's JSON name. Fields that share a JSON name, as `foo_bar` and `fooBar` do where a .proto
    allows it (`deprecated_legacy_json_field_conflicts`), have their own names in JSON.
    """
    count = Counter(field.json_name for field in message.fields)
    return {
        field.name: field.json_name if count[field.json_name] == 1 else field.name
        for field in message.fields
    }


def json_name(field: FieldDescriptor) -> str:
    """Returns the name that JSON has for one field of a message."""
    message = field.containing_type
    return field.name if message is None else json_names(message)[field.name]


def query_names(message: Descriptor) -> dict[str, FieldDescriptor]:
    """Returns the fields of a message by each name that a query has for them; own names come first."""
    names = json_names(message)
    return {names[field.name]: field for field in message.fields} | dict(message.fields_by_name)


def overlap(one: FieldPath, other: FieldPath) -> bool:
    """Whether two paths lead to one field, or one of them to what holds the other's."""
    return all(left == right for left, right in zip(one, other, strict=False))


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
