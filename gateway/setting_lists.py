"""Lists of settings, as they are written in the environment and behind options: with commas, or as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

REPLACE: Final = "none"
"""The first item of a list that does not add to the defaults, but replaces them."""


def read_list(text: str) -> list[str]:
    """Reads `a,b` or `["a","b"]`; spaces around an item do not count, and an empty text is an empty list.

    Raises:
        ValueError: it begins as JSON does, and is no JSON list of strings; the text says what to write.
    """
    if not text.lstrip().startswith(("[", "{")):
        return [item.strip() for item in text.split(",") if item.strip()]
    try:
        items = json.loads(text)
    except ValueError:
        items = None
    if isinstance(items, list) and all(isinstance(item, str) for item in items):
        return items
    raise ValueError(f'{text!r} is no list: write a,b or ["a","b"]')


def list_from_text(value: Any) -> Any:
    """Reads a list that is given as text; any other value is left as it is."""
    return read_list(value) if isinstance(value, str) else value


def list_added_to(defaults: tuple[str, ...]) -> Callable[[Any], Any]:
    """Returns a reader of lists which, given as text, are added to their defaults.

    A text whose first item is `none` is the list of its other items, without the defaults. A list that is
    given as such, from Python, is left as it is.
    """

    def read(value: Any) -> Any:
        if not isinstance(value, str):
            return value
        items = read_list(value)
        if items[:1] == [REPLACE]:
            return items[1:]
        return [*defaults, *(item for item in items if item.lower() not in defaults)]

    return read
