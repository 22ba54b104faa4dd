"""Patterns of methods by their full names: `package.*`, `package.Service/*`, `package.Service/Method`, `*`.

A pattern is a prefix of whole names, so of several that fit a method the longest is the most specific one.
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from typing import Final

PATTERN: Final = r"^(\*|\w+(\.\w+)*(/\w+)?([./]\*)?)$"
"""Matches the text of a pattern; the last dot may be a slash, and `.*` behind a name may be left out."""


def prefix_of(pattern: str) -> str:
    """Returns the names, with dots between, with which the full name of a method begins; `*` has none."""
    return pattern.replace("/", ".").removesuffix("*").removesuffix(".")


def prefixes_of(full_name: str) -> Iterator[str]:
    """Yields the prefixes of a method, from its full name to the empty one."""
    while full_name:
        yield full_name
        full_name = full_name.rpartition(".")[0]
    yield ""


def fitting_prefix(full_name: str, prefixes: Container[str]) -> str | None:
    """Returns the longest prefix that a method begins with; None if none fits."""
    return next((each for each in prefixes_of(full_name) if each in prefixes), None)
