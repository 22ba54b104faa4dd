"""`protoway init`: what it writes, and what it refuses."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.cli import main
from gateway.contract.bindings import bind
from gateway.contract.stream_type import StreamType
from gateway.settings import Settings
from gateway.sources.reading import read_contract
from tests.pages import ROOT

FILES = {
    *(".dockerignore", ".gitignore", "Dockerfile", "README.md", "compose.yaml", "generate.py"),
    *("protoway.yaml", "requirements.txt", "server.py", "shop_front.proto"),
    *("tests/conftest.py", "tests/test_grpc.py", "tests/test_http.py"),
}


def written(folder: Path) -> set[str]:
    """Returns the paths of all files below a folder."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_a_project_has_a_contract_with_each_kind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """All files are there, no placeholder is left, and the contract is served without a problem."""
    monkeypatch.chdir(tmp_path)
    assert main(["init", "shop_front"]) == 0

    folder = tmp_path / "shop_front"
    assert capsys.readouterr().out.endswith("Next: cd shop_front && protoway dev\n")
    assert written(folder) == FILES
    assert not [path for path in folder.rglob("*") if path.is_file() and "$" in path.read_text()]
    monkeypatch.chdir(folder)
    contract = read_contract(Settings(config=Path("protoway.yaml")))
    bindings, problems = bind(contract.methods)
    assert not problems
    assert {binding.method.service_name for binding in bindings} == {
        "shop_front.v1.ShopFrontService"
    }
    assert {method.stream_type for method in contract.methods} == set(map(StreamType, range(4)))


@pytest.mark.long
@pytest.mark.parametrize("name", ["item", "class"])
def test_the_tests_of_a_project_pass(tmp_path: Path, name: str) -> None:
    """Also under names that other things have: a message of the contract, a keyword of Python."""
    assert main(["init", name, str(tmp_path / "here")]) == 0
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:asyncio", "-p", "no:cacheprovider"],
        cwd=tmp_path / "here",
        env=kept | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=55,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "8 passed" in done.stdout


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("My-Shop", "as my_shop"),
        ("2orders", "as orders"),
        ("a.b", "as a_b"),
        ("../x", "as x"),
        ("a__b", "as a_b"),
        ("x" * 41, "as x"),
        ("", "at most"),
        ("ß", "at most"),
    ],
)
def test_a_name_that_is_no_package_is_refused(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    near: str,
) -> None:
    """One line names one that would do; nothing is written."""
    monkeypatch.chdir(tmp_path)
    assert main(["init", name]) == 2

    line = capsys.readouterr().err
    assert line.startswith(f"protoway: init: {name!r} is no name of a package")
    assert near in line
    assert line.count("\n") == 1
    assert written(tmp_path) == set()


@pytest.mark.parametrize("taken", ["a file in it", "a file"])
def test_nothing_is_overwritten(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], taken: str
) -> None:
    """A folder that is not empty, or is no folder, is refused, and stays as it was."""
    folder = tmp_path / "orders"
    if taken == "a file":
        folder.write_text("mine")
    else:
        folder.mkdir()
        (folder / "mine").write_text("mine")
    before = written(tmp_path)
    assert main(["init", "orders", str(folder)]) == 2

    assert "is no empty folder" in capsys.readouterr().err
    assert written(tmp_path) == before


def test_an_empty_folder_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also the current one."""
    monkeypatch.chdir(tmp_path)
    assert main(["init", "orders", "."]) == 0

    assert "orders.proto" in written(tmp_path)


def test_a_folder_that_cannot_be_written_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The line has the path and the reason."""
    (tmp_path / "file").write_text("")
    assert main(["init", "orders", str(tmp_path / "file" / "below")]) == 1

    assert capsys.readouterr().err.startswith(f"protoway: cannot write {tmp_path}/file")
