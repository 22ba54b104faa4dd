"""What "ProtoJSON Format" leaves to whoever prints."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class JsonOptions:
    """How messages are printed, where the specification leaves a choice; its defaults are the defaults."""

    defaults: bool = False
    """Print fields without presence though they have their default value."""
    proto_names: bool = False
    """Name fields as the .proto does, not in lowerCamelCase."""
    enum_numbers: bool = False
    """Print enums as numbers, not by name."""
    int64_numbers: bool = False
    """Print 64-bit integers as numbers; beyond 2**53 many readers lose digits."""
