"""The last good rates on disk, as a document of the ECB's form.

Rule: the file is whole at any time. It is written beside its place, synced, and renamed (rename(2)).
"""

import os
from collections.abc import Sequence
from pathlib import Path
from tempfile import NamedTemporaryFile

from grpc_core.finance.eurofxref import MAX_BYTES, DayRates, parse, render


def read(path: Path) -> list[DayRates]:
    """Returns the days in a file, the newest first; empty: there is no file.

    Raises:
        InvalidRatesError: It is no document of the ECB's.
        OSError: It cannot be read.
    """
    try:
        with path.open("rb") as file:
            return parse(file.read(MAX_BYTES + 1))
    except FileNotFoundError:
        return []


def write(path: Path, days: Sequence[DayRates]) -> None:
    """Replaces the file.

    Raises:
        OSError: It cannot be written; the old one is as it was.
    """
    with NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
        try:
            file.write(render(days))
            file.flush()
            os.fsync(file.fileno())
            Path(file.name).replace(path)
        except BaseException:
            Path(file.name).unlink()
            raise
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)  # the name, too
    finally:
        os.close(folder)
