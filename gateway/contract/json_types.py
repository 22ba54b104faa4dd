"""Which message types JSON writes as something other than an object of their fields.

Source: "ProtoJSON Format" in protobuf's language guide.
"""

from __future__ import annotations

from typing import Final

WRAPPERS: Final = frozenset(
    f"google.protobuf.{kind}Value"
    for kind in ("Double", "Float", "Int64", "UInt64", "Int32", "UInt32", "Bool", "String", "Bytes")
)
"""Messages that are written as the one value that they hold."""

TEXTUAL: Final = WRAPPERS | {
    f"google.protobuf.{kind}" for kind in ("Timestamp", "Duration", "FieldMask")
}
"""Messages that are written as one scalar, so that a path segment or a query value can hold them."""

JSON_VALUES: Final = frozenset(
    f"google.protobuf.{kind}" for kind in ("Value", "Struct", "ListValue")
)
"""Messages that stand for any JSON, so that a query gives them as JSON."""

NULLABLE: Final = frozenset({"google.protobuf.Value", "google.protobuf.NullValue"})
"""Types for which null is a value, and not the word for "absent"."""

ANY: Final = "google.protobuf.Any"
FIELD_MASK: Final = "google.protobuf.FieldMask"
HTTP_BODY: Final = "google.api.HttpBody"

SPECIAL: Final = TEXTUAL | JSON_VALUES | {ANY, HTTP_BODY}
"""Messages whose fields are no part of the JSON that a caller writes."""
