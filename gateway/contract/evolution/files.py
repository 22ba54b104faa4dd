"""Changes of files, and of what they define."""

from __future__ import annotations

from collections.abc import Iterator

from google.protobuf.descriptor_pb2 import FileDescriptorProto

from gateway.contract.evolution.rules import FILE_OPTIONS, Difference, difference
from gateway.contract.evolution.schema import Schema, nested_names

_OPTIMIZE = {1: "SPEED", 2: "CODE_SIZE", 3: "LITE_RUNTIME"}


def file_differences(old: Schema, new: Schema) -> Iterator[Difference]:
    """Yields changes of all files. Moving an element to another file changes what is imported."""
    for name, before in old.files.items():
        after = new.files.get(name)
        if after is None:
            yield difference("FILE_NO_DELETE", name, "the file was deleted")
        else:
            yield from _deleted_elements(before, after)
            yield from _changed_options(before, after)


def _deleted_elements(old: FileDescriptorProto, new: FileDescriptorProto) -> Iterator[Difference]:
    present = set(nested_names(new))
    for kind, nested in nested_names(old):
        if (kind, nested) not in present:
            full_name = f"{old.package}.{nested}" if old.package else nested
            text = f"the {kind} was deleted from {old.name}"
            yield difference(f"{kind.upper()}_NO_DELETE", full_name, text)
    services = {service.name for service in new.service}
    for service in old.service:
        if service.name not in services:
            full_name = f"{old.package}.{service.name}" if old.package else service.name
            text = f"the service was deleted from {old.name}"
            yield difference("SERVICE_NO_DELETE", full_name, text)


def _changed_options(old: FileDescriptorProto, new: FileDescriptorProto) -> Iterator[Difference]:
    if old.package != new.package:
        text = f"the package changed from {old.package!r} to {new.package!r}"
        yield difference("FILE_SAME_PACKAGE", old.name, text)
    before, after = old.syntax or "proto2", new.syntax or "proto2"
    if before != after:
        text = f"the syntax changed from {before} to {after}"
        yield difference("FILE_SAME_SYNTAX", old.name, text)
    for option in FILE_OPTIONS:
        was, now = getattr(old.options, option), getattr(new.options, option)
        if was != now:
            text = (
                f"the option {option} changed from {_shown(option, was)} to {_shown(option, now)}"
            )
            yield difference(f"FILE_SAME_{option.upper()}", old.name, text)


def _shown(option: str, value: object) -> str:
    if option == "optimize_for" and isinstance(value, int):
        return _OPTIMIZE.get(value, str(value))
    return str(value).lower() if isinstance(value, bool) else repr(value)
