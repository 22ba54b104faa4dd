"""A file that a setting names and that cannot be read, from Python."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gateway.app import create_app
from gateway.setting_files import FileReadError
from gateway.settings import Settings
from tests.contracts import echo_descriptor_set


@pytest.mark.parametrize(
    "settings",
    [
        {"descriptor_set": "absent"},
        {"http_rules": "absent"},
        {"upstream_ca": "absent"},
        {"upstream_certificate": "absent", "upstream_key": "descriptor_set"},
    ],
)
def test_it_is_one_line(tmp_path: Path, settings: dict[str, str]) -> None:
    """The line of the command, as an OSError with its number and file name."""
    (tmp_path / "descriptor_set").write_bytes(echo_descriptor_set())
    given: dict[str, Any] = {
        name: tmp_path / file
        for name, file in ({"descriptor_set": "descriptor_set"} | settings).items()
    }

    with pytest.raises(FileReadError) as caught:
        create_app(Settings(**given))

    absent = str(tmp_path / "absent")
    assert str(caught.value) == f"cannot read {absent}: No such file or directory"
    assert (caught.value.errno, caught.value.filename) == (2, absent)
