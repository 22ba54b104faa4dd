"""Compiles .proto files by the compiler of grpcio-tools, in a process of its own.

In this process the compiler would write its errors to stderr, between the lines of the log, and a crash of
it would end the edge. The folders of Google's files and of this edge's options are on the path.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from gateway.contract.errors import ContractError, Location, contract_errors

TIMEOUT: Final = 60.0
"""Seconds after which the compiler is stopped."""
_LINE: Final = re.compile(r"(?P<file>[^:]+):(?:(?P<line>\d+):(?P<column>\d+):)? (?P<text>.*)")
_IMPORT: Final = re.compile(r'Import "(?P<name>[^"]+)" was not found or had errors\.')
_NOT_FOUND: Final = re.compile(r"File not found\.|No such file or directory")
_FOLLOWS: Final = re.compile(r'"[^"]+" (?:is not defined|seems to be defined in)')


def standard_folders() -> list[Path]:
    """Returns the folders of `google/…` and `gateway/v1/options.proto`.

    Raises:
        ContractError: grpcio-tools is not installed.
    """
    tools, google, own = (_folder(name) for name in ("grpc_tools", "google.api", "gateway"))
    if tools is None or google is None or own is None:
        raise ContractError(
            "compiling .proto files needs grpcio-tools: pip install 'protoway[protoc]'"
        )
    installed = (own / "v1" / "options.proto").exists()
    options = own.parent if installed else own.parent / "protos"
    return [tools / "_proto", google.parent.parent, options]


def _folder(package: str) -> Path | None:
    spec = find_spec(package)
    places = list(spec.submodule_search_locations or ()) if spec else []
    return Path(places[0]) if places else None


def compile_files(files: Sequence[Path], folders: Iterable[Path]) -> bytes:
    """Returns the descriptor set of .proto files, with imports and comments.

    Args:
        files: their paths, each below one of the folders.
        folders: where imports are looked for, before the standard folders.

    Raises:
        ContractError: files do not compile. All errors of all files are in it, with line and column.
    """
    includes = [f"-I{folder}" for folder in (*folders, *standard_folders())]
    errors: dict[str, ContractError] = {}
    rest = list(files)
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch, "set.binpb")
        while (
            rest
        ):  # the compiler stops at the first file with errors: it is left out, to find the others
            faults = _run(rest, includes, out)
            if faults is None:
                break
            errors |= {str(error): error for error in faults.errors}
            before, rest = len(rest), [file for file in rest if str(file) not in faults.files]
            if len(rest) == before:
                break
        if not errors:
            return out.read_bytes()
    raise contract_errors(list(errors.values()))


@dataclass(frozen=True, slots=True)
class _Faults:
    """What the compiler has found."""

    errors: Sequence[ContractError]
    files: frozenset[str]
    """All files with errors, also those that only follow from others."""


def _run(files: Sequence[Path], includes: list[str], out: Path) -> _Faults | None:
    """Runs the compiler; returns its errors, or None if it has written the set."""
    arguments = Path(f"{out}.args")
    lines = (
        *includes,
        f"--descriptor_set_out={out}",
        *("--include_imports", "--include_source_info"),
        *map(str, files),
    )
    arguments.write_text("\n".join(lines))
    command = [sys.executable, "-m", "grpc_tools.protoc", f"@{arguments}"]
    try:
        done = subprocess.run(  # noqa: S603 - the interpreter itself, with no shell
            command, capture_output=True, text=True, errors="replace", timeout=TIMEOUT, check=False
        )
    except subprocess.TimeoutExpired:
        return _fault(f"the compiler has not ended after {TIMEOUT:g} s")
    if done.returncode == 0:
        return None
    matches = [match for line in done.stderr.splitlines() if (match := _LINE.fullmatch(line))]
    found = [match for match in matches if not match["text"].startswith("warning: ")]
    if not found:
        return _fault(f"the compiler failed with status {done.returncode}: {done.stderr[:200]}")
    return _Faults(list(_errors(found)), frozenset(match["file"] for match in found))


def _fault(text: str) -> _Faults:
    return _Faults([ContractError(" ".join(text.split()))], frozenset())


def _errors(found: Sequence[re.Match[str]]) -> Iterable[ContractError]:
    """Yields the errors in the compiler's lines, without those that follow from another one."""
    places = {match["file"] for match in found}
    missing = {match["file"] for match in found if _NOT_FOUND.fullmatch(match["text"])}
    broken_import = {match["file"] for match in found if _IMPORT.fullmatch(match["text"])}
    for match in found:
        text = match["text"]
        imported = _IMPORT.fullmatch(text)
        if match["file"] in missing and not match["line"] and broken_import:
            continue  # the import says it, with its line
        if imported and any(place.endswith(imported["name"]) for place in places - missing):
            continue  # that file has errors of its own
        if imported:
            text = f"{imported['name']} is not found: name its folder with --proto-paths"
        if match["file"] in broken_import and _FOLLOWS.match(text):
            continue  # a name of a file that is not there
        location = Location(match["file"], int(match["line"] or 0), int(match["column"] or 0))
        yield ContractError(text, location=location)
