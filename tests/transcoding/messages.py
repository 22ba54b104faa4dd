"""Random messages of any type, and both directions of the codec in one call."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message_factory import GetMessageClass
from hypothesis import strategies as st

from gateway.transcoding.codec import JsonCodec, JsonOptions, parse_json
from gateway.transcoding.decoding import JsonDecoder
from gateway.transcoding.violations import items_of
from tests.contracts import echo_contract

POOL = echo_contract().pool
EVERYTHING: Any = GetMessageClass(POOL.FindMessageTypeByName("echo.v1.Everything"))
NESTED: Any = GetMessageClass(POOL.FindMessageTypeByName("echo.v1.Nested"))
OLD: Any = GetMessageClass(POOL.FindMessageTypeByName("legacy.Old"))

INTS = {
    FieldDescriptor.CPPTYPE_INT32: st.integers(-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_INT64: st.integers(-(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT32: st.integers(0, 2**32 - 1),
    FieldDescriptor.CPPTYPE_UINT64: st.integers(0, 2**64 - 1),
}
TEXTS = st.text(max_size=6)
_MAX_DEPTH = 3


@cache
def codec(options: JsonOptions = JsonOptions()) -> JsonCodec:  # noqa: B008 -- frozen
    """Returns the codec of the tests' contract."""
    return JsonCodec(POOL, options)


def decoded(text: str | bytes, kind: Any = EVERYTHING, *, ignore_unknown: bool = False) -> Any:
    """Returns the message that a JSON text stands for; raises ValueError as the codec does."""
    decoder = JsonDecoder(POOL, ignore_unknown=True) if ignore_unknown else codec().decoder
    message = kind()
    decoder.reader(kind.DESCRIPTOR)(
        message, parse_json(text.encode() if isinstance(text, str) else text), 0
    )
    return message


def encoded(message: Any, options: JsonOptions = JsonOptions()) -> Any:  # noqa: B008 -- frozen
    """Returns the JSON value of a message."""
    return codec(options).encoder().writer(message.DESCRIPTOR)(message)


def violations(text: str | bytes, kind: Any = EVERYTHING) -> list[tuple[str, str]]:
    """Returns what is wrong with a JSON text, path by path."""
    try:
        decoded(text, kind)
    except ValueError as error:
        return list(items_of(error))
    return []


def scalar_values(field: FieldDescriptor) -> st.SearchStrategy[Any]:
    """Draws values for a scalar or enum field."""
    if field.enum_type is not None:
        known = st.sampled_from([value.number for value in field.enum_type.values])
        closed = field.enum_type.is_closed or field.enum_type.name == "NullValue"
        return known if closed else known | st.integers(-(2**31), 2**31 - 1)
    if field.cpp_type in INTS:
        return INTS[field.cpp_type]
    if field.type == FieldDescriptor.TYPE_BOOL:
        return st.booleans()
    if field.type == FieldDescriptor.TYPE_STRING:
        return TEXTS
    if field.type == FieldDescriptor.TYPE_BYTES:
        return st.binary(max_size=6)
    if field.type == FieldDescriptor.TYPE_FLOAT:
        return st.floats(width=32).map(_canonical)
    return st.floats().map(_canonical)


def _canonical(value: float) -> float:
    return math.nan if math.isnan(value) else value


@st.composite
def messages(draw: st.DrawFn, kind: Any, depth: int = 0) -> Any:
    """Draws a message with some of its fields set."""
    message = kind()
    fields = list(kind.DESCRIPTOR.fields)
    if kind.DESCRIPTOR.is_extendable:
        fields += POOL.FindAllExtensions(kind.DESCRIPTOR)
    chosen = draw(st.lists(st.sampled_from(fields), max_size=4, unique=True)) if fields else []
    required = [field for field in fields if field.is_required]
    for field in [*required, *chosen]:
        _fill(draw, message, field, depth)
    return message


def _fill(draw: st.DrawFn, message: Any, field: FieldDescriptor, depth: int) -> None:
    if field.message_type is not None and depth >= _MAX_DEPTH:
        return
    holder = message.Extensions if field.is_extension else None
    value = holder[field] if holder is not None else getattr(message, field.name)
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        key, item = (field.message_type.fields_by_name[name] for name in ("key", "value"))
        for chosen in draw(st.lists(scalar_values(key), max_size=2, unique=True)):
            if item.message_type is None:
                value[chosen] = draw(scalar_values(item))
            else:
                value[chosen].CopyFrom(draw(_message(item.message_type, depth)))
    elif field.is_repeated and field.message_type is not None:
        value.extend(draw(st.lists(_message(field.message_type, depth), max_size=2)))
    elif field.is_repeated:
        at_least = 1 if field.is_extension else 0  # the oracle prints an empty one that was touched
        value.extend(draw(st.lists(scalar_values(field), min_size=at_least, max_size=3)))
    elif field.message_type is not None:
        value.SetInParent()
        value.CopyFrom(draw(_message(field.message_type, depth)))
    elif holder is not None:
        holder[field] = draw(scalar_values(field))
    else:
        setattr(message, field.name, draw(scalar_values(field)))


def _message(descriptor: Descriptor, depth: int) -> st.SearchStrategy[Any]:
    kind = GetMessageClass(descriptor)
    special = _SPECIAL.get(descriptor.full_name)
    return special(kind, depth) if special else messages(kind, depth + 1)


@st.composite
def _timestamps(draw: st.DrawFn, kind: Any, depth: int) -> Any:
    seconds = draw(st.integers(-62_135_596_800, 253_402_300_799))
    return kind(seconds=seconds, nanos=draw(_NANOS))


@st.composite
def _durations(draw: st.DrawFn, kind: Any, depth: int) -> Any:
    sign = draw(st.sampled_from([-1, 1]))
    seconds = draw(st.integers(0, 315_575_999_999))
    return kind(seconds=sign * seconds, nanos=sign * draw(_NANOS))


_NANOS = st.sampled_from([0, 10**6, 10**3, 1, 999_999_999]) | st.integers(0, 999_999_999)


@st.composite
def _masks(draw: st.DrawFn, kind: Any, depth: int) -> Any:
    return kind(
        paths=draw(st.lists(st.from_regex(r"[a-z]{1,3}(_[a-z]{1,3}|\.[a-z])?", fullmatch=True)))
    )


@st.composite
def _values(draw: st.DrawFn, kind: Any, depth: int) -> Any:
    json = draw(
        st.recursive(
            st.none() | st.booleans() | TEXTS | st.floats(allow_nan=False, allow_infinity=False),
            lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXTS, inner, max_size=2),
            max_leaves=4,
        )
    )
    message: Any = kind()
    if kind.DESCRIPTOR.name == "Struct":
        message.update(json if isinstance(json, dict) else {"a": json})
    elif kind.DESCRIPTOR.name == "ListValue":
        message.extend(json if isinstance(json, list) else [json])
    else:
        holder: Any = GetMessageClass(POOL.FindMessageTypeByName("google.protobuf.ListValue"))()
        holder.extend([json])
        message.CopyFrom(holder.values[0])
    return message


@st.composite
def _anys(draw: st.DrawFn, kind: Any, depth: int) -> Any:
    name = draw(
        st.sampled_from(
            ["echo.v1.Nested", "google.protobuf.Duration", "google.protobuf.Int64Value",
             "google.protobuf.Empty", "google.protobuf.Struct"]
        )
    )  # fmt: skip
    message = kind()
    message.Pack(draw(_message(POOL.FindMessageTypeByName(name), depth)))
    return message


_SPECIAL = {
    "google.protobuf.Timestamp": _timestamps,
    "google.protobuf.Duration": _durations,
    "google.protobuf.FieldMask": _masks,
    "google.protobuf.Struct": _values,
    "google.protobuf.Value": _values,
    "google.protobuf.ListValue": _values,
    "google.protobuf.Any": _anys,
}


def same(one: Any, other: Any) -> bool:
    """Whether two JSON values are equal, by type too: 1 is not true, and NaN is itself."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, float) and isinstance(other, float | int) and not isinstance(other, bool):
        return one == other and math.copysign(1, one) == math.copysign(1, other)
    return type(one) is type(other) and bool(one == other)
