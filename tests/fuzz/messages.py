"""Strategies for JSON texts of a message type: right ones, slightly wrong ones, and hostile ones."""

from __future__ import annotations

import json
from functools import cache
from typing import Any, TypeVar

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from hypothesis import strategies as st

from gateway.contract.fields import map_entry

_WELL_KNOWN: dict[str, list[Any]] = {
    "google.protobuf.Timestamp": ["2026-11-22T08:00:00Z", "0001-01-01T00:00:00.000000001+23:59"],
    "google.protobuf.Duration": ["1.5s", "-0.000000001s", "315576000000s"],
    "google.protobuf.FieldMask": ["a.b,cD", "", "displayName"],
    "google.protobuf.Any": [
        {},
        {"@type": "type.googleapis.com/echo.v1.Nested", "name": "x"},
        {"@type": "type.googleapis.com/google.protobuf.Duration", "value": "1s"},
        {"@type": "type.googleapis.com/google.protobuf.Any", "value": {}},
        {"@type": "type.googleapis.com/no.Such"},
        {"@type": "/"},
    ],
    "google.protobuf.Empty": [{}],
}
T = TypeVar("T")
_FREE = ("google.protobuf.Struct", "google.protobuf.Value", "google.protobuf.ListValue")
_WRAPPED = "value"

odd_values: st.SearchStrategy[Any] = st.sampled_from(
    [
        *(None, True, False, 0, -1, 1.5, -0.0, 2**31, -(2**31) - 1, 2**63, 2**64, 1e308, 10**40),
        *("", " ", "1", "-1", "1.0", "1e3", "1e400", "NaN", "-Infinity", "true", "null", "0x10"),
        *(
            "\x00",
            "\ud800",
            "é",
            "\U0001f600",
            "a" * 3000,
            "!!!!",
            "YQ",
            "YQ==",
            "_-8",
            "COLOR_RED",
        ),
        *("2026-11-22T08:00:00Z", "9999-12-31T23:59:60Z", "10000s", "1s", "a.b", "١٢"),
        *([], {}, [[]], [None], [{}], {"": None}, {"@type": ""}, {"value": 1}, {"key": 1}),
    ]
)

free_values: st.SearchStrategy[Any] = st.recursive(
    odd_values,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)


def weighted(*choices: tuple[int, st.SearchStrategy[T]]) -> st.SearchStrategy[T]:
    """Returns one of some strategies, each as often as its weight says; `one_of` takes no heed of repeats."""
    tickets = [strategy for weight, strategy in choices for _ in range(weight)]
    return st.sampled_from(tickets).flatmap(lambda strategy: strategy)


def _numbers(low: int, high: int) -> st.SearchStrategy[Any]:
    integers = st.integers(low, high)
    return integers | integers.map(str) | st.sampled_from([low, high])


@cache
def _scalar(type_: int) -> st.SearchStrategy[Any]:
    integers = {
        FieldDescriptor.CPPTYPE_INT32: _numbers(-(2**31), 2**31 - 1),
        FieldDescriptor.CPPTYPE_INT64: _numbers(-(2**63), 2**63 - 1),
        FieldDescriptor.CPPTYPE_UINT32: _numbers(0, 2**32 - 1),
        FieldDescriptor.CPPTYPE_UINT64: _numbers(0, 2**64 - 1),
        FieldDescriptor.CPPTYPE_BOOL: st.booleans(),
        FieldDescriptor.CPPTYPE_STRING: st.text(max_size=20),
    }
    return integers.get(type_, st.floats(allow_nan=False, allow_infinity=False, width=32))


def _value(field: FieldDescriptor, depth: int) -> st.SearchStrategy[Any]:
    if field.message_type is not None:
        return _message(field.message_type, depth)
    if field.enum_type is not None:
        values = field.enum_type.values
        return st.sampled_from([v.name for v in values] + [v.number for v in values])
    if field.type == FieldDescriptor.TYPE_BYTES:
        return st.sampled_from(["", "YQ==", "YQ", "_-8=", "AAECAw=="])
    return _scalar(field.cpp_type)


def _field(field: FieldDescriptor, depth: int) -> st.SearchStrategy[Any]:
    if entry := map_entry(field):
        keys = _value(entry[0], depth).map(lambda key: json.dumps(key).strip('"'))
        return st.dictionaries(keys, _value(entry[1], depth), max_size=3)
    one = _value(field, depth)
    return st.lists(one, max_size=3) if field.is_repeated else one


def _message(descriptor: Descriptor, depth: int) -> st.SearchStrategy[Any]:
    name = descriptor.full_name
    if name in _WELL_KNOWN:
        return st.sampled_from(_WELL_KNOWN[name]) | odd_values
    if name in _FREE:
        return free_values
    if name.startswith("google.protobuf.") and _WRAPPED in descriptor.fields_by_name:
        return _value(descriptor.fields_by_name[_WRAPPED], depth)
    if not depth:
        return st.just({})
    return objects(descriptor, depth - 1)


@cache
def objects(descriptor: Descriptor, depth: int = 2) -> st.SearchStrategy[dict[str, Any]]:
    """Returns JSON objects of a message type: a few of its fields, now and then with a wrong value."""
    if not descriptor.fields:
        return st.dictionaries(st.text(max_size=3), odd_values, max_size=1)
    members: list[st.SearchStrategy[tuple[str, Any]]] = []
    for field in descriptor.fields:
        names = st.sampled_from([field.json_name, field.name])
        members.append(st.tuples(names, st.deferred(lambda f=field: _field(f, depth))))  # type: ignore[misc]  # bound in a loop
        members.append(st.tuples(names, odd_values))
    right = st.sampled_from(members[::2]).flatmap(lambda member: member)
    wrong = st.sampled_from(members[1::2]).flatmap(lambda member: member)
    unknown = st.tuples(st.text(max_size=8), odd_values)
    mostly_right = weighted((48, right), (1, wrong), (1, unknown))
    return st.lists(mostly_right, max_size=4).map(dict)


def json_texts(descriptor: Descriptor) -> st.SearchStrategy[bytes]:
    """Returns JSON texts of a message type."""
    return objects(descriptor).map(to_text)


def to_text(value: Any) -> bytes:
    """Writes JSON; a lone surrogate is written as an escape, as JSON can."""
    return json.dumps(value).encode()


hostile_texts: st.SearchStrategy[bytes] = st.one_of(
    st.binary(max_size=60),
    st.sampled_from(
        [
            *(b"[" * n for n in (10, 1023, 1024, 1025, 20_000)),
            *(b'{"everything":' * n + b"{}" + b"}" * n for n in (50, 99, 100, 101, 300, 5_000)),
            *(b'{"structField":' + b'{"a":' * n + b"1" + b"}" * n + b"}" for n in (60, 98, 5_000)),
            *(b'{"valueField":' + b"[" * n + b"]" * n + b"}" for n in (60, 98, 99, 2_000)),
            *(b'{"int64Field":' + b"9" * n + b"}" for n in (19, 30, 400, 5_000)),
            *(b'{"int64Field":"' + b"9" * n + b'"}' for n in (19, 30, 400, 5_000)),
            *(b'{"doubleField":1e' + b"9" * n + b"}" for n in (2, 3, 9, 400)),
            *(b'{"doubleField":"1e' + b"9" * n + b'"}' for n in (2, 3, 9, 400)),
            b'{"durationField":"' + b"9" * 5_000 + b's"}',
            b'{"timestampField":"' + b"9" * 5_000 + b'-01-01T00:00:00Z"}',
            b'{"stringField":"\\ud800"}',
            b'{"stringField":"\xed\xa0\x80"}',
            b'{"stringField":"\xff"}',
            b'{"stringField":"a","stringField":"b"}',
            b'{"stringField":"a","string_field":"b"}',
            b'{"stringMap":{"\\ud800":"\\udfff"}}',
            b'{"anyField":{"@type":"type.googleapis.com/google.protobuf.Any","value":{"@type":""}}}',
            *(
                b"NaN",
                b"null",
                b"true",
                b"0",
                b'""',
                b"[]",
                b"{}",
                b"[{}]",
                b"[{},]",
                b"{}{}",
                b"\n",
            ),
            *(
                b"\xef\xbb\xbf{}",
                b"{}\x00",
                b'{"a":1}//',
                b"'a'",
                b"[null]",
                b"null\nnull",
                b"{}\r\n{}",
            ),
        ]
    ),
)


@st.composite
def mutated(draw: st.DrawFn, texts: st.SearchStrategy[bytes]) -> bytes:
    """Draws a text in which some bytes are cut out, or others put in."""
    text = draw(texts)
    start = draw(st.integers(0, len(text)))
    end = draw(st.integers(start, min(len(text), start + 8)))
    inside = draw(st.sampled_from([b"", b'"', b"{", b"}", b"[", b",", b":", b"\\", b"\n"]))
    return text[:start] + inside + text[end:]


def bodies(descriptor: Descriptor) -> st.SearchStrategy[bytes]:
    """Returns bodies of one message: mostly right, then wrong in each of the ways above."""
    right = json_texts(descriptor)
    return weighted((8, right), (1, mutated(right)), (1, hostile_texts))


def uploads(descriptor: Descriptor) -> st.SearchStrategy[bytes]:
    """Returns bodies of many messages: lines, an array, and what is neither."""
    many = st.lists(bodies(descriptor), max_size=5)
    array = many.map(lambda texts: b"[" + b",".join(texts) + b"]")
    return weighted((5, many.map(b"\n".join)), (4, array), (1, mutated(array)))
