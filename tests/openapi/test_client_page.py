"""The how-to page on clients, with what npm installs: its TypeScript compiles and runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.howto.reading import PAGES, reader
from tests.openapi.installed import INSTALLED
from tests.pages import ROOT

pytestmark = [pytest.mark.openapi, pytest.mark.timeout(300)]


def test_the_page(tmp_path: Path) -> None:
    """The types are made of the document, the client compiles, and each kind of call answers."""
    (tmp_path / "node_modules").symlink_to(INSTALLED / "node_modules")
    (tmp_path / "protoway.js").symlink_to(ROOT / "web" / "protoway.js")
    follower = reader(tmp_path, "npm install")
    follower.seconds = 120
    follower.follow(PAGES / "typescript-and-httpx-clients.md")
