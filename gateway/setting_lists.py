"""Lists of settings: as text, for variables and options, with commas or as JSON; and as lists of the file."""

from __future__ import annotations

import json
from typing import Any, Final

REPLACE: Final = "none"
"""The first item of a list that does not add to the defaults, but replaces them."""


class WrittenList(list[Any]):
    """A list as the settings file has it: it adds to defaults, as text does."""


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


class list_added_to:  # noqa: N801 - it is called as a function
    """A reader of lists which, as text or in the settings file, are added to their defaults.

    A list whose first item is `none` is its other items, without the defaults. A list that is given as such,
    from Python, is left as it is.
    """

    def __init__(self, defaults: tuple[str, ...]) -> None:
        self._defaults = defaults

    def __call__(self, value: Any) -> Any:
        """Returns the whole list."""
        if isinstance(value, str):
            value = read_list(value)
        elif not isinstance(value, WrittenList):
            return value
        if value[:1] == [REPLACE]:
            return value[1:]
        added = (item for item in value if str(item).lower() not in self._defaults)
        return [*self._defaults, *added]
