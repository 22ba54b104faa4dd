"""Scalars, and the messages that JSON writes as one value, as JSON Schema: answered, sent, or as text.

Sources: "ProtoJSON Format" in protobuf's language guide; JSON Schema 2020-12; the OpenAPI format registry.
An answer has the one form that the edge prints; a request may have each form that it reads. Patterns are
exact, so that a value of a wrong range is wrong by the document too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeAlias

from google.protobuf.descriptor import FieldDescriptor

Schema: TypeAlias = dict[str, Any]

_F = FieldDescriptor
_INTEGERS: Final[Mapping[int, tuple[str, int, int]]] = {
    kind: (name, low, high)
    for name, low, high, kinds in (
        ("int32", -(2**31), 2**31 - 1, (_F.TYPE_INT32, _F.TYPE_SINT32, _F.TYPE_SFIXED32)),
        ("uint32", 0, 2**32 - 1, (_F.TYPE_UINT32, _F.TYPE_FIXED32)),
        ("int64", -(2**63), 2**63 - 1, (_F.TYPE_INT64, _F.TYPE_SINT64, _F.TYPE_SFIXED64)),
        ("uint64", 0, 2**64 - 1, (_F.TYPE_UINT64, _F.TYPE_FIXED64)),
    )
    for kind in kinds
}
"""Field type -> format, least and greatest value."""
_LARGEST: Final = {"double": 1.7976931348623157e308, "float": 3.4028234663852886e38}
_NOT_FINITE: Final[Schema] = {"type": "string", "enum": ["NaN", "Infinity", "-Infinity"]}
_NUMBER_TEXT: Final = r"-?(0|[1-9][0-9]{0,14})(\.[0-9]{1,15})?"
"""A number as text, below 10**15; an exponent may follow."""
_EXPONENTS: Final = {"double": "1?[0-9]{1,2}", "float": "1?[0-9]|2[0-2]"}
"""Exponents that keep such a number within the type."""
_BASE64: Final = "[A-Za-z0-9+/_-]"
_MAX_DURATION_SECONDS: Final = 315_576_000_000
_MASK_PATH: Final = "[^_,]+"
_TEXT_MASK_PATH: Final = "[^,]+"
"""A query takes a mask's paths by their proto names too."""


def _whole(pattern: str) -> str:
    return f"^({pattern})$"


def _digits_up_to(greatest: int) -> str:
    """Returns the regular expression of the decimal integers from 1 to `greatest`."""
    digits = str(greatest)
    count = len(digits)
    parts = [f"[1-9][0-9]{{0,{count - 2}}}"]
    for index, digit in enumerate(digits):
        least = 0 if index else 1
        if int(digit) > least:
            rest = count - index - 1
            parts.append(
                f"{digits[:index]}[{least}-{int(digit) - 1}]" + (f"[0-9]{{{rest}}}" if rest else "")
            )
    return "|".join((*parts, digits))


def _integers(low: int, high: int) -> str:
    """Returns the regular expression of the decimal integers of a range that holds 0."""
    below = f"|-({_digits_up_to(-low)})" if low else ""
    return f"0|{_digits_up_to(high)}{below}"


INTEGER_TEXT: Final[Mapping[int, str]] = {
    kind: _whole(_integers(low, high)) for kind, (_, low, high) in _INTEGERS.items()
}
"""Field type -> the regular expression of its integers in decimal."""
INT32: Final[Schema] = {
    "type": "integer",
    "format": "int32",
    "minimum": -(2**31),
    "maximum": 2**31 - 1,
}
_DURATION: Final = _whole(rf"-?(0|{_digits_up_to(_MAX_DURATION_SECONDS)})(\.[0-9]{{1,9}})?s")


def response_scalar(kind: int, *, int64_numbers: bool) -> Schema:
    """Returns the schema of a scalar as the edge prints it."""
    if kind in _INTEGERS:
        name, low, high = _INTEGERS[kind]
        if high > 2**32 and not int64_numbers:
            return {"type": "string", "format": name, "pattern": INTEGER_TEXT[kind]}
        return {"type": "integer", "format": name, "minimum": low, "maximum": high}
    if name := _floating(kind):
        return {"anyOf": [_number(name), dict(_NOT_FINITE)]}
    if kind == _F.TYPE_BYTES:
        return {"type": "string", "contentEncoding": "base64"}
    return {"type": "boolean" if kind == _F.TYPE_BOOL else "string"}


def request_scalar(kind: int) -> Schema:
    """Returns the schema of a scalar as the edge reads it from JSON."""
    if kind in _INTEGERS:
        name, low, high = _INTEGERS[kind]
        return {
            "type": ["integer", "string"],
            "format": name,
            "minimum": low,
            "maximum": high,
            "pattern": INTEGER_TEXT[kind],
        }
    if name := _floating(kind):
        number = f"{_NUMBER_TEXT}([eE][+-]?({_EXPONENTS[name]}))?"
        return _number(name) | {
            "type": ["number", "string"],
            "pattern": _whole(f"NaN|-?Infinity|{number}"),
        }
    if kind == _F.TYPE_BYTES:
        pattern = f"({_BASE64}{{4}})*({_BASE64}{{2}}(==)?|{_BASE64}{{3}}=?)?"
        return {"type": "string", "contentEncoding": "base64", "pattern": _whole(pattern)}
    return {"type": "boolean" if kind == _F.TYPE_BOOL else "string"}


def text_scalar(kind: int, *, int64_numbers: bool) -> Schema:
    """Returns the schema of a scalar as the edge reads it from a path or a query."""
    if kind == _F.TYPE_BOOL:
        return {"type": "boolean"}
    if kind == _F.TYPE_BYTES:
        return request_scalar(kind)
    return response_scalar(kind, int64_numbers=int64_numbers)


_TIMESTAMP: Final[Schema] = {"type": "string", "format": "date-time"}
_ANSWERED: Final[Mapping[str, Schema]] = {
    "google.protobuf.Timestamp": _TIMESTAMP,
    "google.protobuf.Duration": {"type": "string", "pattern": _DURATION},
    "google.protobuf.FieldMask": {"type": "string"},
    "google.protobuf.Struct": {"type": "object", "additionalProperties": True},
    "google.protobuf.ListValue": {"type": "array", "items": {}},
    "google.protobuf.Value": {},
    "google.protobuf.Any": {
        "type": "object",
        "properties": {"@type": {"type": "string"}},
        "additionalProperties": True,
    },
}
_SENT: Final[Mapping[str, Schema]] = dict(_ANSWERED) | {
    "google.protobuf.FieldMask": {
        "type": "string",
        "pattern": _whole(f"|{_MASK_PATH}(,{_MASK_PATH})*"),
    },
}
_TEXT: Final[Mapping[str, Schema]] = {
    "google.protobuf.Timestamp": _TIMESTAMP,
    "google.protobuf.Duration": _ANSWERED["google.protobuf.Duration"],
    "google.protobuf.FieldMask": {
        "type": "string",
        "pattern": _whole(f"|{_TEXT_MASK_PATH}(,{_TEXT_MASK_PATH})*"),
    },
}


_JSON_STRING: Final = r'"[^"\\\x00-\x1f]*"'
_JSON_SCALAR: Final = rf"(null|true|false|{_NUMBER_TEXT}|{_JSON_STRING})"
_JSON_TEXTS: Final[Mapping[str, str]] = {
    "google.protobuf.Value": _JSON_SCALAR,
    "google.protobuf.Struct": rf"\{{({_JSON_STRING}:{_JSON_SCALAR})?\}}",
    "google.protobuf.ListValue": rf"\[({_JSON_SCALAR}(,{_JSON_SCALAR})*)?\]",
}
"""Texts of JSON, as far as a pattern goes: none can match brackets, or find a key that is given twice."""


def response_message(name: str) -> Schema | None:
    """Returns the schema of a well-known type as it is printed; None where it is no special one."""
    return dict(_ANSWERED[name]) if name in _ANSWERED else None


def request_message(name: str) -> Schema | None:
    """Returns the schema of a well-known type as it is read from JSON; None where it is no special one."""
    return dict(_SENT[name]) if name in _SENT else None


def text_message(name: str) -> Schema | None:
    """Returns the schema of a well-known type in a path or a query; None where it is no special one."""
    if name in _JSON_TEXTS:
        pattern = _whole(_JSON_TEXTS[name])
        return {"type": "string", "contentMediaType": "application/json", "pattern": pattern}
    return dict(_TEXT[name]) if name in _TEXT else None


def nullable(schema: Schema) -> Schema:
    """Returns what takes null too."""
    kind = schema.get("type")
    if not schema or "null" in (kind or ()) or {"type": "null"} in schema.get("anyOf", ()):
        return schema
    if kind is not None and "enum" not in schema:
        kinds = [kind] if isinstance(kind, str) else kind
        return {**schema, "type": [*kinds, "null"]}
    alternatives = list(schema["anyOf"]) if schema.keys() == {"anyOf"} else [schema]
    return {"anyOf": [*alternatives, {"type": "null"}]}


def numbers_only(schema: Schema) -> Schema | None:
    """Returns the part of a scalar's schema that numbers match, which can have limits; None if none do."""
    for part in schema.get("anyOf", (schema,)):
        kind = part.get("type")
        for name in ("integer", "number"):
            if name in (kind if isinstance(kind, list) else [kind]):
                return {key: value for key, value in part.items() if key != "pattern"} | {
                    "type": name
                }
    return None


def map_keys(kind: int) -> Schema | None:
    """Returns the schema of a map's keys; None where any text is one."""
    if kind == _F.TYPE_BOOL:
        return {"enum": ["true", "false"]}
    return {"pattern": INTEGER_TEXT[kind]} if kind in INTEGER_TEXT else None


def _number(name: str) -> Schema:
    limit = _LARGEST[name]
    return {"type": "number", "format": name, "minimum": -limit, "maximum": limit}


def _floating(kind: int) -> str:
    return {_F.TYPE_DOUBLE: "double", _F.TYPE_FLOAT: "float"}.get(kind, "")
