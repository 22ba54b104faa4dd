"""A descriptor set in a file."""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path

from gateway.contract.descriptors import files_of
from gateway.setting_files import read_file


class DescriptorSetFile:
    """What `protoc --include_imports --include_source_info -o FILE` has written."""

    def __init__(self, path: Path) -> None:
        """Takes the path; links are followed at each read."""
        self.path = path

    def read(self) -> bytes:
        """See `Source`."""
        content = read_file(self.path)
        files_of(content, str(self.path))
        return content

    def stamp(self) -> Hashable:
        """See `Source`."""
        return file_stamp(self.path)

    def describe(self) -> str:
        """See `Source`."""
        return str(self.path)


def file_stamp(path: Path) -> Hashable:
    """Returns a value that differs when a file was written or replaced."""
    try:
        stat = path.stat()
    except OSError as error:
        return error.errno
    return stat.st_mtime_ns, stat.st_size, stat.st_ino, stat.st_dev
