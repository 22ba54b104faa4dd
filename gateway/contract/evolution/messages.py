"""Changes of messages: their fields, oneofs, reserved numbers and extension ranges."""

from __future__ import annotations

from collections.abc import Iterator

from google.protobuf.descriptor_pb2 import DescriptorProto, FeatureSet

from gateway.contract.evolution.fields import field_differences
from gateway.contract.evolution.ranges import (
    extension_range_differences,
    is_reserved,
    reservation_differences,
    reserved_ranges,
)
from gateway.contract.evolution.rules import Difference, difference
from gateway.contract.evolution.schema import Field, Message, Schema


def message_differences(old: Schema, new: Schema) -> Iterator[Difference]:
    """Yields changes of the messages that both have, and of their fields, and of extensions."""
    for name, before in old.messages.items():
        if (after := new.messages.get(name)) is not None:
            yield from _message(before, after)
            yield from _fields(old, new, before, after)
    for key, extension in old.extensions.items():
        if (now := new.extensions.get(key)) is not None:
            yield from field_differences(old, new, extension, now)


def _message(old: Message, new: Message) -> Iterator[Difference]:
    yield from reservation_differences("RESERVED_MESSAGE_NO_DELETE", old, new)
    yield from extension_range_differences(old, new)
    oneofs = {oneof.name for oneof in new.proto.oneof_decl}
    for name in _oneofs(old.proto):
        if name not in oneofs:
            text = "the oneof was deleted"
            yield difference("ONEOF_NO_DELETE", f"{old.name}.{name}", text)
    option = "no_standard_descriptor_accessor"
    if getattr(new.proto.options, option) and not getattr(old.proto.options, option):
        rule = "MESSAGE_NO_REMOVE_STANDARD_DESCRIPTOR_ACCESSOR"
        yield difference(rule, old.name, f"the option {option} was set")
    if old.features.json_format == FeatureSet.ALLOW != new.features.json_format:
        text = "its JSON is no longer guaranteed (json_format)"
        yield difference("MESSAGE_SAME_JSON_FORMAT", old.name, text)


def _oneofs(message: DescriptorProto) -> Iterator[str]:
    """Yields the names of oneofs, without those that the compiler makes for `optional`."""
    made = {field.oneof_index for field in message.field if field.proto3_optional}
    yield from (one.name for i, one in enumerate(message.oneof_decl) if i not in made)


def _fields(old: Schema, new: Schema, before: Message, after: Message) -> Iterator[Difference]:
    was, now = old.fields(before), new.fields(after)
    for number, field in was.items():
        if number not in now:
            yield from _deleted_field(field, after)
        else:
            yield from field_differences(old, new, field, now[number])
    for number in sorted(was.keys() | now.keys()):
        one, other = was.get(number), now.get(number)
        required = other is not None and other.is_required
        if required == (one is not None and one.is_required):
            continue
        changed = "is required now" if required else "is required no more"
        element = (one or other or field).name
        text = f"the field {changed}: whoever has the other contract cannot read the message"
        yield difference("MESSAGE_SAME_REQUIRED_FIELDS", element, text)


def _deleted_field(field: Field, message: Message) -> Iterator[Difference]:
    number = field.proto.number
    text = f"the field {number} was deleted"
    yield difference("FIELD_NO_DELETE", field.name, text)
    if field.proto.name not in message.proto.reserved_name:
        yield difference(
            "FIELD_NO_DELETE_UNLESS_NAME_RESERVED",
            field.name,
            f"{text}, and its name is not reserved",
        )
    if not is_reserved(number, reserved_ranges(message.proto)):
        yield difference(
            "FIELD_NO_DELETE_UNLESS_NUMBER_RESERVED",
            field.name,
            f"{text}, and its number is not reserved",
        )
