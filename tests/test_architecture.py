"""Rules of the house that no other tool checks."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = [
    path
    for package in ("gateway", "grpc_core", "grpc_wire")
    for path in sorted((ROOT / package).rglob("*.py"))
    if not {"_generated", "v1"} & set(path.parts)
]
MAX_LINES = 350
"""Beyond it, look for a second subject in the file; where there is none, name the file in `ONE_SUBJECT`."""
ONE_SUBJECT = {
    ROOT / "grpc_wire/client/stream.py": 500,  # the state of one call; its end was a base class
    ROOT / "grpc_wire/http2/inbound.py": 480,  # each frame of RFC 9113 once; half was a base class
    ROOT / "grpc_wire/transport/transport.py": 360,  # one asyncio protocol, for both sides
}
"""Longer files with one subject, which only inheritance would split, and their maximum lines."""


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_begins_with_its_law_and_ends_in_time(path: Path) -> None:
    """Every module says what it is for, and has one subject."""
    text = path.read_text()

    assert text.startswith(('"""', 'r"""'))
    assert text.count("\n") <= ONE_SUBJECT.get(path, MAX_LINES)


def test_the_gateway_knows_nothing_of_finance() -> None:
    """The word does not occur in the gateway."""
    for path in (ROOT / "gateway").rglob("*.py"):
        assert not re.search(r"finance|currency", path.read_text(), re.IGNORECASE), path


@pytest.mark.parametrize("file", ["logs.py", "variables.py", "workers.py"])
def test_both_programs_have_a_file_alike(file: str) -> None:
    """Neither may import the other, so each has the file, to the byte."""
    edge, core = (ROOT / package / file for package in ("gateway", "grpc_core"))

    assert edge.read_bytes() == core.read_bytes()
