"""What is wrong with a request: gathered field by field, told all at once, and cut where it is long.

Rule: a text of the caller's is repeated in an error only through `quoted` or `truncated`, or as a step of a
path, which `prefixed` and `collect` shorten.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from heapq import nlargest
from typing import Final

MAX_VIOLATIONS: Final = 100
"""Faults told of one value. A list, a map or an object with so many is read no further."""
MAX_QUOTED: Final = 60
"""Characters of a caller's value that an error repeats."""
MAX_STEP: Final = 128
"""Characters of one name, key or index in the path of a fault."""
MAX_PATH: Final = 2048
"""Characters of the path of a fault; it may lead through 100 messages."""
MAX_TOTAL: Final = 32 * 1024
"""Characters of all faults of one request, paths and texts together; those beyond are only counted."""
MAX_COMPARED: Final = 64
"""Characters of a name for which the nearest known name is looked for; the search is quadratic in them."""
_CANDIDATES: Final = 8
"""Known names that are compared letter by letter: those that have most letters in common."""
_CUTOFF: Final = 0.7


class Violations(ValueError):
    """One value's faults: pairs of a path within that value (`""`: the value itself) and a text."""

    def __init__(self, *items: tuple[str, str]) -> None:
        self.items = items
        super().__init__(*items)

    def __str__(self) -> str:
        return "; ".join(f"{path}: {text}" if path else text for path, text in self.items)


def truncated(text: str, most: int = MAX_QUOTED) -> str:
    """Returns a text, cut behind `most` characters."""
    return text if len(text) <= most else f"{text[:most]}…"


def quoted(value: object) -> str:
    """Writes a caller's value into a message, cut where it is long."""
    names = {True: "true", False: "false", None: "null"}
    if value is None or isinstance(value, bool):
        return names[value]
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "an array"
    if isinstance(value, str):  # cut before it is copied
        value = value[: MAX_QUOTED + 1]
    return truncated(repr(value))


def items_of(error: ValueError) -> tuple[tuple[str, str], ...]:
    """Returns the faults that an error stands for: its own, or its text as the only one."""
    return error.items if isinstance(error, Violations) else (("", str(error)),)


def prefixed(step: str, error: ValueError, most: int = MAX_STEP) -> list[tuple[str, str]]:
    """Returns the faults as seen from one step up.

    Args:
        step: `name` or `[index]`; it is shortened.
        error: what is wrong below it.
        most: how many characters of the step are kept; `MAX_PATH` for a path of the contract's names.
    """
    step = truncated(step, most)
    return [(truncated(join(step, path), MAX_PATH), text) for path, text in items_of(error)]


def collect(
    violations: list[tuple[str, str]], step: str, error: ValueError, most: int = MAX_STEP
) -> None:
    """Adds faults to those that were found before; see `prefixed`.

    Raises:
        Violations: these are as many as one value is told.
    """
    violations += prefixed(step, error, most)
    if len(violations) >= MAX_VIOLATIONS:
        raise Violations(*violations[:MAX_VIOLATIONS]) from None


def join(step: str, path: str) -> str:
    """Joins a step and what lies below it: `items` + `[3].name` -> `items[3].name`."""
    if not path or not step:
        return step or path
    return f"{step}{path}" if path.startswith("[") else f"{step}.{path}"


def bounded(violations: Iterable[tuple[str, str]]) -> tuple[list[tuple[str, str]], int]:
    """Returns the first faults, up to `MAX_VIOLATIONS` and `MAX_TOTAL`, and how many were left out."""
    kept: list[tuple[str, str]] = []
    size = left_out = 0
    for path, text in violations:
        fault = truncated(path, MAX_PATH), truncated(text, MAX_PATH)
        size += len(fault[0]) + len(fault[1])
        if kept and (len(kept) >= MAX_VIOLATIONS or size > MAX_TOTAL):
            left_out += 1
        else:
            kept.append(fault)
    return kept, left_out


def suggestion(name: str, known: Iterable[str]) -> str:
    """Returns `; did you mean 'x'?` where a known name is close to `name`, else nothing."""
    if len(name) > MAX_COMPARED:
        return ""
    letters = set(name)
    size = len(name)

    def likeness(other: str) -> float:
        return len(letters.intersection(other)) / (size + len(other) + 1)

    candidates = nlargest(_CANDIDATES, known, key=likeness)
    matches = get_close_matches(name, candidates, n=1, cutoff=_CUTOFF)
    return f"; did you mean {matches[0]!r}?" if matches else ""
