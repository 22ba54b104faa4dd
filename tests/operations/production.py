"""The examples of docs/operations/run-in-production.md."""

from __future__ import annotations

import re
from pathlib import Path

_PAGE = Path(__file__).parents[2] / "docs/operations/run-in-production.md"


def examples(language: str) -> list[str]:
    """Returns the page's blocks of a language, in their order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", _PAGE.read_text(), re.DOTALL | re.MULTILINE)
