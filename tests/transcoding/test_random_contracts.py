"""Contracts that nobody wrote: random types, and random messages of them, beside `json_format`."""

from __future__ import annotations

from typing import Any

from google.protobuf import json_format
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    Edition,
    EnumDescriptorProto,
    EnumValueDescriptorProto,
    FeatureSet,
    FieldDescriptorProto,
    FieldOptions,
    FileDescriptorProto,
    FileDescriptorSet,
)
from google.protobuf.message_factory import GetMessageClass
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.contract.descriptors import load
from gateway.transcoding.codec import JsonCodec, JsonOptions, parse_json, print_json
from tests.transcoding.messages import messages, same

_F = FieldDescriptorProto
NAMES = [
    "a",
    "foo_bar",
    "class",
    "from",
    "x1",
    "with_2_digits",
    "UPPER",
    "camelCase",
    "in_",
    "none",
]
SCALARS = [
    kind for kind in _F.Type.values() if kind not in (_F.TYPE_MESSAGE, _F.TYPE_GROUP, _F.TYPE_ENUM)
]
KEYS = [_F.TYPE_STRING, _F.TYPE_BOOL, _F.TYPE_INT32, _F.TYPE_UINT64, _F.TYPE_SFIXED64]
SYNTAXES = ["proto2", "proto3", "editions"]
COLOR = EnumDescriptorProto(
    name="Color",
    value=[EnumValueDescriptorProto(name=name, number=i) for i, name in enumerate(("RED", "BLUE"))],
)


@st.composite
def contracts(draw: st.DrawFn) -> FileDescriptorProto:
    """Draws a file with some messages that may hold each other, in any syntax."""
    syntax = draw(st.sampled_from(SYNTAXES))
    file = FileDescriptorProto(name="r.proto", package="r", syntax=syntax, enum_type=[COLOR])
    if syntax == "editions":
        file.edition = Edition.EDITION_2023
    count = draw(st.integers(1, 3))
    for number in range(count):
        message = file.message_type.add(name=f"M{number}")
        for name in draw(st.lists(st.sampled_from(NAMES), max_size=6, unique=True)):
            _add_field(draw, message, name, syntax, count)
    return file


def _add_field(
    draw: st.DrawFn, message: DescriptorProto, name: str, syntax: str, count: int
) -> None:
    number = len(message.field) + 1
    shape = draw(st.sampled_from(["single", "single", "list", "map", "message", "enum", "oneof"]))
    field = message.field.add(name=name, number=number, label=_F.LABEL_OPTIONAL)
    field.type = draw(st.sampled_from(SCALARS))
    if shape == "list":
        field.label = _F.LABEL_REPEATED
    elif shape == "map":
        _make_map(draw, message, field, count)
    elif shape == "message":
        field.type, field.type_name = _F.TYPE_MESSAGE, f".r.M{draw(st.integers(0, count - 1))}"
    elif shape == "enum":
        field.type, field.type_name = _F.TYPE_ENUM, ".r.Color"
    elif shape == "oneof":
        if not message.oneof_decl:
            message.oneof_decl.add(name="choice")
        field.oneof_index = 0
    if syntax == "editions" and shape in ("single", "message"):
        _add_features(draw, field, shape)


def _add_features(draw: st.DrawFn, field: FieldDescriptorProto, shape: str) -> None:
    if shape == "message" and draw(st.booleans()):
        features = FeatureSet(message_encoding=FeatureSet.DELIMITED)
    elif shape == "single" and draw(st.booleans()):
        features = FeatureSet(field_presence=FeatureSet.IMPLICIT)
    else:
        return
    field.options.CopyFrom(FieldOptions(features=features))


def _make_map(
    draw: st.DrawFn, message: DescriptorProto, field: FieldDescriptorProto, count: int
) -> None:
    # protoc names the entry so, and a pool checks it
    entry = message.nested_type.add(name=_camel(field.name) + "Entry")
    entry.options.map_entry = True
    key = entry.field.add(name="key", number=1, label=_F.LABEL_OPTIONAL)
    key.type = draw(st.sampled_from(KEYS))
    value = entry.field.add(name="value", number=2, label=_F.LABEL_OPTIONAL)
    value.type = draw(st.sampled_from(SCALARS))
    if draw(st.booleans()):
        value.type, value.type_name = _F.TYPE_MESSAGE, f".r.M{draw(st.integers(0, count - 1))}"
    field.label = _F.LABEL_REPEATED
    field.type, field.type_name = _F.TYPE_MESSAGE, f".r.{message.name}.{entry.name}"


def _camel(name: str) -> str:
    return "".join(part[:1].upper() + part[1:] for part in name.split("_"))


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_any_contract_agrees_with_the_oracle(data: st.DataObject) -> None:
    """Whatever the types: what we write is what the oracle writes, and each reads it back as it was."""
    contract = data.draw(contracts())
    pool = load(FileDescriptorSet(file=[contract]).SerializeToString()).pool
    codec = JsonCodec(pool, JsonOptions())
    kind: Any = GetMessageClass(pool.FindMessageTypeByName("r.M0"))
    message = data.draw(messages(kind))

    text = print_json(codec.encoder().writer(kind.DESCRIPTOR)(message))
    assert parse_json(text) == parse_json(json_format.MessageToJson(message).encode())

    back = kind()
    codec.decoder.reader(kind.DESCRIPTOR)(back, parse_json(text), 0)
    assert same(back, message)
    assert same(json_format.Parse(text, kind()), message)
