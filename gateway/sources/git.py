"""A file or folder at a revision of the git repository that the current folder is in."""

from __future__ import annotations

import io
import subprocess
import tarfile
import tempfile
from collections.abc import Hashable, Sequence
from pathlib import Path, PurePosixPath
from typing import Final

from gateway.contract.descriptors import files_of
from gateway.contract.errors import ContractError, contract_errors
from gateway.sources.protos import ProtoSource

_TIMEOUT: Final = 60.0


class GitSource:
    """`git:REVISION:PATH`, where the path is a descriptor set, a .proto file or a folder of them.

    Imports are looked for in the same revision: in the folder, or that of the file, and in `folders`.
    """

    def __init__(self, revision: str, path: str, folders: Sequence[Path] = ()) -> None:
        """Takes revision and path; paths are relative to the current folder."""
        self._revision = revision
        self._path = path
        self._folders = folders
        if not revision or not path or revision.startswith("-"):
            raise ContractError(f"{self.describe()}: write git:REVISION:PATH, as git:main:protos")

    def read(self) -> bytes:
        """See `Source`."""
        path = PurePosixPath(self._path)
        kind = self._git("cat-file", "-t", f"{self._revision}:./{path}").decode().strip()
        if kind != "tree" and path.suffix != ".proto":
            content = self._git("cat-file", "blob", f"{self._revision}:./{path}")
            files_of(content, self.describe())
            return content
        prefix = self._git("rev-parse", "--show-prefix").decode().strip()
        with tempfile.TemporaryDirectory() as scratch:
            archive = self._git("archive", self._revision, top=True)
            _write_protos(archive, Path(scratch))
            here = Path(scratch, prefix)
            folders = [here / folder for folder in self._folders]
            try:
                return ProtoSource(here / path, folders).read()
            except ContractError as error:
                raise self._named(error, f"{here}/") from None

    def stamp(self) -> Hashable:
        """See `Source`; a revision is read once."""
        return self._revision

    def describe(self) -> str:
        """See `Source`."""
        return f"git:{self._revision}:{self._path}"

    def _named(self, error: ContractError, folder: str) -> ContractError:
        """Returns an error whose files are those of the revision, not of the scratch folder."""
        return contract_errors(
            [each.with_file(lambda file: self._file(file, folder)) for each in error.problems]
        )

    def _file(self, file: str, folder: str) -> str:
        return f"git:{self._revision}:{file.removeprefix(folder)}" if folder in file else file

    def _git(self, *arguments: str, top: bool = False) -> bytes:
        place: list[str] = []
        if top:
            place = ["-C", self._git("rev-parse", "--show-toplevel").decode().strip()]
        try:
            done = subprocess.run(  # noqa: S603 - no shell; a revision does not begin with `-`
                ["git", *place, *arguments],  # noqa: S607 - as the user's shell finds it
                capture_output=True,
                timeout=_TIMEOUT,
                check=False,
            )
        except FileNotFoundError:
            raise ContractError(f"{self.describe()}: there is no git on the PATH") from None
        except subprocess.TimeoutExpired:
            raise ContractError(f"{self.describe()}: git has not ended") from None
        if done.returncode != 0:
            lines = done.stderr.decode(errors="replace").strip().splitlines() or ["git failed"]
            raise ContractError(f"{self.describe()}: {lines[0].removeprefix('fatal: ')}")
        return done.stdout


def _write_protos(archive: bytes, folder: Path) -> None:
    """Writes the .proto files of a tar archive; git has no paths that lead out of the folder."""
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        for member in tar.getmembers():
            content = tar.extractfile(member) if member.isfile() else None
            if content is not None and member.name.endswith(".proto"):
                path = folder / member.name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content.read())
