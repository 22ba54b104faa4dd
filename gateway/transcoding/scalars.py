"""Scalar values: JSON <-> protobuf.

Source: "ProtoJSON Format" in protobuf's language guide. The argument of a `from_json` function is a parsed
JSON value (str, int, float, bool, None, list, dict), that of a `from_text` function the text of a path
segment or a query value. Both return the value for protobuf's Python API, or raise ValueError; its message
follows the field's name in an error.
"""

from __future__ import annotations

import binascii
import math
import re
import struct
from collections.abc import Callable, Mapping
from decimal import Decimal
from types import MappingProxyType
from typing import Any, Final

from google.protobuf.descriptor import EnumDescriptor, FieldDescriptor

from gateway.transcoding.violations import quoted, suggestion

FromJson = Callable[[Any], Any]
"""JSON value -> protobuf value; raises ValueError."""

_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,4})?")
_MAX_NUMBER: Final = 1100
"""Maximum characters of a number in a text; every double has an exact form with fewer."""
_INT64_MIN: Final = -(2**63)
_LARGEST_INTEGER: Final = 2**1023 * 2 - 1
"""No larger integer rounds to a finite double; checked first, because `float` of a huge integer is slow."""
_FLOAT_MAX: Final = struct.unpack("<f", b"\xff\xff\x7f\x7f")[0]
# Up to half a step above FLT_MAX rounds to FLT_MAX, so the printed FLT_MAX parses back.
_FLOAT_LIMIT: Final = _FLOAT_MAX * (1 + 2**-25)
_NON_FINITE: Final[Mapping[str, float]] = MappingProxyType(
    {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
)


def _expected(what: str, value: object) -> ValueError:
    return ValueError(f"expected {what}, got {quoted(value)}")


def _is_number(text: str) -> bool:
    return len(text) <= _MAX_NUMBER and _NUMBER.fullmatch(text) is not None


def _integer(name: str, integers: range) -> FromJson:
    def from_json(value: Any) -> int:
        if type(value) is int:
            number = value
        elif type(value) is str:
            number = _integer_text(value, name)
        elif type(value) is float and value.is_integer():
            number = _integer_float(value)
        else:
            raise _expected(f"an integer ({name})", value)
        if number in integers:
            return number
        raise ValueError(f"{quoted(value)} is out of range for {name}")

    return from_json


def _integer_float(value: float) -> int:
    """Converts a float; -2**63 is out of range, as the parser may have rounded a smaller integer to it."""
    return int(value) if value > _INT64_MIN else _INT64_MIN - 1


def _integer_text(text: str, name: str) -> int:
    if text.isascii() and text.isdigit() and (text[0] != "0" or text == "0") and len(text) <= 20:
        return int(text)
    if _is_number(text):
        number = Decimal(text)
        if number == 0:
            return 0
        if number.adjusted() <= 20 and number == number.to_integral_value():
            return int(number)
        if number.adjusted() > 20:
            raise ValueError(f"{quoted(text)} is out of range for {name}")
    raise _expected(f"an integer ({name})", text)


def double_from_json(value: Any) -> float:
    """Converts a number, its text, or `NaN`, `Infinity`, `-Infinity`; checks the range of a double."""
    if type(value) is float or type(value) is int:
        number = float(value) if abs(value) <= _LARGEST_INTEGER else math.inf
    elif type(value) is str:
        if value in _NON_FINITE:
            return _NON_FINITE[value]
        if not _is_number(value):
            raise _expected("a number", value)
        number = float(value)
    else:
        raise _expected("a number", value)
    if math.isinf(number):
        raise ValueError(f"{quoted(value)} is out of range for double")
    return number


def float_from_json(value: Any) -> float:
    """Converts as `double_from_json`; checks the range of a 32-bit float."""
    number = double_from_json(value)
    if abs(number) > _FLOAT_MAX and math.isfinite(number):
        if abs(number) > _FLOAT_LIMIT:
            raise ValueError(f"{quoted(value)} is out of range for float")
        return math.copysign(_FLOAT_MAX, number)
    return number


def bool_from_json(value: Any) -> bool:
    """Converts true or false."""
    if value is True or value is False:
        return value
    raise _expected("true or false", value)


def bool_from_text(text: str) -> bool:
    """Converts `true` and `false` in any case, and `1` and `0`, which many HTTP clients send."""
    value = {"true": True, "1": True, "false": False, "0": False}.get(text.lower())
    if value is None:
        raise _expected("true or false", text)
    return value


def string_from_json(value: Any) -> str:
    """Converts a string; the JSON parser has refused lone surrogates."""
    if type(value) is not str:
        raise _expected("a string", value)
    return value


def string_from_text(text: str) -> str:
    """Returns the text."""
    return text


def bytes_from_json(value: Any) -> bytes:
    """Decodes base64: standard or URL-safe alphabet, with or without padding."""
    if type(value) is not str:
        raise _expected("base64 text", value)
    text = value.translate(_TO_STANDARD_BASE64) if "-" in value or "_" in value else value
    if not text.endswith("="):
        text += "=" * (-len(text) % 4)
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except ValueError:
        raise _expected("base64 text", value) from None


_TO_STANDARD_BASE64: Final = str.maketrans("-_", "+/")


def bytes_to_json(value: bytes) -> str:
    """Encodes standard base64 with padding."""
    return binascii.b2a_base64(value, newline=False).decode()


def double_to_json(value: float) -> float | str:
    """Returns the number; for NaN and infinities their text."""
    if value - value == 0:
        return value
    if value != value:
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"


def float_to_json(value: float) -> float | str:
    """Returns the shortest number that parses to the same 32-bit float; for NaN and infinities their text."""
    if value - value != 0:
        return double_to_json(value)
    for digits in (6, 7, 8, 9):
        short = float(f"{value:.{digits}g}")
        if abs(short) <= _FLOAT_MAX and _as_float(short) == value:
            return short
    return value  # FLT_MAX: rounded to nine digits it exceeds the range, which some parsers refuse


def _as_float(value: float) -> float:
    number: float = struct.unpack("<f", struct.pack("<f", value))[0]
    return number


def enum_from_json(enum: EnumDescriptor) -> FromJson:
    """Returns the function that converts a value's name or number; an open enum accepts any int32."""
    numbers = {name: value.number for name, value in enum.values_by_name.items()}
    known = frozenset(enum.values_by_number)

    def from_json(value: Any) -> int:
        number = numbers.get(value) if type(value) is str else None
        if number is not None:
            return number
        if type(value) is str and not _is_number(value):
            raise UnknownEnumValue(
                f"{enum.full_name} has no value {quoted(value)}{suggestion(value, numbers)}"
            )
        number = _FROM_JSON[FieldDescriptor.TYPE_INT32](value)
        if enum.is_closed and number not in known:
            raise UnknownEnumValue(f"{enum.full_name} has no value {number}")
        return int(number)

    return from_json


class UnknownEnumValue(ValueError):
    """An enum has no such value; ignored with `ignore_unknown`."""


_INTEGER_TYPES: Final[Mapping[str, tuple[range, tuple[int, ...]]]] = MappingProxyType(
    {
        "int32": (
            range(-(2**31), 2**31),
            (
                FieldDescriptor.TYPE_INT32,
                FieldDescriptor.TYPE_SINT32,
                FieldDescriptor.TYPE_SFIXED32,
            ),
        ),
        "uint32": (
            range(2**32),
            (FieldDescriptor.TYPE_UINT32, FieldDescriptor.TYPE_FIXED32),
        ),
        "int64": (
            range(_INT64_MIN, 2**63),
            (
                FieldDescriptor.TYPE_INT64,
                FieldDescriptor.TYPE_SINT64,
                FieldDescriptor.TYPE_SFIXED64,
            ),
        ),
        "uint64": (
            range(2**64),
            (FieldDescriptor.TYPE_UINT64, FieldDescriptor.TYPE_FIXED64),
        ),
    }
)
INTEGERS: Final[Mapping[int, range]] = MappingProxyType(
    {kind: integers for integers, kinds in _INTEGER_TYPES.values() for kind in kinds}
)
"""Integer field type -> its range."""

_FROM_JSON: Final[Mapping[int, FromJson]] = MappingProxyType(
    {
        kind: _integer(name, integers)
        for name, (integers, kinds) in _INTEGER_TYPES.items()
        for kind in kinds
    }
    | {
        FieldDescriptor.TYPE_DOUBLE: double_from_json,
        FieldDescriptor.TYPE_FLOAT: float_from_json,
        FieldDescriptor.TYPE_BOOL: bool_from_json,
        FieldDescriptor.TYPE_STRING: string_from_json,
        FieldDescriptor.TYPE_BYTES: bytes_from_json,
    }
)


def from_json(field: FieldDescriptor) -> FromJson:
    """Returns the function that converts a JSON value for a scalar or enum field."""
    if field.enum_type is not None:
        return enum_from_json(field.enum_type)
    return _FROM_JSON[field.type]


def from_text(field: FieldDescriptor) -> Callable[[str], Any]:
    """Returns the function that converts a path segment, query value or map key for such a field."""
    if field.type == FieldDescriptor.TYPE_BOOL:
        return bool_from_text
    if field.type == FieldDescriptor.TYPE_STRING:
        return string_from_text
    return from_json(field)
