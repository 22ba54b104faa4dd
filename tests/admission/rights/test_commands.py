"""`protoway routes` and `protoway check` say who may call what."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.cli import main
from tests.admission.rights.test_table import CONTRACT
from tests.contracts import compile_text


@pytest.fixture
def descriptor_set(tmp_path: Path) -> Path:
    """The contract of the tests of the table, whose options say who may call its methods."""
    path = tmp_path / "library.binpb"
    path.write_bytes(compile_text(CONTRACT))
    return path


def test_routes_shows_who_may_call(
    descriptor_set: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In a last column."""
    assert main(["routes", "--descriptor-set", str(descriptor_set)]) == 0
    head, *rows = capsys.readouterr().out.splitlines()

    column = head.index("CALLERS")
    assert [row[column:] for row in rows] == [
        *("anybody", "anybody", "anybody", "scope contains write, books"),
        *("roles contains admin or editor", "any identity", "nobody", "nobody"),
    ]


def test_routes_shows_no_callers_where_nothing_says_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Everybody may call everything then."""
    path = tmp_path / "open.binpb"
    text = "\n".join(line for line in CONTRACT.splitlines() if "v1.rights" not in line)
    path.write_bytes(compile_text(text.replace('import "gateway/v1/options.proto";', "")))

    assert main(["routes", "--descriptor-set", str(path)]) == 0
    assert "CALLERS" not in capsys.readouterr().out


def test_check_warns_of_methods_that_nobody_may_call(
    descriptor_set: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With their places; it is no problem."""
    assert main(["check", "--descriptor-set", str(descriptor_set)]) == 0
    lines = capsys.readouterr().err.splitlines()
    assert all(line.startswith("protoway: warning: test.proto:") for line in lines)
    assert [line.partition(": library")[2] for line in lines] == [
        f".v1.{name} may be called by nobody: no rule of rights takes it in"
        for name in ("Library.DeleteAll", "Loans.Lend")
    ]
