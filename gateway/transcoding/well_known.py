"""The JSON of well-known types.

Source: "ProtoJSON Format" in protobuf's language guide, and the comments in google/protobuf/*.proto. A
`read_…` function fills a message from a JSON value; a `write_…` function returns the JSON value of a message.
Both raise ValueError: for an invalid value, or for a message that has no JSON. `Any` is in `decoding` and
`encoding`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from string import ascii_uppercase
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message

from gateway.transcoding import scalars
from gateway.transcoding.violations import Violations, prefixed, quoted

MAX_DEPTH: Final = 100
"""Maximum nesting of messages, the default limit of protobuf parsers.

A map entry counts as a message, and so does each `Value`.
"""
MAX_MASK: Final = 64 * 1024
"""Maximum characters of a field mask."""
TOO_DEEP: Final = f"nests deeper than {MAX_DEPTH} messages"

Read = Callable[[Any, Any, int], None]
"""(message to fill, JSON value, nesting depth of the message) -> None."""
Write = Callable[[Any], Any]
"""Message -> JSON value."""

_TIMESTAMP: Final = re.compile(
    r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(?:Z|([+-])(\d\d):(\d\d))", re.ASCII
)
_DURATION: Final = re.compile(r"(-?)(\d{1,12})(?:\.(\d{1,9}))?s", re.ASCII)
_CAPITALS: Final = frozenset(ascii_uppercase)
_EPOCH: Final = datetime(1970, 1, 1)
_TIMESTAMP_SECONDS: Final = range(-62_135_596_800, 253_402_300_800)
_DURATION_SECONDS: Final = range(-315_576_000_000, 315_576_000_001)
_NANOS_PER_SECOND: Final = 1_000_000_000
_MAX_OFFSET_HOURS: Final = 23
_MAX_OFFSET_MINUTES: Final = 59


def check_depth(depth: int) -> None:
    """Raises ValueError beyond `MAX_DEPTH`."""
    if depth > MAX_DEPTH:
        raise ValueError(TOO_DEEP)


def read_timestamp(message: Any, value: Any, depth: int) -> None:
    """Parses RFC 3339 with `Z` or an offset, year 1 to 9999, with up to nine decimals."""
    check_depth(depth)
    match = _TIMESTAMP.fullmatch(value) if type(value) is str else None
    if match is None:
        raise ValueError(f"expected an RFC 3339 timestamp, got {quoted(value)}")
    civil, fraction, sign, hours, minutes = match.groups()
    try:
        instant = datetime.fromisoformat(civil)
    except ValueError:
        raise ValueError(f"{quoted(value)} is not a date and time") from None
    seconds = (instant - _EPOCH) // timedelta(seconds=1)
    if sign:
        if int(hours) > _MAX_OFFSET_HOURS or int(minutes) > _MAX_OFFSET_MINUTES:
            raise ValueError(f"{quoted(value)} has no such offset from UTC")
        seconds -= int(sign + "1") * (int(hours) * 3600 + int(minutes) * 60)
    if seconds not in _TIMESTAMP_SECONDS:
        raise ValueError(f"{quoted(value)} is out of range for a timestamp")
    message.seconds = seconds
    message.nanos = int((fraction or "").ljust(9, "0"))


def write_timestamp(message: Any) -> str:
    """Formats RFC 3339 in UTC with 0, 3, 6 or 9 decimals."""
    if message.seconds not in _TIMESTAMP_SECONDS or not 0 <= message.nanos < _NANOS_PER_SECOND:
        raise ValueError("a timestamp out of range")
    instant = _EPOCH + timedelta(seconds=message.seconds)
    return f"{instant.isoformat()}{_fraction(message.nanos)}Z"


def read_duration(message: Any, value: Any, depth: int) -> None:
    """Parses seconds with up to nine decimals and a final `s`."""
    check_depth(depth)
    match = _DURATION.fullmatch(value) if type(value) is str else None
    if match is None:
        raise ValueError(f"expected a duration such as '1.5s', got {quoted(value)}")
    sign, whole, fraction = match.groups()
    factor = -1 if sign else 1
    seconds = factor * int(whole)
    nanos = factor * int((fraction or "").ljust(9, "0"))
    if seconds not in _DURATION_SECONDS:
        raise ValueError(f"{quoted(value)} is out of range for a duration")
    message.seconds = seconds
    message.nanos = nanos


def write_duration(message: Any) -> str:
    """Formats seconds with 0, 3, 6 or 9 decimals and a final `s`."""
    seconds, nanos = message.seconds, message.nanos
    if seconds not in _DURATION_SECONDS or abs(nanos) >= _NANOS_PER_SECOND or seconds * nanos < 0:
        raise ValueError("a duration out of range")
    sign = "-" if seconds < 0 or nanos < 0 else ""
    return f"{sign}{abs(seconds)}{_fraction(abs(nanos))}s"


def _fraction(nanos: int) -> str:
    if nanos == 0:
        return ""
    digits = f"{nanos:09d}"
    return "." + (digits[:3] if digits.endswith("000000") else digits.removesuffix("000"))


def read_field_mask(message: Any, value: Any, depth: int) -> None:
    """Parses comma-separated paths in lowerCamelCase, at most `MAX_MASK` characters."""
    if type(value) is not str or "_" in value:
        raise ValueError(f"expected lowerCamelCase field paths, got {quoted(value)}")
    read_field_mask_text(message, value, depth)


def read_field_mask_text(message: Any, value: Any, depth: int) -> None:
    """Parses comma-separated paths in lowerCamelCase or with proto names; a query may have both."""
    check_depth(depth)
    if len(value) > MAX_MASK:
        raise ValueError(f"a field mask of more than {MAX_MASK} characters")
    paths = snake_case(value).split(",") if value else []
    if "" in paths:
        raise ValueError(f"expected field paths with commas between them, got {quoted(value)}")
    message.paths[:] = paths


def snake_case(text: str) -> str:
    """Converts lowerCamelCase to snake_case."""
    for letter in _CAPITALS.intersection(text):
        text = text.replace(letter, f"_{letter.lower()}")
    return text


def write_field_mask(message: Any) -> str:
    """Formats lowerCamelCase paths; raises ValueError for a path that would not parse to itself."""
    return ",".join(_camel_case(path) for path in message.paths)


def _camel_case(path: str) -> str:
    camel = re.sub("_([a-z])", lambda match: match.group(1).upper(), path)
    if not path or "_" in camel or "," in camel or snake_case(camel) != path:
        raise ValueError(f"the field mask path {quoted(path)} has no lowerCamelCase form")
    return camel


def read_struct(message: Any, value: Any, depth: int) -> None:
    """Reads any object."""
    check_depth(depth)
    if type(value) is not dict:
        raise ValueError(f"expected an object, got {quoted(value)}")
    message.Clear()
    fields = message.fields
    for key, item in value.items():
        try:
            read_value(fields[key], item, depth + 2)
        except ValueError as error:
            raise Violations(*prefixed(key, error)) from None


def read_list_value(message: Any, value: Any, depth: int) -> None:
    """Reads any array."""
    check_depth(depth)
    if type(value) is not list:
        raise ValueError(f"expected an array, got {quoted(value)}")
    message.Clear()
    add = message.values.add
    for index, item in enumerate(value):
        try:
            read_value(add(), item, depth + 1)
        except ValueError as error:
            raise Violations(*prefixed(f"[{index}]", error)) from None


def read_value(message: Any, value: Any, depth: int) -> None:
    """Reads any JSON value, including null."""
    check_depth(depth)
    kind = type(value)
    if kind is str:
        message.string_value = value
    elif kind is bool:
        message.bool_value = value
    elif value is None:
        message.null_value = 0
    elif kind is dict:
        message.struct_value.SetInParent()
        read_struct(message.struct_value, value, depth + 1)
    elif kind is list:
        message.list_value.SetInParent()
        read_list_value(message.list_value, value, depth + 1)
    else:
        message.number_value = scalars.double_from_json(value)


def write_struct(message: Any) -> dict[str, Any]:
    """Returns the object."""
    return {key: write_value(item) for key, item in message.fields.items()}


def write_list_value(message: Any) -> list[Any]:
    """Returns the array."""
    return [write_value(item) for item in message.values]


def write_value(message: Any) -> Any:
    """Returns the value; raises ValueError for NaN and infinities."""
    kind = message.WhichOneof("kind")
    if kind == "struct_value":
        return write_struct(message.struct_value)
    if kind == "list_value":
        return write_list_value(message.list_value)
    if kind is None or kind == "null_value":
        return None
    value = getattr(message, kind)
    if kind == "number_value" and value - value != 0:
        raise ValueError(f"google.protobuf.Value has no JSON for the number {value}")
    return value


class WellKnown(NamedTuple):
    """Reader and writer of one type."""

    read: Read
    write: Write


_SPECIAL: Final[Mapping[str, WellKnown]] = MappingProxyType(
    {
        "google.protobuf.Timestamp": WellKnown(read_timestamp, write_timestamp),
        "google.protobuf.Duration": WellKnown(read_duration, write_duration),
        "google.protobuf.FieldMask": WellKnown(read_field_mask, write_field_mask),
        "google.protobuf.Struct": WellKnown(read_struct, write_struct),
        "google.protobuf.ListValue": WellKnown(read_list_value, write_list_value),
        "google.protobuf.Value": WellKnown(read_value, write_value),
    }
)


def well_known(descriptor: Descriptor) -> WellKnown | None:
    """Returns reader and writer of a type in this module; None: another type."""
    return _SPECIAL.get(descriptor.full_name)


def wrapper_reader(descriptor: Descriptor) -> Read:
    """Returns the reader of a wrapper type (`google.protobuf.Int64Value`, …)."""
    convert = scalars.from_json(descriptor.fields_by_name["value"])

    def read(message: Message, value: Any, depth: int) -> None:
        check_depth(depth)
        message.value = convert(value)  # type: ignore[attr-defined] # each wrapper has it

    return read
