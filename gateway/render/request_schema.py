"""Message types in requests as JSON Schema: in JSON, and as text in a path or a query.

Sources: "ProtoJSON Format"; JSON Schema 2020-12; AIP-203.
"""

from __future__ import annotations

from collections.abc import Collection

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor

from gateway.contract.descriptors import Contract
from gateway.contract.field_options import FieldAnnotations, field_annotations, is_alternative
from gateway.contract.fields import FieldPath, map_entry, message_type
from gateway.contract.json_options import JsonOptions
from gateway.contract.json_types import NULLABLE, WRAPPERS
from gateway.render import scalar_schemas as scalars
from gateway.render.json_schema import NULL_VALUE, ResponseSchemas, constrained
from gateway.render.scalar_schemas import Schema, nullable

_INPUT = "-Input"


class RequestSchemas(ResponseSchemas):
    """Schemas of requests: JSON bodies, and texts in a path or a query."""

    def __init__(
        self,
        contract: Contract,
        options: JsonOptions,
        response_names: Collection[str],
        *,
        ignore_unknown: bool,
    ) -> None:
        """Starts without components.

        Args:
            contract: the types and their comments.
            options: JSON options; they choose which name of a field is documented. The edge accepts both.
            response_names: names of the components of responses.
            ignore_unknown: whether unknown fields are ignored.
        """
        super().__init__(contract, options)
        self._answered = frozenset(response_names)
        self._ignore_unknown = ignore_unknown

    def without(self, descriptor: Descriptor, bound: Collection[FieldPath]) -> Schema:
        """Returns the schema of a message without the fields at the paths in `bound`."""
        if not bound:
            return self.message(descriptor)
        schema = self._type_of(descriptor)
        properties: dict[str, Schema] = {}
        fields = [field for field in self._fields(descriptor) if (field,) not in bound]
        for field in fields:
            below = [path[1:] for path in bound if path[0] == field]
            properties[self.name(field)] = (
                nullable(self.without(message_type(field), below)) if below else self.field(field)
            )
        free = [field for field in fields if not any(path[0] == field for path in bound)]
        if required := [self.name(field) for field in free if self._is_required(field)]:
            schema["required"] = required
        return schema | {"properties": properties} | self._others() | self._oneofs(fields)

    def body_field(self, field: FieldDescriptor, bound: Collection[FieldPath]) -> Schema:
        """Returns the schema of a body that sets one field, without the subfields in `bound`."""
        if not bound:
            return self.field(field)
        return nullable(self.without(message_type(field), bound))

    def text(self, field: FieldDescriptor) -> Schema:
        """Returns the schema of a field whose value, or each element, is a text in a path or a query."""
        annotations = field_annotations(field)
        schema = constrained(self._text_value(field), annotations)
        if field.is_repeated:
            schema = {"type": "array", "items": schema}
            if annotations.required:
                schema["minItems"] = 1
        elif annotations.required:
            schema = _not_empty(schema, field)
        return self._described(schema, field, annotations)

    def json_text(self, field: FieldDescriptor) -> Schema:
        """Returns the schema of a field whose text is JSON: of `Value`, `Struct`, `ListValue`."""
        return self._described(self.single(field), field, field_annotations(field))

    def map_of_texts(self, field: FieldDescriptor) -> Schema:
        """Returns the schema of a map in a query."""
        annotations = field_annotations(field)
        key, value = map_entry(field) or (field, field)
        schema = self._map(key.type, self._text_value(value))
        schema.setdefault("propertyNames", {"pattern": "^[^\\]]*$"})  # `]` ends the key
        return self._described(schema, field, annotations)

    def _text_value(self, field: FieldDescriptor) -> Schema:
        descriptor = field.message_type
        if descriptor is None:
            if field.enum_type is not None:
                null = field.enum_type.full_name == NULL_VALUE
                return (self._enum_values if null else self._enum)(field.enum_type)
            return scalars.text_scalar(field.type, int64_numbers=self._options.int64_numbers)
        if descriptor.full_name in WRAPPERS:
            return self._text_value(descriptor.fields_by_name["value"])
        if not descriptor.fields:
            return {"type": "string", "enum": ["", "{}"]}
        special = scalars.text_message(descriptor.full_name)
        if special is None:
            raise TypeError(f"{descriptor.full_name} is given by no text")
        return special

    def _key(self, name: str) -> str:
        return name + _INPUT if name in self._answered else name

    def _well_known(self, name: str) -> Schema | None:
        return scalars.request_message(name)

    def _scalar(self, kind: int) -> Schema:
        return scalars.request_scalar(kind)

    def _value(self, field: FieldDescriptor, annotations: FieldAnnotations) -> Schema:
        schema = super()._value(field, annotations)
        return _not_empty(schema, field) if annotations.required else nullable(schema)

    def _object(self, descriptor: Descriptor) -> Schema:
        return super()._object(descriptor) | self._others()

    def _others(self) -> Schema:
        return {} if self._ignore_unknown else {"additionalProperties": False}

    def _is_required(self, field: FieldDescriptor) -> bool:
        """Whether the field is required in a request."""
        return field_annotations(field).required and not is_alternative(field)

    def _is_alternative(self, field: FieldDescriptor) -> bool:
        return is_alternative(field)

    def _absent(self, field: FieldDescriptor) -> Schema | bool:
        """Returns null, which means "not set", unless null is a value of the type."""
        enum, message = field.enum_type, field.message_type
        name = enum.full_name if enum else message.full_name if message else ""
        return False if name in NULLABLE else {"type": "null"}

    def _enum(self, enum: EnumDescriptor) -> Schema:
        if enum.full_name == NULL_VALUE:
            return {"anyOf": [{"type": "null"}, *self._enum_values(enum)["anyOf"]]}
        return super()._enum(enum)

    def _enum_values(self, enum: EnumDescriptor) -> Schema:
        """Returns the schema of accepted values: names, aliases and numbers."""
        numbers: Schema = dict(scalars.INT32)
        if enum.is_closed:
            numbers["enum"] = sorted(enum.values_by_number)
        names: Schema = {"type": "string", "enum": [value.name for value in enum.values]}
        both = [numbers, names] if self._options.enum_numbers else [names, numbers]
        return {"anyOf": both}


def _not_empty(schema: Schema, field: FieldDescriptor) -> Schema:
    """Excludes the default value from a required field without presence, where it means "not set"."""
    if field.has_presence:
        return schema
    if map_entry(field):
        return schema | {"minProperties": 1}
    if field.is_repeated:
        return schema | {"minItems": 1}
    if field.type in (FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BYTES):
        return schema if "enum" in schema else schema | {"minLength": 1}
    return schema
