"""Protobuf's methods of messages, called through the message's class.

A field may have the name of any of these methods, and in protobuf's Python API an attribute of a message is
its field first: `message.HasField` may be a string. Rule: nothing in this package calls a method of a message
of the contract by attribute.
"""

from __future__ import annotations

from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from gateway.contract.fields import FieldPath


def class_with(field: FieldDescriptor) -> Any:
    """Returns the class of the messages that have a field, or that it extends."""
    if field.containing_type is None:
        raise TypeError(f"{field.full_name} is in no message")
    return GetMessageClass(field.containing_type)


def has_field(message: Message, field: FieldDescriptor) -> bool:
    """Whether a field with presence is set."""
    return type(message).HasField(message, field.name)


def which_oneof(message: Message, oneof: str) -> str | None:
    """Returns the name of the field of a oneof that is set."""
    name: str | None = type(message).WhichOneof(message, oneof)
    return name


def set_in_parent(message: Message) -> None:
    """Marks a message as present in the one that holds it."""
    type(message).SetInParent(message)


def extensions(message: Any) -> Any:
    """Returns the mapping of a message's extensions."""
    return type(message).Extensions.__get__(message)


def descend(message: Any, path: FieldPath) -> Any:
    """Returns the message that a path of single messages leads to, set or not."""
    for field in path:
        message = getattr(message, field.name)
    return message
