"""The rules that a change of a contract can break, and who notices.

Sources: the rules of `buf breaking` (its categories WIRE, WIRE_JSON and FILE), with its names; AIP-180
(backwards compatibility) and AIP-149 (field presence). Names that begin with `HTTP_` are rules of this edge.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Final


class Level(IntEnum):
    """Who notices a change; a higher level takes in more callers."""

    SOURCE = 1
    """Only programs that are compiled again, with code generated from the new contract."""
    HTTP = 2
    """Callers of one HTTP binding."""
    JSON = 3
    """All callers that send or read JSON."""
    WIRE = 4
    """All callers."""

    def __str__(self) -> str:
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule that a change can break."""

    name: str
    level: Level
    aip: str = ""
    """The AIP that says the same; empty: none does."""
    subject: str = ""
    """Rules of one subject report one change of an element; the highest level counts. Empty: its own."""


AIP_149: Final = "AIP-149"
"""Field presence: `optional` may not be added or removed."""
AIP_180: Final = "AIP-180"
"""Backwards compatibility: nothing is removed, renamed or moved, and no type or default changes."""

FILE_OPTIONS: Final = (
    *("cc_enable_arenas", "cc_generic_services", "csharp_namespace", "go_package"),
    *("java_generic_services", "java_multiple_files", "java_outer_classname", "java_package"),
    *("objc_class_prefix", "optimize_for", "php_class_prefix", "php_metadata_namespace"),
    *("php_namespace", "py_generic_services", "ruby_package", "swift_prefix"),
)
"""Options of a file that change generated code."""

RULES: Final[Mapping[str, Rule]] = {
    rule.name: rule
    for rule in (
        Rule("ENUM_VALUE_NO_DELETE_UNLESS_NUMBER_RESERVED", Level.WIRE, AIP_180, subject="value"),
        Rule("FIELD_NO_DELETE_UNLESS_NUMBER_RESERVED", Level.WIRE, AIP_180, subject="field"),
        Rule("FIELD_SAME_DEFAULT", Level.WIRE, AIP_180),
        Rule("FIELD_SAME_ONEOF", Level.WIRE, AIP_180),
        Rule("FIELD_WIRE_COMPATIBLE_CARDINALITY", Level.WIRE, AIP_180, subject="cardinality"),
        Rule("FIELD_WIRE_COMPATIBLE_TYPE", Level.WIRE, AIP_180, subject="type"),
        Rule("FILE_SAME_PACKAGE", Level.WIRE, AIP_180),
        Rule("MESSAGE_SAME_REQUIRED_FIELDS", Level.WIRE),
        Rule("PACKAGE_SERVICE_NO_DELETE", Level.WIRE, AIP_180, subject="service"),
        Rule("RESERVED_ENUM_NO_DELETE", Level.WIRE),
        Rule("RESERVED_MESSAGE_NO_DELETE", Level.WIRE),
        Rule("RPC_NO_DELETE", Level.WIRE, AIP_180),
        Rule("RPC_SAME_CLIENT_STREAMING", Level.WIRE),
        Rule("RPC_SAME_IDEMPOTENCY_LEVEL", Level.WIRE),
        Rule("RPC_SAME_REQUEST_TYPE", Level.WIRE, AIP_180),
        Rule("RPC_SAME_RESPONSE_TYPE", Level.WIRE, AIP_180),
        Rule("RPC_SAME_SERVER_STREAMING", Level.WIRE),
        Rule("ENUM_SAME_JSON_FORMAT", Level.JSON),
        Rule("ENUM_VALUE_NO_DELETE_UNLESS_NAME_RESERVED", Level.JSON, AIP_180, subject="value"),
        Rule("ENUM_VALUE_SAME_NAME", Level.JSON, AIP_180),
        Rule("FIELD_NO_DELETE_UNLESS_NAME_RESERVED", Level.JSON, AIP_180, subject="field"),
        Rule("FIELD_SAME_JSON_NAME", Level.JSON, AIP_180),
        Rule("FIELD_SAME_NAME", Level.JSON, AIP_180),
        Rule("FIELD_WIRE_JSON_COMPATIBLE_CARDINALITY", Level.JSON, AIP_180, subject="cardinality"),
        Rule("FIELD_WIRE_JSON_COMPATIBLE_TYPE", Level.JSON, AIP_180, subject="type"),
        Rule("MESSAGE_SAME_JSON_FORMAT", Level.JSON),
        Rule("HTTP_BINDING_NO_DELETE", Level.HTTP),
        Rule("HTTP_BINDING_SAME_BODY", Level.HTTP),
        Rule("HTTP_BINDING_SAME_METHOD", Level.HTTP),
        Rule("HTTP_BINDING_SAME_PATH", Level.HTTP),
        Rule("HTTP_BINDING_SAME_RESPONSE_BODY", Level.HTTP),
        Rule("HTTP_BINDING_SAME_VARIABLES", Level.HTTP),
        Rule("HTTP_BINDING_SAME_VERB", Level.HTTP),
        Rule("HTTP_BODY_FIELD_NO_DELETE", Level.HTTP, AIP_180, subject="field"),
        Rule("HTTP_QUERY_PARAMETER_NO_DELETE", Level.HTTP, AIP_180, subject="field"),
        Rule("HTTP_STREAM_SAME_RESUMPTION", Level.HTTP),
        Rule("ENUM_NO_DELETE", Level.SOURCE, AIP_180),
        Rule("ENUM_SAME_TYPE", Level.SOURCE),
        Rule("ENUM_VALUE_NO_DELETE", Level.SOURCE, AIP_180, subject="value"),
        Rule("EXTENSION_MESSAGE_NO_DELETE", Level.SOURCE),
        Rule("EXTENSION_NO_DELETE", Level.SOURCE, AIP_180),
        Rule("FIELD_NO_DELETE", Level.SOURCE, AIP_180, subject="field"),
        Rule("FIELD_SAME_CARDINALITY", Level.SOURCE, AIP_149, subject="cardinality"),
        Rule("FIELD_SAME_CPP_STRING_TYPE", Level.SOURCE),
        Rule("FIELD_SAME_JAVA_UTF8_VALIDATION", Level.SOURCE),
        Rule("FIELD_SAME_JSTYPE", Level.SOURCE),
        Rule("FIELD_SAME_TYPE", Level.SOURCE, AIP_180, subject="type"),
        Rule("FIELD_SAME_UTF8_VALIDATION", Level.SOURCE),
        Rule("FILE_NO_DELETE", Level.SOURCE, AIP_180),
        Rule("FILE_SAME_SYNTAX", Level.SOURCE),
        Rule("MESSAGE_NO_DELETE", Level.SOURCE, AIP_180),
        Rule("MESSAGE_NO_REMOVE_STANDARD_DESCRIPTOR_ACCESSOR", Level.SOURCE),
        Rule("ONEOF_NO_DELETE", Level.SOURCE, AIP_180),
        Rule("SERVICE_NO_DELETE", Level.SOURCE, AIP_180, subject="service"),
        *(Rule(f"FILE_SAME_{option.upper()}", Level.SOURCE) for option in FILE_OPTIONS),
    )
}
"""All rules by name."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A change that breaks a rule."""

    rule: Rule
    element: str
    """Full name of what changed; of a file its name."""
    text: str
    """One sentence without its full stop."""

    def __str__(self) -> str:
        aip = f", {self.rule.aip}" if self.rule.aip else ""
        return f"{self.rule.level}: {self.element}: {self.text} ({self.rule.name}{aip})"


def difference(rule: str, element: str, text: str) -> Difference:
    """Makes a difference, by the name of its rule."""
    return Difference(RULES[rule], element, text)


def worst_of_each_subject(found: Iterable[Difference]) -> list[Difference]:
    """Leaves out differences that say the same as one of a higher level about the same element."""
    kept: dict[tuple[str, str], Difference] = {}
    for one in found:
        rule = one.rule
        key = (one.element, rule.subject or f"{rule.name} {one.text}")
        if key not in kept or kept[key].rule.level < rule.level:
            kept[key] = one
    return list(kept.values())
