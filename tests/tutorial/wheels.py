"""Wheels to install from: of protoway, and of the packages that are installed here, without a network."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterable, Iterator
from importlib.metadata import Distribution, distribution, distributions
from pathlib import Path

from packaging.requirements import Requirement
from packaging.tags import parse_tag, sys_tags
from packaging.utils import canonicalize_name

from tests.whole.conftest import ROOT

_OF_AN_INSTALLATION = {"INSTALLER", "RECORD", "REQUESTED", "direct_url.json"}


def build(folder: Path) -> Path:
    """Builds protoway's wheel from the checkout; returns its path."""
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check"),
            *("--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(ROOT)),
        ],
        check=True,
        timeout=120,
    )
    (wheel,) = folder.glob("protoway-*.whl")
    return wheel


def repack(wheel: Path, others: Iterable[str], folder: Path) -> None:
    """Makes wheels of all that a wheel needs, and of other packages, from what is installed here."""
    tags = {str(tag) for tag in sys_tags()}
    (own,) = distributions(path=[str(wheel)])
    for each in _closure([*(own.requires or ()), *others]):
        _repack(each, tags, folder)


def pip_variables(
    wheel: Path, folder: Path, others: Iterable[str], *, index: bool
) -> dict[str, str]:
    """Returns the variables with which pip finds a wheel, all that it needs, and other packages.

    Args:
        wheel: protoway's.
        folder: for wheels of what is installed here; made, unless the index has them.
        others: names of the other packages.
        index: whether the packages come from the index.
    """
    if index:
        return {"PIP_FIND_LINKS": f"{wheel.parent} {os.environ.get('PIP_FIND_LINKS', '')}"}
    folder.mkdir()
    repack(wheel, others, folder)
    return {
        "PIP_FIND_LINKS": f"{wheel.parent} {folder}",
        "PIP_NO_INDEX": "1",
        "PIP_NO_COMPILE": "1",
    }


def _closure(requirements: Iterable[str]) -> Iterator[Distribution]:
    """Yields what fulfils requirements, and their own in turn, each once."""
    waiting = [Requirement(text) for text in requirements]
    seen: set[tuple[str, str]] = set()
    found: set[str] = set()
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        for extra in {"", *requirement.extras}:
            if (name, extra) in seen or not _applies(requirement):
                continue
            seen.add((name, extra))
            installed = distribution(name)
            waiting += [
                own
                for own in map(Requirement, installed.requires or ())
                if own.marker is None or own.marker.evaluate({"extra": extra})
            ]
            if name not in found:
                found.add(name)
                yield installed


def _applies(requirement: Requirement) -> bool:
    return requirement.marker is None or requirement.marker.evaluate({"extra": ""})


def _repack(installed: Distribution, tags: set[str], folder: Path) -> None:
    stem = re.sub(r"[-_.]+", "_", installed.metadata["Name"])
    said = re.findall(r"^Tag: (.+?)\s*$", installed.read_text("WHEEL") or "", re.MULTILINE)
    tag = next(tag for tag in said if any(str(each) in tags for each in parse_tag(tag)))
    names: list[str] = []
    with zipfile.ZipFile(folder / f"{stem}-{installed.version}-{tag}.whl", "w") as archive:
        for file in installed.files or ():
            name = file.as_posix()
            if name.startswith("..") or file.suffix == ".pyc" or file.name in _OF_AN_INSTALLATION:
                continue
            archive.write(Path(str(file.locate())), name)
            names.append(name)
        record = next(name for name in names if name.endswith(".dist-info/METADATA"))
        record = record.replace("METADATA", "RECORD")
        archive.writestr(record, "".join(f'"{name}",,\n' for name in [*names, record]))
