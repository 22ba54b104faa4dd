"""Fields of message types: their names, their types, and dotted paths to them.

Source: `google.api.HttpRule`: path variables, `body` and `response_body` use the proto names of fields.
"""

from __future__ import annotations

from collections import Counter
from typing import TypeAlias

from google.protobuf.descriptor import Descriptor, FieldDescriptor

FieldPath: TypeAlias = tuple[FieldDescriptor, ...]
"""A field, after the message fields that contain it; empty: the message itself."""


def is_message(field: FieldDescriptor) -> bool:
    """Whether the field's type is a message; for a map it is the type of its entries."""
    return field.message_type is not None


def message_type(field: FieldDescriptor) -> Descriptor:
    """Returns the message type of a field.

    Raises:
        TypeError: the field's type is not a message.
    """
    if field.message_type is None:
        raise TypeError(f"{field.full_name} holds no messages")
    return field.message_type


def map_entry(field: FieldDescriptor) -> tuple[FieldDescriptor, FieldDescriptor] | None:
    """Returns the key field and the value field of a map; None: the field is not a map."""
    entry = field.message_type
    if entry is None or not entry.GetOptions().map_entry:
        return None
    return entry.fields_by_name["key"], entry.fields_by_name["value"]


def shared_oneof(field: FieldDescriptor) -> str:
    """Returns the name of the oneof that the field shares with other fields; empty: there is none."""
    oneof = field.containing_oneof
    return oneof.name if oneof is not None and len(oneof.fields) > 1 else ""


def json_names(message: Descriptor) -> dict[str, str]:
    """Returns the JSON key of each field of a message, by proto name.

    The key is the field's `json_name`. Fields with the same `json_name`, such as `foo_bar` and `fooBar` in a
    .proto with `deprecated_legacy_json_field_conflicts`, use their proto names.
    """
    count = Counter(field.json_name for field in message.fields)
    return {
        field.name: field.json_name if count[field.json_name] == 1 else field.name
        for field in message.fields
    }


def json_name(field: FieldDescriptor) -> str:
    """Returns the JSON key of one field."""
    message = field.containing_type
    return field.name if message is None else json_names(message)[field.name]


def default_json_name(name: str) -> str:
    """Returns the JSON key of a field that has no `json_name`, as protoc makes it."""
    first, *others = name.split("_")
    return first + "".join(part[:1].upper() + part[1:] for part in others)


def query_names(message: Descriptor) -> dict[str, FieldDescriptor]:
    """Returns the fields of a message by JSON key and by proto name; on a conflict the proto name wins."""
    names = json_names(message)
    return {names[field.name]: field for field in message.fields} | dict(message.fields_by_name)


def overlap(one: FieldPath, other: FieldPath) -> bool:
    """Whether two paths are equal, or one is a prefix of the other."""
    return all(left == right for left, right in zip(one, other, strict=False))


def resolve(message: Descriptor, text: str) -> FieldPath:
    """Resolves a dotted path such as `a.b.c` in a message type.

    Raises:
        ValueError: a name is not a field, or a field before the last one is not a singular message.
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
    """Returns a path in the syntax of a rule: proto names with dots; `*` is the message itself."""
    return ".".join(field.name for field in path) or "*"


def _descend(field: FieldDescriptor) -> Descriptor:
    if field.message_type is None or field.is_repeated:
        raise ValueError(f"{field.full_name} is not a single message, so it has no fields to name")
    return field.message_type
