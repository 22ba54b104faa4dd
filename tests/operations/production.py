"""The examples of docs/operations/run-in-production.md."""

from __future__ import annotations

import re
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs/operations/run-in-production.md"
"""With the examples."""


def examples(language: str) -> list[str]:
    """Returns the page's blocks of a language, in their order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)
