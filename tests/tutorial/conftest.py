"""An empty environment to install into, and what is installed: protoway's wheel."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

from tests.tutorial import wheels
from tests.whole.conftest import ROOT

_OURS = ("PYTHON", "VIRTUAL_ENV", "PROTOWAY_", "CORE_", "COVERAGE_")


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Protoway's wheel."""
    return wheels.build(tmp_path_factory.mktemp("wheel"))


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """The environment of a terminal in which nothing of this checkout is found."""
    programs = tmp_path / "bin"
    programs.mkdir()
    base = Path(sys.base_prefix) / "bin" / f"python3.{sys.version_info.minor}"
    _script(programs / "python3", f'exec "{base}" "$@"')
    if not shutil.which("curl"):
        stand_in = ROOT / "tests" / "whole" / "curl.py"
        _script(programs / "curl", f'exec "{sys.executable}" -P "{stand_in}" "$@"')
    (programs / ".curlrc").write_text("no-progress-meter\n")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
    return kept | {
        "PATH": f"{programs}{os.pathsep}{os.defpath}",
        "CURL_HOME": str(programs),
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }


def _script(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
