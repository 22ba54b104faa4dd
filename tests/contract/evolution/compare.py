"""Our verdicts, in the categories of `buf breaking`, to compare them with its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from gateway.contract.evolution.rules import Difference, Level

_UTF8: Final = [
    *("FIELD_SAME_JAVA_UTF8_VALIDATION", "FIELD_SAME_UTF8_VALIDATION", "FILE_SAME_SYNTAX"),
]
OURS_ALONE: Final[Mapping[str, str]] = {
    "RPC_NO_DELETE": "WIRE and WIRE_JSON of buf do not look for deleted methods; their callers notice",
    "PACKAGE_SERVICE_NO_DELETE": "nor for services; FILE has SERVICE_NO_DELETE",
}
"""Rules that we count for more callers than buf does, with the reason."""
LISTED: Final[Mapping[str, tuple[dict[str, list[str]], str]]] = {
    "required_to_edition": (
        {"WIRE": [], "WIRE_JSON": [], "FILE": _UTF8},
        "to buf, LEGACY_REQUIRED is another thing than `required`; it is the same",
    ),
    "edition_required": (
        {
            "WIRE": ["FIELD_WIRE_COMPATIBLE_CARDINALITY", "MESSAGE_SAME_REQUIRED_FIELDS"],
            "WIRE_JSON": ["FIELD_WIRE_JSON_COMPATIBLE_CARDINALITY", "MESSAGE_SAME_REQUIRED_FIELDS"],
            "FILE": ["FIELD_SAME_CARDINALITY", "MESSAGE_SAME_REQUIRED_FIELDS"],
        },
        "buf does not look for LEGACY_REQUIRED in this rule; it finds the cardinality",
    ),
    "edition_required_deleted": (
        {
            "WIRE": ["MESSAGE_SAME_REQUIRED_FIELDS"],
            "WIRE_JSON": ["MESSAGE_SAME_REQUIRED_FIELDS"],
            "FILE": ["FIELD_NO_DELETE", "MESSAGE_SAME_REQUIRED_FIELDS"],
        },
        "buf does not look for LEGACY_REQUIRED; who has the old contract cannot read the message",
    ),
    "edition_newer": (
        {"WIRE": [], "WIRE_JSON": [], "FILE": []},
        "features of one language alone, as (pb.cpp).string_type, are not compared",
    ),
}
"""Pairs whose verdict is another one than buf's: ours, and the reason."""
WIRE_ONLY: Final = frozenset({"FIELD_WIRE_COMPATIBLE_CARDINALITY", "FIELD_WIRE_COMPATIBLE_TYPE"})
"""Rules of WIRE that WIRE_JSON and FILE have a stricter one for."""
JSON_ONLY: Final = frozenset(
    {
        "ENUM_VALUE_NO_DELETE_UNLESS_NAME_RESERVED",
        "ENUM_VALUE_NO_DELETE_UNLESS_NUMBER_RESERVED",
        "FIELD_NO_DELETE_UNLESS_NAME_RESERVED",
        "FIELD_NO_DELETE_UNLESS_NUMBER_RESERVED",
        "FIELD_WIRE_JSON_COMPATIBLE_CARDINALITY",
        "FIELD_WIRE_JSON_COMPATIBLE_TYPE",
    }
)
"""Rules of WIRE or WIRE_JSON that FILE has a stricter one for."""


def by_category(found: Iterable[Difference]) -> dict[str, set[str]]:
    """Returns the names of broken rules in the categories of buf."""
    rules = {one.rule for one in found}
    buf = [rule for rule in rules if rule.level != Level.HTTP and rule.name not in OURS_ALONE]
    in_file = {rule.name for rule in buf} | ({rule.name for rule in rules} & {"RPC_NO_DELETE"})
    return {
        "WIRE": {rule.name for rule in buf if rule.level is Level.WIRE},
        "WIRE_JSON": {rule.name for rule in buf if rule.level >= Level.JSON} - WIRE_ONLY,
        "FILE": in_file - WIRE_ONLY - JSON_ONLY,
    }
