"""Changes of enums."""

from __future__ import annotations

from collections.abc import Iterator

from google.protobuf.descriptor_pb2 import EnumDescriptorProto, FeatureSet

from gateway.contract.evolution.ranges import (
    is_reserved,
    reservation_differences,
    reserved_ranges,
)
from gateway.contract.evolution.rules import Difference, difference
from gateway.contract.evolution.schema import Enum, Schema


def enum_differences(old: Schema, new: Schema) -> Iterator[Difference]:
    """Yields changes of the enums that both have."""
    for name, before in old.enums.items():
        if (after := new.enums.get(name)) is not None:
            yield from _values(before, after)
            yield from _features(before, after)
            yield from reservation_differences("RESERVED_ENUM_NO_DELETE", before, after)


def names_by_number(enum: EnumDescriptorProto) -> dict[int, list[str]]:
    """Returns the names of each value; there are several with `allow_alias`."""
    names: dict[int, list[str]] = {}
    for value in enum.value:
        names.setdefault(value.number, []).append(value.name)
    return names


def is_subset(old: EnumDescriptorProto, new: EnumDescriptorProto) -> bool:
    """Whether an enum has all values of another one, with their names and numbers."""
    numbers = {value.name: value.number for value in new.value}
    return all(numbers.get(value.name) == value.number for value in old.value)


def _values(old: Enum, new: Enum) -> Iterator[Difference]:
    after = names_by_number(new.proto)
    for number, names in names_by_number(old.proto).items():
        element = f"{old.name}.{names[0]}"
        if number not in after:
            yield from _deleted_value(new, number, names, element)
        elif not set(names) <= set(after[number]):
            text = f"the name of value {number} changed to {', '.join(after[number])}"
            yield difference("ENUM_VALUE_SAME_NAME", element, text)


def _deleted_value(new: Enum, number: int, names: list[str], element: str) -> Iterator[Difference]:
    text = f"the value {number} was deleted"
    yield difference("ENUM_VALUE_NO_DELETE", element, text)
    if not set(names) <= set(new.proto.reserved_name):
        yield difference(
            "ENUM_VALUE_NO_DELETE_UNLESS_NAME_RESERVED",
            element,
            f"{text}, and its name is not reserved",
        )
    if not is_reserved(number, reserved_ranges(new.proto)):
        yield difference(
            "ENUM_VALUE_NO_DELETE_UNLESS_NUMBER_RESERVED",
            element,
            f"{text}, and its number is not reserved",
        )


def _features(old: Enum, new: Enum) -> Iterator[Difference]:
    before, after = old.features, new.features
    if before.enum_type != after.enum_type:
        was, now = ("closed", "open") if after.enum_type == FeatureSet.OPEN else ("open", "closed")
        yield difference("ENUM_SAME_TYPE", old.name, f"the enum changed from {was} to {now}")
    if before.json_format == FeatureSet.ALLOW != after.json_format:
        text = "its JSON is no longer guaranteed (json_format)"
        yield difference("ENUM_SAME_JSON_FORMAT", old.name, text)
