"""Message types whose JSON is not an object of their fields.

Source: "ProtoJSON Format" in protobuf's language guide.
"""

from __future__ import annotations

from typing import Final

WRAPPERS: Final = frozenset(
    f"google.protobuf.{kind}Value"
    for kind in ("Double", "Float", "Int64", "UInt64", "Int32", "UInt32", "Bool", "String", "Bytes")
)
"""Wrapper types: their JSON is the wrapped value."""

TEXTUAL: Final = WRAPPERS | {
    f"google.protobuf.{kind}" for kind in ("Timestamp", "Duration", "FieldMask")
}
"""Types whose JSON is one scalar, so that a path segment or a query value can hold them."""

JSON_VALUES: Final = frozenset(
    f"google.protobuf.{kind}" for kind in ("Value", "Struct", "ListValue")
)
"""Types that hold arbitrary JSON; a query value contains them as JSON text."""

NULLABLE: Final = frozenset({"google.protobuf.Value", "google.protobuf.NullValue"})
"""Types for which JSON null is a value; for all others it means "not set"."""

ANY: Final = "google.protobuf.Any"
FIELD_MASK: Final = "google.protobuf.FieldMask"
HTTP_BODY: Final = "google.api.HttpBody"

SPECIAL: Final = TEXTUAL | JSON_VALUES | {ANY, HTTP_BODY}
"""All types whose JSON does not have their fields."""
