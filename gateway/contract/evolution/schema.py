"""The elements of a contract's files by full name, with the features that they inherit.

Sources: google/protobuf/descriptor.proto (`FeatureSet`); "Feature settings for editions": what proto2 and
proto3 say with their syntax, editions say with features, and an element inherits those of what holds it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FeatureSet,
    FieldDescriptorProto,
    FileDescriptorProto,
    MethodDescriptorProto,
    OneofDescriptorProto,
    ServiceDescriptorProto,
)

from gateway.contract.fields import default_json_name

_PROTO2: Final = FeatureSet(
    field_presence=FeatureSet.EXPLICIT,
    enum_type=FeatureSet.CLOSED,
    utf8_validation=FeatureSet.NONE,
    message_encoding=FeatureSet.LENGTH_PREFIXED,
    json_format=FeatureSet.LEGACY_BEST_EFFORT,
)
_PROTO3: Final = FeatureSet(
    field_presence=FeatureSet.IMPLICIT,
    enum_type=FeatureSet.OPEN,
    utf8_validation=FeatureSet.VERIFY,
    message_encoding=FeatureSet.LENGTH_PREFIXED,
    json_format=FeatureSet.ALLOW,
)
_EDITIONS: Final = FeatureSet(
    field_presence=FeatureSet.EXPLICIT,
    enum_type=FeatureSet.OPEN,
    utf8_validation=FeatureSet.VERIFY,
    message_encoding=FeatureSet.LENGTH_PREFIXED,
    json_format=FeatureSet.ALLOW,
)

Type: TypeAlias = FieldDescriptorProto.Type.ValueType
"""The type of a field."""


@dataclass(frozen=True, slots=True, eq=False)
class Message:
    """A message type; also the entries of a map."""

    name: str
    proto: DescriptorProto
    features: FeatureSet
    file: str

    @property
    def is_map_entry(self) -> bool:
        """Whether it is the type of a map's entries, which the compiler makes."""
        return self.proto.options.map_entry


@dataclass(frozen=True, slots=True, eq=False)
class Enum:
    """An enum."""

    name: str
    proto: EnumDescriptorProto
    features: FeatureSet
    file: str


@dataclass(frozen=True, slots=True, eq=False)
class Field:
    """A field of a message, or an extension."""

    name: str
    """Full name."""
    proto: FieldDescriptorProto
    features: FeatureSet
    oneof: OneofDescriptorProto | None
    """The oneof that it is in; None for the one that the compiler makes for `optional`."""
    in_map_entry: bool = False
    java_utf8: bool = False
    """Whether its file has `java_string_check_utf8`."""

    @property
    def is_repeated(self) -> bool:
        """Whether it is a list or a map."""
        return self.proto.label == FieldDescriptorProto.LABEL_REPEATED

    @property
    def is_required(self) -> bool:
        """Whether a message without it is invalid: proto2's `required`."""
        return (
            self.proto.label == FieldDescriptorProto.LABEL_REQUIRED
            or self.features.field_presence == FeatureSet.LEGACY_REQUIRED
        )

    @property
    def type(self) -> Type:
        """Its type; a message with delimited encoding is a group."""
        kind = self.proto.type
        delimited = self.features.message_encoding == FeatureSet.DELIMITED
        if kind == FieldDescriptorProto.TYPE_MESSAGE and delimited and not self.in_map_entry:
            return FieldDescriptorProto.TYPE_GROUP
        return kind

    @property
    def type_name(self) -> str:
        """Full name of its message type or enum; empty: it is a scalar."""
        return self.proto.type_name.removeprefix(".")

    @property
    def json_name(self) -> str:
        """Its key in JSON."""
        return self.proto.json_name or default_json_name(self.proto.name)


@dataclass(frozen=True, slots=True, eq=False)
class Service:
    """A service."""

    name: str
    proto: ServiceDescriptorProto
    file: str

    @property
    def methods(self) -> dict[str, MethodDescriptorProto]:
        """Its methods by name."""
        return {method.name: method for method in self.proto.method}


@dataclass(slots=True, eq=False)
class Schema:
    """All elements of some files."""

    files: dict[str, FileDescriptorProto] = field(default_factory=dict)
    messages: dict[str, Message] = field(default_factory=dict)
    enums: dict[str, Enum] = field(default_factory=dict)
    services: dict[str, Service] = field(default_factory=dict)
    extensions: dict[tuple[str, int], Field] = field(default_factory=dict)
    """Extended message and number -> extension."""
    extension_files: dict[str, str] = field(default_factory=dict)
    """Full name of an extension -> its file."""

    @classmethod
    def of(cls, files: Iterable[FileDescriptorProto]) -> Schema:
        """Collects the elements of files."""
        schema = cls()
        for file in files:
            schema._add_file(file)
        return schema

    def fields(self, message: Message) -> dict[int, Field]:
        """Returns the fields of a message by number."""
        file = self.files[message.file]
        return {
            proto.number: _field(proto, message.name, message, file)
            for proto in message.proto.field
        }

    def map_entry(self, of: Field) -> Message | None:
        """Returns the type of a map's entries; None: the field is no map."""
        entry = self.messages.get(of.type_name) if of.is_repeated else None
        return entry if entry is not None and entry.is_map_entry else None

    def _add_file(self, file: FileDescriptorProto) -> None:
        self.files[file.name] = file
        features = _merged(_defaults(file), file.options)
        for message in file.message_type:
            self._add_message(message, file.package, features, file)
        for enum in file.enum_type:
            self._add_enum(enum, file.package, features, file)
        for extension in file.extension:
            self._add_extension(extension, file.package, features, file)
        for service in file.service:
            name = _joined(file.package, service.name)
            self.services[name] = Service(name, service, file.name)

    def _add_message(
        self, proto: DescriptorProto, scope: str, outer: FeatureSet, file: FileDescriptorProto
    ) -> None:
        name, features = _joined(scope, proto.name), _merged(outer, proto.options)
        self.messages[name] = Message(name, proto, features, file.name)
        for nested in proto.nested_type:
            self._add_message(nested, name, features, file)
        for enum in proto.enum_type:
            self._add_enum(enum, name, features, file)
        for extension in proto.extension:
            self._add_extension(extension, name, features, file)

    def _add_enum(
        self, proto: EnumDescriptorProto, scope: str, outer: FeatureSet, file: FileDescriptorProto
    ) -> None:
        name = _joined(scope, proto.name)
        self.enums[name] = Enum(name, proto, _merged(outer, proto.options), file.name)

    def _add_extension(
        self, proto: FieldDescriptorProto, scope: str, outer: FeatureSet, file: FileDescriptorProto
    ) -> None:
        name = _joined(scope, proto.name)
        self.extension_files[name] = file.name
        self.extensions[proto.extendee.removeprefix("."), proto.number] = Field(
            name,
            proto,
            _merged(outer, proto.options),
            oneof=None,
            java_utf8=file.options.java_string_check_utf8,
        )


def _field(
    proto: FieldDescriptorProto, scope: str, message: Message, file: FileDescriptorProto
) -> Field:
    oneof = message.proto.oneof_decl[proto.oneof_index] if proto.HasField("oneof_index") else None
    outer = message.features if oneof is None else _merged(message.features, oneof.options)
    return Field(
        _joined(scope, proto.name),
        proto,
        _merged(outer, proto.options),
        oneof=None if proto.proto3_optional else oneof,
        in_map_entry=message.is_map_entry,
        java_utf8=file.options.java_string_check_utf8,
    )


def _defaults(file: FileDescriptorProto) -> FeatureSet:
    if file.syntax == "editions":
        return _EDITIONS
    return _PROTO3 if file.syntax == "proto3" else _PROTO2


def _merged(outer: FeatureSet, options: Any) -> FeatureSet:
    """Returns the features of an element: those of what holds it, and its own over them."""
    if not options.HasField("features"):
        return outer
    merged = FeatureSet()
    merged.CopyFrom(outer)
    merged.MergeFrom(options.features)
    return merged


def _joined(scope: str, name: str) -> str:
    return f"{scope}.{name}" if scope else name


def nested_names(file: FileDescriptorProto) -> Iterator[tuple[str, str]]:
    """Yields kind and name, without the package, of the messages, enums and extensions of a file."""
    for message in file.message_type:
        yield from _nested_names(message, "")
    for enum in file.enum_type:
        yield "enum", enum.name
    for extension in file.extension:
        yield "extension", extension.name


def _nested_names(message: DescriptorProto, scope: str) -> Iterator[tuple[str, str]]:
    name = _joined(scope, message.name)
    yield "message", name
    for nested in message.nested_type:
        yield from _nested_names(nested, name)
    for enum in message.enum_type:
        yield "enum", _joined(name, enum.name)
    for extension in message.extension:
        yield "extension", _joined(name, extension.name)
