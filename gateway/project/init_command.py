"""`protoway init NAME [FOLDER]`: writes a project with one method of each kind.

Rule: nothing that exists is overwritten; what is written runs as it is.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from string import Template
from typing import Any, Final

from gateway.options import OptionError
from gateway.project.names import placeholders

_SUFFIX: Final = ".template"
_PURPOSE: Final = "write a new project: contract, server, tests, images"
_RENAMED: Final = {
    "contract.proto": "$name.proto",
    "gitignore": ".gitignore",
    "dockerignore": ".dockerignore",
}
"""Templates that have another name in a project: hidden ones, and those named after it."""


def add_init(commands: Any) -> None:
    """Adds the command to a parser's commands."""
    command = commands.add_parser(
        "init",
        help=_PURPOSE,
        usage="protoway init NAME [FOLDER]",
        description="Writes a new project: a contract with one method of each kind, a gRPC server in Python,"
        " tests, a Dockerfile, a file for Compose and a README. `protoway dev` runs it.",
    )
    command.add_argument("name", metavar="NAME", help="name of the protobuf package, as orders")
    command.add_argument(
        "folder", metavar="FOLDER", nargs="?", type=Path, help="that is written to (default: NAME)"
    )
    command.set_defaults(command=init)


def init(options: argparse.Namespace) -> int:
    """Writes the project; returns the exit status.

    Raises:
        OptionError: the name is wrong, or the folder is not empty.
    """
    values = placeholders(options.name)
    folder: Path = options.folder or Path(options.name)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise OptionError(f"init: {folder} exists, and is no empty folder: name another one")
    try:
        for name, text in project(values):
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    except OSError as error:
        print(f"protoway: cannot write {error.filename}: {error.strerror}", file=sys.stderr)
        return 1
    into = "" if folder == Path() else f"cd {folder} && "
    print(f"{options.name} is written to {folder}. Next: {into}protoway dev")
    return 0


def project(values: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Yields the path and the text of each file of a project.

    Args:
        values: of the placeholders, as `placeholders` returns them.
    """
    for path, template in _templates(files("gateway.project") / "templates"):
        name = path.removesuffix(_SUFFIX)
        shown = Template(_RENAMED.get(name, name)).substitute(values)
        yield shown, Template(template.read_text()).substitute(values)


def _templates(folder: Traversable, prefix: str = "") -> Iterator[tuple[str, Traversable]]:
    for entry in sorted(folder.iterdir(), key=lambda each: each.name):
        if entry.is_dir():
            yield from _templates(entry, f"{prefix}{entry.name}/")
        elif entry.name.endswith(_SUFFIX):
            yield f"{prefix}{entry.name}", entry
