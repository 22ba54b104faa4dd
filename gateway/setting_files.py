"""The files that settings name: one that cannot be read is an error of one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class FileReadError(OSError):
    """A file that a setting names cannot be read. Its text is one line, as the command prints it."""

    def __str__(self) -> str:
        return f"cannot read {self.filename}: {self.strerror}"


@contextmanager
def reading() -> Iterator[None]:
    """The block reads files.

    Raises:
        FileReadError: one cannot be read.
    """
    try:
        yield
    except OSError as error:
        if error.filename is None:
            raise
        raise FileReadError(error.errno, error.strerror, str(error.filename)) from error


def read_file(path: Path) -> bytes:
    """Returns the content of a file.

    Raises:
        FileReadError: it cannot be read.
    """
    with reading():
        return path.read_bytes()
