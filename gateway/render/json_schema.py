"""Message types as JSON Schema, in the JSON that the edge reads and writes.

Source: "ProtoJSON Format"; JSON Schema 2020-12, which is OpenAPI 3.1's dialect.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeAlias

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor

from gateway.contract.fields import map_entry
from gateway.contract.json_types import WRAPPERS

Schema: TypeAlias = dict[str, Any]

_F = FieldDescriptor
_INT32: Final[Schema] = {"type": "integer", "format": "int32"}
_INT64: Final[Schema] = {"type": "string", "format": "int64"}
_UINT32: Final[Schema] = {"type": "integer", "format": "int64", "minimum": 0}
_UINT64: Final[Schema] = {"type": "string", "format": "uint64"}
_SCALARS: Final[Mapping[int, Schema]] = {
    _F.TYPE_DOUBLE: {"type": "number", "format": "double"},
    _F.TYPE_FLOAT: {"type": "number", "format": "float"},
    _F.TYPE_INT64: _INT64,
    _F.TYPE_UINT64: _UINT64,
    _F.TYPE_INT32: _INT32,
    _F.TYPE_FIXED64: _UINT64,
    _F.TYPE_FIXED32: _UINT32,
    _F.TYPE_BOOL: {"type": "boolean"},
    _F.TYPE_STRING: {"type": "string"},
    _F.TYPE_BYTES: {"type": "string", "contentEncoding": "base64"},
    _F.TYPE_UINT32: _UINT32,
    _F.TYPE_SFIXED32: _INT32,
    _F.TYPE_SFIXED64: _INT64,
    _F.TYPE_SINT32: _INT32,
    _F.TYPE_SINT64: _INT64,
}
_WELL_KNOWN: Final[Mapping[str, Schema]] = {
    "google.protobuf.Timestamp": {"type": "string", "format": "date-time"},
    "google.protobuf.Duration": {"type": "string", "pattern": r"^-?\d+(\.\d{1,9})?s$"},
    "google.protobuf.FieldMask": {"type": "string"},
    "google.protobuf.Struct": {"type": "object"},
    "google.protobuf.ListValue": {"type": "array", "items": {}},
    "google.protobuf.Value": {},
    "google.protobuf.Any": {
        "type": "object",
        "properties": {"@type": {"type": "string"}},
        "required": ["@type"],
        "additionalProperties": True,
    },
}


class Schemas:
    """The component schemas of one document; grows with the types that are asked for."""

    def __init__(self, comments: Mapping[str, str]) -> None:
        self._comments = comments
        self.components: dict[str, Schema] = {}

    def message(self, descriptor: Descriptor) -> Schema:
        """Returns the schema of a message type, by reference where it has a name of its own."""
        name = descriptor.full_name
        if name in _WELL_KNOWN:
            return dict(_WELL_KNOWN[name])
        if name in WRAPPERS:
            return self.single(descriptor.fields_by_name["value"])
        if name not in self.components:
            schema: Schema = {"type": "object"}
            self.components[name] = schema  # first, for a type may hold itself
            self._describe(schema, name)
            schema["properties"] = {
                field.json_name: self.field(field) for field in descriptor.fields
            }
        return {"$ref": f"#/components/schemas/{name}"}

    def field(self, field: FieldDescriptor) -> Schema:
        """Returns the schema of a field with its comment."""
        schema = self._shape(field)
        self._describe(schema, field.full_name)
        return schema

    def _shape(self, field: FieldDescriptor) -> Schema:
        if entry := map_entry(field):
            return {"type": "object", "additionalProperties": self.single(entry[1])}
        if field.is_repeated:
            return {"type": "array", "items": self.single(field)}
        return self.single(field)

    def single(self, field: FieldDescriptor) -> Schema:
        """Returns the schema of one value of a field."""
        if field.message_type is not None:
            return self.message(field.message_type)
        if field.enum_type is not None:
            return self._enum(field.enum_type)
        return dict(_SCALARS[field.type])

    def _enum(self, enum: EnumDescriptor) -> Schema:
        name = enum.full_name
        if name == "google.protobuf.NullValue":
            return {"type": "null"}
        if name not in self.components:
            schema: Schema = {"type": "string", "enum": [value.name for value in enum.values]}
            self.components[name] = schema
            self._describe(schema, name)
        return {"$ref": f"#/components/schemas/{name}"}

    def _describe(self, schema: Schema, name: str) -> None:
        if comment := self._comments.get(name):
            schema["description"] = comment
