"""Violations of a request: collected per field, reported together, limited in number and size.

Rule: an error repeats a caller's text only through `quoted` or `truncated`, or as a step of a path, which
`prefixed` and `collect` truncate.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from heapq import nlargest
from typing import Final

MAX_VIOLATIONS: Final = 100
"""Maximum violations of one value; the rest of a list, map or object is not examined."""
MAX_QUOTED: Final = 60
"""Maximum characters of a caller's value in an error."""
MAX_STEP: Final = 128
"""Maximum characters of a name, key or index in a path."""
MAX_PATH: Final = 2048
"""Maximum characters of a path; it can have 100 steps."""
MAX_TOTAL: Final = 32 * 1024
"""Maximum characters of all violations of a request, paths and texts; further ones are only counted."""
MAX_COMPARED: Final = 64
"""Maximum characters of a name for which a suggestion is searched; the search is quadratic."""
_CANDIDATES: Final = 8
"""Number of known names, those with most letters in common, that are compared completely."""
_CUTOFF: Final = 0.7


class Violations(ValueError):
    """The violations of a value: pairs of a path in that value (empty: the value itself) and a text."""

    def __init__(self, *items: tuple[str, str]) -> None:
        self.items = items
        super().__init__(*items)

    def __str__(self) -> str:
        return "; ".join(f"{path}: {text}" if path else text for path, text in self.items)


def truncated(text: str, length: int = MAX_QUOTED) -> str:
    """Returns a text, cut after `length` characters."""
    return text if len(text) <= length else f"{text[:length]}…"


def quoted(value: object) -> str:
    """Returns a caller's value for an error message, truncated."""
    names = {True: "true", False: "false", None: "null"}
    if value is None or isinstance(value, bool):
        return names[value]
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "an array"
    if isinstance(value, str):  # truncated first: `repr` copies
        value = value[: MAX_QUOTED + 1]
    return truncated(repr(value))


def items_of(error: ValueError) -> tuple[tuple[str, str], ...]:
    """Returns the items of Violations; for another error one item with its text."""
    return error.items if isinstance(error, Violations) else (("", str(error)),)


def prefixed(step: str, error: ValueError, max_step: int = MAX_STEP) -> list[tuple[str, str]]:
    """Returns the items of an error with a step before their paths.

    Args:
        step: `name` or `[index]`; it is truncated.
        error: the error of the value at that step.
        max_step: maximum characters of the step; `MAX_PATH` for a path of the contract's names.
    """
    step = truncated(step, max_step)
    return [(truncated(join(step, path), MAX_PATH), text) for path, text in items_of(error)]


def collect(
    violations: list[tuple[str, str]], step: str, error: ValueError, max_step: int = MAX_STEP
) -> None:
    """Adds the items of an error to a list; see `prefixed`.

    Raises:
        Violations: the list has reached `MAX_VIOLATIONS`.
    """
    violations += prefixed(step, error, max_step)
    if len(violations) >= MAX_VIOLATIONS:
        raise Violations(*violations[:MAX_VIOLATIONS]) from None


def join(step: str, path: str) -> str:
    """Joins a step and a path: `items` + `[3].name` -> `items[3].name`."""
    if not path or not step:
        return step or path
    return f"{step}{path}" if path.startswith("[") else f"{step}.{path}"


def bounded(violations: Iterable[tuple[str, str]]) -> tuple[list[tuple[str, str]], int]:
    """Returns the first violations, up to `MAX_VIOLATIONS` and `MAX_TOTAL`, and the number of the others."""
    kept: list[tuple[str, str]] = []
    size = left_out = 0
    for path, text in violations:
        item = truncated(path, MAX_PATH), truncated(text, MAX_PATH)
        size += len(item[0]) + len(item[1])
        if kept and (len(kept) >= MAX_VIOLATIONS or size > MAX_TOTAL):
            left_out += 1
        else:
            kept.append(item)
    return kept, left_out


def suggestion(name: str, known: Iterable[str]) -> str:
    """Returns `; did you mean 'x'?` if a known name is similar to `name`, otherwise an empty text."""
    if len(name) > MAX_COMPARED:
        return ""
    letters = set(name)
    size = len(name)

    def likeness(other: str) -> float:
        return len(letters.intersection(other)) / (size + len(other) + 1)

    candidates = nlargest(_CANDIDATES, known, key=likeness)
    matches = get_close_matches(name, candidates, n=1, cutoff=_CUTOFF)
    return f"; did you mean {matches[0]!r}?" if matches else ""
