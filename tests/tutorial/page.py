"""Reads the commands and the files of a page, as a person who follows it would.

A block of a page is a fenced block of Markdown. What is to be done with it stands behind its language:

- `console`: commands after `$ `, each above what it prints. They run in the first terminal, or in the one
  that `terminal="N"` names. There the last command goes on until the next command of that terminal.
- `text terminal="N"`: what the command that goes on there prints next.
- `title="FILE"`: the file's text. With `append` it is added at the end of the file; with `replace="START"`
  it replaces the line that begins so, with all that is indented below it, and with `after="START"` it is
  added below them.
- `first="KIND"`: the first answer of a kind of RPC.

`…` in an output is any text of one line; a line of `…` alone is any number of lines. A link in angle brackets
to a page of localhost is opened. A block that says none of this is an error, so that none goes untested.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

_PART = re.compile(
    r"^```(?P<language>\w+)(?P<info>.*)\n(?P<text>(?:.*\n)*?)```$|<(?P<link>http://localhost[^>]*)>",
    re.MULTILINE,
)
_ATTRIBUTE = re.compile(r'(\w+)(?:="([^"]*)")?')


@dataclass(frozen=True)
class Command:
    """A command, and what the page says that it prints."""

    text: str
    output: str


@dataclass(frozen=True)
class Block:
    """A fenced block, or a link to localhost, of which the text is the address."""

    language: str
    text: str
    line: int
    attributes: dict[str, str] = field(default_factory=dict)

    def commands(self) -> list[Command]:
        """Returns the commands; a backslash at the end of a line continues one."""
        found: list[tuple[list[str], list[str]]] = []
        for line in self.text.splitlines():
            if line.startswith("$ "):
                found.append(([line[2:]], []))
            elif found and found[-1][0][-1].endswith("\\") and not found[-1][1]:
                found[-1][0].append(line)
            elif found:
                found[-1][1].append(line)
            else:
                raise ValueError(f"line {self.line}: an output without a command")
        return [Command("\n".join(text), "\n".join(output)) for text, output in found]


def blocks(page: str) -> Iterator[Block]:
    """Yields the blocks of a page, in order."""
    for part in _PART.finditer(page):
        line = page.count("\n", 0, part.start()) + 1
        if part["link"]:
            yield Block("link", part["link"], line)
        else:
            attributes = dict(_ATTRIBUTE.findall(part["info"]))
            yield Block(part["language"], part["text"], line, attributes)


def expected(output: str) -> re.Pattern[str]:
    """Returns the pattern of an output; spaces and empty lines at its end are of no account."""
    lines = [
        r"(?:.*\n)*?" if line == "…" else re.escape(line.rstrip()).replace("…", ".*") + r"[ \r]*\n"
        for line in output.rstrip().splitlines()
    ]
    return re.compile("".join(lines))


def save(block: Block, folder: Path) -> None:
    """Does with a file what the page asks for."""
    path = folder / block.attributes["title"]
    if "append" in block.attributes:
        path.write_text(path.read_text() + block.text)
    elif "replace" in block.attributes:
        lines = path.read_text().splitlines(keepends=True)
        first, last = _extent(lines, block.attributes["replace"])
        path.write_text("".join([*lines[:first], block.text, *lines[last:]]))
    elif "after" in block.attributes:
        lines = path.read_text().splitlines(keepends=True)
        _, last = _extent(lines, block.attributes["after"])
        path.write_text("".join([*lines[:last], block.text, *lines[last:]]))
    else:
        path.write_text(block.text)


def _extent(lines: list[str], start: str) -> tuple[int, int]:
    """Returns where the line that begins so is, and where what is indented below it ends."""
    (first,) = (number for number, line in enumerate(lines) if line.lstrip().startswith(start))
    indent = _indent(lines[first])
    last = first + 1
    for number in range(first + 1, len(lines)):
        line = lines[number]
        if line.strip() and _indent(line) <= indent:
            closes = line.strip() == "}" and _indent(line) == indent
            return first, number + 1 if closes else last
        if line.strip():
            last = number + 1
    return first, last


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())
