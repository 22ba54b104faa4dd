"""Which files have changed since the last look."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, TypeAlias

Snapshot: TypeAlias = dict[Path, tuple[int, int]]
"""Each file, with the time and the size that it had."""

_SUFFIXES: Final = (".py", ".proto")
_GENERATED: Final = ("_pb2.py", "_pb2_grpc.py")
_LEFT_OUT: Final = frozenset({"__pycache__", "build", "dist", "node_modules", "tests"})


def snapshot(files: Iterable[Path]) -> Snapshot:
    """Looks at files, and at those in folders; what does not exist is left out."""
    found: Snapshot = {}
    for file in files:
        for each in file.rglob("*.proto") if file.is_dir() else (file,):
            try:
                status = each.stat()
            except OSError:
                continue
            found[each] = (status.st_mtime_ns, status.st_size)
    return found


def source_files(folder: Path) -> Iterator[Path]:
    """Yields the modules and contracts below a folder.

    Left out are what is generated, tests, hidden folders, and environments of Python.
    """
    for place, folders, names in os.walk(folder):
        folders[:] = [
            name
            for name in folders
            if name not in _LEFT_OUT
            and not name.startswith(".")
            and not Path(place, name, "pyvenv.cfg").exists()
        ]
        for name in names:
            if name.endswith(_SUFFIXES) and not name.endswith(_GENERATED):
                yield Path(place, name)


def changed(before: Snapshot, after: Snapshot) -> list[Path]:
    """Returns the files that have come, gone or changed, in order."""
    return sorted(
        path for path in before.keys() | after.keys() if before.get(path) != after.get(path)
    )
