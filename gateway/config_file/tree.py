"""What a settings file contains, in whichever language it is written: plain values, with the line of each.

Rule: standard library only, for what imports no parser until there is a file; `gateway.health` is such.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

Place: TypeAlias = tuple[str | int, ...]
"""Keys and indices that lead to a value."""

MAX_BYTES: Final = 1024 * 1024
"""Maximum size of a file, in bytes."""


@dataclass(frozen=True, slots=True)
class Tree:
    """The content of a file."""

    value: Any
    """Mappings, lists and scalars; None for an empty file."""
    lines: dict[Place, int] = field(default_factory=dict)
    """Place of each value -> its line, from 1; of a value in a mapping the line of its key."""
    problems: list[tuple[int, str]] = field(default_factory=list)
    """Line, and what is wrong there; 0 for the whole file."""


def read_document(name: str, content: bytes) -> Tree:
    """Reads a file: TOML if its name ends in `.toml`, else YAML; never raises."""
    if len(content) > MAX_BYTES:
        return Tree(None, problems=[(0, f"has more than {MAX_BYTES} bytes")])
    if name.lower().endswith(".toml"):
        from gateway.config_file.toml_tree import read_toml  # noqa: PLC0415 - as below

        return read_toml(content)
    from gateway.config_file.yaml_tree import read_yaml  # noqa: PLC0415 - PyYAML takes time to import

    return read_yaml(content)
