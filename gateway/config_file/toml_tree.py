"""TOML as plain values, with the line of each; `tomllib` reads it, and tells no lines of what is valid.

So a valid document is cut into its statements (a table's header, or a key with its value), and each of these
is read once more by itself: its keys begin in its first line. What stands inside of a value of several lines
has the line in which the value begins.

Source: TOML 1.0.0, https://toml.io/en/v1.0.0.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from datetime import date, time
from typing import Any, Final

from gateway.config_file.tree import Place, Tree

_TOKEN: Final = re.compile(
    r'"""(?:[^\\]|\\.)*?"{3,5}'
    r"|'''.*?'{3,5}"
    r'|"(?:[^"\\\n]|\\.)*"'
    r"|'[^'\n]*'"
    r"|#[^\n]*"
    r"|[\[{\]}\n]",
    re.DOTALL,
)
"""What may hold a line break or a bracket that ends no statement, and those that may."""
_DEPTH: Final = {"[": 1, "{": 1, "]": -1, "}": -1}
_AT: Final = re.compile(r" \(at line (\d+), column \d+\)$")
_AT_END: Final = " (at end of document)"


def read_toml(content: bytes) -> Tree:
    """Reads a TOML document; never raises."""
    try:
        text = content.decode().replace("\r\n", "\n")
        value = tomllib.loads(text)
        lines = _lines(text)
    except UnicodeDecodeError as error:
        return Tree(None, problems=[(0, f"not TOML: byte {error.start} is not UTF-8")])
    except RecursionError:
        return Tree(None, problems=[(0, "is nested too deeply")])
    except ValueError as error:  # a TOMLDecodeError, or a number of too many digits
        return Tree(None, problems=[_problem(str(error), text.count("\n"))])
    tree = Tree(value or None, lines)
    _check(value, (), tree)
    return tree


def _problem(text: str, last_line: int) -> tuple[int, str]:
    if at := _AT.search(text):
        return int(at[1]), f"not TOML: {text[: at.start()]}"
    if text.endswith(_AT_END):
        return last_line + 1, f"not TOML: {text.removesuffix(_AT_END)}, where the file ends"
    return 0, f"not TOML: {text}"


def _check(value: Any, place: Place, tree: Tree) -> None:
    """Notes the dates among the values: no setting is one, and YAML takes them for text."""
    if isinstance(value, date | time):
        keys = ".".join(map(str, place))
        line = _line(place, tree)
        tree.problems.append((line, f"{keys}: is a date or a time, which no setting is; quote it"))
    elif isinstance(value, dict | list):
        for name, inner in value.items() if isinstance(value, dict) else enumerate(value):
            _check(inner, (*place, name), tree)


def _line(place: Place, tree: Tree) -> int:
    while place not in tree.lines:
        place = place[:-1]
    return tree.lines[place]


def _lines(text: str) -> dict[Place, int]:
    """Returns the line of each value of a valid document."""
    lines: dict[Place, int] = {(): 1}
    lengths: dict[Place, int] = {}
    """Place of each array of tables -> how many have begun."""
    table: Place = ()
    for line, statement in _statements(text):
        value = tomllib.loads(statement)
        if statement.lstrip().startswith("["):
            table = _table(value, line, lengths, lines)
        else:
            _note(value, table, line, lines)
    return lines


def _statements(text: str) -> Iterator[tuple[int, str]]:
    """Yields the statements of a valid document, each with the line in which it begins."""
    line, start, depth, begun = 1, 0, 0, 1
    for token in _TOKEN.finditer(text):
        part = token[0]
        depth += _DEPTH.get(part, 0)
        line += part.count("\n")
        if part == "\n" and depth == 0:
            yield begun, text[start : token.start()]
            start, begun = token.end(), line
    yield begun, text[start:]


def _table(header: Any, line: int, lengths: dict[Place, int], lines: dict[Place, int]) -> Place:
    """Returns the place of a table by its header, read by itself, and notes its line.

    A name of an array of tables stands for the last one of it that has begun.
    """
    place: Place = ()
    while header:
        ((name, header),) = header.items()
        place = (*place, name)
        lines.setdefault(place, line)
        if isinstance(header, list):
            lengths[place] = lengths.get(place, 0) + 1
            header = {}
        if place in lengths:
            place = (*place, lengths[place] - 1)
            lines.setdefault(place, line)
    return place


def _note(value: Any, place: Place, line: int, lines: dict[Place, int]) -> None:
    lines.setdefault(place, line)
    if isinstance(value, dict):
        for name, inner in value.items():
            _note(inner, (*place, name), line, lines)
    elif isinstance(value, list):
        for at, inner in enumerate(value):
            _note(inner, (*place, at), line, lines)
