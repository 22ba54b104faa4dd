""".proto files, compiled when they are read."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorSet

from gateway.contract.errors import ContractError, Location
from gateway.setting_files import FileReadError
from gateway.sources.files import file_stamp
from gateway.sources.protoc import compile_files


class ProtoSource:
    """A .proto file, or all that are below a folder."""

    def __init__(self, path: Path, folders: Iterable[Path] = ()) -> None:
        """Takes a path.

        Args:
            path: of the file or folder.
            folders: where imports are looked for, before the folder itself, or that of the file.
        """
        self.path = path
        self._folders = [*folders, path if path.is_dir() else path.parent]
        self._imported: list[Path] = []
        """Paths of what was read last."""

    def read(self) -> bytes:
        """See `Source`."""
        compiled = compile_files(self._files(), self._folders)
        names = [file.name for file in FileDescriptorSet.FromString(compiled).file]
        paths = (self._path_of(name) for name in names)
        self._imported = [path for path in paths if path is not None]
        return compiled

    def stamp(self) -> Hashable:
        """See `Source`."""
        try:
            files = {*self._files(), *self._imported}
        except (OSError, ContractError) as error:
            return str(error)
        return frozenset((path, file_stamp(path)) for path in files)

    def describe(self) -> str:
        """See `Source`."""
        return str(self.path)

    def _files(self) -> list[Path]:
        if not self.path.is_dir():
            if not self.path.exists():
                raise FileReadError(2, "No such file or directory", str(self.path))
            return [self.path]
        found = [
            path
            for path in sorted(self.path.rglob("*.proto"))
            if not any(part.startswith(".") for part in path.relative_to(self.path).parts)
        ]
        if not found:
            raise ContractError(
                "no .proto file is below this folder", location=Location(str(self.path))
            )
        return found

    def _path_of(self, name: str) -> Path | None:
        return next((path for folder in self._folders if (path := folder / name).exists()), None)
