"""JSON values -> messages, by one generated Python function per message type.

A generated reader fills a message from a JSON value. It assigns values of common types directly
(`fast_path`); the field's setter converts any other value, or raises ValueError. Violations are collected
with their paths, so that an error lists all of them. For `message Book { string title = 1; }`:

    def read(m, value, depth):
        if type(value) is not dict or depth > MAX_DEPTH: refuse(value)
        violations = []
        known = 0
        if "title" in value:
            known += 1
            v = value["title"]
            if type(v) is str: m.title = v
            else:
                try: x1(m, v, depth)
                except ValueError as error: collect(violations, "title", error)
        if known != len(value): read_others(value, violations)
        if violations: raise Violations(*violations)

Source: "ProtoJSON Format" in protobuf's language guide, and protobuf's conformance tests for what it leaves
open.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import EncodeError, Message
from google.protobuf.message_factory import GetMessageClass

from gateway.contract.fields import json_names
from gateway.contract.json_types import ANY, WRAPPERS
from gateway.transcoding.fast_path import fast_path
from gateway.transcoding.field_setters import FieldSetters, SetField
from gateway.transcoding.function_builder import FunctionBuilder
from gateway.transcoding.violations import Violations, collect, quoted, suggestion
from gateway.transcoding.well_known import (
    MAX_DEPTH,
    TOO_DEEP,
    Read,
    check_depth,
    well_known,
    wrapper_reader,
)


class JsonDecoder:
    """Generates and caches the readers for the types of one contract."""

    def __init__(self, pool: DescriptorPool, *, ignore_unknown: bool = False) -> None:
        self._pool = pool
        self.ignore_unknown = ignore_unknown
        self._readers: dict[str, Read] = {ANY: self._read_any}
        self._setters = FieldSetters(self.reader, ignore_unknown=ignore_unknown)

    def reader(self, descriptor: Descriptor) -> Read:
        """Returns the reader of a message type; the reader raises ValueError."""
        reader = self._readers.get(descriptor.full_name)
        if reader is None:
            if special := well_known(descriptor):
                reader = special.read
            elif descriptor.full_name in WRAPPERS:
                reader = wrapper_reader(descriptor)
            else:
                return self._message_reader(descriptor)
            self._readers[descriptor.full_name] = reader
        return reader

    def setter(self, field: FieldDescriptor) -> SetField:
        """Returns the function that sets one field from its JSON value; it raises ValueError."""
        return self._setters.setter(field)

    def _message_reader(self, descriptor: Descriptor) -> Read:
        def not_yet(message: Any, value: Any, depth: int) -> None:
            self._readers[descriptor.full_name](message, value, depth)

        self._readers[descriptor.full_name] = (
            not_yet  # before its fields: a type may contain itself
        )
        names = json_names(descriptor)
        setters = {_key(field, names): self.setter(field) for field in self._fields(descriptor)}
        builder = FunctionBuilder(
            MAX_DEPTH=MAX_DEPTH,
            Violations=Violations,
            collect=collect,
            read_others=self._others_reader(names, setters),
            refuse=_refuse,
        )
        lines = [
            line
            for field in self._fields(descriptor)
            for line in _field_lines(builder, field, _key(field, names), setters)
        ]
        reader = self._readers[descriptor.full_name] = builder.compile(
            "read(m, value, depth)",
            "if type(value) is not dict or depth > MAX_DEPTH: refuse(value)",
            "violations = []",
            "known = 0",
            *lines,
            "if known != len(value): read_others(value, violations)",
            "if violations: raise Violations(*violations)",
        )
        return reader

    def _others_reader(
        self, aliases: Mapping[str, str], setters: Mapping[str, SetField]
    ) -> Callable[[dict[str, Any], list[tuple[str, str]]], None]:
        """Returns the function that reports unknown keys and fields given by JSON name and proto name."""

        def read_others(value: dict[str, Any], violations: list[tuple[str, str]]) -> None:
            for key in [key for key in value if key not in setters]:
                name = aliases.get(key)
                if name is None:
                    if not self.ignore_unknown:
                        collect(
                            violations, key, ValueError(f"unknown field{suggestion(key, setters)}")
                        )
                elif name in value:
                    collect(violations, key, ValueError(f"given twice, as {name!r} too"))

        return read_others

    def _fields(self, descriptor: Descriptor) -> Iterator[FieldDescriptor]:
        yield from descriptor.fields
        if descriptor.is_extendable:
            yield from self._pool.FindAllExtensions(descriptor)

    def _read_any(self, message: Any, value: Any, depth: int) -> None:
        """Reads `{"@type": URL, …fields}`, or `{"@type": URL, "value": …}` for a special type."""
        check_depth(depth)
        if type(value) is not dict:
            raise ValueError(f"expected an object, got {quoted(value)}")
        if not value:
            return
        url = value.get("@type")
        if type(url) is not str:
            raise Violations(("@type", "expected the type's URL"))
        descriptor = self._type_of(url)
        inner = GetMessageClass(descriptor)()
        fields: Any = {key: item for key, item in value.items() if key != "@type"}
        if is_special(descriptor):
            if fields.keys() != {"value"}:
                raise Violations(("value", f"{descriptor.full_name} is given as this field alone"))
            fields = fields["value"]
        self.reader(descriptor)(inner, fields, depth + 1)
        message.type_url = url
        message.value = serialize(inner)

    def _type_of(self, url: str) -> Descriptor:
        prefix, _, name = url.rpartition("/")
        try:
            if not prefix:
                raise KeyError(url)
            descriptor: Descriptor = self._pool.FindMessageTypeByName(name)
        except KeyError:
            raise Violations(("@type", f"no type {quoted(url)} in the contract")) from None
        return descriptor


def is_special(descriptor: Descriptor) -> bool:
    """Whether the JSON of this type in an `Any` is under the key `value`."""
    name = descriptor.full_name
    return name == ANY or name in WRAPPERS or well_known(descriptor) is not None


def serialize(message: Message) -> bytes:
    """Serializes a message; equal messages have equal bytes.

    Raises:
        Violations: a required field is missing, or the message nests too deep.
    """
    try:
        return type(message).SerializeToString(message, deterministic=True)
    except EncodeError:
        raise unserializable(message) from None


def unserializable(message: Message) -> Violations:
    """Returns why a message cannot be serialized: required fields are missing, or it nests too deep."""
    missing = type(message).FindInitializationErrors(message)  # type: ignore[attr-defined] # the stubs lack it
    if not missing:
        return Violations(("", TOO_DEEP))
    return Violations(*((path, "required, but not given") for path in missing))


def _key(field: FieldDescriptor, names: Mapping[str, str]) -> str:
    return f"[{field.full_name}]" if field.is_extension else names[field.name]


def _refuse(value: Any) -> None:
    if type(value) is not dict:
        raise ValueError(f"expected an object, got {quoted(value)}")
    raise ValueError(TOO_DEEP)


def _field_lines(
    builder: FunctionBuilder, field: FieldDescriptor, name: str, setters: Mapping[str, SetField]
) -> Iterator[str]:
    """Yields the lines that read one field, by JSON name or proto name."""
    setter, key = setters[name], repr(name)
    if not field.is_extension and field.name not in setters:
        yield f"k = {key} if {key} in value else {field.name!r}"
        key = "k"
    yield f"if {key} in value:"
    yield "    known += 1"
    yield f"    v = value[{key}]"
    indent = "    "
    if fast := fast_path(builder, field):
        condition, expression = fast
        yield f"    if {condition}: {builder.assignment(field, expression)}"
        yield "    else:"
        indent = "        "
    yield f"{indent}try: {builder.bind(setter)}(m, v, depth)"
    yield f"{indent}except ValueError as error: collect(violations, {key}, error)"
