"""Message types in responses as JSON Schema.

A response has one form, which the JSON options determine. A request (`request_schema`) has more: a field may
be missing or null, a number may be a string, an enum value a name or a number; required fields must be set.
So a type in both requests and responses has two components, `pkg.Type-Input` and `pkg.Type`; a type only in
requests is `pkg.Type`. Names in a .proto have no hyphen.

Sources: "ProtoJSON Format"; JSON Schema 2020-12, which is OpenAPI 3.1's dialect.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import Any

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor

from gateway.contract.descriptors import Contract
from gateway.contract.field_options import FieldAnnotations, field_annotations
from gateway.contract.fields import json_names, map_entry, shared_oneof
from gateway.contract.json_options import JsonOptions
from gateway.contract.json_types import WRAPPERS
from gateway.render import scalar_schemas as scalars
from gateway.render.scalar_schemas import Schema

__all__ = ["NULL_VALUE", "ResponseSchemas", "Schema", "constrained"]

NULL_VALUE = "google.protobuf.NullValue"


class ResponseSchemas:
    """Schemas of responses; `components` collects the types that they refer to."""

    def __init__(self, contract: Contract, options: JsonOptions) -> None:
        self._contract = contract
        self._options = options
        self.components: dict[str, Schema] = {}
        self._names: dict[str, dict[str, str]] = {}
        """Full name of a message -> JSON names of its fields."""

    def message(self, descriptor: Descriptor) -> Schema:
        """Returns the schema of a message type; for an ordinary one a reference to its component."""
        name = descriptor.full_name
        special = self._well_known(name)
        if special is not None:
            return special
        if name in WRAPPERS:
            return self.single(descriptor.fields_by_name["value"])
        return self._component(name, lambda: self._object(descriptor))

    def field(self, field: FieldDescriptor) -> Schema:
        """Returns the schema of a field's value, with description and annotations of the field."""
        annotations = field_annotations(field)
        return self._described(self._value(field, annotations), field, annotations)

    def single(self, field: FieldDescriptor) -> Schema:
        """Returns the schema of one value or element of a field."""
        if field.message_type is not None:
            return self.message(field.message_type)
        if field.enum_type is not None:
            return self._enum(field.enum_type)
        return self._scalar(field.type)

    def add(self, name: str, schema: Schema) -> Schema:
        """Adds a component that is not a type of the contract; returns the reference to it."""
        return self._component(name, lambda: schema)

    def name(self, field: FieldDescriptor) -> str:
        """Returns the key of a field in JSON."""
        if field.is_extension:
            return f"[{field.full_name}]"
        message = field.containing_type
        if self._options.proto_names or message is None:
            return field.name
        names = self._names.get(message.full_name)
        if names is None:
            names = self._names[message.full_name] = json_names(message)
        return names[field.name]

    def _value(self, field: FieldDescriptor, annotations: FieldAnnotations) -> Schema:
        if entry := map_entry(field):
            return self._map(entry[0].type, constrained(self.single(entry[1]), annotations))
        one = constrained(self.single(field), annotations)
        return {"type": "array", "items": one} if field.is_repeated else one

    def _map(self, key_kind: int, value: Schema) -> Schema:
        schema: Schema = {"type": "object", "additionalProperties": value}
        if keys := scalars.map_keys(key_kind):
            schema["propertyNames"] = keys
        return schema

    def _well_known(self, name: str) -> Schema | None:
        return scalars.response_message(name)

    def _scalar(self, kind: int) -> Schema:
        return scalars.response_scalar(kind, int64_numbers=self._options.int64_numbers)

    def _component(self, name: str, make: Callable[[], Schema]) -> Schema:
        """Returns the reference to a component; creates it if it is missing."""
        key = self._key(name)
        if key not in self.components:
            self.components[key] = {}  # before its fields: a type may contain itself
            self.components[key].update(make())
        return {"$ref": f"#/components/schemas/{key}"}

    def _key(self, name: str) -> str:
        return name

    def _object(self, descriptor: Descriptor) -> Schema:
        fields = list(self._fields(descriptor))
        schema = self._type_of(descriptor) | {
            "properties": {self.name(field): self.field(field) for field in fields}
        }
        if required := [self.name(field) for field in fields if self._is_required(field)]:
            schema["required"] = required
        return schema | self._oneofs(fields)

    def _type_of(self, descriptor: Descriptor) -> Schema:
        schema: Schema = {"type": "object"}
        if comment := self._contract.comments.get(descriptor.full_name):
            schema["description"] = comment
        if descriptor.GetOptions().deprecated:
            schema["deprecated"] = True
        return schema

    def _fields(self, descriptor: Descriptor) -> Iterator[FieldDescriptor]:
        yield from descriptor.fields
        if descriptor.is_extendable:
            yield from self._contract.pool.FindAllExtensions(descriptor)

    def _is_required(self, field: FieldDescriptor) -> bool:
        """Whether the field is in every response."""
        if field.is_extension or field_annotations(field).input_only:
            return False
        return field.is_required or (self._options.defaults and not field.has_presence)

    def _oneofs(self, fields: Collection[FieldDescriptor]) -> Schema:
        """Returns the constraint that at most one field of each oneof is set."""
        groups: dict[str, list[FieldDescriptor]] = {}
        for field in fields:
            if oneof := shared_oneof(field):
                groups.setdefault(oneof, []).append(field)
        rules = [self._at_most_one(group) for group in groups.values() if len(group) > 1]
        return {"allOf": rules} if rules else {}

    def _at_most_one(self, group: list[FieldDescriptor]) -> Schema:
        alternatives: list[Schema] = []
        needed = [field for field in group if self._is_alternative(field)]
        for chosen in needed or group:
            others = {self.name(other): self._absent(other) for other in group if other != chosen}
            alternatives.append({"properties": others})
            if needed:
                alternatives[-1]["required"] = [self.name(chosen)]
        return {"anyOf": alternatives}

    def _is_alternative(self, _field: FieldDescriptor) -> bool:
        """Whether the field is one of several required fields of its oneof."""
        return False

    def _absent(self, _field: FieldDescriptor) -> Schema | bool:
        """Returns the schema of a field that is not set, because another one of its oneof is."""
        return False

    def _enum(self, enum: EnumDescriptor) -> Schema:
        if enum.full_name == NULL_VALUE:
            return {"type": "null"}
        return self._component(enum.full_name, lambda: self._enum_type(enum))

    def _enum_type(self, enum: EnumDescriptor) -> Schema:
        schema = self._enum_values(enum)
        if description := self._enum_description(enum):
            schema["description"] = description
        if enum.GetOptions().deprecated:
            schema["deprecated"] = True
        return schema

    def _enum_values(self, enum: EnumDescriptor) -> Schema:
        """Returns the schema of printed values: the first of several aliases; a number without a name."""
        first = {value.number: value.name for value in reversed(enum.values)}
        if self._options.enum_numbers:
            numbers: Schema = dict(scalars.INT32)
            return numbers | {"enum": sorted(first)} if enum.is_closed else numbers
        names: Schema = {"type": "string", "enum": list(reversed(first.values()))}
        return names if enum.is_closed else {"anyOf": [names, dict(scalars.INT32)]}

    def _enum_description(self, enum: EnumDescriptor) -> str:
        lines = [line for value in enum.values if (line := self._value_line(value))]
        comment = self._contract.comments.get(enum.full_name, "")
        return "\n\n".join(filter(None, (comment, "\n".join(lines))))

    def _value_line(self, value: Any) -> str:
        """Returns the line on one enum value for the description; empty if there is nothing to add."""
        name = value.type.full_name
        comment = " ".join(self._contract.comments.get(f"{name}.{value.name}", "").split())
        if value.GetOptions().deprecated:
            comment = f"Deprecated. {comment}".strip()
        shown = f"`{value.name}`"
        if self._options.enum_numbers:
            return f"- {value.number} is {shown}" + (f": {comment}" if comment else "")
        return f"- {shown}: {comment}" if comment else ""

    def _described(
        self, schema: Schema, field: FieldDescriptor, annotations: FieldAnnotations
    ) -> Schema:
        comment = self._contract.comments.get(field.full_name, "")
        if description := "\n\n".join(filter(None, (comment, *annotations.notes))):
            schema["description"] = description
        for keyword, holds in (
            ("deprecated", annotations.deprecated),
            ("readOnly", annotations.output_only),
            ("writeOnly", annotations.input_only),
        ):
            if holds:
                schema[keyword] = True
        return schema


def constrained(schema: Schema, annotations: FieldAnnotations) -> Schema:
    """Returns the schema of a value with the constraints of its field: format, `gateway.v1.values`."""
    values = annotations.values
    if values.HasField("greater_than"):
        numbers = scalars.numbers_only(schema)
        return numbers | {"exclusiveMinimum": values.greater_than} if numbers else schema
    limits: Schema = {}
    if annotations.format:
        limits["format"] = annotations.format
    if allowed := list(getattr(values, "in")):  # a Python keyword
        limits["enum"] = allowed
    return schema | limits
