"""Reserved numbers and names, and extension ranges."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, TypeAlias

from google.protobuf.descriptor_pb2 import DescriptorProto, EnumDescriptorProto

from gateway.contract.evolution.rules import Difference, difference
from gateway.contract.evolution.schema import Enum, Message

Range: TypeAlias = tuple[int, int]
"""First and last number."""

MAX_NUMBERS: Final = frozenset({2**29 - 1, 2**31 - 1, 2**31 - 2})
"""What `max` stands for in a range of fields, of enum values, and of extensions of a message set."""


def reserved_ranges(proto: DescriptorProto | EnumDescriptorProto) -> list[Range]:
    """Returns the reserved numbers of a message or an enum."""
    # the end is exclusive in a message and inclusive in an enum
    last = 0 if isinstance(proto, EnumDescriptorProto) else 1
    return [(each.start, each.end - last) for each in proto.reserved_range]


def is_reserved(number: int, ranges: Iterable[Range]) -> bool:
    """Whether one of the ranges has the number."""
    return any(first <= number <= last for first, last in ranges)


def reservation_differences(
    rule: str, old: Message | Enum, new: Message | Enum
) -> Iterator[Difference]:
    """Yields reserved numbers and names that are free again: what used them before would be misread."""
    missing = missing_numbers(reserved_ranges(old.proto), reserved_ranges(new.proto))
    for one in missing:
        yield difference(rule, old.name, f"the reserved {words(one)} can be used again")
    for name in old.proto.reserved_name:
        if name not in new.proto.reserved_name:
            yield difference(rule, old.name, f"the reserved name {name!r} can be used again")


def extension_range_differences(old: Message, new: Message) -> Iterator[Difference]:
    """Yields numbers that were for extensions, and are so no more."""
    before = [(each.start, each.end - 1) for each in old.proto.extension_range]
    after = [(each.start, each.end - 1) for each in new.proto.extension_range]
    for one in missing_numbers(before, after):
        text = f"{words(one)} can be used for extensions no more"
        yield difference("EXTENSION_MESSAGE_NO_DELETE", old.name, text)


def missing_numbers(old: Iterable[Range], new: Iterable[Range]) -> Iterator[Range]:
    """Yields the numbers of the old ranges that the new ones lack."""
    present = sorted(new)
    for first, last in old:
        start = first
        for left, right in present:
            if right < start:
                continue
            if left > last:
                break
            if left > start:
                yield start, left - 1
            start = right + 1
        if start <= last:
            yield start, last


def words(one: Range) -> str:
    """Returns a range as the .proto writes it."""
    first, last = one
    if first == last:
        return f"number {first}"
    return f"numbers {first} to {'max' if last in MAX_NUMBERS else last}"
