"""JSON -> messages: all faults at once, each with its path, and what is no fault."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from google.protobuf.message_factory import GetMessageClass

from gateway.contract.descriptors import load
from gateway.transcoding.decoding import JsonDecoder, serialize
from gateway.transcoding.violations import Violations
from tests.contracts import compile_text
from tests.transcoding.messages import EVERYTHING, OLD, decoded, violations


def test_tells_all_faults_at_once() -> None:
    """Every fault of a text is told with the exact path to it, in the order of the contract."""
    text = """{
        "int32Field": "x",
        "nested": {"tags": ["a", 1, "b", null], "child": {"number": true, "naem": "x"}},
        "nestedMap": {"3": {"number": []}, "x": {}},
        "nestedList": [{}, {"name": 5}, 7],
        "enumList": ["COLOR_RED", "COLOR_RAD", 0.5],
        "timestampMap": {"a.b": "now"},
        "structField": [],
        "stringFeild": "",
        "boolMap": {"yes": 1},
        "bytesList": ["!"]
    }"""

    assert [path for path, _ in violations(text)] == [
        "int32Field",
        "nested.child.number",
        "nested.child.naem",
        "nested.tags[1]",
        "nested.tags[3]",
        "bytesList[0]",
        "enumList[1]",
        "enumList[2]",
        "nestedList[1].name",
        "nestedList[2]",
        "nestedMap[3].number",
        "nestedMap[x]",
        "boolMap[yes]",
        "timestampMap[a.b]",
        "structField",
        "stringFeild",
    ]


@pytest.mark.parametrize(
    ("text", "path", "words"),
    [
        ('{"stringFeild": 1}', "stringFeild", "unknown field; did you mean 'stringField'?"),
        ('{"string_feild": 1}', "string_feild", "unknown field; did you mean 'stringField'?"),
        ('{"zzz": 1}', "zzz", "unknown field"),
        ('{"": 1}', "", "unknown field"),
        ('{"nested": {"nam": 1}}', "nested.nam", "unknown field; did you mean 'name'?"),
        ('{"renamedField": "x"}', "renamedField", "unknown field"),
        ('{"[legacy.note]": "x"}', "[legacy.note]", "unknown field"),
        ('{"enumField": "COLOR_BLEU"}', "enumField", "did you mean 'COLOR_BLUE'?"),
        ('{"nested": []}', "nested", "expected an object, got an array"),
        ('{"nested": "x"}', "nested", "expected an object, got 'x'"),
        ('{"nestedList": {}}', "nestedList", "expected an array, got an object"),
        ('{"int32List": 1}', "int32List", "expected an array, got 1"),
        ('{"stringMap": []}', "stringMap", "expected an object, got an array"),
        ('{"nestedMap": {"1.5": {}}}', "nestedMap[1.5]", "expected an integer (int32), got '1.5'"),
        ('{"nestedMap": {"01": {}}}', "nestedMap[01]", "expected an integer (int32)"),
        ('{"nestedMap": {"1": null}}', "nestedMap[1]", "expected an object, got null"),
        ('{"boolMap": {"True": 1}}', "boolMap[True]", "expected the key true or false"),
        ('{"int64Map": {"1": "x"}}', "int64Map[1]", "expected a number, got 'x'"),
        ('{"int64Map": {"1": 1, "1.0": 2}}', "int64Map[1.0]", "given twice, in two ways"),
        ('{"nestedMap": {"1": {}, "1e0": {}}}', "nestedMap[1e0]", "given twice, in two ways"),
        ('{"int64Map": {"0": 1, "-0": 2}}', "int64Map[-0]", "given twice, in two ways"),
        ('{"int32Field": 1, "int32_field": 1}', "int32_field", "given twice, as 'int32Field' too"),
        (
            '{"customName": "", "renamed_field": ""}',
            "renamed_field",
            "given twice, as 'customName'",
        ),
        (
            '{"choiceString": "", "choiceInt32": 0}',
            "choiceInt32",
            "only one of the fields of 'choice'",
        ),
        ('{"choiceNested": {}, "choiceNull": null}', "choiceNull", "only one of the fields"),
        (
            '{"choiceString": "", "choiceNested": {}}',
            "choiceNested",
            "'choice_string' is there already",
        ),
    ],
)
def test_tells_a_fault(text: str, path: str, words: str) -> None:
    """A fault is told under its path, with the nearest name where one is near."""
    ((where, told),) = violations(text)

    assert where == path
    assert words in told


def test_a_text_that_is_no_object_is_told_as_a_whole() -> None:
    """Where the message itself is wrong, the path is empty."""
    assert violations("[]") == [("", "expected an object, got an array")]
    assert violations("null") == [("", "expected an object, got null")]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"customName": "x"}', EVERYTHING(renamed_field="x")),
        ('{"renamed_field": "x"}', EVERYTHING(renamed_field="x")),
        ('{"class": "x"}', EVERYTHING(**{"class": "x"})),
        ('{"class": null}', EVERYTHING()),
        ('{"optionalInt32": 0}', EVERYTHING(optional_int32=0)),
        ('{"optionalString": ""}', EVERYTHING(optional_string="")),
        ('{"optionalEnum": "COLOR_UNSPECIFIED"}', EVERYTHING(optional_enum=0)),
        ('{"optionalInt32": null}', EVERYTHING()),
        ('{"choiceString": "a", "choiceInt32": null}', EVERYTHING(choice_string="a")),
        ('{"doubleField": 5}', EVERYTHING(double_field=5)),
        ('{"doubleList": [1, 2.5, "3", "-0"]}', EVERYTHING(double_list=[1, 2.5, 3, -0.0])),
        ('{"stringList": ["a", "b"]}', EVERYTHING(string_list=["a", "b"])),
        ('{"boolList": [true]}', EVERYTHING(bool_list=[True])),
        ('{"int32List": []}', EVERYTHING()),
        ('{"nestedList": []}', EVERYTHING()),
        ('{"stringMap": {}}', EVERYTHING()),
        ('{"stringMap": {"": ""}}', EVERYTHING(string_map={"": ""})),
        ('{"boolMap": {"false": "COLOR_BLUE"}}', EVERYTHING(bool_map={False: 2})),
        ('{"int64Map": {"-9223372036854775808": 1}}', EVERYTHING(int64_map={-(2**63): 1})),
        ('{"nested": {}}', EVERYTHING(nested={})),
        ('{"valueList": [null, 1]}', None),
        ("{}", EVERYTHING()),
    ],
)
def test_reads(text: str, expected: Any) -> None:
    """Presence, zeros, nulls and names are kept apart as the specification says."""
    message = decoded(text)

    if expected is None:
        assert [value.WhichOneof("kind") for value in message.value_list] == [
            "null_value",
            "number_value",
        ]
    else:
        assert message == expected


OLD_TEXT = """{
    "id": "x",
    "count": 0,
    "closed": "CLOSED_TWO",
    "item": {"name": "n"},
    "closedList": [1, "CLOSED_TWO"],
    "[legacy.note]": "note",
    "[legacy.extra]": {"note": "inner"},
    "[legacy.numbers]": [1, "2"]
}"""


def test_reads_proto2() -> None:
    """Groups, extensions, closed enums and fields with defaults are read."""
    message = decoded(OLD_TEXT, OLD)

    extensions = {field.name: value for field, value in message.ListFields() if field.is_extension}
    assert (message.id, message.HasField("count"), message.closed) == ("x", True, 2)
    assert message.item.name == "n"
    assert list(message.closed_list) == [1, 2]
    assert extensions["note"] == "note"
    assert extensions["extra"].note == "inner"
    assert list(extensions["numbers"]) == [1, 2]


@pytest.mark.parametrize(
    ("text", "path", "words"),
    [
        ('{"id": "x", "closed": 3}', "closed", "legacy.Closed has no value 3"),
        ('{"id": "x", "[legacy.numbers]": ["x"]}', "[legacy.numbers][0]", "expected an integer"),
        ('{"id": "x", "[legacy.nots]": 1}', "[legacy.nots]", "did you mean '[legacy.note]'?"),
        ('{"id": "x", "[legacy.extra]": {"x": 1}}', "[legacy.extra].x", "unknown field"),
    ],
)
def test_tells_a_fault_of_proto2(text: str, path: str, words: str) -> None:
    """Faults of what proto2 alone has are told as any other's."""
    ((where, told),) = violations(text, OLD)

    assert where == path
    assert words in told


def test_a_required_field_is_missed_before_it_is_sent() -> None:
    """A message without a required field is a fault of the caller's, and never goes upstream."""
    with pytest.raises(Violations) as caught:
        serialize(OLD())

    assert caught.value.items == (("id", "required, but not given"),)


def test_types_may_hold_each_other() -> None:
    """Types that hold each other, at once or around a corner, get one reader each."""
    contract = load(
        compile_text("""syntax = "proto3";
package t;
message A { B b = 1; repeated A all = 2; map<string, B> named = 3; string name = 4; }
message B { A a = 1; int32 number = 2; }
""")
    )
    kind: Any = GetMessageClass(contract.pool.FindMessageTypeByName("t.A"))
    read = JsonDecoder(contract.pool).reader(kind.DESCRIPTOR)
    message: Any = kind()
    value = {
        "b": {"a": {"name": "x"}, "number": 1},
        "all": [{"all": [{"name": "y"}]}],
        "named": {"k": {"a": {"b": {"number": 2}}}},
    }

    read(message, value, 0)

    assert message.b.a.name == "x"
    assert message.all[0].all[0].name == "y"
    assert message.named["k"].a.b.number == 2


FLOODS = [
    ("unknown keys", json.dumps({f"k{n}": 1 for n in range(200_000)}), 100),
    ("near keys", json.dumps({f"stringField{n}": 1 for n in range(100_000)}), 100),
    ("unknown enum names", json.dumps({"enumList": ["COLOR_X"] * 200_000}), 100),
    ("wrong elements", json.dumps({"int32List": ["x"] * 200_000}), 100),
    ("wrong messages", json.dumps({"nestedList": [{"number": "x"}] * 100_000}), 100),
    (
        "wrong messages, each wrong twice",
        json.dumps({"nestedList": [{"a": 1, "b": 1}] * 100_000}),
        100,
    ),
    ("wrong keys", json.dumps({"nestedMap": {f"x{n}": {} for n in range(100_000)}}), 100),
    ("a long name", json.dumps({"stringField" * 100_000: 1}), 1),
]


@pytest.mark.parametrize(
    ("text", "told"), [row[1:] for row in FLOODS], ids=[row[0] for row in FLOODS]
)
def test_a_flood_of_faults_costs_little(text: str, told: int) -> None:
    """Of a flood of faults the first hundred are told, and no time goes into the rest."""
    started = time.process_time()

    assert len(violations(text)) == told
    assert time.process_time() - started < 3
