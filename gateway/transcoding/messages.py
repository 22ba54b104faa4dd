"""Methods of protobuf messages, called through the message class.

In protobuf's Python API a field hides a method of the same name: `message.HasField` may be a string. Rule:
this package never calls a method of a contract's message as an attribute of the message.
"""

from __future__ import annotations

from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from gateway.contract.fields import FieldPath


def class_with(field: FieldDescriptor) -> Any:
    """Returns the message class that contains a field, or that an extension field extends.

    Raises:
        TypeError: the field belongs to no message.
    """
    if field.containing_type is None:
        raise TypeError(f"{field.full_name} is in no message")
    return GetMessageClass(field.containing_type)


def has_field(message: Message, field: FieldDescriptor) -> bool:
    """Whether a field with presence is set."""
    return type(message).HasField(message, field.name)


def which_oneof(message: Message, oneof: str) -> str | None:
    """Returns the name of the field that is set in a oneof; None: no field."""
    name: str | None = type(message).WhichOneof(message, oneof)
    return name


def set_in_parent(message: Message) -> None:
    """Marks a message as present in its parent."""
    type(message).SetInParent(message)


def extensions(message: Any) -> Any:
    """Returns the mapping of a message's extensions."""
    return type(message).Extensions.__get__(message)


def descend(message: Any, path: FieldPath) -> Any:
    """Returns the message at a path of singular fields, set or not."""
    for field in path:
        message = getattr(message, field.name)
    return message
