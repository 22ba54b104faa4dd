"""Messages -> JSON values, where the oracle has no word or the options differ."""

from __future__ import annotations

import math
from typing import Any

import pytest
from google.protobuf.message_factory import GetMessageClass

from gateway.contract.descriptors import load
from gateway.contract.json_options import JsonOptions
from gateway.transcoding.decoding import JsonDecoder
from gateway.transcoding.encoding import JsonEncoder
from tests.contracts import compile_text
from tests.transcoding.messages import EVERYTHING, codec, encoded


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (JsonOptions(), {"int64Field": "5", "enumField": "COLOR_BLUE", "customName": "x"}),
        (
            JsonOptions(proto_names=True),
            {"int64_field": "5", "enum_field": "COLOR_BLUE", "renamed_field": "x"},
        ),
        (JsonOptions(enum_numbers=True), {"int64Field": "5", "enumField": 2, "customName": "x"}),
        (
            JsonOptions(int64_numbers=True),
            {"int64Field": 5, "enumField": "COLOR_BLUE", "customName": "x"},
        ),
    ],
)
def test_options(options: JsonOptions, expected: dict[str, Any]) -> None:
    """Each option changes one thing in what is printed."""
    message = EVERYTHING(int64_field=5, enum_field=2, renamed_field="x")

    assert encoded(message, options) == expected


def test_defaults_are_printed_where_there_is_no_presence() -> None:
    """`defaults` prints every field without presence, and no other."""
    printed = encoded(EVERYTHING(), JsonOptions(defaults=True))

    assert printed["int64Field"] == "0"
    assert printed["stringField"] == printed["class"] == ""
    assert printed["enumField"] == "COLOR_UNSPECIFIED"
    assert printed["nestedList"] == []
    assert printed["stringMap"] == {}
    assert "nested" not in printed
    assert "optionalInt32" not in printed
    assert "choiceString" not in printed
    assert "int32Wrapper" not in printed


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (EVERYTHING(optional_int32=0), {"optionalInt32": 0}),
        (EVERYTHING(choice_string=""), {"choiceString": ""}),
        (EVERYTHING(enum_field=1), {"enumField": "COLOR_RED"}),
        (EVERYTHING(enum_field=-1), {"enumField": "COLOR_NEGATIVE"}),
        (EVERYTHING(enum_list=[1, 99]), {"enumList": ["COLOR_RED", 99]}),
        (EVERYTHING(bool_map={True: 1}), {"boolMap": {"true": "COLOR_RED"}}),
        (EVERYTHING(int64_map={-1: 0.5}), {"int64Map": {"-1": 0.5}}),
        (EVERYTHING(bytes_field=b"\xfb\xff"), {"bytesField": "+/8="}),
        (EVERYTHING(double_list=[math.inf, -math.inf]), {"doubleList": ["Infinity", "-Infinity"]}),
        (EVERYTHING(float_field=0.1), {"floatField": 0.1}),
        (EVERYTHING(nested={}), {"nested": {}}),
        (EVERYTHING(**{"class": "x"}), {"class": "x"}),
    ],
)
def test_prints(message: Any, expected: dict[str, Any]) -> None:
    """Zeros with presence, aliases, unknown numbers, keys and infinities have their JSON."""
    assert encoded(message) == expected


def test_a_negative_zero_is_no_zero() -> None:
    """-0.0 is not the default, and keeps its sign."""
    printed = encoded(EVERYTHING(double_field=-0.0, float_field=-0.0))

    assert [math.copysign(1, printed[key]) for key in ("doubleField", "floatField")] == [-1, -1]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("string_field", "x"),
        ("int64_field", "7"),
        ("nested", {"name": "n"}),
        ("nested_list", [{"name": "a"}]),
        ("string_map", {"k": "v"}),
        ("timestamp_field", "1970-01-01T00:00:01Z"),
        ("enum_field", "COLOR_UNSPECIFIED"),
        ("empty_field", {}),
    ],
)
def test_prints_one_field(name: str, expected: Any) -> None:
    """A field that is a whole body is printed though it has its default value."""
    message = EVERYTHING(
        string_field="x",
        int64_field=7,
        nested={"name": "n"},
        nested_list=[{"name": "a"}],
        string_map={"k": "v"},
    )
    message.timestamp_field.seconds = 1
    field = EVERYTHING.DESCRIPTOR.fields_by_name[name]

    assert codec().encoder().field_writer(field)(message) == expected


def test_field_names_cannot_write_code() -> None:
    """Names that mean something in Python are names of fields all the same."""
    text = """syntax = "proto3";
package t;
message M {
  string class = 1; string m = 2; string v = 3; string out = 4; string i = 5; string write = 6;
  string None = 7; string value = 8; string found = 9; string known = 10; string __init = 11;
  string quoted = 12 [json_name = "a\\"b'c"];
}
"""
    contract = load(compile_text(text))
    kind: Any = GetMessageClass(contract.pool.FindMessageTypeByName("t.M"))
    names = [field.name for field in kind.DESCRIPTOR.fields]
    message: Any = kind(**{name: name for name in names})

    printed = JsonEncoder(contract.pool, JsonOptions(proto_names=True)).writer(kind.DESCRIPTOR)(
        message
    )
    again: Any = kind()
    JsonDecoder(contract.pool).reader(kind.DESCRIPTOR)(again, printed, 0)
    json_names = JsonEncoder(contract.pool, JsonOptions()).writer(kind.DESCRIPTOR)(message)

    assert printed == {name: name for name in names}
    assert again == message
    assert json_names["a\"b'c"] == "quoted"
