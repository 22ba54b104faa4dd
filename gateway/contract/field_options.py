"""Field options that the rendered documents show.

Sources: google/api/field_behavior.proto and AIP-203; google/api/field_info.proto; `deprecated` of
google/protobuf/descriptor.proto; `gateway.v1.values` in gateway/v1/options.proto.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Final

from google.api import field_behavior_pb2, field_info_pb2
from google.api.field_behavior_pb2 import FieldBehavior
from google.protobuf.descriptor import FieldDescriptor

from gateway.v1 import options_pb2

_REQUIRED: Final = FieldBehavior.REQUIRED
_OUTPUT_ONLY: Final = FieldBehavior.OUTPUT_ONLY
_INPUT_ONLY: Final = FieldBehavior.INPUT_ONLY
_NOTES: Final[Mapping[int, str]] = {
    FieldBehavior.IMMUTABLE: "Immutable: it cannot be changed after it is set.",
    FieldBehavior.UNORDERED_LIST: "The order of the elements has no meaning.",
    FieldBehavior.NON_EMPTY_DEFAULT: "If it is not set, the server chooses a value.",
    FieldBehavior.IDENTIFIER: "The name of the resource; optional in a request that creates one.",
}
"""Descriptions of behaviors for which JSON Schema has no keyword."""
_FORMATS: Final[Mapping[int, str]] = {
    field_info_pb2.FieldInfo.UUID4: "uuid",
    field_info_pb2.FieldInfo.IPV4: "ipv4",
    field_info_pb2.FieldInfo.IPV6: "ipv6",
}


@dataclasses.dataclass(frozen=True, slots=True)
class FieldAnnotations:
    """The options of one field."""

    required: bool = False
    """REQUIRED, or proto2's `required`; never together with `output_only`."""
    output_only: bool = False
    input_only: bool = False
    deprecated: bool = False
    notes: tuple[str, ...] = ()
    """Descriptions of its other `google.api.field_behavior` values."""
    format: str = ""
    """A `format` of JSON Schema; empty: none."""
    values: options_pb2.FieldValues = dataclasses.field(default_factory=options_pb2.FieldValues)
    """The `gateway.v1.values` option; empty: not set."""


_NOTHING: Final = FieldAnnotations()
_REQUIRED_OF_PROTO2: Final = FieldAnnotations(required=True)


def field_annotations(field: FieldDescriptor) -> FieldAnnotations:
    """Reads the options of a field."""
    if not field.has_options:
        return _REQUIRED_OF_PROTO2 if field.is_required else _NOTHING
    options = field.GetOptions()
    behaviors = frozenset(_extension(options, field_behavior_pb2.field_behavior))
    output_only = _OUTPUT_ONLY in behaviors
    return FieldAnnotations(
        required=(_REQUIRED in behaviors and not output_only) or field.is_required,
        output_only=output_only,
        input_only=_INPUT_ONLY in behaviors,
        deprecated=options.deprecated,
        notes=tuple(text for behavior, text in _NOTES.items() if behavior in behaviors),
        format=_FORMATS.get(_extension(options, field_info_pb2.field_info).format, ""),
        values=_extension(options, options_pb2.values),
    )


def is_alternative(field: FieldDescriptor) -> bool:
    """Whether it is one of several REQUIRED fields of a oneof: a message has exactly one of them."""
    oneof = field.containing_oneof
    if oneof is None or not field_annotations(field).required:
        return False
    return sum(field_annotations(each).required for each in oneof.fields) > 1


def _extension(options: Any, extension: Any) -> Any:
    return options.Extensions[extension]
