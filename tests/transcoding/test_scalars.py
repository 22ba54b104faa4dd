"""Scalars: what each type takes beyond the conformance cases, and how a fault is told."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from google.protobuf.descriptor import FieldDescriptor
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.transcoding import scalars
from tests.transcoding.messages import EVERYTHING, OLD

INT64_MIN = -(2**63)


def field(name: str, kind: Any = EVERYTHING) -> FieldDescriptor:
    """Returns a field of the tests' contract."""
    found: FieldDescriptor = kind.DESCRIPTOR.fields_by_name[name]
    return found


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("int32_field", 7, 7),
        ("int32_field", "7", 7),
        ("int32_field", "-7", -7),
        ("int32_field", "-0", 0),
        ("int32_field", "1.50e1", 15),
        ("int32_field", "100e-2", 1),
        ("int32_field", "0e9999", 0),
        ("int32_field", -0.0, 0),
        ("int64_field", 1e18, 10**18),
        ("int64_field", "9.223372036854775807e18", 2**63 - 1),
        ("uint64_field", "1.8446744073709551615e19", 2**64 - 1),
        ("uint64_field", 1e19, 10**19),
        ("double_field", 2**63, float(2**63)),
        ("double_field", 10**308, 1e308),
        ("double_field", "-1.5e-3", -0.0015),
        ("double_field", "1e-400", 0.0),
        ("float_field", 1e-50, 1e-50),
        ("float_field", 3.4028235e38, 3.4028234663852886e38),
        ("float_field", -3.4028235e38, -3.4028234663852886e38),
        ("enum_field", "2", 2),
        ("enum_field", "COLOR_NEGATIVE", -1),
        ("enum_field", -5, -5),
        ("enum_field", 2.0, 2),
        ("bytes_field", "", b""),
        ("bytes_field", "YQ", b"a"),
        ("bytes_field", "YQ==", b"a"),
        ("bytes_field", "-_-_", b"\xfb\xff\xbf"),
        ("bytes_field", "+/+/", b"\xfb\xff\xbf"),
    ],
)
def test_takes(name: str, value: Any, expected: Any) -> None:
    """Every form that the specification gives a type is taken, and exactly."""
    taken = scalars.from_json(field(name))(value)

    assert (type(taken), taken) == (type(expected), expected)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("int32_field", 2**31, "2147483648 is out of range for int32"),
        ("int32_field", "2147483648", "'2147483648' is out of range for int32"),
        ("uint32_field", -1, "-1 is out of range for uint32"),
        ("uint64_field", -1.0, "-1.0 is out of range for uint64"),
        ("int64_field", float(2**63), "9.223372036854776e+18 is out of range for int64"),
        # orjson gives this float for -9223372036854775809 too
        ("int64_field", float(INT64_MIN), "-9.223372036854776e+18 is out of range for int64"),
        ("uint64_field", "1e20", "'1e20' is out of range for uint64"),
        ("uint64_field", "1e9999", "out of range for uint64"),
        ("int32_field", 0.5, "expected an integer (int32), got 0.5"),
        ("int32_field", "1e-1", "expected an integer (int32), got '1e-1'"),
        ("int32_field", "0x10", "expected an integer (int32), got '0x10'"),
        ("int32_field", "1_000", "expected an integer (int32), got '1_000'"),
        ("int32_field", "+1", "expected an integer (int32), got '+1'"),
        ("int32_field", "1\n", "expected an integer (int32)"),
        ("int32_field", True, "expected an integer (int32), got true"),
        ("int32_field", [], "expected an integer (int32), got an array"),
        ("int32_field", {}, "expected an integer (int32), got an object"),
        ("sint64_field", None, "expected an integer (int64), got null"),
        ("double_field", True, "expected a number, got true"),
        ("double_field", "nan", "expected a number, got 'nan'"),
        ("double_field", "inf", "expected a number, got 'inf'"),
        ("double_field", "1.", "expected a number, got '1.'"),
        ("double_field", ".5", "expected a number, got '.5'"),
        ("double_field", "1e999", "'1e999' is out of range for double"),
        ("double_field", 10**309, "is out of range for double"),
        ("float_field", "3.5e38", "'3.5e38' is out of range for float"),
        ("float_field", 1e300, "1e+300 is out of range for float"),
        ("bool_field", "true", "expected true or false, got 'true'"),
        ("bool_field", 1, "expected true or false, got 1"),
        ("string_field", 1, "expected a string, got 1"),
        ("bytes_field", "!!!", "expected base64 text, got '!!!'"),
        ("bytes_field", "a", "expected base64 text, got 'a'"),
        ("bytes_field", "YQ=", "expected base64 text, got 'YQ='"),
        ("bytes_field", "YQ===", "expected base64 text"),
        ("bytes_field", "=", "expected base64 text, got '='"),
        ("bytes_field", "YQ==YQ==", "expected base64 text"),
        ("bytes_field", "Y Q=", "expected base64 text"),
        ("bytes_field", "é", "expected base64 text"),
        ("bytes_field", 1, "expected base64 text, got 1"),
        (
            "enum_field",
            "COLOR_REDD",
            "echo.v1.Color has no value 'COLOR_REDD'; did you mean 'COLOR_RED'?",
        ),
        ("enum_field", "", "echo.v1.Color has no value ''"),
        ("enum_field", 2**31, "2147483648 is out of range for int32"),
        ("enum_field", 0.5, "expected an integer"),
        ("string_field", ["x" * 100], "expected a string, got an array"),
        ("int32_field", "x" * 100, "got '" + "x" * 59 + "…"),
    ],
)
def test_refuses(name: str, value: Any, words: str) -> None:
    """What a type does not take is told with the value, cut where it is long."""
    with pytest.raises(ValueError, match=r".") as caught:
        scalars.from_json(field(name))(value)

    assert words in str(caught.value)


def test_a_closed_enum_takes_its_own_numbers_alone() -> None:
    """An enum of proto2 has no value but those that it names."""
    take = scalars.from_json(field("closed", OLD))

    assert take(2) == take("CLOSED_TWO") == 2
    with pytest.raises(scalars.UnknownEnumValue, match=r"legacy.Closed has no value 3"):
        take(3)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("true", True), ("TRUE", True), ("1", True), ("false", False), ("False", False), ("0", False)],
)
def test_bools_in_texts(text: str, expected: bool) -> None:
    """In a path or a query a bool is written as HTTP clients write it."""
    assert scalars.bool_from_text(text) is expected


@pytest.mark.parametrize("text", ["", "yes", "2", "tru", " true"])
def test_no_bools_in_texts(text: str) -> None:
    """Other words are no bool."""
    with pytest.raises(ValueError, match=r"expected true or false"):
        scalars.bool_from_text(text)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.1, 0.1),
        (16777216.0, 16777216.0),
        (3.4028234663852886e38, 3.4028234663852886e38),
        (1e-45, 1e-45),
        (float("inf"), "Infinity"),
        (float("-inf"), "-Infinity"),
        (float("nan"), "NaN"),
    ],
)
def test_floats_are_short(value: float, expected: float | str) -> None:
    """A 32-bit float is printed in the fewest digits that read back as it."""
    assert scalars.float_to_json(value) == expected


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
@settings(deadline=None)
def test_floats_read_back(value: float) -> None:
    """What is printed for a 32-bit float reads back as its bits, and lies in its range."""
    printed = scalars.float_to_json(value)

    assert isinstance(printed, float)
    assert struct.pack("<f", scalars.float_from_json(printed)) == struct.pack("<f", value)
    assert abs(printed) <= 3.4028234663852886e38


@given(st.binary(max_size=20), st.booleans(), st.booleans())
@settings(deadline=None)
def test_bytes_read_back(value: bytes, url_safe: bool, padded: bool) -> None:
    """Bytes read back from both alphabets, with padding or without."""
    text = scalars.bytes_to_json(value)
    text = text.replace("+", "-").replace("/", "_") if url_safe else text
    text = text if padded else text.rstrip("=")

    assert scalars.bytes_from_json(text) == value


@given(st.text(max_size=12) | st.floats() | st.integers() | st.none() | st.lists(st.none()))
@settings(deadline=None)
def test_nothing_but_value_errors(value: Any) -> None:
    """No value makes a conversion raise anything but a ValueError."""
    for one in EVERYTHING.DESCRIPTOR.fields:
        if one.message_type is None:
            for convert in (scalars.from_json(one), scalars.from_text(one)):
                if isinstance(value, str) or convert is not scalars.from_text(one):
                    _quietly(convert, value)


def _quietly(convert: Any, value: Any) -> None:
    try:
        convert(value)
    except ValueError:
        return
