"""Which files `protoway dev` looks at, and which changes it sees."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.project.changes import changed, snapshot, source_files


def write(path: Path, text: str = "") -> Path:
    """Writes a file, and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_sources_are_looked_at(tmp_path: Path) -> None:
    """Modules and contracts; nothing that is generated, hidden, a test or an environment's."""
    wanted = {write(tmp_path / name) for name in ("a.py", "b/c.py", "b/d.proto")}
    for name in ("a_pb2.py", "a_pb2_grpc.py", "README.md", "tests/t.py", ".git/h.py", "env/x.py"):
        write(tmp_path / name)
    write(tmp_path / "env" / "pyvenv.cfg")

    assert set(source_files(tmp_path)) == wanted


@pytest.mark.parametrize("change", ["written", "removed", "added"])
def test_a_change_is_seen(tmp_path: Path, change: str) -> None:
    """Files that are written, gone or new are changed, others are not."""
    one, two = write(tmp_path / "one.proto"), write(tmp_path / "two.proto")
    before = snapshot([tmp_path])
    if change == "written":
        two.write_text("x")
    elif change == "removed":
        two.unlink()
    else:
        two = write(tmp_path / "below" / "three.proto")

    assert changed(before, before) == []
    assert changed(before, snapshot([tmp_path])) == [two]
    assert one in before


def test_a_file_that_is_not_there_is_no_error(tmp_path: Path) -> None:
    """It is seen when it comes."""
    path = tmp_path / "api.binpb"
    assert snapshot([path]) == {}

    write(path)
    assert changed({}, snapshot([path])) == [path]
