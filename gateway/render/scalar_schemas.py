"""Scalars and well-known types as JSON Schema: in responses, in requests, and as text in a path or a query.

Sources: "ProtoJSON Format" in protobuf's language guide; JSON Schema 2020-12; the OpenAPI format registry. A
response has the form that the edge prints, a request any form that it accepts. Patterns are exact: they
exclude values out of range.
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
"""Field type -> format, minimum, maximum."""
_LARGEST: Final = {"double": 1.7976931348623157e308, "float": 3.4028234663852886e38}
_NOT_FINITE: Final[Schema] = {"type": "string", "enum": ["NaN", "Infinity", "-Infinity"]}
_NUMBER_TEXT: Final = r"-?(0|[1-9][0-9]{0,14})(\.[0-9]{1,15})?"
"""A number below 10**15 as text, without exponent."""
_EXPONENTS: Final = {"double": "1?[0-9]{1,2}", "float": "1?[0-9]|2[0-2]"}
"""Exponents with which such a number is in the range of the type."""
_BASE64: Final = "[A-Za-z0-9+/_-]"
_MAX_DURATION_SECONDS: Final = 315_576_000_000
_MASK_PATH: Final = "[^_,]+"
_TEXT_MASK_PATH: Final = "[^,]+"
"""In a query, paths of a mask may have proto names."""


def _anchored(pattern: str) -> str:
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
    """Returns the regular expression of the decimal integers of a range that includes 0."""
    below = f"|-({_digits_up_to(-low)})" if low else ""
    return f"0|{_digits_up_to(high)}{below}"


INTEGER_TEXT: Final[Mapping[int, str]] = {
    kind: _anchored(_integers(low, high)) for kind, (_, low, high) in _INTEGERS.items()
}
"""Field type -> regular expression of its decimal integers."""
INT32: Final[Schema] = {
    "type": "integer",
    "format": "int32",
    "minimum": -(2**31),
    "maximum": 2**31 - 1,
}
_DURATION: Final = _anchored(rf"-?(0|{_digits_up_to(_MAX_DURATION_SECONDS)})(\.[0-9]{{1,9}})?s")


def response_scalar(kind: int, *, int64_numbers: bool) -> Schema:
    """Returns the schema of a scalar in a response."""
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
    """Returns the schema of a scalar in a request's JSON."""
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
            "pattern": _anchored(f"NaN|-?Infinity|{number}"),
        }
    if kind == _F.TYPE_BYTES:
        pattern = f"({_BASE64}{{4}})*({_BASE64}{{2}}(==)?|{_BASE64}{{3}}=?)?"
        return {"type": "string", "contentEncoding": "base64", "pattern": _anchored(pattern)}
    return {"type": "boolean" if kind == _F.TYPE_BOOL else "string"}


def text_scalar(kind: int, *, int64_numbers: bool) -> Schema:
    """Returns the schema of a scalar in a path or a query."""
    if kind == _F.TYPE_BOOL:
        return {"type": "boolean"}
    if kind == _F.TYPE_BYTES:
        return request_scalar(kind)
    return response_scalar(kind, int64_numbers=int64_numbers)


_TIMESTAMP: Final[Schema] = {"type": "string", "format": "date-time"}
_RESPONSE_MESSAGES: Final[Mapping[str, Schema]] = {
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
_REQUEST_MESSAGES: Final[Mapping[str, Schema]] = dict(_RESPONSE_MESSAGES) | {
    "google.protobuf.FieldMask": {
        "type": "string",
        "pattern": _anchored(f"|{_MASK_PATH}(,{_MASK_PATH})*"),
    },
}
_TEXT_MESSAGES: Final[Mapping[str, Schema]] = {
    "google.protobuf.Timestamp": _TIMESTAMP,
    "google.protobuf.Duration": _RESPONSE_MESSAGES["google.protobuf.Duration"],
    "google.protobuf.FieldMask": {
        "type": "string",
        "pattern": _anchored(f"|{_TEXT_MASK_PATH}(,{_TEXT_MASK_PATH})*"),
    },
}


_JSON_STRING: Final = r'"[^"\\\x00-\x1f]*"'
_JSON_SCALAR: Final = rf"(null|true|false|{_NUMBER_TEXT}|{_JSON_STRING})"
_JSON_TEXTS: Final[Mapping[str, str]] = {
    "google.protobuf.Value": _JSON_SCALAR,
    "google.protobuf.Struct": rf"\{{({_JSON_STRING}:{_JSON_SCALAR})?\}}",
    "google.protobuf.ListValue": rf"\[({_JSON_SCALAR}(,{_JSON_SCALAR})*)?\]",
}
"""Patterns for JSON text without nesting: a pattern can neither match brackets nor find duplicate keys."""


def response_message(name: str) -> Schema | None:
    """Returns the schema of a well-known type in a response; None: another type."""
    return dict(_RESPONSE_MESSAGES[name]) if name in _RESPONSE_MESSAGES else None


def request_message(name: str) -> Schema | None:
    """Returns the schema of a well-known type in a request's JSON; None: another type."""
    return dict(_REQUEST_MESSAGES[name]) if name in _REQUEST_MESSAGES else None


def text_message(name: str) -> Schema | None:
    """Returns the schema of a well-known type in a path or a query; None: another type."""
    if name in _JSON_TEXTS:
        pattern = _anchored(_JSON_TEXTS[name])
        return {"type": "string", "contentMediaType": "application/json", "pattern": pattern}
    return dict(_TEXT_MESSAGES[name]) if name in _TEXT_MESSAGES else None


def nullable(schema: Schema) -> Schema:
    """Returns a schema that also accepts null."""
    kind = schema.get("type")
    if not schema or "null" in (kind or ()) or {"type": "null"} in schema.get("anyOf", ()):
        return schema
    if kind is not None and "enum" not in schema:
        kinds = [kind] if isinstance(kind, str) else kind
        return {**schema, "type": [*kinds, "null"]}
    alternatives = list(schema["anyOf"]) if schema.keys() == {"anyOf"} else [schema]
    return {"anyOf": [*alternatives, {"type": "null"}]}


def numbers_only(schema: Schema) -> Schema | None:
    """Returns the part of a scalar's schema that accepts numbers, without pattern; None: there is none."""
    for part in schema.get("anyOf", (schema,)):
        kind = part.get("type")
        for name in ("integer", "number"):
            if name in (kind if isinstance(kind, list) else [kind]):
                return {key: value for key, value in part.items() if key != "pattern"} | {
                    "type": name
                }
    return None


def map_keys(kind: int) -> Schema | None:
    """Returns the schema of a map's keys; None: any string."""
    if kind == _F.TYPE_BOOL:
        return {"enum": ["true", "false"]}
    return {"pattern": INTEGER_TEXT[kind]} if kind in INTEGER_TEXT else None


def _number(name: str) -> Schema:
    limit = _LARGEST[name]
    return {"type": "number", "format": name, "minimum": -limit, "maximum": limit}


def _floating(kind: int) -> str:
    return {_F.TYPE_DOUBLE: "double", _F.TYPE_FLOAT: "float"}.get(kind, "")
