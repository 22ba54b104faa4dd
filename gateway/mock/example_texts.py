"""Examples that comments of fields give: `Example: 12.5`, or "for example `tea`"."""

from __future__ import annotations

import re
from typing import Final

_LINE: Final = re.compile(
    r"(?:^|[.;(])\s*examples?:\s*(\S.*?)\)?\s*$", re.IGNORECASE | re.MULTILINE
)
_MARKED: Final = re.compile(
    r"(?:for example|e\.g\.|such as|as in|examples?:)[,:]?\s+(`[^`]+`)", re.IGNORECASE
)
_QUOTED: Final = re.compile(r"`([^`]+)`|\"([^\"]+)\"")


def example_texts(comment: str) -> list[str]:
    """Returns the examples in a comment, in order, without quotes and backticks; empty: it has none."""
    found = _LINE.findall(comment) or _MARKED.findall(comment)
    texts: list[str] = []
    for each in found:
        quoted = ["".join(groups) for groups in _QUOTED.findall(each)]
        texts += quoted or [each.rstrip(".")]
    return texts
