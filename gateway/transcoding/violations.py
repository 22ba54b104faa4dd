"""What is wrong with a request, gathered field by field before it is said all at once."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Final

MAX_FAULTS: Final = 100
"""With so many faults a list, a map or an object is read no further: nobody mends more at once, and a caller
could make us look for the nearest name all day."""


class Violations(ValueError):
    """One value's faults: pairs of a path within that value (`""`: the value itself) and a text."""

    def __init__(self, *items: tuple[str, str]) -> None:
        self.items = items
        super().__init__("; ".join(f"{path}: {text}" if path else text for path, text in items))


def faults(error: ValueError) -> tuple[tuple[str, str], ...]:
    """Returns the faults that an error stands for: its own, or its text as the only one."""
    return error.items if isinstance(error, Violations) else (("", str(error)),)


def below(step: str, error: ValueError) -> list[tuple[str, str]]:
    """Returns the faults as seen from one step up; a step is `name` or `[index]`."""
    return [(join(step, path), text) for path, text in faults(error)]


def gather(found: list[tuple[str, str]], step: str, error: ValueError) -> None:
    """Adds faults to those that were found before.

    Raises:
        Violations: these are as many as one value is told.
    """
    found += below(step, error)
    if len(found) >= MAX_FAULTS:
        raise Violations(*found) from None


def join(step: str, path: str) -> str:
    """Joins a step and what lies below it: `items` + `[3].name` -> `items[3].name`."""
    if not path or not step:
        return step or path
    return f"{step}{path}" if path.startswith("[") else f"{step}.{path}"


def nearest(name: str, known: Iterable[str]) -> str:
    """Returns `; did you mean 'x'?` where a known name is close to `name`, else nothing."""
    matches = get_close_matches(name, list(known), n=1, cutoff=0.7)
    return f"; did you mean {matches[0]!r}?" if matches else ""
