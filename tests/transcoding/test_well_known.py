"""The well-known types, beyond the conformance cases."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.transcoding.well_known import MAX_DEPTH, read_field_mask_text
from tests.transcoding.messages import EVERYTHING, decoded, encoded, violations


@pytest.mark.parametrize(
    ("text", "seconds", "nanos"),
    [
        ("2024-02-29T12:00:00Z", 1709208000, 0),
        ("1969-12-31T23:59:59.9Z", -1, 900_000_000),
        ("1970-01-01T00:00:00.000000001Z", 0, 1),
        ("1970-01-01T23:59:00+23:59", 0, 0),
        ("1970-01-01T00:00:00-00:00", 0, 0),
    ],
)
def test_timestamps(text: str, seconds: int, nanos: int) -> None:
    """A timestamp is read to the nanosecond, and its offset is taken off."""
    message = decoded(f'{{"timestampField": "{text}"}}').timestamp_field

    assert (message.seconds, message.nanos) == (seconds, nanos)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("2023-02-29T12:00:00Z", "is not a date and time"),
        ("1970-01-01T24:00:00Z", "is not a date and time"),
        ("1970-01-01T23:59:60Z", "is not a date and time"),
        ("1970-01-01T00:00:00+24:00", "has no such offset from UTC"),
        ("1970-01-01T00:00:00+00:60", "has no such offset from UTC"),
        ("0001-01-01T00:00:00+00:01", "is out of range for a timestamp"),
        ("9999-12-31T23:59:59-00:01", "is out of range for a timestamp"),
        ("1970-01-01T00:00:00.0000000001Z", "expected an RFC 3339 timestamp"),
        ("1970-01-01T00:00:00.Z", "expected an RFC 3339 timestamp"),
        ("1970-01-01", "expected an RFC 3339 timestamp"),
        ("1970-01-01T00:00Z", "expected an RFC 3339 timestamp"),
        ("1970-01-01T00:00:00+0000", "expected an RFC 3339 timestamp"),
        ("١٩٧٠-01-01T00:00:00Z", "expected an RFC 3339 timestamp"),
        ("", "expected an RFC 3339 timestamp"),
    ],
)
def test_no_timestamps(text: str, words: str) -> None:
    """What is no instant between the years 1 and 9999 is refused."""
    ((path, told),) = violations(f'{{"timestampField": "{text}"}}')

    assert path == "timestampField"
    assert words in told


@pytest.mark.parametrize(
    ("text", "seconds", "nanos"),
    [
        ("0s", 0, 0),
        ("-0s", 0, 0),
        ("1.5s", 1, 500_000_000),
        ("-1.5s", -1, -500_000_000),
        ("0.000000001s", 0, 1),
        ("007s", 7, 0),
    ],
)
def test_durations(text: str, seconds: int, nanos: int) -> None:
    """A duration is read with its sign on both parts."""
    message = decoded(f'{{"durationField": "{text}"}}').duration_field

    assert (message.seconds, message.nanos) == (seconds, nanos)


@pytest.mark.parametrize(
    "value",
    ['"1.5S"', '"+1s"', '".5s"', '"1.s"', '"1 s"', '"1e3s"', '"s"', '"1.0000000000s"', "1.5"],
)
def test_no_durations(value: str) -> None:
    """What is not seconds with an s behind them is refused."""
    ((_, told),) = violations(f'{{"durationField": {value}}}')

    assert "expected a duration such as '1.5s'" in told


@pytest.mark.parametrize(
    ("text", "paths"),
    [
        ("a", ["a"]),
        ("fooBar,b.cD", ["foo_bar", "b.c_d"]),
        ("foo_bar", ["foo_bar"]),
        ("", []),
    ],
)
def test_masks_in_texts(text: str, paths: list[str]) -> None:
    """In a query the paths of a mask may be written as the .proto has them."""
    message = EVERYTHING().mask_field

    read_field_mask_text(message, text, 0)

    assert list(message.paths) == paths


@pytest.mark.parametrize("text", [",", "a,", ",a", "a,,b"])
def test_empty_paths_are_none(text: str) -> None:
    """A mask whose paths are not all there is refused."""
    ((_, told),) = violations(f'{{"maskField": "{text}"}}')

    assert "expected field paths with commas between them" in told


def objects(levels: int) -> str:
    """Returns objects in one another, as text."""
    return '{"a":' * (levels - 1) + "{}" + "}" * (levels - 1)


NESTINGS: list[tuple[str, Any, int]] = [
    ("a message in itself", lambda n: '{"everything":' * n + "{}" + "}" * n, 100),
    ("a Struct, three messages a level", lambda n: '{"structField":' + objects(n) + "}", 34),
    ("a Value of objects", lambda n: '{"valueField":' + objects(n) + "}", 33),
    (
        "a ListValue, two messages a level",
        lambda n: '{"listValueField":' + "[" * n + "]" * n + "}",
        50,
    ),
    (
        "a map, two messages a level",
        lambda n: '{"nestedMap":{"1":' + '{"child":' * (n - 1) + "{}" + "}" * (n - 1) + "}}",
        99,
    ),
]


@pytest.mark.parametrize(
    ("text", "levels"), [row[1:] for row in NESTINGS], ids=[row[0] for row in NESTINGS]
)
def test_nests_as_deep_as_protobuf(text: Any, levels: int) -> None:
    """Exactly what protobuf's own parsers take again is deep enough, and one level more is told."""
    deepest = decoded(text(levels))

    assert EVERYTHING.FromString(deepest.SerializeToString()) == deepest
    assert decoded(text(levels)) == deepest
    ((path, told),) = violations(text(levels + 1))
    assert told == f"nests deeper than {MAX_DEPTH} messages"
    assert path.count(".") + path.count("[") >= levels - 1


@pytest.mark.parametrize("levels", [101, 200, 250])
@pytest.mark.parametrize("text", [row[1] for row in NESTINGS], ids=[row[0] for row in NESTINGS])
def test_never_recurses_too_far(text: Any, levels: int) -> None:
    """However deep a text nests, it is refused and not a RecursionError."""
    ((_, told),) = violations(text(levels))

    assert "nest" in told


def test_anys_in_anys_end() -> None:
    """Any in Any is limited when it is read, and when it is written, where no parser limits it."""
    any_type = "type.googleapis.com/google.protobuf.Any"
    text = f'{{"@type": "{any_type}", "value": ' * 200 + "{}" + "}" * 200
    message = EVERYTHING()
    for _ in range(2000):
        data = message.any_field.SerializeToString()
        message.any_field.type_url = any_type
        message.any_field.value = data

    assert "nests deeper" in violations(f'{{"anyField": {text}}}')[0][1]
    with pytest.raises(ValueError, match=r"nests deeper"):
        encoded(message)


def test_a_value_without_a_kind_is_null() -> None:
    """A Value that holds nothing, and a Struct that does, are printed as JSON can say it."""
    message = EVERYTHING()
    message.value_field.SetInParent()
    message.struct_field.SetInParent()
    message.list_value_field.SetInParent()

    assert encoded(message) == {"valueField": None, "structField": {}, "listValueField": []}


ANY_FAULTS = [
    ("no object", "[]", "anyField", "expected an object, got an array"),
    ("no type", '{"number": 1}', "anyField.@type", "expected the type's URL"),
    ("a type that is no text", '{"@type": 1}', "anyField.@type", "expected the type's URL"),
    ("no slash", '{"@type": "echo.v1.Nested"}', "anyField.@type", "no type 'echo.v1.Nested'"),
    ("no host", '{"@type": "/echo.v1.Nested"}', "anyField.@type", "no type"),
    (
        "an unknown type",
        '{"@type": "x/echo.v1.Nope"}',
        "anyField.@type",
        "no type 'x/echo.v1.Nope'",
    ),
    (
        "a fault within",
        '{"@type": "x/echo.v1.Nested", "number": "a"}',
        "anyField.number",
        "expected",
    ),
    (
        "a special type without value",
        '{"@type": "x/google.protobuf.Duration"}',
        "anyField.value",
        "google.protobuf.Duration is given as this field alone",
    ),
    (
        "a special type with more",
        '{"@type": "x/google.protobuf.Duration", "value": "1s", "x": 1}',
        "anyField.value",
        "is given as this field alone",
    ),
    (
        "a required field",
        '{"@type": "x/legacy.Old"}',
        "anyField.id",
        "required, but not given",
    ),
]


@pytest.mark.parametrize(
    ("text", "path", "words"), [row[1:] for row in ANY_FAULTS], ids=[row[0] for row in ANY_FAULTS]
)
def test_faults_of_any(text: str, path: str, words: str) -> None:
    """What is wrong with an Any is told where it is."""
    ((where, told),) = violations(f'{{"anyField": {text}}}')

    assert where == path
    assert words in told


def test_an_any_of_an_unknown_type_is_its_bytes() -> None:
    """What upstream packs and the contract does not know is printed as base64, not lost."""
    message = EVERYTHING()
    message.any_field.type_url = "x/unknown.Type"
    message.any_field.value = b"\x01"

    assert encoded(message) == {"anyField": {"@type": "x/unknown.Type", "value": "AQ=="}}


def test_the_faults_of_a_value_carry_their_place() -> None:
    """A fault deep in a Value is told with the whole way to it."""
    deep = "[" * 60 + "]" * 60

    ((path, _),) = violations(f'{{"valueField": {{"a": [1, {{"b": {deep}}}]}}}}')

    assert path.startswith("valueField.a[1].b[0][0]")
