"""Message types as JSON Schema, in the JSON that the edge reads and writes.

The two differ: an answer has one form, which the options of the process choose; a request may leave out what
it likes and say null for it, give a number as text and an enum by name or number, and must give what the
contract requires. So a type that is both sent and answered has two components, `pkg.Type-Input` and
`pkg.Type`; one that is only sent is `pkg.Type`. No name in a .proto has a hyphen.

Sources: "ProtoJSON Format"; JSON Schema 2020-12, which is OpenAPI 3.1's dialect; AIP-203.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import Any

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor

from gateway.contract.descriptors import Contract
from gateway.contract.field_options import FieldFacts, field_facts
from gateway.contract.fields import FieldPath, map_entry, message_type, rivals
from gateway.contract.json_options import JsonOptions
from gateway.contract.json_types import NULLABLE, WRAPPERS
from gateway.render import scalar_schemas as scalars
from gateway.render.scalar_schemas import Schema, nullable

__all__ = ["AnswerSchemas", "RequestSchemas", "Schema"]

_NULL_VALUE = "google.protobuf.NullValue"
_INPUT = "-Input"


class AnswerSchemas:
    """The schemas of what the edge prints; `components` grows with the types that are asked for."""

    def __init__(self, contract: Contract, options: JsonOptions) -> None:
        self._contract = contract
        self._options = options
        self.components: dict[str, Schema] = {}

    def message(self, descriptor: Descriptor) -> Schema:
        """Returns the schema of a message type, by reference where it has a name of its own."""
        name = descriptor.full_name
        special = self._well_known(name)
        if special is not None:
            return special
        if name in WRAPPERS:
            return self.single(descriptor.fields_by_name["value"])
        return self._component(name, lambda: self._object(descriptor))

    def field(self, field: FieldDescriptor) -> Schema:
        """Returns the schema of a field's value, with what the contract says of the field."""
        facts = field_facts(field)
        return self._described(self._value(field, facts), field, facts)

    def single(self, field: FieldDescriptor) -> Schema:
        """Returns the schema of one value of a field."""
        if field.message_type is not None:
            return self.message(field.message_type)
        if field.enum_type is not None:
            return self._enum(field.enum_type)
        return self._scalar(field.type)

    def add(self, name: str, schema: Schema) -> Schema:
        """Adds a component that is no type of the contract; returns the reference to it."""
        return self._component(name, lambda: schema)

    def name(self, field: FieldDescriptor) -> str:
        """Returns the name of a field as it is printed."""
        if field.is_extension:
            return f"[{field.full_name}]"
        return field.name if self._options.proto_names else field.json_name

    def _value(self, field: FieldDescriptor, facts: FieldFacts) -> Schema:
        if entry := map_entry(field):
            return self._map(entry[0].type, limited(self.single(entry[1]), facts))
        one = limited(self.single(field), facts)
        return {"type": "array", "items": one} if field.is_repeated else one

    def _map(self, key_kind: int, value: Schema) -> Schema:
        schema: Schema = {"type": "object", "additionalProperties": value}
        if keys := scalars.map_keys(key_kind):
            schema["propertyNames"] = keys
        return schema

    def _well_known(self, name: str) -> Schema | None:
        return scalars.answered_message(name)

    def _scalar(self, kind: int) -> Schema:
        return scalars.answered_scalar(kind, int64_numbers=self._options.int64_numbers)

    def _component(self, name: str, make: Callable[[], Schema]) -> Schema:
        """Returns the reference to a component, which is made once."""
        key = self._key(name)
        if key not in self.components:
            self.components[key] = {}  # first, for a type may hold itself
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
        """Whether the field is in every answer."""
        if field.is_extension or field_facts(field).input_only:
            return False
        return field.is_required or (self._options.defaults and not field.has_presence)

    def _oneofs(self, fields: Collection[FieldDescriptor]) -> Schema:
        """Returns what says that of each oneof at most one field is there."""
        groups: dict[str, list[FieldDescriptor]] = {}
        for field in fields:
            if oneof := rivals(field):
                groups.setdefault(oneof, []).append(field)
        rules = [self._at_most_one(group) for group in groups.values() if len(group) > 1]
        return {"allOf": rules} if rules else {}

    def _at_most_one(self, group: list[FieldDescriptor]) -> Schema:
        alternatives = []
        for chosen in group:
            others = {self.name(other): self._absent(other) for other in group if other != chosen}
            alternatives.append({"properties": others})
        return {"anyOf": alternatives}

    def _absent(self, _field: FieldDescriptor) -> Schema | bool:
        """Returns what a field matches that is not there, beside another of its oneof."""
        return False

    def _enum(self, enum: EnumDescriptor) -> Schema:
        if enum.full_name == _NULL_VALUE:
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
        """Returns the schema of what is printed: of aliases the first; a number that has no name as it is."""
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
        """Returns what is to be said of one value of an enum; nothing where its name says all."""
        name = value.type.full_name
        comment = " ".join(self._contract.comments.get(f"{name}.{value.name}", "").split())
        if value.GetOptions().deprecated:
            comment = f"Deprecated. {comment}".strip()
        shown = f"`{value.name}`"
        if self._options.enum_numbers:
            return f"- {value.number} is {shown}" + (f": {comment}" if comment else "")
        return f"- {shown}: {comment}" if comment else ""

    def _described(self, schema: Schema, field: FieldDescriptor, facts: FieldFacts) -> Schema:
        comment = self._contract.comments.get(field.full_name, "")
        if description := "\n\n".join(filter(None, (comment, *facts.notes))):
            schema["description"] = description
        for keyword, holds in (
            ("deprecated", facts.deprecated),
            ("readOnly", facts.output_only),
            ("writeOnly", facts.input_only),
        ):
            if holds:
                schema[keyword] = True
        return schema


class RequestSchemas(AnswerSchemas):
    """The schemas of what the edge reads, from JSON or from the texts of a path and a query."""

    def __init__(
        self,
        contract: Contract,
        options: JsonOptions,
        answered: Collection[str],
        *,
        ignore_unknown: bool,
    ) -> None:
        """Makes the schemas.

        Args:
            contract: the types and their comments.
            options: which of a field's names is documented; the edge takes both.
            answered: names that components of answers have.
            ignore_unknown: whether fields that the contract has not are let pass.
        """
        super().__init__(contract, options)
        self._answered = frozenset(answered)
        self._ignore_unknown = ignore_unknown

    def without(self, descriptor: Descriptor, bound: Collection[FieldPath]) -> Schema:
        """Returns the schema of a message without the fields that something else than the body provides."""
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
        """Returns the schema of a body that is one field, without what something else provides of it."""
        if not bound:
            return self.field(field)
        return nullable(self.without(message_type(field), bound))

    def text(self, field: FieldDescriptor) -> Schema:
        """Returns the schema of a field whose value, or each of whose values, is a text."""
        facts = field_facts(field)
        schema = limited(self._text_value(field), facts)
        if field.is_repeated:
            schema = {"type": "array", "items": schema}
            if facts.required:
                schema["minItems"] = 1
        elif facts.required:
            schema = _not_empty(schema, field)
        return self._described(schema, field, facts)

    def json_text(self, field: FieldDescriptor) -> Schema:
        """Returns the schema of a field whose text is JSON."""
        return self._described(self.single(field), field, field_facts(field))

    def map_of_texts(self, field: FieldDescriptor) -> Schema:
        """Returns the schema of a map whose values are texts."""
        facts = field_facts(field)
        key, value = map_entry(field) or (field, field)
        schema = self._map(key.type, self._text_value(value))
        schema.setdefault("propertyNames", {"pattern": "^[^\\]]*$"})  # its name ends at the bracket
        return self._described(schema, field, facts)

    def _text_value(self, field: FieldDescriptor) -> Schema:
        descriptor = field.message_type
        if descriptor is None:
            if field.enum_type is not None:
                null = field.enum_type.full_name == _NULL_VALUE
                return (self._enum_values if null else self._enum)(field.enum_type)
            return scalars.text_scalar(field.type, int64_numbers=self._options.int64_numbers)
        if descriptor.full_name in WRAPPERS:
            return self._text_value(descriptor.fields_by_name["value"])
        if not descriptor.fields:
            return {"type": "string", "enum": ["", "{}"]}
        special = scalars.text_message(descriptor.full_name)
        return dict(scalars.JSON_TEXT) if special is None else special

    def _key(self, name: str) -> str:
        return name + _INPUT if name in self._answered else name

    def _well_known(self, name: str) -> Schema | None:
        return scalars.sent_message(name)

    def _scalar(self, kind: int) -> Schema:
        return scalars.sent_scalar(kind)

    def _value(self, field: FieldDescriptor, facts: FieldFacts) -> Schema:
        schema = super()._value(field, facts)
        return _not_empty(schema, field) if facts.required else nullable(schema)

    def _object(self, descriptor: Descriptor) -> Schema:
        return super()._object(descriptor) | self._others()

    def _others(self) -> Schema:
        return {} if self._ignore_unknown else {"additionalProperties": False}

    def _is_required(self, field: FieldDescriptor) -> bool:
        """Whether a request has to give the field."""
        return field_facts(field).required

    def _absent(self, field: FieldDescriptor) -> Schema | bool:
        """Null is as good as nothing, but where it is a value."""
        enum, message = field.enum_type, field.message_type
        name = enum.full_name if enum else message.full_name if message else ""
        return False if name in NULLABLE else {"type": "null"}

    def _enum(self, enum: EnumDescriptor) -> Schema:
        if enum.full_name == _NULL_VALUE:
            return {"anyOf": [{"type": "null"}, *self._enum_values(enum)["anyOf"]]}
        return super()._enum(enum)

    def _enum_values(self, enum: EnumDescriptor) -> Schema:
        """Returns the schema of what is taken: each name, each alias, and numbers."""
        numbers: Schema = dict(scalars.INT32)
        if enum.is_closed:
            numbers["enum"] = sorted(enum.values_by_number)
        names: Schema = {"type": "string", "enum": [value.name for value in enum.values]}
        both = [numbers, names] if self._options.enum_numbers else [names, numbers]
        return {"anyOf": both}


def limited(schema: Schema, facts: FieldFacts) -> Schema:
    """Returns the schema of a value with the limits that the contract sets to it."""
    values = facts.values
    if values.HasField("greater_than"):
        numbers = scalars.numbers_only(schema)
        return numbers | {"exclusiveMinimum": values.greater_than} if numbers else schema
    limits: Schema = {}
    if facts.format:
        limits["format"] = facts.format
    if allowed := list(getattr(values, "in")):  # a keyword of Python's
        limits["enum"] = allowed
    return schema | limits


def _not_empty(schema: Schema, field: FieldDescriptor) -> Schema:
    """Returns what a required field takes: not what is the same as nothing, where it has no presence."""
    if field.has_presence:
        return schema
    if map_entry(field):
        return schema | {"minProperties": 1}
    if field.is_repeated:
        return schema | {"minItems": 1}
    if field.type in (FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BYTES):
        return schema if "enum" in schema else schema | {"minLength": 1}
    return schema
