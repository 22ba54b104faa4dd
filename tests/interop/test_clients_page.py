"""The how-to page on clients, with all that `make interop` installs: each of them calls the demo."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.howto.reading import PAGES, reader
from tests.interop.test_interop import INSTALLED

pytestmark = [pytest.mark.interop, pytest.mark.timeout(300)]


def test_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each client answers as the page says; those that this machine lacks are left out."""
    (tmp_path / "node_modules").symlink_to(INSTALLED / "node_modules")
    path = f"{INSTALLED / 'bin'}{os.pathsep}{os.environ['PATH']}"
    monkeypatch.setenv("PATH", path)
    absent = (name for name in ("grpcurl", "java") if shutil.which(name) is None)
    follower = reader(tmp_path, "npm install", *absent)
    follower.seconds = 120
    follower.follow(PAGES / "clients.md")
