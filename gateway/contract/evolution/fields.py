"""Changes of one field, or of one extension.

Sources: "Updating a message type" and "ProtoJSON format" of the protobuf documentation, and the groups of
compatible types that `buf breaking` makes of them. A change counts as compatible only if every message that
one side may write is read by the other one.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from typing import Final

from google.protobuf.descriptor_pb2 import FeatureSet, FieldDescriptorProto, FieldOptions

from gateway.contract.evolution.enums import is_subset
from gateway.contract.evolution.rules import Difference, difference
from gateway.contract.evolution.schema import Field, Schema, Type

_T: Final = FieldDescriptorProto


def _groups(*groups: tuple[Type, ...]) -> Mapping[Type, int]:
    return {kind: index for index, group in enumerate(groups) for kind in group}


_SAME_ON_THE_WIRE: Final = _groups(
    (_T.TYPE_INT32, _T.TYPE_INT64, _T.TYPE_UINT32, _T.TYPE_UINT64, _T.TYPE_BOOL),
    (_T.TYPE_SINT32, _T.TYPE_SINT64),
    (_T.TYPE_FIXED32, _T.TYPE_SFIXED32),
    (_T.TYPE_FIXED64, _T.TYPE_SFIXED64),
    *((kind,) for kind in (_T.TYPE_STRING, _T.TYPE_BYTES, _T.TYPE_DOUBLE, _T.TYPE_FLOAT)),
    *((kind,) for kind in (_T.TYPE_GROUP, _T.TYPE_MESSAGE, _T.TYPE_ENUM)),
)
_SAME_IN_JSON: Final = _groups(
    (_T.TYPE_INT32, _T.TYPE_UINT32),
    (_T.TYPE_INT64, _T.TYPE_UINT64),
    (_T.TYPE_FIXED32, _T.TYPE_SFIXED32),
    (_T.TYPE_FIXED64, _T.TYPE_SFIXED64),
    *((kind,) for kind in (_T.TYPE_BOOL, _T.TYPE_SINT32, _T.TYPE_SINT64, _T.TYPE_STRING)),
    *((kind,) for kind in (_T.TYPE_BYTES, _T.TYPE_DOUBLE, _T.TYPE_FLOAT, _T.TYPE_GROUP)),
    *((kind,) for kind in (_T.TYPE_MESSAGE, _T.TYPE_ENUM)),
)
"""Types whose JSON and bytes are both compatible: 64-bit integers are strings in JSON."""
_MESSAGES: Final = frozenset({_T.TYPE_MESSAGE, _T.TYPE_GROUP})
_64_BITS: Final = frozenset(
    {_T.TYPE_INT64, _T.TYPE_UINT64, _T.TYPE_SINT64, _T.TYPE_FIXED64, _T.TYPE_SFIXED64}
)
_TEXTS: Final = frozenset({_T.TYPE_STRING, _T.TYPE_BYTES})


def field_differences(
    old_schema: Schema, new_schema: Schema, old: Field, new: Field
) -> Iterator[Difference]:
    """Yields the changes of a field that both have, found by its number.

    Args:
        old_schema: the contract that `old` is part of.
        new_schema: that of `new`.
        old: the field.
        new: the same.
    """
    yield from _names(old, new)
    yield from _type(old_schema, new_schema, old, new)
    if not (old.in_map_entry and new.in_map_entry):
        yield from _cardinality(old_schema, new_schema, old, new)
        yield from _cpp_string_type(old, new)
    yield from _default(old_schema, new_schema, old, new)
    yield from _oneof(old, new)
    yield from _strings(old, new)
    was, now = old.proto.options.jstype, new.proto.options.jstype
    if was != now and old.proto.type in _64_BITS and new.proto.type in _64_BITS:
        shown = " to ".join(map(FieldOptions.JSType.Name, (was, now)))
        yield difference("FIELD_SAME_JSTYPE", old.name, f"the option jstype changed from {shown}")


def _names(old: Field, new: Field) -> Iterator[Difference]:
    number = old.proto.number
    if old.proto.extendee:
        if old.name != new.name:
            text = f"the name of extension {number} changed to {new.name}"
            yield difference("FIELD_SAME_NAME", old.name, text)
        return
    if old.proto.name != new.proto.name:
        text = f"the name of field {number} changed to {new.proto.name}"
        yield difference("FIELD_SAME_NAME", old.name, text)
    if old.json_name != new.json_name:
        text = f"the JSON name changed from {old.json_name} to {new.json_name}"
        yield difference("FIELD_SAME_JSON_NAME", old.name, text)


def _type(old_schema: Schema, new_schema: Schema, old: Field, new: Field) -> Iterator[Difference]:
    before, after = old.type, new.type
    text = f"the type changed from {_type_words(old)} to {_type_words(new)}"
    if before != after:
        yield difference("FIELD_SAME_TYPE", old.name, text)
        if _SAME_ON_THE_WIRE[before] != _SAME_ON_THE_WIRE[after] and not (
            before == _T.TYPE_STRING and after == _T.TYPE_BYTES
        ):
            yield difference("FIELD_WIRE_COMPATIBLE_TYPE", old.name, text)
        if _SAME_IN_JSON[before] != _SAME_IN_JSON[after]:
            yield difference("FIELD_WIRE_JSON_COMPATIBLE_TYPE", old.name, text)
    elif old.type_name != new.type_name:
        yield difference("FIELD_SAME_TYPE", old.name, text)
        if after in _MESSAGES or not _same_enum(old_schema, new_schema, old, new):
            yield difference("FIELD_WIRE_COMPATIBLE_TYPE", old.name, text)
            yield difference("FIELD_WIRE_JSON_COMPATIBLE_TYPE", old.name, text)


def _same_enum(old_schema: Schema, new_schema: Schema, old: Field, new: Field) -> bool:
    """Whether the enum was moved, perhaps with new values: the short name and the values are there."""
    before, after = old_schema.enums.get(old.type_name), new_schema.enums.get(new.type_name)
    if before is None or after is None:
        return False
    return before.proto.name == after.proto.name and is_subset(before.proto, after.proto)


def _type_words(field: Field) -> str:
    return field.type_name or _T.Type.Name(field.type).removeprefix("TYPE_").lower()


def _cardinality(
    old_schema: Schema, new_schema: Schema, old: Field, new: Field
) -> Iterator[Difference]:
    before, after = _cardinality_words(old_schema, old), _cardinality_words(new_schema, new)
    if before == after:
        return
    text = f"the field changed from {before} to {after}"
    yield difference("FIELD_SAME_CARDINALITY", old.name, text)
    many = ("repeated", "a map")
    optional = (_IMPLICIT, _EXPLICIT)
    if not (before in optional and after in optional):
        yield difference("FIELD_WIRE_JSON_COMPATIBLE_CARDINALITY", old.name, text)
        if not (before in many and after in many):
            yield difference("FIELD_WIRE_COMPATIBLE_CARDINALITY", old.name, text)


_IMPLICIT: Final = "singular without presence"
_EXPLICIT: Final = "singular with presence"


def _cardinality_words(schema: Schema, field: Field) -> str:
    if field.is_repeated:
        return "repeated" if schema.map_entry(field) is None else "a map"
    if field.is_required:
        return "required"
    explicit = (
        field.type in _MESSAGES
        or bool(field.proto.extendee)
        or field.oneof is not None
        or field.proto.proto3_optional
        or field.features.field_presence != FeatureSet.IMPLICIT
    )
    return _EXPLICIT if explicit else _IMPLICIT


def _oneof(old: Field, new: Field) -> Iterator[Difference]:
    if old.proto.extendee:
        return
    before, after = old.oneof, new.oneof
    was, now = (None if one is None else one.name for one in (before, after))
    if was == now:
        return
    if was is None:
        text = f"the field moved into the oneof {now}"
    elif now is None:
        text = f"the field moved out of the oneof {was}"
    else:
        text = f"the field moved from the oneof {was} to {now}"
    yield difference("FIELD_SAME_ONEOF", old.name, text)


def _default(
    old_schema: Schema, new_schema: Schema, old: Field, new: Field
) -> Iterator[Difference]:
    if any(each.is_repeated or each.type in _MESSAGES for each in (old, new)):
        return
    before, after = _default_of(old_schema, old), _default_of(new_schema, new)
    if not before and not after:
        return
    if not _same_value(before, after, {old.type, new.type}):
        text = f"the default changed from {_shown(before)} to {_shown(after)}"
        yield difference("FIELD_SAME_DEFAULT", old.name, text)


def _default_of(schema: Schema, field: Field) -> str | int | float:
    """Returns the default of a singular scalar field; bytes as a string of their Latin-1."""
    text, kind = field.proto.default_value, field.type
    if kind == _T.TYPE_BYTES:
        return text.encode("latin-1", "replace").decode("unicode_escape")
    if kind == _T.TYPE_STRING:
        return text
    if kind == _T.TYPE_ENUM:
        values = (
            schema.enums[field.type_name].proto.value if field.type_name in schema.enums else ()
        )
        by_name = {value.name: value.number for value in values}
        return by_name.get(text, values[0].number if values else 0)
    if kind == _T.TYPE_BOOL:
        return text == "true"
    if kind in (_T.TYPE_DOUBLE, _T.TYPE_FLOAT):
        number = float(text or 0)
        return number if kind == _T.TYPE_DOUBLE else _as_float32(number)
    return int(text or 0)


def _same_value(one: str | float, other: str | float, types: set[Type]) -> bool:
    if isinstance(one, str) or isinstance(other, str):
        return one == other
    if one != one or other != other:  # NaN
        return one != one and other != other
    if types == {_T.TYPE_DOUBLE, _T.TYPE_FLOAT}:
        return _as_float32(one) == _as_float32(other)
    return one == other


def _as_float32(number: float) -> float:
    try:
        return float(struct.unpack("<f", struct.pack("<f", number))[0])
    except OverflowError:
        return float("inf") if number > 0 else float("-inf")


def _shown(value: str | float) -> str:
    return repr(value) if isinstance(value, str) else str(value)


def _cpp_string_type(old: Field, new: Field) -> Iterator[Difference]:
    if old.proto.type not in _TEXTS or new.proto.type not in _TEXTS:
        return
    before, after = old.proto.options.ctype, new.proto.options.ctype
    widened = before == FieldOptions.STRING_PIECE and after == FieldOptions.STRING
    if before != after and not widened:
        shown = " to ".join(map(FieldOptions.CType.Name, (before, after)))
        text = f"the option ctype changed from {shown}"
        yield difference("FIELD_SAME_CPP_STRING_TYPE", old.name, text)


def _strings(old: Field, new: Field) -> Iterator[Difference]:
    """Yields changes of whether the bytes of a string are checked to be UTF-8."""
    if not old.proto.type == new.proto.type == _T.TYPE_STRING:
        return
    if old.features.utf8_validation != new.features.utf8_validation:
        text = "whether its bytes are checked to be UTF-8 changed"
        yield difference("FIELD_SAME_UTF8_VALIDATION", old.name, text)
    if _java_utf8(old) != _java_utf8(new):
        text = "whether Java checks its bytes to be UTF-8 changed"
        yield difference("FIELD_SAME_JAVA_UTF8_VALIDATION", old.name, text)


def _java_utf8(field: Field) -> bool:
    return field.java_utf8 or field.features.utf8_validation == FeatureSet.VERIFY
