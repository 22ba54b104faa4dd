"""YAML as plain values, with the line of each.

Scalars are those of the YAML 1.2 core schema (YAML 1.2.2, 10.3): `no`, `12:30` and `2024-01-01` are text.
Aliases and tags are refused, so a document is never larger than its text.

Rule: standard library and PyYAML only; `gateway.health` imports it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

import yaml

from gateway.config_file.tree import Place, Tree

_TRUE: Final = ("true", "True", "TRUE")
_FALSE: Final = ("false", "False", "FALSE")
_NULL: Final = ("", "~", "null", "Null", "NULL")
_INT: Final = re.compile(r"[-+]?[0-9]{1,64}")
_HEX: Final = re.compile(r"0x[0-9a-fA-F]{1,64}|0o[0-7]{1,64}")
_FLOAT: Final = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_SPECIAL: Final = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")


def read_yaml(content: bytes) -> Tree:
    """Reads one YAML document; never raises."""
    try:
        loader = _Loader(content)
        node = loader.get_single_node()
        tree = Tree(None, problems=loader.problems)
        return Tree(_value(node, (), tree), tree.lines, tree.problems)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problem = ", ".join(filter(None, (error.context, error.problem)))
        if "'\\t'" in problem:
            problem = "a tab, where only spaces may stand"
        return Tree(None, problems=[(mark.line + 1 if mark else 0, f"not YAML: {problem}")])
    except yaml.YAMLError as error:  # of its reader: the encoding
        return Tree(None, problems=[(0, f"not YAML: {str(error).partition(chr(10))[0]}")])
    except RecursionError:
        return Tree(None, problems=[(0, "is nested too deeply")])


def plain_scalar(text: str) -> Any:
    """Returns what a scalar without quotes means."""
    if text in _NULL:
        return None
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    if _INT.fullmatch(text):
        return int(text)
    if _HEX.fullmatch(text):
        return int(text, 0)
    if _FLOAT.fullmatch(text):
        return float(text)
    return float(text.replace(".", "", 1)) if _SPECIAL.fullmatch(text) else text


class _Loader(yaml.SafeLoader):
    """Composes nodes, without the targets of aliases."""

    def __init__(self, content: bytes) -> None:
        super().__init__(content)
        self.problems: list[tuple[int, str]] = []

    def compose_node(self, parent: yaml.Node | None, index: Any) -> Any:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call] # as the whole of PyYAML
        line = event.start_mark.line + 1
        if isinstance(event, yaml.AliasEvent):
            self.get_event()  # type: ignore[no-untyped-call] # as above
            self.problems.append((line, f"alias *{event.anchor}: write the value itself"))
            mark: Any = event.start_mark
            return yaml.ScalarNode("", "", mark, mark)
        if getattr(event, "tag", None) is not None:
            self.problems.append((line, f"tag {event.tag}: tags are not read"))
        return super().compose_node(parent, index)


def _value(node: yaml.Node | None, place: Place, tree: Tree) -> Any:
    if node is None:
        return None
    tree.lines.setdefault(place, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        return {
            name: _value(inner, (*place, name), tree) for name, inner in _items(node, place, tree)
        }
    if isinstance(node, yaml.SequenceNode):
        return [_value(inner, (*place, at), tree) for at, inner in enumerate(node.value)]
    quoted = isinstance(node, yaml.ScalarNode) and node.style is not None
    return node.value if quoted else plain_scalar(node.value)


def _items(node: yaml.MappingNode, place: Place, tree: Tree) -> Iterator[tuple[str, yaml.Node]]:
    """Yields the items of a mapping with keys that are scalars, each once, and notes their lines."""
    seen: dict[str, int] = {}
    for key, inner in node.value:
        line = key.start_mark.line + 1
        if not isinstance(key, yaml.ScalarNode):
            tree.problems.append((line, "a key is a mapping or a list: write a name"))
        elif key.value in seen:
            name = ".".join(map(str, (*place, key.value)))
            tree.problems.append(
                (line, f"{name}: stands here twice, first in line {seen[key.value]}")
            )
        else:
            seen[key.value] = line
            tree.lines[*place, key.value] = line
            yield key.value, inner
