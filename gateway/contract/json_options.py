"""The options of the JSON printer that the "ProtoJSON Format" specification defines."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class JsonOptions:
    """Options for printing messages; the defaults are the specification's."""

    defaults: bool = False
    """Print fields without presence even if they have their default value."""
    proto_names: bool = False
    """Use the field names of the .proto, not lowerCamelCase."""
    enum_numbers: bool = False
    """Print enum values as numbers, not as names."""
    int64_numbers: bool = False
    """Print 64-bit integers as numbers, not strings. Many JSON parsers lose digits beyond 2**53."""
