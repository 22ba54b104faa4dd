"""Ids of events: only those are given out that can be taken when they come back."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf import wrappers_pb2
from hypothesis import given
from hypothesis import strategies as st

from gateway.contract.fields import FieldPath
from gateway.transcoding.event_fields import id_check, id_reader, id_writer
from gateway.transcoding.event_ids import END_ID, MAX_ID_BYTES, UNKNOWN_ID, is_valid_event_id


def value_of(wrapper: Any) -> FieldPath:
    """Returns the path of the one field of a wrapper."""
    return (wrapper.DESCRIPTOR.fields_by_name["value"],)


@pytest.mark.parametrize(
    ("given_as", "taken_as", "value", "event_id"),
    [
        (wrappers_pb2.Int64Value, wrappers_pb2.Int32Value, 2**31 - 1, b"2147483647"),
        (wrappers_pb2.Int64Value, wrappers_pb2.Int32Value, 2**31, b""),
        (wrappers_pb2.Int64Value, wrappers_pb2.UInt64Value, -1, b""),
        (wrappers_pb2.UInt64Value, wrappers_pb2.Int64Value, 2**63, b""),
        (wrappers_pb2.UInt64Value, wrappers_pb2.UInt64Value, 2**64 - 1, b"18446744073709551615"),
        (wrappers_pb2.Int64Value, wrappers_pb2.StringValue, -(2**63), b"-9223372036854775808"),
        (wrappers_pb2.StringValue, wrappers_pb2.StringValue, "x" * MAX_ID_BYTES, b"x" * 1024),
        (wrappers_pb2.StringValue, wrappers_pb2.StringValue, "x" * (MAX_ID_BYTES + 1), b""),
    ],
)
def test_an_id_that_the_request_cannot_hold_is_left_out(
    given_as: Any, taken_as: Any, value: object, event_id: bytes
) -> None:
    """The two fields may be of different types; an id is given out if it fits both."""
    read = id_reader(given_as.DESCRIPTOR, value_of(given_as), id_check(value_of(taken_as)))

    assert read(given_as(value=value).SerializeToString()) == event_id


@pytest.mark.parametrize("last", ["x", "1.5", "1e3", "+1", " 1", "٣", "", "9" * 21, UNKNOWN_ID])
def test_what_is_no_number_was_not_given_out(last: str) -> None:
    """Of a field that holds numbers."""
    assert not id_check(value_of(wrappers_pb2.Int64Value))(last)


@given(st.text())
def test_an_id_comes_back_as_it_is(text: str) -> None:
    """Through an event stream, which has lines, and a header, which is stripped and decoded as UTF-8."""
    if not is_valid_event_id(text):
        return
    line = f"id: {text}\n".encode()
    header = line.removeprefix(b"id: ").strip(b" \t\r\n")

    assert line.decode().splitlines() == [f"id: {text}"]
    assert header.decode("latin-1").encode("latin-1").decode() == text
    assert b"\0" not in header
    assert text not in ("", END_ID)


@pytest.mark.parametrize(
    ("kind", "event_id", "value"),
    [
        (wrappers_pb2.StringValue, "aéb".encode(), "aéb"),
        (wrappers_pb2.Int64Value, b"-7", -7),
        (wrappers_pb2.UInt32Value, b"7", 7),
    ],
)
def test_an_id_is_written_into_a_request(kind: Any, event_id: bytes, value: Any) -> None:
    """As the type of the field wants it; an earlier value is replaced."""
    before = kind(value=type(value)(5)).SerializeToString()
    written = id_writer(kind.DESCRIPTOR, value_of(kind))(before, event_id)

    assert kind.FromString(written).value == value
